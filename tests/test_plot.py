"""sweep.plot: what is drawn is what is stored, on axes of the user's own."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

import sweep
from tests.studies import grid, stored


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    cells = grid(("xavier", "kaiming"), depths=(2, 8), widths=(16, 60))
    return stored(tmp_path_factory.mktemp("plot") / "study", cells, histogram=True)


@pytest.fixture
def ax():
    return Figure().subplots()


def test_a_heatmap_shows_the_seeds_mean_over_depth_and_width(frames, ax):
    cells = frames[0].query("init == 'xavier' and act == 'tanh'")
    assert sweep.plot.heatmap(cells, "rms", ax=ax) is ax
    own = cells.query("depth == 8 and width == 60")["rms"]
    shown = [text.get_text() for text in ax.texts]
    assert f"{np.exp(np.log(own).mean()):.3f}" in shown
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("width", "depth")


def test_verdicts_are_letters(frames, ax):
    sweep.plot.verdicts(frames[0].query("depth == 2 and width == 60"), x="act", y="init", ax=ax)
    assert [text.get_text() for text in ax.texts] == ["H"] * 4


def test_nothing_is_averaged_over_unseen(frames, ax):
    cells, layers = frames
    with pytest.raises(sweep.RequestError, match=r"more varies in this frame.*xavier"):
        sweep.plot.heatmap(cells, x="width", y="depth", ax=ax)
    with pytest.raises(sweep.RequestError, match="more varies"):
        sweep.plot.gradients(cells, layers, ax=ax)
    with pytest.raises(sweep.RequestError, match="give cells="):
        sweep.plot.curves(layers, ax=ax)
    with pytest.raises(sweep.RequestError, match="several cells"):
        sweep.plot.histograms(layers, ax=ax)


def test_a_wrong_name_is_suggested_another(frames, ax):
    with pytest.raises(sweep.RequestError, match="did you mean 'rms'"):
        sweep.plot.heatmap(frames[0], "rmss", ax=ax)
    with pytest.raises(sweep.RequestError, match="did you mean 'depth'"):
        sweep.plot.heatmap(frames[0], x="dept", ax=ax)
    with pytest.raises(sweep.RequestError, match="theory predicts mean, std, rms"):
        sweep.plot.theory(*frames, value="dead", ax=ax)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("heatmap", ["layers"], "cells: this frame has no status, verdict, init_params …: give rows of"),
        ("verdicts", ["layers"], "cells: this frame has no status"),
        (
            "curves",
            ["cells"],
            'layers: this frame has no layer: give rows of sweep.load(study, table="layers")',
        ),
        ("curves", ["cells", "std", "layers"], "layers: this frame has no layer:"),
        ("curves", ["layers", "std", "layers"], "cells: this frame has no status"),
        ("gradients", ["layers", "cells"], "layers: this frame has no layer:"),
        ("gradients", ["layers", "layers"], "cells: this frame has no status"),
        ("histograms", ["cells"], "layers: this frame has no layer:"),
        ("theory", ["layers", "cells"], "layers: this frame has no layer:"),
        ("theory", ["layers", "layers"], "cells: this frame has no status"),
        ("heatmap", ["no cells"], "cells: this frame has no rows"),
        ("histograms", ["no layers"], "layers: this frame has no rows"),
        ("curves", ["layers", "std", "no cells"], "cells: this frame has no rows"),
        ("gradients", ["other cells", "layers"], "no cell is in both frames"),
    ],
)
def test_a_frame_of_another_table_or_of_nothing_is_refused_in_one_line(frames, ax, name, given, message):
    cells, layers = frames
    named = {"cells": cells, "layers": layers, "no cells": cells.iloc[:0], "no layers": layers.iloc[:0]}
    named["other cells"] = cells.assign(cell_id="another")
    with pytest.raises(sweep.RequestError) as error:
        getattr(sweep.plot, name)(*(named.get(word, word) for word in given), ax=ax)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_curves_have_a_line_a_band_and_theory(frames, ax):
    cells, layers = frames
    sweep.plot.curves(layers, "rms", cells=cells[cells["act"] == "tanh"], ax=ax)
    labels = ax.get_legend_handles_labels()[1]
    assert labels == ["xavier", "kaiming"]
    assert len(ax.collections) == 2
    own = layers.query("init == 'xavier' and act == 'tanh' and depth == 8 and width == 60")
    lines = {line.get_label(): line for line in ax.get_lines()}
    expected = np.exp(np.log(own["rms"]).groupby(own["layer"]).mean())
    np.testing.assert_allclose(lines["xavier"].get_ydata(), expected)
    theory = [line for line in ax.get_lines() if line.get_color() == "black"]
    np.testing.assert_allclose(theory[0].get_ydata(), own.groupby("layer")["theory_rms"].first())


def test_networks_of_propagate_compose_on_one_axes(ax):
    for depth in (3, 5):
        layers = sweep.propagate(depth=depth, width=20, batch=20)
        sweep.plot.curves(layers, "std", label=f"depth {depth}", ax=ax)
    lines = [line for line in ax.get_lines() if line.get_label().startswith("depth")]
    assert [len(line.get_xdata()) for line in lines] == [4, 6]
    assert lines[0].get_color() != lines[1].get_color()


def test_gradients_histograms_and_theory_are_drawn(frames, ax):
    cells, layers = frames
    one = cells.query("init == 'kaiming' and act == 'relu'")
    sweep.plot.gradients(one, layers, ax=ax)
    assert len(ax.get_legend_handles_labels()[1]) == 2
    own = layers[layers["cell_id"] == one["cell_id"].iloc[0]]
    assert len(sweep.plot.histograms(own, ax=Figure().subplots()).patches) == own["layer"].max()
    points = sweep.plot.theory(cells, layers, "rms", ax=Figure().subplots())
    assert sum(len(line.get_xdata()) for line in points.get_lines()) == 2 * 2 * 2 * 2 + 2  # and the identity


def test_a_scheme_called_like_a_formula_is_shown_as_it_is(frames, ax):
    cells = frames[0].query("init == 'xavier' and act == 'tanh' and depth == 2").copy()
    cells["init"], cells["init_params"] = "custom", json.dumps({"function": "a_b$c$", "source": "s"})
    sweep.plot.heatmap(cells, x="width", y="init", ax=ax)
    (label,) = ax.get_yticklabels()
    assert (label.get_text(), label.get_parse_math()) == ("a_b$c$", False)
