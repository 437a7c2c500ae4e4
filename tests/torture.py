"""Kill -9 at random moments, again and again: nothing may be lost, nothing counted twice.

    make torture, or python -m tests.torture --kills 200 --seed 0

Each round is one study. The same command is started over and over, and the driver, a worker or all
of its processes are killed with SIGKILL at a random moment, until the command ends well by itself;
then the study must equal the undisturbed one, cell for cell. Meanwhile another process reads it
over and over, and one more compacts and verifies it.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

import sweep
from tests.processes import ROOT, Process, session, until

SCHEME = """
import time
import numpy as np

def slow(rng, fan_in, fan_out, seconds):
    time.sleep(seconds)
    return rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)
"""
# A task for every stack, so that there is always something stored, and something to lose.
DRIVER = """
from sweep.execution.plan import tasks
tasks._TASK_SECONDS = (0.0, 0.0)
from sweep.__main__ import main
main()
"""
READER = """
import os, sys, time
import sweep
path, found, loads, parent = sys.argv[1], set(), 0, os.getppid()
while os.getppid() == parent:
    try:
        cells, layers = sweep.load(path), sweep.load(path, "layers")
    except sweep.StoreError as error:
        if "is not a study" in str(error) and not found:  # it is not there yet
            time.sleep(0.02)
            continue
        raise
    assert not cells["cell_id"].duplicated().any(), "a cell twice"
    assert not layers.duplicated(["cell_id", "layer"]).any(), "a layer twice"
    ids = set(cells["cell_id"])
    assert found <= ids, "a cell is gone"
    done = cells[cells["status"] == "ok"]
    # `layers` was read later: whatever was stored is there, and whole.
    counts = layers["cell_id"].value_counts().reindex(done["cell_id"], fill_value=0).to_numpy()
    assert (counts == done["depth"].to_numpy() + 1).all(), "a cell without its layers"
    found, loads = ids, loads + 1
    print(loads, flush=True)
    time.sleep(0.02)
"""
# Whoever compacts and verifies meanwhile finds nothing damaged, and takes nothing away.
UPKEEP = """
import os, sys
from sweep import compact, verify
from sweep.base.process.command import guarded
path, parent, done = sys.argv[1], os.getppid(), 0
while os.getppid() == parent:
    for module in (compact, verify):
        sys.argv = ["", path]
        if not os.path.exists(os.path.join(path, "study.json")):
            continue
        status = guarded(module.main)
        assert status == 0, (module.__name__, status)
        done += 1
"""
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}
# What may differ between two runs of the same cell.
OWN = ["seconds", "run_id"]


@dataclass
class Tally:
    """What was done."""

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("driver", "worker", "both"), 0))
    starts: int = 0
    rounds: int = 0
    loads: int = 0
    upkeeps: int = 0

    @property
    def killed(self) -> int:
        return sum(self.kills.values())


def arguments(widths: int, seconds: float) -> list[str]:
    """A grid that needs worker processes, and time rather than this machine's cores."""
    run = ("grid=smoke", "study=victim", "report=false", "n_jobs=2", "init=custom", "init.function=mine.slow")
    # Cells of several widths share nothing: each is a task.
    axes = ("depth=2,3", f"width=range(8,{8 + widths})", "seed=0", "batch=20")
    return ["-m", *run, f"init.kwargs.seconds={seconds}", *axes]


def strike(process: Process, target: str, rng: random.Random) -> bool:
    """Kill the driver, one of its processes, or all of them; whether there was one to kill."""
    others = session(process.pid)
    if not process.running() or (target == "worker" and not others):
        return False
    victims = {"driver": [process.pid], "both": [*others, process.pid]}.get(target) or [rng.choice(others)]
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return True


def frames(study: Path) -> dict[str, pd.DataFrame]:
    keys = {"cells": ["cell_id"], "layers": ["cell_id", "layer"]}
    return {
        table: sweep.load(study, table).drop(columns=OWN, errors="ignore").sort_values(key, ignore_index=True)
        for table, key in keys.items()
    }


def check_equal(study: Path, reference: dict[str, pd.DataFrame]) -> None:
    """That the study holds what the undisturbed one does, for plain pandas too, and nothing else."""
    for table, frame in frames(study).items():
        # What is stacked with what differs after a kill, and so does the last bit.
        pd.testing.assert_frame_equal(frame, reference[table], rtol=1e-5, atol=1e-6)
        assert len(pd.read_parquet(study / table)) == len(frame), f"superseded rows are left in {table}"
    left = [path.name for folder in ("cells", "layers") for path in (study / folder).glob(".*")]
    assert not left, f"leftovers: {left}"


def run_to_its_end(folder: Path, command: list[str], target: str, delay: float, tally: Tally, rng) -> bool:
    """Start the command and strike; whether it ended well."""
    with Process([sys.executable, "-c", DRIVER, *command], folder, ENVIRONMENT) as process:
        tally.starts += 1
        if target:
            time.sleep(delay)
            if strike(process, target, rng):
                tally.kills[target] += 1
        status = process.wait()
        until(lambda: not session(process.pid), "the workers, which follow their driver")
        assert status in (0, -signal.SIGKILL), (status, process.err[-2000:])
    return status == 0


def torture(kills: int, seed: int, widths: int = 24, seconds: float = 0.06) -> Tally:
    """Kill so many times; AssertionError where anything was lost."""
    rng, tally, command = random.Random(seed), Tally(), arguments(widths, seconds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        undisturbed = folder / "undisturbed"
        undisturbed.mkdir()
        (undisturbed / "mine.py").write_text(SCHEME)
        began = time.monotonic()
        assert run_to_its_end(undisturbed, command, "", 0.0, Tally(), rng)
        latest = time.monotonic() - began  # moments from start to end, on this machine as it is now
        reference = frames(undisturbed / "outputs" / "victim")
        assert (reference["cells"]["status"] == "ok").all()
        while tally.killed < kills:
            tally.rounds += 1
            place = folder / f"round{tally.rounds}"
            place.mkdir()
            (place / "mine.py").write_text(SCHEME)
            study = place / "outputs" / "victim"
            with (
                Process([sys.executable, "-c", READER, study], environment=ENVIRONMENT) as reader,
                Process([sys.executable, "-c", UPKEEP, study], environment=ENVIRONMENT) as upkeep,
            ):
                while True:
                    target = rng.choice(list(tally.kills)) if tally.killed < kills else ""
                    if run_to_its_end(place, command, target, rng.uniform(0.0, latest), tally, rng):
                        break
                reads = len(reader.out.splitlines())
                # The second of them began after the end, and sees all.
                reader.until(lambda seen=reads: len(reader.out.splitlines()) >= seen + 2, "two more reads")
                tally.loads += len(reader.out.splitlines())
                assert upkeep.running(), upkeep.err[-2000:]
                tally.upkeeps += upkeep.out.count(" whole; ")
            assert not (study / "quarantine").exists(), "something healthy was set aside"
            check_equal(study, reference)
    return tally


def main() -> None:
    """Torture, and say in one line how it went."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    tally = torture(given.kills, given.seed)
    how = ", ".join(f"{count} {target}" for target, count in tally.kills.items())
    others = f"{tally.loads} reads and {tally.upkeeps} verifications meanwhile"
    done = f"{tally.starts} starts of {tally.rounds} studies, {others}"
    print(
        f"torture: {tally.killed} kill -9 ({how}) in {done}, {time.monotonic() - began:.0f} s: "
        "every study equals the undisturbed one, cell for cell"
    )


if __name__ == "__main__":
    main()
