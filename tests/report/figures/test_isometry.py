"""Measured spreads beside theory's over depth: any study that has some is a figure."""

import pandas as pd
import pytest
from matplotlib.text import Text

from sweep.report.figures import isometry, style
from sweep.report.frames.isometry import by_depth, told
from tests.make import cell
from tests.studies import stored


def cells_of(folder, **values):
    several = [
        cell(init={"name": init}, act={"name": act}, depth=depth, batch=20, seed=seed, **values)
        for init in ("xavier", "orthogonal")
        for act in ("tanh", "relu")
        for depth in (2, 5)
        for seed in (0, 1)
    ]
    return stored(folder, several)[0]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return cells_of(tmp_path_factory.mktemp("isometry") / "study", width=32, jacobian=True)


def test_a_line_is_measured_over_depth_with_theory_on_it(cells):
    rows = by_depth(cells)
    assert set(rows["line"]) == {"xavier", "orthogonal"}
    assert (rows["seeds"] == 2).all()
    near = (rows["value"] / rows["theory"] - 1).abs()
    assert near.max() < 0.4  # width 32, two seeds
    with style.applied():
        (figure,) = isometry.figures(cells, pd.DataFrame()).values()
        files = style.rendered("isometry", figure)
    assert all(len(content) > 5000 for content in files.values())
    text = " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())
    assert "geometric mean over 2 seeds, band: all seeds; thin black: theory" in text
    measured, theory = figure.axes[0].lines[:2]
    assert len(measured.get_xdata()) == len(theory.get_xdata()) == 2


@pytest.mark.parametrize("other", [{"block": {"name": "pre_ln"}}, {"bias_std": 0.5}])
def test_any_such_study_is_a_figure(tmp_path, other):
    frame = cells_of(tmp_path / "study", width=12, jacobian=True, **other)
    with style.applied():
        for some in (frame, frame[frame["depth"] == 2], frame.head(1)):
            (figure,) = isometry.figures(some, pd.DataFrame()).values()
            style.rendered("isometry", figure)


def test_a_study_without_has_no_such_figure(cells):
    assert isometry.figures(cells.assign(jac_spread=float("nan")), pd.DataFrame()) == {}
    assert isometry.figures(cells.drop(columns="jac_spread"), pd.DataFrame()) == {}


def test_one_network_is_told_in_a_line():
    assert told({"jac_spread": 3.25, "theory_jac_spread": 3.0}).endswith(
        "Var(s²) / E[s²]² = 3.25 (theory: 3.00); 0 would be an isometry."
    )
    assert "theory has no word on it" in told({"jac_spread": 3.25, "theory_jac_spread": None})
    assert "have no spread" in told({"jac_spread": None, "theory_jac_spread": 3.0})
