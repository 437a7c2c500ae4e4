"""Runs that meet with accidents: the commands as users type them, real signals, real processes."""

import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

import sweep
from sweep import runs
from sweep.blocks import Cells
from sweep.run import Options, run
from sweep.store import Study
from tests.test_cell import cell
from tests.torture import torture

DEADLINE = 120.0
SMALL = ("grid=smoke", "depth=2", "seed=0", "batch=20", "report=false")
SLOW = """
import os, time
import numpy as np

def slow(rng, fan_in, fan_out, seconds=0.3, number=0, deadly=-1):
    if number == deadly:
        os._exit(1)
    time.sleep(seconds)
    return rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)
"""
OWN = ("init=custom", "init.function=slow.slow")


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


def started(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "sweep", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition, process=None):
    deadline = time.monotonic() + DEADLINE
    while not condition() and time.monotonic() < deadline and (process is None or process.poll() is None):
        time.sleep(0.05)
    return condition()


def test_a_poison_cell_among_500_costs_one_row(sweep_command, mine):
    arguments = [
        "-m",
        "grid=smoke",
        "act=tanh",
        "depth=1",
        "width=4",
        "seed=0",
        "batch=5",
        "report=false",
        *OWN,
    ]
    arguments += ["init.kwargs.seconds=0", "init.kwargs.deadly=321", "init.kwargs.number=range(0,500)"]
    done = sweep_command(*arguments)
    assert done.returncode == 1, done.stderr
    cells = sweep.load(mine / "outputs" / "smoke")
    assert cells["status"].value_counts().to_dict() == {"ok": 499, "failed": 1}
    (row,) = cells[cells["status"] == "failed"].itertuples()
    assert '"number":321' in row.init_params
    assert row.error_type == "WorkerDied"
    assert "1 failed: WorkerDied" in done.stderr
    again = sweep_command(*arguments, "retry_failed=false")
    assert again.returncode == 1
    assert "1 cell failed earlier" in again.stderr


def test_sigterm_stores_what_is_done_and_ends_with_143(mine):
    # Two tasks of one cell each end soon, the others never do.
    process = started(mine, "-m", *SMALL, *OWN, "init.kwargs.seconds=0.01,1000", "act=tanh", "width=8")
    study = mine / "outputs" / "smoke"
    assert wait_for(lambda: list((study / "runs").glob("*/plan.parquet")), process)
    time.sleep(1)  # into the work, or the workers' start: it must not matter
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)  # as a scheduler does: every process of the job
    _, printed = process.communicate(timeout=DEADLINE)
    assert process.returncode == 143, printed
    assert time.monotonic() - began < DEADLINE
    assert re.search(r"terminated(: \d cells are stored, \d are left; run the same command)?", printed)
    assert "Traceback" not in printed
    assert not sweep.load(study)["cell_id"].duplicated().any()


@pytest.mark.parametrize("drivers", [2, 4])
def test_drivers_at_once_on_overlapping_grids_lose_nothing_and_count_nothing_twice(tmp_path, drivers):
    common = ("-m", "grid=smoke", "depth=2,3", "batch=20", "report=false")
    inits = ["xavier,kaiming", "kaiming,normal", "normal,xavier", "xavier,orthogonal"][:drivers]
    processes = [started(tmp_path, *common, f"init={init}", "seed=0,1,2") for init in inits]
    ended = [(process.communicate(timeout=DEADLINE)[1], process.returncode) for process in processes]
    assert [status for _, status in ended] == [0] * drivers, ended
    schemes = {scheme for init in inits for scheme in init.split(",")}
    expected = len(schemes) * 2 * 2 * 2 * 3
    study = tmp_path / "outputs" / "smoke"
    assert len(sweep.load(study)) == sweep.load(study)["cell_id"].nunique() == expected
    assert len(sweep.load(study, "layers").drop_duplicates(["cell_id", "layer"])) == expected // 2 * (3 + 4)
    process = started(tmp_path, *common, "init=xavier,kaiming,normal", "seed=0,1,2,3")
    assert process.communicate(timeout=DEADLINE)[1]
    assert not pd.read_parquet(study / "cells")["cell_id"].duplicated().any()
    assert not pd.read_parquet(study / "layers")[["cell_id", "layer"]].duplicated().any()


def test_the_second_driver_leaves_to_the_first_what_that_has_stored(mine):
    grid = ("-m", *SMALL, *OWN, "init.kwargs.seconds=0.4", "act=tanh", "n_jobs=1")
    patched = (
        "import sys; from sweep import plan; plan._TASK_SECONDS = (0.0, 0.0); sys.argv[1:] = %r;"
        "from sweep.__main__ import main; main()"
    )
    command = [sys.executable, "-c", patched % ([*grid, "width=range(8,16)"],)]
    first, second = (
        subprocess.Popen(command, cwd=mine, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    said = [process.communicate(timeout=DEADLINE)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    computed = [int(found[1]) for one in said if (found := re.search(r"^(\d+) cells? in", one, re.MULTILINE))]
    assert sum(computed) < 16, said
    assert len(sweep.load(mine / "outputs" / "smoke")) == 8


def test_a_dry_run_says_what_would_run_and_writes_nothing(sweep_command, tmp_path):
    arguments = ("-m", "grid=smoke", "init=xavier,torch/xavier_normal", "report=false")
    dry = sweep_command(*arguments, "dry_run=true")
    assert dry.returncode == 0, dry.stderr
    shown = dict(re.findall(r"│ ([a-z ,]+?) +│ +(.+?) │", dry.stdout))
    assert (shown["cells"], shown["stored already"], shown["to compute"]) == ("32", "0", "32")
    assert shown["work"].endswith("FLOP")
    assert list(tmp_path.iterdir()) == []
    assert sweep_command(*arguments).returncode == 0
    shown = dict(re.findall(r"│ ([a-z ,]+?) +│ +(.+?) │", sweep_command(*arguments, "dry_run=true").stdout))
    assert (shown["stored already"], shown["to compute"], shown["tasks"]) == ("32", "0", "0")


def test_overwrite_replaces_and_a_damaged_part_is_computed_again(sweep_command, tmp_path):
    command = ("-m", *SMALL, "init=xavier", "act=tanh,relu")
    assert sweep_command(*command).returncode == 0
    study = tmp_path / "outputs" / "smoke"
    before = pd.read_parquet(study / "cells")
    assert sweep_command(*command, "overwrite=true").returncode == 0
    after = pd.read_parquet(study / "cells")
    assert sorted(before["cell_id"]) == sorted(after["cell_id"])
    assert set(before["run_id"]).isdisjoint(after["run_id"])
    assert not pd.read_parquet(study / "layers")[["cell_id", "layer"]].duplicated().any()

    (part,) = (study / "layers").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-100])
    done = sweep_command(*command)
    assert done.returncode == 0, done.stderr
    assert f"damaged part {part.name} (its layers are cut short): set aside" in done.stderr
    assert len(pd.read_parquet(study / "cells")) == 4

    (part,) = (study / "cells").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-100])
    verified = sweep_command("outputs/smoke", module="sweep.verify")
    assert verified.returncode == 1
    assert f"damaged: {part.name}" in verified.stdout
    assert sweep_command(*command).returncode == 0
    verified = sweep_command("outputs/smoke", module="sweep.verify")
    assert verified.returncode == 0, verified.stdout
    assert "1 of 1 parts whole; 4 of 4 cells come out again" in verified.stdout


def test_status_knows_what_an_interrupted_run_left(sweep_command, mine):
    process = started(mine, "-m", *SMALL, *OWN, "init.kwargs.seconds=1000", "act=tanh", "width=8,9")
    study = mine / "outputs" / "smoke"
    assert wait_for(lambda: list((study / "runs").glob("*/plan.parquet")), process)
    running = sweep_command("outputs/smoke", module="sweep.status")
    assert running.returncode == 0, running.stderr
    assert "running" in running.stdout
    process.kill()
    process.communicate(timeout=DEADLINE)
    assert sweep_command("-m", *SMALL, "init=xavier", "act=tanh", "width=8").returncode == 0
    status = sweep_command("outputs/smoke", module="sweep.status").stdout
    assert re.search(r"│ all +│ +│ +3 │ +1 │ +0 │ +2 │", status), status
    assert re.search(r"│ init +│ custom +│ +2 │ +0 │ +0 │ +2 │", status), status
    assert "died" in status
    assert "2 cells left" in status
    compacted = sweep_command("outputs/smoke", module="sweep.compact")
    assert "1 parts before, 1 now" in compacted.stdout, compacted


def test_nothing_is_lost_under_kill_9():
    """A handful of the kills of `make torture`."""
    tally = torture(kills=3, seed=1, widths=8, latest=2.5)
    assert tally.killed >= 3
    assert tally.loads > 0


def test_a_run_lives_until_it_has_tidied(tmp_path, monkeypatch):
    living, tidy = [], Study.tidy

    def watched(study, *arguments):
        living.append(runs.living(Study(study.path)))
        tidy(study, *arguments)

    monkeypatch.setattr(Study, "tidy", watched)
    options = Options(study="one", root=str(tmp_path), executor="serial", report=False, show=False)
    assert run(Cells.of([cell(depth=2, width=4)]), options, {}) == 0
    (name,) = runs.names(Study(tmp_path / "one"))
    assert living == [[name]], "else others take for leftovers what it writes while it tidies"
