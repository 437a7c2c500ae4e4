import math

import numpy as np
import pandas as pd
import pytest

from sweep import theory
from sweep.execution.workers.local import run_task
from sweep.report.frames.agreement import SPREADS, Agreement, agreement, deviations
from sweep.store import tables
from tests.make import cell, packed


@pytest.fixture(scope="module")
def measured():
    """Healthy, vanishing, saturated and exploding networks, and two that theory has no word for."""
    specs = [
        {"init": {"name": init}, "act": {"name": act}, "seed": seed, "bias_std": bias_std}
        for init in ("xavier", "kaiming", "big_normal", "small_normal", "zeros", "lsuv")
        for act in ("tanh", "relu")
        for bias_std in (0.0, 0.3)
        for seed in range(5)
    ]
    cells = [cell(depth=8, width=64, batch=64, **spec) for spec in specs]
    parts = [tables.tables(run_task(task, False), "run")[0] for task in packed(cells, 1)]
    return pd.concat([part.to_pandas() for part in parts])


def test_nearly_all_cells_lie_within_the_predicted_spread(measured):
    found = agreement(measured)
    assert found.cells == 4 * 2 * 2 * 5
    # 95 % of 80 are expected, if all were independent: common draws make them fewer.
    assert found.share > 0.8
    assert found.within == (deviations(measured).abs() <= SPREADS).sum()


def test_where_theory_is_silent_there_is_no_deviation(measured):
    silent = deviations(measured)[measured["init"].isin(["zeros", "lsuv"]).to_numpy()]
    assert silent.isna().all()
    assert math.isnan(Agreement(0, 0).share)
    assert "none of these cells" in str(Agreement(0, 0))


def test_a_deviation_is_counted_in_standard_deviations_over_seeds():
    one = cell(width=100, depth=3, batch=50)
    (task,) = packed([one], 1)
    row = tables.tables(run_task(task, False), "run")[0].to_pandas()
    stray = theory.finite_width("tanh", 1.0, depth=3, width=100, batch=50).iloc[-1]
    logs = 2 * math.log(row["rms"].iloc[0] / row["theory_rms"].iloc[0])
    assert deviations(row).iloc[0] == pytest.approx((logs - stray["shift"]) / stray["std"])
    wrong = row.assign(rms=row["rms"] * 2)
    assert deviations(wrong).iloc[0] > 10
    assert agreement(wrong) == Agreement(1, 0)


def test_of_many_specs_some_are_looked_at_and_all_seeds_of_those(measured):
    found = agreement(measured, most=3)
    assert 5 <= found.cells <= 15
    assert found.cells % 5 == 0
    assert agreement(measured, most=1000) == agreement(measured)
    assert agreement(measured.iloc[:0], most=3) == Agreement(0, 0)


def test_a_tapered_network_is_judged_by_its_own_widths():
    cells = [cell(widths=[64, 48, 32], seed=seed, init={"name": "glorot_normal"}) for seed in range(6)]
    tasks = packed(cells, 1)
    rows = pd.concat([tables.tables(run_task(task, False), "run")[0].to_pandas() for task in tasks])
    assert (deviations(rows).abs() < 4).all()
    assert np.isfinite(deviations(rows)).all()


def test_networks_of_blocks_are_judged_by_their_own_spread():
    blocks = [
        {"name": "mlp", "alpha": "depth**-0.5"}, {"name": "mlp", "expand": 2}, {"name": "pre_ln"},
        {"name": "preact"}, {"name": "rms"}, {"name": "post_ln"}, {"name": "residual"}, {"name": "bn"},
    ]  # fmt: skip
    cells = [
        cell(depth=depth, width=48, batch=40, block=block, act={"name": "relu"}, seed=seed)
        for block in blocks
        for depth in (2, 5)
        for seed in range(12)
    ]
    parts = [tables.tables(run_task(task, False), "run")[0].to_pandas() for task in packed(cells, 1)]
    rows = pd.concat(parts)
    found = agreement(rows)
    assert (found.cells, found.silent) == (6 * 2 * 12, 2 * 2 * 12)
    assert found.share > 0.85  # 95 % if all were independent: the blocks of a seed share their draws
    of_each = deviations(rows).abs().groupby(rows["block"].to_numpy()).median()
    assert of_each.drop(["residual", "bn"]).max() < 1.2  # 0.67 of a normal number
    assert of_each[["residual", "bn"]].isna().all()
    assert agreement(rows.assign(rms=rows["rms"] * 2)).within == 0


def test_cells_whose_spread_is_not_predicted_are_left_out_and_counted_apart():
    """Weights that are not independent, few uniform ones, and a depth too great for the width."""
    specs = [
        {"init": {"name": "orthogonal"}, "depth": 8, "width": 64},
        {"init": {"name": "sparse", "sparsity": 0.1}, "depth": 8, "width": 64},
        {"init": {"name": "glorot_uniform"}, "depth": 4, "width": 10},
        {"init": {"name": "xavier"}, "depth": 50, "width": 16},
        {"init": {"name": "glorot_uniform"}, "depth": 8, "width": 64},
    ]
    tasks = packed([cell(batch=20, **spec) for spec in specs], 1)
    rows = pd.concat([tables.tables(run_task(task, False), "run")[0].to_pandas() for task in tasks])
    found = agreement(rows)
    assert (found.cells, found.silent) == (1, 4)
    assert str(found).endswith("(95 % expected); no spread over seeds is predicted for 4 cells")
    assert str(Agreement(0, 0, 3)) == "theory: no spread over seeds is predicted for 3 cells"


def test_a_run_ends_with_the_share_that_theory_explains(sweep_command):
    arguments = ("init=xavier,kaiming", "act=relu", "depth=3", "width=32", "seed=0,1", "batch=50")
    done = sweep_command("-m", *arguments, "report=false", "study=s")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("theory:")]
    assert "of 4 cells have the predicted rms" in line
