"""Measured beside predicted."""

import numpy as np
import pytest

from sweep.report.figures import style, theory


def test_measured_lies_beside_predicted(frames):
    found = theory.points(*frames, "delta_rms", 0)
    row = found.query("init_label == 'kaiming' and act_label == 'tanh' and depth == 8 and width == 300").iloc[
        0
    ]
    own = frames[1].query(
        "init == 'kaiming' and act == 'tanh' and depth == 8 and width == 300 and layer == 0"
    )
    assert row["y"] == pytest.approx(np.exp(np.log(own["delta_rms"]).mean()))
    assert row["x"] == pytest.approx(own["theory_delta_rms"].iloc[0])
    assert "zeros" not in set(found["init_label"])  # theory does not apply
    assert theory.figures(frames[0], frames[1].drop(columns=[c for c in frames[1] if "theory" in c])) == {}


def test_beside_theory_is_by_how_much_it_is_off(frames):
    found = theory.points(*frames, "rms", None)
    with style.applied():
        figure = theory.figures(*frames)["theory"]
    (ratio,) = [ax for ax in figure.axes if ax.get_ylabel() == "ratio"][1:2]
    low, high = ratio.get_ylim()
    distance = found["y"] / found["x"]
    assert low < distance.min() < distance.max() < high
    drawn = np.sort(
        np.concatenate([line.get_ydata() for line in ratio.get_lines() if line.get_marker() != "None"])
    )
    np.testing.assert_allclose(drawn, np.sort(distance))
    assert high < 30, "a factor of 3 is seen, whatever decades the statistic spans"
    differences = [ax for ax in figure.axes if ax.get_ylabel() == "difference"]
    assert len(differences) == 2
