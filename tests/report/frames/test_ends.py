"""Schemes of first and last layers in labels, captions and agreement: networks that differ are told apart."""

import numpy as np
import pytest

from sweep.execution.workers import compute
from sweep.experiment.batches import Cells
from sweep.report.figures import phase
from sweep.report.frames import labels, layout
from sweep.report.frames.agreement import deviations
from sweep.report.frames.labels import add_labels, common
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.parameters import varying
from sweep.report.frames.seeds import average_over_seeds, by_depth
from sweep.store import tables
from tests.make import cell, packed
from tests.studies import stored


def networks(ends, **values):
    common_values = {"depth": 3, "width": 16, "batch": 20} | values
    return [cell(seed=seed, **common_values, **end) for end in ends for seed in range(3)]


def uniform(low, high=0.05, key="first.init"):
    return {key: {"name": "uniform", "low": low, "high": high}}


ENDS = [{}, uniform(-0.1), uniform(-0.2), uniform(-0.1, key="last.init"), {"first.init": {"name": "zeros"}}]
TOLD = ["", "first.init=uniform(low=-0.1)", "first.init=uniform(low=-0.2)", "last.init=uniform(low=-0.1)",
        "first.init=zeros"]  # fmt: skip


@pytest.fixture
def cells(tmp_path):
    return stored(tmp_path / "a", networks(ENDS))[0]


def test_a_setting_names_them_and_no_mean_is_over_two(cells):
    labelled = add_labels(cells)
    assert set(labelled["setting"]) == set(TOLD)
    rows = average_over_seeds(labelled, [MEASURES["std"]])
    assert rows["seeds"].tolist() == [3] * 5
    again = add_labels(labelled)
    assert again["setting"].tolist() == labelled["setting"].tolist()


def test_they_are_columns_of_a_table_and_parameters_may_be_axes(cells):
    table = by_depth(cells, 4)
    assert table.keys == ("init", "act", "first.init", "last.init")
    assert len(table.rows) == 5
    assert varying(cells) == ["first.init.low"]
    rows = layout.assign_roles(
        cells, layout.choose(cells, x="first.init.low", y="last_init"), MEASURES["std"]
    )
    assert set(rows["x"]) == {labels.NONE, -0.1, -0.2}
    assert not rows.duplicated(["row", "col", "x", "y", "rest"]).any()


def test_a_caption_names_what_all_have(tmp_path):
    cells, _ = stored(tmp_path / "b", networks([uniform(-0.1)]))
    assert "first.init uniform(low=-0.1)" in common(cells)
    assert "first.init uniform(low=-0.1)" in common(add_labels(cells))
    assert "first.init" not in common(stored(tmp_path / "c", networks([{}]))[0])


def test_theory_of_the_spread_takes_every_layers_own_variance():
    """400 networks whose first layer is ten times as large, at a width at which the spread is seen."""
    ends = {"first.init": {"name": "normal", "std": 1.0}, "last.init": {"name": "normal", "std": 0.05}}
    own = [cell(seed=seed, depth=4, width=64, batch=50, **ends) for seed in range(200)]
    results = [compute.run_task(task, histogram=False) for task in packed(own)]
    frame = tables.tables(compute._join(results), "run")[0].to_pandas()
    off = deviations(frame)
    assert off.notna().all()
    assert abs(off.mean()) < 0.3
    assert off.std() == pytest.approx(1.0, rel=0.2)
    assert len(Cells.of(own)) == 200
    assert np.isnan(deviations(frame.assign(last_init="orthogonal", last_init_params='{"gain":1.0}'))).all()


def test_a_plane_of_order_and_chaos_has_none_of_them(tmp_path):
    grid = [
        cell(init={"name": "normal", "std": std}, bias_std=bias, depth=2, width=8, batch=9, **ends)
        for std in (0.1, 0.2, 0.3)
        for bias in (0.0, 0.1, 0.2)
        for ends in ({}, {"first.init": {"name": "xavier"}})
    ]
    ((plane, _),) = phase.planes(stored(tmp_path / "d", grid)[0])
    assert len(plane) == 9
    assert plane["first_init"].isna().all()
