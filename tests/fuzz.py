"""Random command lines, some right and most of them wrong: whatever is typed, one status, no traceback.

make torture, or python tests/fuzz.py --lines 1000 --seed 0
"""

import argparse
import contextlib
import io
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest import mock

from hydra.core.global_hydra import GlobalHydra

from sweep import __main__ as command
from sweep.base.process.command import guarded
from sweep.execution import pipeline
from sweep.experiment.axes import KEYS

WORDS = """
    xavier kaiming normal tanh relu gelu torch/eye custom identity nothing smoke standard local serial float32
    float64 true false null None a/b 1 2 3 0 -1 0.5 1e-3 1e400 nan inf -inf '' "" é σ ~ range(0,2)
    range(1,3,0.5) glob(*a*) choice(1,2) interval(0,1) sort(2,1) shuffle(1,2) [] [4,5] [4,[5]] {} {a:1}
    ${depth} ${nothing} ${oc.env:HOME} $ @ 2,3 1,1 2, ,2 xavier,kaiming tanh,relu
    s3://b/p nope://x memory://u@h /dev/null os.getcwd math.sin no.such math deep/er .. . 1/2 3/2
"""
RIGHT = """
    init=xavier init=normal,kaiming init=torch/eye init.std=0.1,1 act=relu act=tanh,gelu act=leaky_relu
    depth=2 depth=1,2 width=2,4 widths=[3,2] seed=1,2 bias_std=0.1 batch=3 dtype=float64 backward=false,true
    study=other root=elsewhere n_jobs=1 fail_fast=true report=false histogram=true dry_run=true
    retry_failed=false overwrite=true executor=serial init.std=0.5 root=memory://there
"""
VALUES = [*WORDS.split(), "x" * 300, "a b", " ", "\\"]
PARTS = ("init.std", "init.scale", "init.function", "init.kwargs.a", "act.function", "act.beta", "init.name")
FLAGS = "-m --multirun --cfg --cfg=job --info --nothing -h --help -p --resolve --"
# Small to begin with, and what may take long is not tried: see `bounded`.
SMALL = ("depth=1", "width=3", "batch=2", "report=false", "n_jobs=1", "grid=smoke", "seed=0")


def line(rng: random.Random) -> list[str]:
    """A command line: keys, values and flags, each of them mangled now and then."""
    chosen = rng.sample(RIGHT.split(), rng.randrange(4))
    keys = {one.partition("=")[0] for one in chosen}
    arguments = chosen + [one for one in SMALL if one.partition("=")[0] not in keys and rng.random() < 0.95]
    for _ in range(rng.choice((0, 0, 0, 1, 2, 3))):
        key = rng.choice(PARTS) if rng.random() < 0.25 else rng.choice(KEYS)
        key = rng.choice(["", "", "", "", "+", "++", "~", "hydra."]) + key
        arguments.append(f"{key}={rng.choice(VALUES)}" if rng.random() < 0.9 else key)
    if rng.random() < 0.8:
        arguments.insert(rng.randrange(len(arguments) + 1), "-m")
    if rng.random() < 0.05:
        arguments.append(rng.choice(FLAGS.split()))
    rng.shuffle(arguments)
    return [mangled(one, rng) if rng.random() < 0.03 else one for one in arguments]


def mangled(text: str, rng: random.Random) -> str:
    """The text with a letter lost, doubled or replaced; no digit is added, for large numbers take long."""
    place = rng.randrange(len(text)) if text else 0
    old = text[place : place + 1]
    new = rng.choice(["", old if old.isdigit() else 2 * old, *"=,.[](){}'\" $:~"])
    return text[:place] + new + text[place + 1 :]


_run = pipeline.run


def bounded(cells, options, record, **more):
    """The run, if it is a short one."""
    if len(cells) > 40 or sum(cell.depth * cell.width**2 * cell.batch for cell in cells) > 1e8:
        return 0
    return _run(cells, options, record, **more)


def status_of(arguments: list[str]) -> tuple[int, str]:
    """The exit status of a command line, and what it said on stderr."""
    GlobalHydra.instance().clear()
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            status = guarded(lambda: command._main(arguments))
        except SystemExit as ended:  # argparse's --help
            status = int(ended.code or 0)
    return status, said.getvalue()


def fuzz(lines: int, seed: int) -> Counter[int]:
    """Status -> how often; AssertionError, naming the line, where one is not 0, 1 or 2, or not one line."""
    rng, found = random.Random(seed), Counter()
    before = Path.cwd(), sys.argv[:]
    with tempfile.TemporaryDirectory() as folder, mock.patch("sweep.execution.pipeline.run", bounded):
        os.chdir(folder)
        try:
            for _ in range(lines):
                arguments = line(rng)
                try:
                    status, said = status_of(arguments)
                except Exception as error:
                    raise AssertionError(f"sweep {arguments}: {type(error).__name__}: {error}") from error
                assert status in (0, 1, 2), (arguments, status)
                assert "Traceback" not in said, (arguments, said)
                assert status != 2 or len(said.splitlines()) == 1, (arguments, said)
                found[status] += 1
        finally:
            os.chdir(before[0])
            sys.argv[:] = before[1]
    return found


def main() -> None:
    """Try so many lines, and say in one line how it went."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    found = fuzz(given.lines, given.seed)
    counts = ", ".join(f"{count} × status {status}" for status, count in sorted(found.items()))
    print(f"fuzz: {given.lines} command lines in {time.monotonic() - began:.0f} s: {counts}; no traceback")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
