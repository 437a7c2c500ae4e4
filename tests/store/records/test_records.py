"""Rows and records that no run writes: named in a line, left out, and nothing else is lost."""

import gzip
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sweep
from sweep.base.errors import SweepWarning
from sweep.experiment.batches import Block, Cells
from sweep.store import tables, upkeep
from sweep.store.records import files, plans, reading, runs
from sweep.store.study import Study
from tests.make import cell
from tests.studies import CELLS, part, result_of, write

COMMANDS = ("sweep.status", "sweep.report", "sweep.compact")


def forged(study, column, value):
    cells, layers = tables.tables(result_of(CELLS[:2]), "run")
    kind = cells.schema.field(column).type
    values = [value, *cells[column].to_pylist()[1:]]
    place = cells.column_names.index(column)
    study.write(part("bad"), cells.set_column(place, column, pa.array(values, kind)), layers)


IMPOSSIBLE = [
    ("depth", 10**9), ("depth", 0), ("depth", -1), ("depth", None), ("width", 0), ("batch", 1),
    ("batch", None), ("bias_std", -1.0), ("bias_std", np.nan), ("dtype", "float16"), ("seed", -1),
    ("status", "fine"), ("verdict", "splendid"), ("verdict", None), ("verdict_layer", -2),
    ("verdict_layer", 10**6), ("init_params", "[1]"), ("init_params", "{" * 100_000), ("init_params", None),
    ("act_params", '{"alpha": 1}'), ("act_params", "null"), ("init", ""),
    ("kernel_version", "9" * 5000), ("kernel_version", ""), ("kernel_version", "1\n"),
    ("widths", [8, 0, 8]), ("widths", [8]), ("widths", [8, 8, 9]),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), IMPOSSIBLE)
def test_a_part_with_a_row_that_cannot_be_is_named_and_left_out(study, column, value):
    write(study, "good", CELLS[2:6])
    forged(study, column, value)
    with pytest.warns(SweepWarning, match=f"left out: .*{part('bad')}"):
        cells = sweep.load(study.path)
    assert sorted(cells["cell_id"]) == sorted(one.id for one in CELLS[2:6])
    assert set(sweep.load(study.path, "layers")["cell_id"]) == set(cells["cell_id"])
    write(study, "more", CELLS[6:8])
    upkeep.tidy(study)
    upkeep.compact(study, 10**6)
    upkeep.replace(study, [part("bad")])
    assert len(sweep.load(study.path)) == 6
    assert (study.path / "cells" / part("bad")).exists()


def test_a_cell_whose_layers_are_not_all_there_keeps_its_verdict(study):
    cells, layers = tables.tables(result_of(CELLS[:2]), "run")
    study.write(part("few"), cells, layers.slice(1))
    with pytest.warns(SweepWarning, match="1 cell of .* keeps the verdict .*: layers are missing"):
        found = sweep.load(study.path, thresholds={"saturated": 0.25})
    assert found["verdict_thresholds"].isna().sum() == 1


def test_a_scheme_of_another_program_is_shown_and_cannot_be_verified(study, sweep_command):
    cells, layers = tables.tables(result_of(CELLS[:2]), "run")
    place = cells.column_names.index("init")
    study.write(part("new"), cells.set_column(place, "init", pa.array(["tomorrow's"] * 2)), layers)
    assert set(sweep.load(study.path)["init"]) == {"tomorrow's"}
    for module in COMMANDS:
        done = sweep_command(str(study.path), module=module)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    done = sweep_command(str(study.path), module="sweep.verify")
    assert done.returncode == 1
    assert "2 of the cells could not be recomputed" in done.stdout


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A study that a run has made."""
    folder = tmp_path_factory.mktemp("ran")
    options = [
        "grid=smoke",
        "init=xavier",
        "act=tanh",
        "depth=2",
        "width=8",
        "batch=5",
        "seed=0,1",
        "report=false",
    ]
    subprocess.run(
        [sys.executable, "-m", "sweep", "-m", *options], cwd=folder, check=True, capture_output=True
    )
    return folder / "outputs" / "smoke"


FILES = (files.SUMMARY, files.COMMAND, files.THRESHOLDS, files.PLAN, files.ALIVE, f"{files.SLURM}/job.json")


def spoiled(path, how):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if how == "fifo":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "link":
        path.symlink_to("/etc/hostname")
    else:
        path.write_bytes(HOW[how])


HOW = {
    "empty": b"",
    "latin-1": b"\xe9\xff",
    "list": b"[1]",
    "huge number": b'{"computed": 1e400, "status": 1e400, "factor": 1e400, "vanishing": 1e400}',
    "wrong types": b'{"computed": [1], "status": [1], "factor": "x", "job": ["--help"], "count": 1e12}',
    "deep": b"[" * 200_000,
    "markup": b"[bold]x[/] \x1b[31mred",
    "a job": b'{"job": "--help", "count": 1}',
    "many elements": b'{"job": "1", "count": 1000000000000}',
}


@pytest.mark.parametrize("how", [*HOW, "fifo", "folder", "link"])
def test_records_that_cannot_be_read_are_left_out(ran, tmp_path, sweep_command, how):
    study = tmp_path / "outputs" / "smoke"
    shutil.copytree(ran, study)
    (run,) = (study / "runs").iterdir()
    for name in FILES:
        spoiled(run / name, how)
    before = sweep.load(study)
    every = how in ("fifo", "wrong types")
    for module in (*COMMANDS, "sweep.verify") if every else ("sweep.status", "sweep.report"):
        # All figures and the page are of the same reading as a single figure.
        some = () if every or module != "sweep.report" else ("--only", "heatmap")
        done = sweep_command("outputs/smoke", *some, module=module)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "\x1b[31m" not in done.stdout
        for line in done.stderr.splitlines():
            assert line.startswith("sweep: left out: outputs/smoke/runs/"), line
    assert sweep.load(study).equals(before)


def test_a_plan_of_one_row_that_stands_for_a_hundred_million_seeds_is_no_plan(ran, tmp_path, monkeypatch):
    study = tmp_path / "smoke"
    shutil.copytree(ran, study)
    (name,) = (path.name for path in (study / "runs").iterdir())
    file = study / "runs" / name / files.PLAN
    first, *_ = gzip.decompress(file.read_bytes()).splitlines()
    file.write_bytes(gzip.compress(json.dumps(json.loads(first) | {"seeds": [[0, 10**8]]}).encode()))
    assert file.stat().st_size < 1000
    with pytest.warns(SweepWarning, match=f"{files.PLAN} .it has more cells than are read"):
        assert runs.read_plan(Study(study), name) == []
    file.write_bytes(gzip.compress(b'{"kernel_version": 0}\n' * 10**5))
    monkeypatch.setattr(plans, "_MOST_BYTES", 10**5)
    reading._told.clear()
    with pytest.warns(SweepWarning, match=f"{files.PLAN} .it is larger than any plan"):
        assert runs.read_plan(Study(study), name) == []


def test_plans_that_add_up_to_more_than_is_looked_at_are_named_and_not_counted(
    study, monkeypatch, sweep_command
):
    def plan(name, first, count):
        (study.path / "runs" / name).mkdir()
        content = gzip.decompress(plans.pack([(Block((CELLS[0].spec,), (0,)), 1.0)]))
        row = json.loads(content) | {"seeds": [[first, count]]}
        (study.path / "runs" / name / files.PLAN).write_bytes(gzip.compress(json.dumps(row).encode()))

    for number in range(4):
        plan(f"2026010{number}T000000-aaaaaaaa", 40 * number, 40)
    monkeypatch.setattr(plans, "MOST_CELLS", 100)
    with pytest.warns(SweepWarning, match="more cells than are read: 100 of all runs together") as said:
        found = [one for plan in runs.read_plans(study).values() for one in plan]
    assert [block.seeds[0] for block, _ in found] == [0, 40]
    names = [str(one.message).partition("runs/")[2][:8] for one in said]
    assert names == ["20260102", "20260103"]
    for number in range(4, 6):
        plan(f"2026010{number}T000000-aaaaaaaa", 0, 9_999_900)
    done = sweep_command(str(study.path), module="sweep.status")
    assert (done.returncode, done.stderr.count("\n")) == (0, 2), done.stderr
    assert done.stderr.count("it has more cells than are read: 10,000,000 of all runs together") == 2


def test_a_plan_of_an_earlier_program_is_named(ran, tmp_path):
    study = tmp_path / "smoke"
    shutil.copytree(ran, study)
    (name,) = (path.name for path in (study / "runs").iterdir())
    (study / "runs" / name / files.PLAN).rename(study / "runs" / name / files.EARLIER_PLAN)
    with pytest.warns(SweepWarning, match="plan.parquet .a run's plan by an earlier program"):
        assert runs.read_plan(Study(study), name) == []


@given(
    st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 9), min_size=1, max_size=20, unique=True),
    st.floats(0, 1e6),
)
def test_a_plan_holds_the_cells_that_it_was_given(seeds, seconds):
    spec = Cells.of([cell(width=8)]).blocks[0].specs[0]
    blocks = [(Block((spec,), tuple(seeds)), seconds)]
    assert list(plans.read(plans.pack(blocks))) == blocks


def test_what_is_left_out_is_said_once(study, recwarn):
    for _ in range(3):
        reading.leave_out(study.place, "runs/x/summary.json", "it is odd")
    assert [warning.category for warning in recwarn] == [SweepWarning]
