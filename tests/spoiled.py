"""Every file of a study spoiled, under every command: a status of 0, 1 or 2, and nothing ever read wrong.

    make torture, or python -m tests.spoiled --rounds 300 --seed 0

Each round is a copy of one study, with files of somebody else among its own. One of its files is flipped,
cut, swapped with another, or is a folder, a pipe or a link; then the commands come in a random order. What
can be read is what was stored; what is somebody else's stays; what the same command asks for again is there
in the end, or a line says why not.
"""

import argparse
import contextlib
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from importlib import import_module
from pathlib import Path

import pandas as pd

import sweep
from sweep import compact, status, verify
from sweep.base.process.command import guarded
from sweep.execution.options import Options
from sweep.execution.pipeline import run
from sweep.experiment.batches import Cells
from sweep.report import __main__ as report
from tests.make import cell

SECONDS = 120  # for a command: only what hangs takes so long
CELLS = [
    cell(init={"name": init}, act={"name": "tanh"}, depth=depth, width=8, seed=seed, batch=10)
    for init in ("xavier", "kaiming")
    for depth in (2, 3)
    for seed in (0, 1)
]
SPOILS = ("flip", "flip", "flip", "cut", "swap", "empty", "text", "folder", "pipe", "link")
NOTES = "somebody's notes"
# What may differ between two runs of the same cell.
OWN = ["seconds", "run_id"]


def computed(root: Path, cells: list) -> int:
    """The exit status of a run of these cells, as `python -m sweep` starts one."""
    options = Options(study="victim", root=str(root), n_jobs=1, report=())
    return guarded(lambda: run(Cells.of(cells), options, {"command.txt": "python -m sweep\n"}))


def made(root: Path) -> int:
    """A study of two runs, with somebody else's files among its own."""
    for cells in (CELLS[:5], CELLS):
        assert computed(root, cells) == 0
    study = root / "victim"
    for folder in (".", "cells", "layers", "runs", "report"):
        (study / folder).mkdir(exist_ok=True)
        (study / folder / "notes.txt").write_text(NOTES)
    return 0


def commands(study: Path) -> dict:
    """By name, what a user may do with a study."""
    path, recommend = str(study), import_module("sweep.recommend")

    def typed(module, *arguments):
        def call() -> int:
            sys.argv = ["", path, *arguments] if module is not recommend else ["", *arguments]
            return guarded(module.main)

        return call

    def loads() -> int:
        for table in ("cells", "layers"):
            sweep.load(path, table, thresholds={"vanishing": 0.01} if table == "cells" else None)
        return 0

    return {
        "status": typed(status),
        "report": typed(report, "--only", "page"),
        "verify": typed(verify),
        "compact": typed(compact),
        "recommend": typed(recommend, "tanh", "--depth", "3", "--width", "8", "--study", path),
        "load": lambda: guarded(loads),
        "run": lambda: computed(study.parent, CELLS),
    }


def spoil(file: Path, how: str, rng: random.Random, others: list[Path], elsewhere: Path) -> None:
    """Do this to a file of the study."""
    content = file.read_bytes()
    if how == "flip" and content:
        place = rng.randrange(8 * len(content))
        changed = bytearray(content)
        changed[place // 8] ^= 1 << (place % 8)
        file.write_bytes(changed)
    elif how == "cut":
        file.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif how == "swap":
        other = rng.choice(others)
        file.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif how in ("empty", "text"):
        file.write_bytes(b"" if how == "empty" else b"[bold]not \x1b[31m what was written\xff\n")
    elif how in ("folder", "pipe", "link"):
        file.unlink()
        if how == "folder":
            file.mkdir()
        elif how == "pipe":
            os.mkfifo(file)
        else:
            file.symlink_to(elsewhere / "target")


def differs(found: pd.DataFrame, reference: pd.DataFrame, keys: list[str]) -> str:
    """What of the rows is not as it was stored; rows may be missing."""
    if found.duplicated(keys).any():
        return "a row twice"
    found = found.set_index(keys).sort_index().drop(columns=OWN, errors="ignore")
    expected = reference.set_index(keys).drop(columns=OWN, errors="ignore")
    if not found.index.isin(expected.index).all():
        return "a row that was never stored"
    expected = expected.loc[found.index]
    for name in expected.columns:
        try:
            # What is computed again may be stacked otherwise, and so differ in the last bit.
            pd.testing.assert_series_equal(
                found[name], expected[name], rtol=1e-5, atol=1e-6, check_dtype=False
            )
        except AssertionError as error:
            return f"{name}: {error}"
    return ""


def readable(study: Path, reference: dict[str, pd.DataFrame]) -> tuple[bool, str]:
    """Whether the study can be read, and what is read wrong."""
    keys = {"cells": ["cell_id"], "layers": ["cell_id", "layer"]}
    for table, key in keys.items():
        try:
            found = sweep.load(study, table)
        except sweep.StoreError:
            return False, ""
        if wrong := differs(found, reference[table], key):
            return True, f"{table}: {wrong}"
    return True, ""


def called(command) -> tuple[int, str]:
    """A command's status, and what it printed; what it raises is the caller's."""

    def hangs(*_) -> None:
        raise AssertionError(f"no end within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            return command(), said.getvalue()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def round_of(study: Path, reference: dict[str, pd.DataFrame], elsewhere: Path, rng: random.Random) -> str:
    """Spoil one file, and use the study; what was done. AssertionError where a promise is broken."""
    files = sorted(path for path in study.rglob("*") if path.is_file() and path.name != "notes.txt")
    file, how = rng.choice(files), rng.choice(SPOILS)
    spoil(file, how, rng, files, elsewhere)
    done = f"{how} {file.relative_to(study)}"
    order = commands(study)
    for name in rng.sample(list(order), len(order)):
        status_of, said = called(order[name])
        assert status_of in (0, 1, 2), f"{done}, {name}: status {status_of}"
        assert "\x1b[31m" not in said, f"{done}, {name}: an escape sequence of the study's"
        assert "Traceback" not in said, f"{done}, {name}: {said}"
        _, wrong = readable(study, reference)
        assert not wrong, f"{done}, {name}: read wrong: {wrong}"
        done += f", {name}: {status_of}"
    for folder in (".", "cells", "layers", "runs", "report"):
        notes = study / folder / "notes.txt"
        assert notes.read_text() == NOTES, f"{done}: {folder}/notes.txt is not as it was"
    assert sorted(path.name for path in elsewhere.iterdir()) == ["target"], done
    assert (elsewhere / "target").read_text() == NOTES, done
    # In the end: what is damaged set aside, the rest computed again, or a line that says why not.
    called(order["verify"])
    status_of, said = called(order["run"])
    fine, wrong = readable(study, reference)
    assert not wrong, f"{done}: {wrong}"
    if status_of == 0:
        assert fine, f"{done}: {said}"
        assert set(sweep.load(study)["cell_id"]) >= {one.id for one in CELLS}, f"{done}: cells are gone"
    else:
        assert said.count("\n") >= 1, done
    return done


def torture(rounds: int, seed: int) -> Counter:
    """So many rounds; how many of each kind."""
    rng, kinds = random.Random(seed), Counter()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", sweep.base.errors.SweepWarning)
        folder = Path(name)
        original = folder / "original" / "victim"
        called(lambda: made(original.parent))
        reference = {table: sweep.load(original, table) for table in ("cells", "layers")}
        for number in range(rounds):
            root = folder / str(number)
            study, elsewhere = root / "victim", root / "elsewhere"
            shutil.copytree(original, study)
            elsewhere.mkdir()
            (elsewhere / "target").write_text(NOTES)
            done = round_of(study, reference, elsewhere, rng)
            kinds[done.partition(" ")[0]] += 1
            shutil.rmtree(root)
    return kinds


def main() -> None:
    """Spoil, and say in one line how it went."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    kinds = torture(given.rounds, given.seed)
    how = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(
        f"spoiled: {given.rounds} files ({how}) under {len(commands(Path()))} commands, "
        f"{time.monotonic() - began:.0f} s: nothing read wrong, nothing of others moved"
    )


if __name__ == "__main__":
    main()
