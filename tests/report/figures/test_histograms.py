"""Histograms of every layer, and the picture of one network."""

import numpy as np
import pytest

from sweep.report.figures import histograms, network, style
from tests.figures import overlaps, shown
from tests.make import cell
from tests.studies import INITS, grid, stored


def test_histogram_strips_show_what_is_stored(frames):
    with style.applied():
        figure = histograms.figures(*frames)["histograms"]
        assert len(figure.axes) == len(INITS) * 2
        assert overlaps(figure) == []


@pytest.mark.parametrize("depth", [1, 2, 3, 9, 11])
def test_a_single_network_has_room_for_its_histograms(tmp_path, depth):
    frames = stored(tmp_path / "study", [cell(depth=depth, width=8, batch=10)], histogram=True)
    with style.applied():
        figure = histograms.figures(*frames)["histograms"]
        figure.draw_without_rendering()  # a layout that fails warns
        assert overlaps(figure) == []
        assert figure.axes[0].get_window_extent().height > 20


@pytest.mark.parametrize(
    "values", [{"depth": 1, "width": 3}, {"depth": 30, "width": 8}, {"widths": [30, 20, 10]}]
)
def test_the_picture_of_one_cell(tmp_path, values):
    cells, layers = stored(tmp_path / "study", [cell(batch=50, **values)], histogram=True)
    with style.applied():
        figure = network.picture(cells.iloc[0], layers)
        assert overlaps(figure) == []
        depth = cells["depth"].iloc[0]
        if depth > 10:  # a ridge: a histogram for every layer shown, the deepest at the bottom
            assert len(figure.axes[-1].patches) == 25
            assert figure.axes[-1].get_yticklabels()[-1].get_text() == str(depth)
        else:
            assert len([text for text in shown(figure.axes[-1]) if text.startswith("layer")]) == depth


@pytest.mark.parametrize("act", ["tanh", "relu", "sigmoid", "gelu"])
def test_a_ridge_has_the_range_of_its_activation(act, tmp_path):
    cells, layers = stored(
        tmp_path / "a", [cell(act={"name": act}, depth=12, width=20, batch=20)], histogram=True
    )
    low, high = {"tanh": (-1, 1), "relu": (0, 4), "sigmoid": (0, 1), "gelu": (-1, 4)}[act]
    assert set(layers["histogram_low"]) == {low}
    assert {sum(counts) for counts in layers["histogram"]} == {20 * 20}
    with style.applied():
        ax = histograms.figures(cells, layers)["histograms"].axes[0]
    assert ax.get_xlim() == (low, high)


@pytest.mark.parametrize(
    ("act", "goes_on"),
    [("tanh", (False, False)), ("relu", (False, True)), ("leaky_relu", (True, True)), ("elu", (False, True)),
     ("sigmoid", (False, False)), ("identity", (True, True)), ("hardtanh", (False, False))],
)  # fmt: skip
def test_what_lies_beyond_a_histogram_is_no_saturation(act, goes_on, tmp_path):
    one = cell(init={"name": "huge_normal"}, act={"name": act}, depth=2, width=50, batch=20)
    cells, layers = stored(tmp_path / "a", [one], histogram=True)
    with style.applied():
        (ax,) = histograms.figures(cells, layers)["histograms"].axes
    beyond = [patch for patch in ax.patches if patch.get_gid() == "beyond"]
    assert len(beyond) == 2 * sum(goes_on), "of two layers"
    texts = shown(ax)
    low, high = layers["histogram_low"].iloc[0], layers["histogram_high"].iloc[0]
    assert {f"{low:g}", f"{high:g}"} <= set(texts)
    for patch in beyond:  # outside of the axis of its layer, which is 0.9 wide
        place = np.mean(patch.get_data().edges) % 1
        assert place > 0.9


def test_more_histograms_than_there_is_room_for_are_those_that_survive_most(tmp_path):
    inits = (*INITS, "constant", "huge_normal", "he_normal", "orthogonal")
    cells, layers = stored(tmp_path / "a", grid(inits, ("tanh", "relu"), (2,), (16,), (0,)), histogram=True)
    with style.applied():
        figure = histograms.figures(cells, layers)["histograms"]
    names = [ax.get_ylabel().split()[0] for ax in figure.axes]
    assert len(names) == 16
    assert "2 more networks left out" in figure._supxlabel.get_text()
    assert {"xavier", "kaiming"} <= set(names)
    healthy = (cells["verdict"] == "healthy").groupby(cells["init"]).mean()
    assert [healthy[name] for name in names] == sorted((healthy[name] for name in names), reverse=True)


def test_one_network_has_its_gradient_and_says_where_none_was_measured(tmp_path):
    for backward in (True, False):
        one = cell(depth=3, width=9, batch=20, backward=backward)
        cells, layers = stored(tmp_path / str(backward), [one], histogram=True)
        with style.applied():
            figure = network.picture(cells.iloc[0], layers)
        titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
        assert titles == ["mean of h", "std of h", *["gradient: rms of dL/dh ←"] * backward]
        assert ("gradients were not measured" in figure._supxlabel.get_text()) != backward
        if backward:
            np.testing.assert_allclose(figure.axes[2].get_lines()[0].get_ydata(), layers["delta_rms"])
