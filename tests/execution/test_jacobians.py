"""Networks whose Jacobian is measured, from the command to what is stored, told, verified and refused."""

import math

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.base.errors import RequestError
from sweep.execution.plan.tasks import pack
from sweep.execution.workers import local
from sweep.execution.workers.compute import run_task
from sweep.experiment.batches import Cells
from sweep.report import draw
from sweep.store import tables, upkeep
from sweep.store.study import Study
from tests.execution.test_recompute import forged, verified
from tests.make import cell, packed
from tests.studies import older, part, result_of, write

GRID = (
    "-m", "init=xavier,orthogonal", "act=tanh,relu", "depth=2,4", "width=20", "seed=0,1", "batch=30",
    "block=plain,pre_ln", "jacobian=true", "report=false",
)  # fmt: skip


def bent(z):
    """A user's own act."""
    return np.tanh(z) + 0.1 * z


def of(**values):
    return cell(**{"depth": 3, "width": 24, "batch": 20, "jacobian": True} | values)


def spreads_of(results):
    rows = [row for result in results for row in tables.tables(result, "")[0].to_pylist()]
    return {row["cell_id"]: row["jac_spread"] for row in rows}


def row_of(one):
    (row,) = tables.tables(result_of([one]), "")[0].to_pylist()
    return row


def test_a_grid_of_them_is_planned_run_resumed_told_and_verified(sweep_command, tmp_path):
    half = sweep_command(*GRID, "shard=2/3")
    assert half.returncode == 0, half.stderr
    done = sweep_command(*GRID)
    assert done.returncode == 0, done.stderr
    stored = sweep.load(tmp_path / "outputs" / "standard")
    whole = [
        of(init={"name": init}, act={"name": act}, depth=d, width=20, seed=s, batch=30, block={"name": block})
        for init in ("xavier", "orthogonal")
        for act in ("tanh", "relu")
        for d in (2, 4)
        for s in (0, 1)
        for block in ("plain", "pre_ln")
    ]
    at_once = spreads_of(local.run(pack(Cells.of(whole), 1), 1, False))
    assert dict(zip(stored["cell_id"], stored["jac_spread"], strict=True)) == at_once
    assert (len(stored), set(stored["status"])) == (32, {"ok"})
    assert stored["jac_spread"].notna().all()
    plain = stored["block"] == "plain"
    assert stored.loc[plain, "theory_jac_spread"].notna().all()
    assert stored.loc[~plain, ["theory_jac_spread", "theory_lr_max", "theory_kappa"]].isna().all(axis=None)
    checked = sweep_command("outputs/standard", "--cells", "32", module="sweep.verify")
    assert checked.returncode == 0, checked.stdout
    drawn = draw(tmp_path / "outputs" / "standard", only=["isometry", "step"])
    assert {file.name for file in drawn if file.suffix == ".png"} == {"isometry.png", "step.png"}


def test_one_network_is_told(sweep_command):
    done = sweep_command("depth=3", "width=16", "batch=20", "jacobian=true", "report=false")
    assert "Jacobian: the singular values s of dh_L / dh_0 have Var(s²) / E[s²]² = " in done.stdout
    assert "(theory: 3." in done.stdout


def test_what_was_measured_is_as_if_nobody_had_asked():
    plain, asked = (result_of([of(jacobian=jacobian)]) for jacobian in (False, True))
    for name, values in plain.statistics.items():
        np.testing.assert_array_equal(values, asked.statistics[name])
    assert row_of(of(jacobian=False))["jac_spread"] is None
    assert of().id != of(jacobian=False).id == cell(depth=3, width=24, batch=20).id


def test_one_job_and_two_jobs_and_any_split_have_the_same_bits():
    cells = Cells.of(
        of(init={"name": init}, seed=seed, act={"name": act}, depth=depth, bias_std=0.1)
        for init in ("xavier", "kaiming", "orthogonal", "lsuv")
        for seed in (0, 1, 2)
        for act in ("tanh", "gelu")
        for depth in (2, 3)
        if init != "lsuv" or seed == 0
    )
    one = spreads_of(local.run(pack(cells, 1), 1, False))
    two = spreads_of(local.run(pack(cells, 2), 2, False))
    alone = spreads_of(run_task(task, False) for each in cells for task in packed([each]))
    assert one == two == alone
    assert all(math.isfinite(spread) for spread in one.values())


@pytest.mark.parametrize("init", ["xavier", "orthogonal"])
@pytest.mark.parametrize(("act", "bias_std"), [("tanh", 0.2), ("relu", 0.0), ("gelu", 0.1)])
def test_a_row_has_theorys_spread_beside_the_measured_one(init, act, bias_std):
    one = of(init={"name": init}, act={"name": act}, bias_std=bias_std, width=200, depth=5)
    row, weights = row_of(one), "orthogonal" if init == "orthogonal" else "gaussian"
    theory = sweep.theory.jacobian(act, 1.0, bias_std, 5, weights).spread
    assert row["theory_jac_spread"] == pytest.approx(theory, rel=1e-12)
    assert row["jac_spread"] == pytest.approx(row["theory_jac_spread"], rel=0.2)  # of one seed


def test_one_network_in_python_has_the_spread_of_every_layer_and_its_cells_at_the_last():
    found = sweep.propagate("xavier", "gelu", depth=3, width=24, batch=20, jacobian=True)
    plain = sweep.propagate("xavier", "gelu", depth=3, width=24, batch=20)
    pd.testing.assert_frame_equal(found.drop(columns="jac_spread"), plain)
    assert found["jac_spread"].iloc[0] == 0
    for depth in (1, 2, 3):
        assert found["jac_spread"].iloc[depth] == row_of(of(act={"name": "gelu"}, depth=depth))["jac_spread"]
    with pytest.raises(RequestError, match="jacobian=true with width 600"):
        sweep.propagate(width=600, depth=1, jacobian=True)


def test_layers_of_their_own_schemes_count_each_for_itself():
    def theory(**values):
        return row_of(of(depth=3, **values))["theory_jac_spread"]

    first = {"first.init": {"name": "orthogonal"}}
    orthogonal = theory(init={"name": "orthogonal"})
    assert theory() == pytest.approx(orthogonal + 3)
    assert theory(**first) == pytest.approx(orthogonal + 2)
    assert theory(init={"name": "torch/orthogonal"}) == orthogonal


@pytest.mark.parametrize("init", ["zeros", "identity", "lsuv"])
def test_theory_is_silent_where_it_does_not_apply(init):
    row = row_of(of(init={"name": init}))
    assert row["theory_jac_spread"] is row["theory_lr_max"] is row["theory_kappa"] is None
    assert (row["jac_spread"] is None) == (init == "zeros")


def test_an_act_of_ones_own_has_one_where_its_slope_is_known():
    own = {"name": "custom", "function": "tests.execution.test_jacobians.bent"}
    row = row_of(of(act=own, width=64, bias_std=0.5))
    assert row["status"] == "ok"
    assert row["jac_spread"] > 0
    assert row["theory_jac_spread"] > 0
    assert row["theory_lr_max"] > 0


def test_a_dry_run_counts_the_products():
    def stack(**values):
        (task,) = packed([of(width=128, **values)])
        return task.stacks[0]

    plain, asked, deep = stack(jacobian=False), stack(), stack(depth=30)
    # Four inputs of 128 changes each cross every layer, and the Gram matrices are one more.
    assert asked.flops - plain.flops >= 2 * 4 * 128 * (3 + 1) * 128 * 128
    assert plain.seconds < asked.seconds < deep.seconds
    assert asked.bytes >= plain.bytes


def test_a_study_is_extended_by_them_and_every_row_then_has_the_columns(tmp_path):
    study = Study(tmp_path / "study")
    study.create()
    write(study, "a", [of(jacobian=False, seed=seed) for seed in range(3)])
    older(study, part("a"), version=6)
    assert not set(sweep.load(study.path)["jacobian"]) - {False}
    upkeep.modernise(study)
    write(study, "b", [of(width=64, bias_std=0.5)])
    found = pd.read_parquet(study.path / "cells")
    assert found["jacobian"].value_counts().to_dict() == {False: 3, True: 1}
    assert found["theory_lr_max"].notna().sum() == 1  # a row of before says nothing


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("jac_spread", lambda row: 1.001 * row["jac_spread"], "jac_spread is stored as"),
        ("jac_spread", None, "jac_spread is stored as None"),
        ("theory_jac_spread", 3.0, "theory_jac_spread 3.0, but it is"),
        ("theory_lr_max", 0.1, "theory_lr_max 0.1, but it is"),
        ("theory_kappa", None, "theory_kappa None, but it is"),
    ],
)
def test_a_row_that_says_otherwise_is_found(study, monkeypatch, capsys, column, value, said):
    write(study, "a", [of(width=64, bias_std=0.5)])
    assert verified(study, monkeypatch, capsys)[0] == 0
    forged(study, "cells", column, value)
    status, told = verified(study, monkeypatch, capsys)
    assert (status, said in told) == (1, True), told


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"jacobian": "maybe"}, "jacobian=maybe: jacobian must be true or false"),
        (
            {"jacobian": True, "width": 1024},
            "jacobian=true with width 1024: .* up to width 512: choose a smaller",
        ),
        ({"jacobian": True, "widths": [16, 600, 8]}, "jacobian=true with width 600"),
        (
            {"jacobian": True, "block": {"name": "bn"}},
            "jacobian=true with block bn: its norm is over the batch",
        ),
    ],
)
def test_what_cannot_have_one_is_refused_in_a_line(values, said):
    with pytest.raises(RequestError, match=said) as error:
        cell(**values)
    assert "\n" not in str(error.value)


def test_a_command_that_asks_for_one_ends_2_and_writes_nothing(sweep_command, tmp_path):
    done = sweep_command("-m", "jacobian=false,true", "width=64,1024", "depth=2")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "outputs").exists()
