"""sweep.plot: what is drawn is what is stored, on axes of the user's own."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import sweep
from tests.make import cell
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


def test_a_heatmap_after_curves_on_the_same_axes_has_axes_of_its_own(frames, ax):
    ax.set(xscale="log", yscale="log")
    sweep.plot.heatmap(frames[0].query("init == 'xavier' and act == 'tanh'"), ax=ax)
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlim()) == ("linear", "linear", (0, 2))


def test_verdicts_are_words(frames, ax):
    sweep.plot.verdicts(frames[0].query("depth == 2 and width == 60"), x="act", y="init", ax=ax)
    assert [text.get_text() for text in ax.texts] == ["healthy"] * 4


def test_nothing_is_averaged_over_unseen(frames, ax):
    cells, layers = frames
    with pytest.raises(sweep.RequestError, match=r"more varies in this frame.*xavier"):
        sweep.plot.heatmap(cells, x="width", y="depth", ax=ax)
    with pytest.raises(sweep.RequestError, match="more varies"):
        sweep.plot.gradients(cells, layers, ax=ax)
    with pytest.raises(sweep.RequestError, match="pass cells="):
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
        ("heatmap", ["layers"], "cells: this frame has no status, verdict, init_params …: pass rows of"),
        ("verdicts", ["layers"], "cells: this frame has no status"),
        (
            "curves",
            ["cells"],
            'layers: this frame has no layer: pass rows of sweep.load(study, table="layers")',
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
        ("gradients", ["other cells", "layers"], "the frames have no cell in common"),
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


def test_a_later_curve_on_the_same_axes_is_seen_whole_and_the_users_limits_stay(ax):
    level = sweep.propagate("kaiming", "relu", depth=4, width=20, batch=20)
    steep = sweep.propagate("small_normal", "relu", depth=9, width=20, batch=20)
    for layers in (level, steep):
        sweep.plot.curves(layers, "std", label=str(len(layers)), ax=ax)
    assert ax.get_ylim()[0] <= steep["std"].min() < 1e-3
    assert ax.get_ylim()[1] >= 10, "two decades or more, of a level one"
    assert ax.get_xlim()[1] >= 9
    ax.set_ylim(0.5, 2)
    sweep.plot.curves(steep, "std", label="again", ax=ax)
    assert ax.get_ylim() == (0.5, 2)


def test_gradients_histograms_and_theory_are_drawn(frames, ax):
    cells, layers = frames
    one = cells.query("init == 'kaiming' and act == 'relu'")
    sweep.plot.gradients(one, layers, ax=ax)
    assert len(ax.get_legend_handles_labels()[1]) == 2
    own = layers[layers["cell_id"] == one["cell_id"].iloc[0]]
    ridges = sweep.plot.histograms(own, ax=Figure().subplots()).patches
    assert sum(patch.get_gid() != "beyond" for patch in ridges) == own["layer"].max()
    points = sweep.plot.theory(cells, layers, "rms", ax=Figure().subplots())
    assert sum(len(line.get_xdata()) for line in points.get_lines()) == 2 * 2 * 2 * 2 + 2  # and the identity


def test_a_scheme_called_like_a_formula_is_shown_as_it_is(frames, ax):
    cells = frames[0].query("init == 'xavier' and act == 'tanh' and depth == 2").copy()
    cells["init"], cells["init_params"] = "custom", json.dumps({"function": "a_b$c$", "source": "s"})
    sweep.plot.heatmap(cells, x="width", y="init", ax=ax)
    (label,) = ax.get_yticklabels()
    assert (label.get_text(), label.get_parse_math()) == ("a_b$c$", False)


def _as_polars(frame):
    polars = pytest.importorskip("polars")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return polars.from_arrow(table)


def _of_pyarrow(frame):
    return frame.convert_dtypes(dtype_backend="pyarrow")


def _nullable(frame):
    return frame.convert_dtypes(dtype_backend="numpy_nullable")


def _drawn(ax):
    """The data and the texts on some axes."""
    lines = [line.get_xydata().tolist() for line in ax.lines]
    arrays = [drawn.get_array() for drawn in ax.collections]
    colours = [np.ma.filled(array, np.nan).tolist() for array in arrays if array is not None]
    return repr((lines, colours, [text.get_text() for text in ax.findobj(Text)]))


@pytest.mark.parametrize("other", [_as_polars, _of_pyarrow, _nullable, pa.Table.from_pandas])
def test_frames_of_other_kinds_draw_the_same(other, frames):
    cells, layers = frames
    tanh = cells.query("init == 'xavier' and act == 'tanh'")
    one = layers[layers["cell_id"] == tanh["cell_id"].iloc[0]]
    for draw, tables in (
        (sweep.plot.heatmap, [tanh]),
        (sweep.plot.verdicts, [tanh]),
        (lambda cells, layers, ax: sweep.plot.curves(layers, "rms", cells, ax=ax), [cells, layers]),
        (sweep.plot.gradients, [tanh, layers]),
        (sweep.plot.theory, [cells, layers]),
        (sweep.plot.histograms, [one]),
        (sweep.plot.curves, [one]),
    ):
        here = draw(*tables, ax=Figure().subplots())
        there = draw(*map(other, tables), ax=Figure().subplots())
        assert _drawn(there) == _drawn(here)


def test_frames_read_by_pandas_on_pyarrow_draw_the_same(tmp_path):
    stored(tmp_path / "s", grid(("xavier",), depths=(2, 3), widths=(8, 9)))
    drawn = []
    for options in ({}, {"dtype_backend": "pyarrow"}, {"dtype_backend": "numpy_nullable"}):
        cells = pd.read_parquet(tmp_path / "s" / "cells", **options).query("act == 'tanh'")
        drawn.append(_drawn(sweep.plot.heatmap(cells, "std", ax=Figure().subplots())))
    assert drawn[0] == drawn[1] == drawn[2]


def test_what_is_no_frame_is_refused_in_a_line():
    for given in (None, 3, "outputs/standard", [1, 2], {"std": 1}):
        with pytest.raises(sweep.RequestError, match="a DataFrame"):
            sweep.plot.heatmap(given)


def test_an_exploding_signal_is_drawn_without_a_warning(tmp_path):
    huge = {"name": "normal", "std": 1e30}
    own = [cell(init=huge, act={"name": "identity"}, depth=d, width=16, batch=20) for d in (20, 30)]
    cells, layers = stored(tmp_path / "s", own)
    for value in ("std", "rms"):
        figure = Figure()
        ax = sweep.plot.curves(layers, value, cells, ax=figure.subplots())
        figure.savefig(tmp_path / "drawn.png")
        low, high = ax.get_ylim()
        assert low < layers[value].min() < 1e299 < high < np.inf
