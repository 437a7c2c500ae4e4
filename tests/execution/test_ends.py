"""Networks whose first or last layer has a scheme of its own, from the command to what is stored and told."""

import json

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.execution.plan.tasks import chains_of
from sweep.execution.recompute import nudged_cells
from sweep.experiment.batches import Cells
from sweep.store import tables, upkeep
from sweep.store.study import Study
from tests.make import cell, packed
from tests.studies import older, part, result_of, write

GRID = (
    "-m", "init=xavier", "act=tanh,relu", "depth=1,3,6", "width=20", "seed=0,1", "batch=30",
    "first.init=null,uniform,torch/linear_default", "first.init.low=-0.1,-0.2", "last.init=null,zeros",
)  # fmt: skip
CELLS = [
    cell(depth=depth, width=12, batch=20, act={"name": act}, **ends)
    for act in ("tanh", "relu")
    for depth in (2, 4, 5)
    for ends in (
        {},
        {"first.init": {"name": "uniform", "low": -0.1}},
        {"last.init": {"name": "zeros"}},
        {"first.init": {"name": "orthogonal"}, "last.init": {"name": "normal", "std": 0.02}},
        {"first.init": {"name": "lsuv"}, "last.init": {"name": "torch/linear_default"}},
    )
]


def test_a_grid_of_them_is_planned_run_resumed_told_and_verified(sweep_command, tmp_path):
    planned = sweep_command(*GRID, "dry_run=true")
    assert (planned.returncode, list(tmp_path.iterdir())) == (0, []), planned.stderr
    # Of depth 1 a last layer of zeros leaves one network for all first ones.
    count = 2 * 2 * (2 * 4 * 2 + 4 + 1)
    assert f"{count}" in planned.stdout
    one = sweep_command(*GRID, "shard=2/3", "report=false")
    assert one.returncode == 0, one.stderr
    done = sweep_command(*GRID)
    assert done.returncode == 0, done.stderr
    stored = sweep.load(tmp_path / "outputs" / "standard")
    assert len(stored) == count
    assert (stored["status"] == "ok").all()
    again = sweep_command(*GRID, "report=false")
    assert f"{count} cells" in again.stderr
    assert "all stored already: nothing to compute" in again.stderr
    assert "first.init=uniform(low=-0.1)" in done.stdout
    told = sweep_command("outputs/standard", module="sweep.status")
    for line in ("first.init", "last.init", "first.init.low", "zeros", "torch/linear_default"):
        assert line in told.stdout
    verified = sweep_command("outputs/standard", "--cells", "80", module="sweep.verify")
    assert verified.returncode == 0, verified.stdout
    page = (tmp_path / "outputs" / "standard" / "report" / "index.html").read_text(encoding="utf-8")
    assert "uniform(low=-0.1)" in page


def test_one_network_is_chosen_as_an_init_is(sweep_command, tmp_path):
    done = sweep_command("first.init=uniform", "first.init.low=-0.1", "last.init=zeros", "depth=3", "width=9")
    assert done.returncode == 0, done.stderr
    assert "xavier, first.init=uniform(high=0.05 low=-0.1), last.init=zeros × tanh" in done.stdout
    assert "verdict: vanishing from layer 3 on" in done.stdout
    (row,) = sweep.load(tmp_path / "outputs" / "single").to_dict("records")
    assert (row["first_init"], json.loads(row["first_init_params"])) == (
        "uniform",
        {"low": -0.1, "high": 0.05},
    )
    assert (row["first.init.low"], row["last_init"], row["last_init_params"]) == (-0.1, "zeros", "{}")
    assert row["sigma_w"] is None or np.isnan(row["sigma_w"]), "zeros has none, and it is the last layer's"
    wrong = sweep_command("first.init.low=-0.1")
    assert wrong.returncode == 2
    assert "first.init.…: no scheme is chosen: choose one, as in first.init=normal" in wrong.stderr


def test_a_grid_from_python_takes_them_by_the_names_of_the_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = sweep.run(
        init="xavier", act="tanh", depth=2, width=8, seed=0, batch=20, study="a", report=False, quiet=True,
        first_init=[None, "normal"], first_init_params={"std": [0.1, 0.2]}, last_init="zeros",
    )  # fmt: skip
    assert found["first.init.std"].fillna(0).tolist() == [0, 0.1, 0.2]
    assert set(found["last_init"]) == {"zeros"}
    paired = sweep.run(
        act="tanh", depth=2, width=8, seed=0, batch=20, study="b", report=False, quiet=True,
        **{"init,first.init": [["xavier", None], ["kaiming", "zeros"]]},
    )  # fmt: skip
    assert paired[["init", "first_init"]].fillna("").to_numpy().tolist() == [
        ["xavier", ""],
        ["kaiming", "zeros"],
    ]


def test_cells_that_share_draws_share_a_stack_and_a_last_layer_ends_its_chain():
    (stack,) = [stack for task in packed(CELLS) for stack in task.stacks]
    depths = [sorted({one.depth for one in chain}) for chain in chains_of(stack.block.specs)]
    # Without a last scheme of its own a chain has all depths; with one, its own.
    assert sorted(map(len, depths)) == [1] * 18 + [3] * 4


def test_grouped_or_alone_their_numbers_are_the_same():
    together = result_of(CELLS)
    for one, rows in by_cell(together).items():
        (alone,) = by_cell(result_of([one])).values()
        for name, values in rows.items():
            np.testing.assert_allclose(values, alone[name], rtol=1e-5, atol=1e-6, err_msg=f"{name} {one}")


def by_cell(result):
    found, start = {}, 0
    for one in result.cells:
        rows = slice(start, start + one.depth + 1)
        found[one] = {name: values[rows] for name, values in result.statistics.items()}
        start = rows.stop
    return found


def test_what_is_stored_is_what_was_asked_and_layers_have_it_too(study):
    write(study, "a", CELLS)
    cells, layers = sweep.load(study.path).set_index("cell_id"), sweep.load(study.path, "layers")
    for one in CELLS:
        row = cells.loc[one.id]
        for name in ("first_init", "first_init_params", "last_init", "last_init_params"):
            value = row[name]
            assert (None if pd.isna(value) else value) == getattr(one, name)
    assert (
        layers.groupby(["first_init", "last_init", "act", "depth", "layer"], dropna=False).size().max() == 1
    )
    few = sweep.load(
        study.path, "layers", columns=["rms", "first.init.low"], filters=[("first.init.low", "<", 0)]
    )
    assert len(few) == 2 * (3 + 5 + 6)


def test_a_study_of_before_reads_as_networks_without_them(study):
    plain = [one for one in CELLS if one.first_init is None and one.last_init is None]
    write(study, "a", plain)
    older(study, part("a"), 3)
    before = sweep.load(study.path)
    assert before[["first_init", "last_init"]].isna().all(axis=None)
    study = Study(study.path)
    write(study, "b", CELLS)
    upkeep.modernise(study)
    upkeep.tidy(study)
    stored = pd.read_parquet(study.path / "cells")
    assert sorted(stored["cell_id"]) == sorted(one.id for one in CELLS)
    assert list(stored.columns) == tables.CELLS.names


def test_an_array_of_a_study_has_them_as_dimensions(study):
    pytest.importorskip("xarray")
    write(study, "a", CELLS[:15])
    array = sweep.to_xarray(sweep.load(study.path))
    assert {"first_init", "last_init"} <= set(array.sizes)
    assert "–" in array["first_init"].values
    write(study, "b", [cell(depth=2, width=12, batch=20)])
    plain = sweep.load(study.path, filters=[("init", "==", "xavier")]).query(
        "first_init.isna() and last_init.isna()"
    )
    assert not {"first_init", "last_init"} & set(sweep.to_xarray(plain).sizes)


def test_a_nudge_moves_their_weights_too():
    one = cell(depth=1, width=20, batch=20, **{"last.init": {"name": "orthogonal"}})
    (moved,) = [spec for block in nudged_cells([one], 0).blocks for spec in block.specs]
    assert moved.family.last != one.spec.family.last
    assert moved.cell(0).id == one.id
    assert Cells.of([one]).blocks[0].specs[0].family.last is not None


def first_of_ones(rng, fan_in, fan_out, value=1.0):
    return np.full((fan_in, fan_out), value)


def test_a_users_own_function_may_draw_one_layer_and_takes_only_its_cells_down(sweep_command, tmp_path):
    own = "last.init.function=tests.execution.test_ends"
    grid = ("-m", "init=xavier", "act=tanh", "depth=3", "width=9", "seed=0", "batch=20", "report=false")
    done = sweep_command(*grid, "last.init=null,custom", f"{own}.first_of_ones", "last.init.kwargs.value=0,2")
    assert done.returncode == 0, done.stderr
    found = sweep.load(tmp_path / "outputs" / "standard")
    assert sorted(found["verdict"].tolist()) == ["healthy", "healthy", "vanishing"]
    assert found["last.init.kwargs.value"].fillna(-1).tolist() == [-1, 0, 2]
    failed = sweep_command(*grid, "last.init=null,custom", f"{own}.CELLS", "study=b")
    assert failed.returncode == 2
    failed = sweep_command(*grid, "last.init=null,custom", f"{own}.broken", "study=b")
    assert failed.returncode == 1
    assert sorted(sweep.load(tmp_path / "outputs" / "b")["status"]) == ["failed", "ok"]
    unnamed = sweep_command("outputs/standard", module="sweep.verify")
    assert "2 cells use functions of your own, left out" in unnamed.stdout
    named = sweep_command(
        "outputs/standard", "--function", "tests.execution.test_ends.first_of_ones", module="sweep.verify"
    )
    assert "3 of 3 recomputed cells match" in named.stdout


def broken(rng, fan_in, fan_out):
    raise ValueError("no weights today")
