"""Curves of layers and gradients: what is shown, what leaves the axes, which panels there are."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from sweep.report.figures import curves, gradients, style
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.seeds import by_layer
from tests.figures import overlaps
from tests.make import cell
from tests.studies import stored

STD = [MEASURES["std"]]


def test_curves_show_every_layer_at_the_greatest_depth_and_width(frames):
    found = by_layer(*frames, STD)
    assert set(found["depth"]) == {8}
    assert set(found["width"]) == {300}
    one = found[(found["line"] == "xavier") & (found["act_label"] == "tanh")].set_index("layer")
    assert list(one.index) == list(range(9))
    layers = frames[1].query(
        "init == 'xavier' and act == 'tanh' and depth == 8 and width == 300 and layer == 5"
    )
    assert one.loc[5, "value:std"] == pytest.approx(np.exp(np.log(layers["std"]).mean()))
    assert one.loc[5, "high:std"] == layers["std"].max()
    with style.applied():
        assert overlaps(curves.figures(*frames)["layers"]) == []


def test_gradient_flow_is_forward_and_backward_by_layer(frames):
    found = by_layer(*frames, [MEASURES["rms"], MEASURES["delta_rms"]])
    one = found[(found["line"] == "kaiming") & (found["act_label"] == "relu")].set_index("layer")
    layers = frames[1].query(
        "init == 'kaiming' and act == 'relu' and depth == 8 and width == 300 and layer == 3"
    )
    assert one.loc[3, "value:delta_rms"] == pytest.approx(np.exp(np.log(layers["delta_rms"]).mean()))
    assert one.loc[3, "theory:delta_rms"] == pytest.approx(layers["theory_delta_rms"].mean())
    without = frames[1].assign(delta_rms=np.nan)
    assert gradients.figures(frames[0], without) == {}


def test_a_curve_that_leaves_the_axes_is_marked_where_it_does():
    x, low, high = np.arange(4.0), 1e-6, 1e3
    assert style.exits(x, np.array([1.0, 1e2, 1e4, 1e5]), low, high, True) == [(pytest.approx(1.5), True)]
    assert style.exits(x, np.array([1.0, 0.0, 0.0, np.nan]), low, high, True) == [(0.0, False)]
    assert style.exits(x, np.array([1e-9, 1e-3, 1.0, np.inf]), low, high, True) == [
        (pytest.approx(0.5), False),
        (2.0, True),
    ]
    assert style.exits(x, np.array([0.0, 2.0, 1.0, 0.5]), -1.0, 1.0, False) == [(0.5, True), (2.0, True)]
    assert style.exits(x, np.array([1.0, np.nan, 1.0, 1.0]), low, high, True) == []


def test_layers_have_marks_a_legend_above_and_no_panel_without_a_curve_in_it(frames):
    with style.applied():
        figure = curves.figures(*frames)["layers"]
    means, stds = figure.axes[:2], figure.axes[2:]
    marked = [line for ax in stds for line in ax.get_lines() if line.get_marker() in "^v"]
    assert {line.get_marker() for line in marked} == {"^", "v"}
    assert style.EXITS in figure._supxlabel.get_text().replace("\n", " ")
    (relu, tanh) = means  # a mean about 0 is not lost on the axis of another act
    assert tanh.get_ylim()[1] < relu.get_ylim()[1]
    top, body = figure.subfigs
    assert [text.get_text() for text in top.legends[0].get_texts()] == list(
        dict.fromkeys(by_layer(*frames, STD)["line"])
    )
    assert body.get_figure().get_figwidth() == figure.get_figwidth(), "the panels have the whole width"


def test_the_panels_of_gradients_are_spread_where_there_are_too_many(tmp_path):
    cells = [cell(init={"name": "normal", "std": 0.01 * k}, depth=1, width=4, batch=8) for k in range(1, 31)]
    with style.applied():
        pages = gradients.figures(*stored(tmp_path / "a", cells))
    titles = [ax.get_title(loc="left") for page in pages.values() for ax in page.axes]
    assert len(titles) == 14
    assert (titles[0], titles[-1]) == ("normal std=0.01 × tanh", "normal std=0.3 × tanh")
    assert "16 more panels left out" in pages["gradients-1"]._supxlabel.get_text().replace("\n", " ")


@pytest.mark.parametrize(
    ("low", "high", "either"),
    [
        (0.16, 1.2, ["0.2 0.5 1"]),
        (1e-8, 1e3, ["10⁻⁸ 10⁻⁶ 10⁻⁴ 0.01 1 100", "10⁻⁷ 10⁻⁵ 10⁻³ 0.1 10 10³"]),  # as matplotlib aligns them
        (0.9, 30, ["1 10"]),
    ],
)
def test_a_logarithmic_axis_has_two_ticks_or_more(low, high, either):
    ax = Figure().subplots()
    ax.plot([0, 1], [low, high])
    style.logarithmic(ax)
    seen = [
        tick
        for tick in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
        if low / 1.2 < tick[0] < high * 1.2
    ]
    assert " ".join(label.get_text() for _, label in seen) in either
