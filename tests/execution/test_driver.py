"""Runs that meet with accidents: the commands as users type them, real signals, real processes."""

import re
import signal
import sys

import pandas as pd
import pytest

import sweep
from sweep.execution.options import Options
from sweep.execution.pipeline import run
from sweep.execution.workers.local import Serial
from sweep.experiment.batches import Cells
from sweep.store import upkeep
from sweep.store.records import runs
from sweep.store.study import Study
from tests.make import cell
from tests.processes import ROOT, start
from tests.torture import DRIVER, torture
from tests.users import Gate

SMALL = ("grid=smoke", "depth=2", "seed=0", "batch=20", "report=false")
# What no test waits for: the next look at what other runs have stored.
LOOKING = "from sweep.execution import driver\ndriver._LOOK_SECONDS = 0.0\n"


def started(folder, *arguments, **environment):
    return start([sys.executable, "-m", "sweep", *arguments], folder, environment=environment)


def task_by_task(folder, *arguments, **environment):
    """A command for which cells of several widths are several tasks, however small."""
    return start([sys.executable, "-c", LOOKING + DRIVER, *arguments], folder, environment=environment)


def test_a_poison_cell_among_500_costs_one_row(sweep_command, tmp_path):
    arguments = [
        "-m",
        "grid=smoke",
        "act=tanh",
        "depth=1",
        "width=4",
        "seed=0",
        "batch=5",
        "report=false",
        "init=custom",
        "init.function=tests.users.deadly",
        "init.kwargs.culprit=321",
        "init.kwargs.number=range(0,500)",
    ]
    done = sweep_command(*arguments, PYTHONPATH=str(ROOT))
    assert done.returncode == 1, done.stderr
    cells = sweep.load(tmp_path / "outputs" / "smoke")
    assert cells["status"].value_counts().to_dict() == {"ok": 499, "failed": 1}
    (row,) = cells[cells["status"] == "failed"].itertuples()
    assert '"number":321' in row.init_params
    assert row.error_type == "WorkerDied"
    assert "1 failed: WorkerDied" in done.stderr
    again = sweep_command(*arguments, "retry_failed=false", PYTHONPATH=str(ROOT))
    assert again.returncode == 1
    assert "1 cell failed earlier" in again.stderr


def test_sigterm_stores_what_is_done_and_ends_with_143(tmp_path):
    gate = Gate(tmp_path, 8)
    process = task_by_task(
        tmp_path, "-m", *SMALL, *gate.arguments, "act=tanh", "width=8,9", **gate.environment
    )
    study = tmp_path / "outputs" / "smoke"
    process.until(lambda: gate.waiting() and list(study.glob("cells/[!.]*")), "a cell stored and one at work")
    process.signal(signal.SIGTERM)  # as a scheduler does: every process of the job
    done = process.ended()
    assert done.returncode == 143, done.stderr
    assert "terminated: 1 cells are stored, 1 are left; run the same command" in done.stderr
    assert "Traceback" not in done.stderr
    assert sweep.load(study)["width"].tolist() == [9]


def test_sigterm_while_workers_start_is_one_line_too(tmp_path):
    gate = Gate(tmp_path, 8, 9)
    process = task_by_task(
        tmp_path, "-m", *SMALL, *gate.arguments, "act=tanh", "width=8,9", **gate.environment
    )
    process.until(lambda: list(tmp_path.glob("outputs/smoke/runs/*/plan.jsonl.gz")), "the plan")
    process.signal(signal.SIGTERM)
    done = process.ended()
    assert done.returncode == 143, done.stderr
    assert re.search(r"terminated(: 0 cells are stored, 2 are left; run the same command)?", done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("drivers", [2, 4])
def test_drivers_at_once_on_overlapping_grids_lose_nothing_and_count_nothing_twice(tmp_path, drivers):
    common = ("-m", "grid=smoke", "depth=2,3", "batch=20", "report=false")
    inits = ["xavier,kaiming", "kaiming,normal", "normal,xavier", "xavier,orthogonal"][:drivers]
    processes = [started(tmp_path, *common, f"init={init}", "seed=0,1,2") for init in inits]
    ended = [process.ended() for process in processes]
    assert [done.returncode for done in ended] == [0] * drivers, ended
    schemes = {scheme for init in inits for scheme in init.split(",")}
    expected = len(schemes) * 2 * 2 * 2 * 3
    study = tmp_path / "outputs" / "smoke"
    assert len(sweep.load(study)) == sweep.load(study)["cell_id"].nunique() == expected
    assert len(sweep.load(study, "layers").drop_duplicates(["cell_id", "layer"])) == expected // 2 * (3 + 4)
    process = started(tmp_path, *common, "init=xavier,kaiming,normal", "seed=0,1,2,3")
    assert process.ended().returncode == 0, process.err
    assert not pd.read_parquet(study / "cells")["cell_id"].duplicated().any()
    assert not pd.read_parquet(study / "layers")[["cell_id", "layer"]].duplicated().any()


def test_the_second_driver_leaves_to_the_first_what_that_has_stored(tmp_path):
    grid = ("-m", *SMALL, *Gate.arguments, "act=tanh", "n_jobs=1", "width=range(8,16)")
    gates, drivers = [], []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        gates.append(Gate(tmp_path / name, *range(8, 16)))
        drivers.append(task_by_task(tmp_path, *grid, **gates[-1].environment))
        drivers[-1].until(gates[-1].waiting, "its first cell")
    computed = []
    for gate, driver in zip(gates, drivers, strict=True):  # one after the other, with all before them
        gate.open()
        done = driver.ended()
        assert done.returncode == 0, done.stderr
        computed.append(int(re.search(r"^(\d+) cells? in", done.stderr, re.MULTILINE)[1]))
    assert computed[0] == 8
    assert computed[1] <= 2, "what it had handed out already"
    assert f"{8 - computed[1]} cells stored by another run in the meantime" in done.stderr
    assert len(sweep.load(tmp_path / "outputs" / "smoke")) == 8


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
    assert "1 of 1 parts intact; 4 of 4 recomputed cells match" in verified.stdout


def test_status_knows_what_an_interrupted_run_left(sweep_command, tmp_path):
    gate = Gate(tmp_path, 8, 9)
    process = started(tmp_path, "-m", *SMALL, *gate.arguments, "act=tanh", "width=8,9", **gate.environment)
    process.until(gate.waiting, "a cell at work")
    running = sweep_command("outputs/smoke", module="sweep.status")
    assert running.returncode == 0, running.stderr
    assert "running" in running.stdout
    process.kill()
    assert sweep_command("-m", *SMALL, "init=xavier", "act=tanh", "width=8").returncode == 0
    status = sweep_command("outputs/smoke", module="sweep.status").stdout
    assert re.search(r"│ all +│ +│ +3 │ +1 │ +0 │ +2 │", status), status
    assert re.search(r"│ init +│ custom +│ +2 │ +0 │ +0 │ +2 │", status), status
    assert "died" in status
    assert "2 cells left" in status
    compacted = sweep_command("outputs/smoke", module="sweep.compact")
    assert "1 parts before, 1 now" in compacted.stdout, compacted


@pytest.mark.slow
def test_nothing_is_lost_under_kill_9():
    """A handful of the kills of `make torture`."""
    tally = torture(kills=3, seed=1, widths=8)
    assert tally.killed >= 3
    assert tally.loads > 0


def test_a_run_lives_until_it_has_tidied(tmp_path, monkeypatch):
    living, tidy = [], upkeep.tidy

    def watched(study, *arguments):
        living.append(runs.living(Study(study.path)))
        tidy(study, *arguments)

    monkeypatch.setattr(upkeep, "tidy", watched)
    options = Options(study="one", root=str(tmp_path), executor=Serial(), report=(), show=False)
    assert run(Cells.of([cell(depth=2, width=4)]), options, {}) == 0
    (name,) = runs.names(Study(tmp_path / "one"))
    assert living == [[name]], "else others take for leftovers what it writes while it tidies"
