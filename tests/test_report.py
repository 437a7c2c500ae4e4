import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import sweep
from sweep import labels, summary, tables
from sweep.execute import run_task
from sweep.measures import LETTERS, MEASURES, measure
from sweep.report import colours, curves, draw, gradients, heatmap, histograms, layout, style, theory
from sweep.store import Study
from sweep.verdict import WORDS
from tests.test_cell import cell
from tests.test_plan import packed

STANDARD = ("std", "verdict", "layers", "gradients", "theory")
INITS = ("zeros", "small_normal", "big_normal", "xavier", "kaiming")


def stored(folder, cells, histogram=False):
    study = Study(folder)
    study.create()
    for task in packed(cells, 1):
        study.write(f"{task.number}.parquet", *tables.tables(run_task(task, histogram), "run"))
    return sweep.load(folder), sweep.load(folder, "layers")


def grid(inits=INITS, acts=("tanh", "relu"), depths=(2, 8), widths=(16, 300), seeds=(0, 1, 2), **values):
    return [
        cell(init={"name": i}, act={"name": a}, depth=d, width=w, seed=s, batch=64, **values)
        for i in inits
        for a in acts
        for d in depths
        for w in widths
        for s in seeds
    ]


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("grid") / "study", grid(), histogram=True)


def heatmaps(cells, value="std", pages=100, **axes):
    return heatmap.figures(cells, measure(value), layout.chosen(cells, **axes), pages)


def panel_of(cells, value="std", axes=None, **chosen):
    """The panel at the chosen row and col, and what its figure shares."""
    arrangement = layout.chosen(cells, **(axes or {}))
    one = measure(value)
    frame = layout.arranged(cells, arrangement, [one]).rename(columns=lambda name: name.partition(":")[0])
    for role, wanted in chosen.items():
        frame = frame[frame[role] == wanted]
    word = value == "verdict"
    scale = colours.verdict_scale() if word else colours.scale_of(one, frame["value"])
    return frame, heatmap.Picture(one, arrangement, scale, "")


def shown(ax):
    return [text.get_text() for text in ax.texts]


def overlaps(figure):
    """Pairs of texts whose boxes overlap by more than rounding."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    ticks = {t for axis in axes for tick in axis.get_major_ticks() for t in (tick.label1, tick.label2)}
    drawn = {tick.label1 for axis in axes for tick in axis._update_ticks()}  # those within the limits
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    texts = [t for t in texts if t not in ticks or t in drawn]
    boxes = [t.get_window_extent(renderer).padded(-1.0) for t in texts]
    pairs = [
        (a.get_text(), b.get_text())
        for i, (a, one) in enumerate(zip(texts, boxes, strict=True))
        for b, other in zip(texts[i + 1 :], boxes[i + 1 :], strict=True)
        if one.overlaps(other)
    ]
    return pairs


def cut_off(figure):
    """Texts that reach beyond the edge of a figure that `overlaps` has drawn."""
    renderer, (width, height) = figure.canvas.get_renderer(), figure.canvas.get_width_height()
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    ticks = {t for axis in axes for tick in axis.get_major_ticks() for t in (tick.label1, tick.label2)}
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in ticks]
    boxes = {t.get_text(): t.get_window_extent(renderer) for t in texts}
    return [n for n, b in boxes.items() if b.x0 < -1 or b.y0 < -1 or b.x1 > width + 1 or b.y1 > height + 1]


def test_over_seeds_is_the_geometric_mean(frames):
    cells, _ = frames
    rows = summary.over_seeds(cells).set_index([*labels.PANEL, "depth", "width"])
    own = cells.query("init == 'xavier' and act == 'relu' and depth == 8 and width == 16")["std"]
    row = rows.loc[("xavier", "relu", "", 8, 16)]
    assert row["value"] == pytest.approx(np.exp(np.log(own).mean()))
    assert row["factor"] == pytest.approx(np.exp(np.log(own).std(ddof=0)))
    assert row["seeds"] == 3
    assert len(rows) == 5 * 2 * 2 * 2


def test_what_became_of_the_signal_is_marked(frames):
    rows = summary.over_seeds(frames[0]).set_index([*labels.PANEL, "depth", "width"])["mark"]
    assert rows["small_normal", "tanh", "", 8, 300] == summary.VANISHED
    assert rows["big_normal", "relu", "", 8, 300] == summary.EXPLODED
    assert rows["big_normal", "tanh", "", 8, 300] == summary.SATURATED
    assert rows["kaiming", "relu", "", 8, 300] == ""


def test_nothing_is_averaged_over_an_axis_unseen(tmp_path):
    cells = grid(("xavier",), ("tanh",), (2,), (16,))
    cells += grid(("xavier",), ("tanh",), (2,), (16,), bias_std=0.5)
    cells += [
        cell(init={"name": "normal", "std": std}, depth=2, width=16, batch=64) for std in (0.1, 10.0, 2.0)
    ]
    cells += [cell(widths=[16, 8, 16], batch=64)]
    rows = summary.over_seeds(stored(tmp_path / "study", cells)[0])
    assert rows["seeds"].tolist() == [1, 1, 1, 3, 3, 1]
    assert rows["init_label"].tolist()[:3] == ["normal std=0.1", "normal std=2", "normal std=10"]
    assert "widths=[16,8,16] bias_std=0" in set(rows["setting"])


def test_a_panel_shows_depth_down_and_width_across(frames):
    panel, picture = panel_of(frames[0], row="xavier", col="tanh")
    places, texts = heatmap.grids(panel, picture)
    assert list(places.index) == [2, 8]
    assert list(places.columns) == [16, 300]
    value = panel.query("depth == 8 and width == 300")["value"].item()
    assert places.loc[8, 300] == pytest.approx(np.log10(value))
    assert texts.loc[8, 300] == labels.number(value, 3)


def test_one_exploded_cell_does_not_eat_the_colour_scale(frames):
    places, texts = heatmap.grids(*panel_of(frames[0], row="big_normal", col="relu"))
    assert places.to_numpy().max() == colours.DECADES
    assert summary.MARKS[summary.EXPLODED] in texts.loc[8, 300]


def test_heatmap_has_a_panel_per_init_and_act(frames):
    with style.applied():
        (figure,) = heatmaps(frames[0]).values()
        titles = {ax.get_title(loc="left") for ax in figure.axes} - {""}
        assert titles == {f"{init} × {act}" for init in INITS for act in ("tanh", "relu")}
        assert overlaps(figure) == []


def test_one_depth_and_width_make_one_overview(tmp_path):
    cells, _ = stored(tmp_path / "study", grid(depths=(3,), widths=(16,)))
    with style.applied():
        (figure,) = heatmaps(cells).values()
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert labels == ["zeros", "small_normal", "big_normal", "xavier", "kaiming"]
        assert len(shown(figure.axes[0])) == 10
        assert overlaps(figure) == []


def test_many_panels_are_paged(tmp_path):
    stds = [0.01 * 2**k for k in range(14)]
    cells = [
        cell(init={"name": "normal", "std": std}, act={"name": act}, depth=2, width=w, batch=16)
        for std in stds
        for act in ("tanh", "relu")
        for w in (4, 8)
    ]
    frame, layers = stored(tmp_path / "study", cells)
    with style.applied():
        assert list(heatmaps(frame)) == ["std"]  # one depth: init down, width across
        figures = heatmaps(frame, rows="init", cols="act", x="width", y="depth")
        assert list(figures) == ["std-1", "std-2", "std-3"]
        assert all(isinstance(figure, Figure) for figure in figures.values())
        assert "left out" in curves.figures(frame, layers)["layers"]._supxlabel.get_text()


def test_curves_show_every_layer_at_the_greatest_depth_and_width(frames):
    found = curves.by_layer(*frames)
    assert set(found["depth"]) == {8}
    assert set(found["width"]) == {300}
    one = found[(found["line"] == "xavier") & (found["act_label"] == "tanh")].set_index("layer")
    assert list(one.index) == list(range(9))
    layers = frames[1].query(
        "init == 'xavier' and act == 'tanh' and depth == 8 and width == 300 and layer == 5"
    )
    assert one.loc[5, "std"] == pytest.approx(np.exp(np.log(layers["std"]).mean()))
    assert one.loc[5, "std_high"] == layers["std"].max()
    with style.applied():
        assert overlaps(curves.figures(*frames)["layers"]) == []


def test_histogram_strips_show_what_is_stored(frames):
    with style.applied():
        figure = histograms.figures(*frames)["histograms"]
        assert len(figure.axes) == len(INITS) * 2
        assert overlaps(figure) == []


@pytest.mark.parametrize(
    "values", [{"depth": 1, "width": 3}, {"depth": 30, "width": 8}, {"widths": [30, 20, 10]}]
)
def test_the_picture_of_one_cell(tmp_path, values):
    cells, layers = stored(tmp_path / "study", [cell(batch=50, **values)], histogram=True)
    with style.applied():
        figure = histograms.picture(cells.iloc[0], layers)
        assert overlaps(figure) == []
        depth = cells["depth"].iloc[0]
        if depth > 10:  # a ridge: a histogram for every layer shown, the deepest at the bottom
            assert len(figure.axes[-1].patches) == 25
            assert figure.axes[-1].get_yticklabels()[-1].get_text() == str(depth)
        else:
            assert len([text for text in shown(figure.axes[-1]) if text.startswith("layer")]) == depth


def test_draw_writes_png_and_svg_and_removes_what_is_stale(tmp_path, frames):
    stored(tmp_path / "study", grid(("xavier",), ("tanh",), (2,), (16,)))
    report = tmp_path / "study" / "report"
    report.mkdir()
    (report / "std-9.png").write_text("old")
    files = draw(tmp_path / "study")
    assert (
        {f.name for f in files}
        == {f.name for f in report.iterdir()}
        == {"index.html"} | {f"{name}.{kind}" for name in STANDARD for kind in ("png", "svg")}
    )
    assert "<text" in (report / "std.svg").read_text(encoding="utf-8")


def test_figures_asked_for_by_name_leave_the_others(tmp_path):
    stored(tmp_path / "study", grid(("xavier",), ("tanh",), (2, 4), (16,)))
    draw(tmp_path / "study")
    draw(tmp_path / "study", values=["rms"])
    kept = {path.name for path in (tmp_path / "study" / "report").iterdir()}
    assert {"std.png", "rms.png"} <= kept


def test_a_study_without_results_cannot_be_drawn(tmp_path):
    Study(tmp_path / "empty").create()
    with pytest.raises(sweep.StoreError, match="has no results to draw"):
        draw(tmp_path / "empty")


def test_the_terminal_table_is_at_the_greatest_width(frames):
    table = summary.by_depth(frames[0], most_depths=6)
    assert table.depths == (2, 8)
    assert table.keys == ("init", "act")
    assert "width 300 (of 2 widths)" in table.title
    cells = dict(table.rows)
    assert cells["big_normal", "relu"][1].endswith(summary.MARKS[summary.EXPLODED])
    assert "±" in cells["xavier", "tanh"][0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (np.nan, "·"),
        (np.inf, "inf"),
        (0.62742, "0.6274"),
        (12.0, "12.00"),
        (1e-7, "1.0e-07"),
        (54321, "5.4e+04"),
    ],
)
def test_numbers_are_short(value, text):
    assert labels.number(value) == text


def test_frames_are_not_changed(frames):
    before = frames[0].copy()
    summary.over_seeds(frames[0])
    pd.testing.assert_frame_equal(frames[0], before)


def test_backward_is_an_axis_and_close_values_are_told_apart(tmp_path):
    cells = grid(("xavier",), ("tanh",), (2,), (16,), seeds=(0, 1))
    cells += grid(("xavier",), ("tanh",), (2,), (16,), seeds=(0, 1), backward=False)
    rows = summary.over_seeds(stored(tmp_path / "a", cells)[0])
    assert sorted(rows["setting"]) == ["backward=false", "backward=true"]
    assert rows["seeds"].tolist() == [2, 2]
    close = [cell(init={"name": "normal", "std": s}, depth=2, width=8, batch=16) for s in (0.1, 0.1000001)]
    rows = summary.over_seeds(stored(tmp_path / "b", close)[0])
    assert rows["init_label"].tolist() == ["normal std=0.1", "normal std=0.1000001"]


def test_a_parameter_that_is_not_the_default_is_shown(tmp_path):
    cells = [cell(init={"name": "normal", "std": 0.5}, act={"name": "leaky_relu", "negative_slope": 0.2},
                  depth=2, width=8, batch=16, seed=s) for s in (0, 1)]  # fmt: skip
    (label,) = set(labels.labelled(stored(tmp_path / "a", cells)[0])["init_label"])
    assert label == "normal std=0.5"
    assert labels.described("torch/normal", '{"mean":0.0,"std":1.0}') == "torch/normal mean=0 std=1"


def test_failed_cells_are_marked_where_they_stand(frames):
    cells = frames[0].copy()
    failed = (
        (cells["init"] == "xavier")
        & (cells["act"] == "tanh")
        & (cells["depth"] == 8)
        & (cells["width"] == 16)
    )
    cells.loc[failed, "status"] = "failed"
    with style.applied():
        (figure,) = heatmaps(cells).values()
        (ax,) = [ax for ax in figure.axes if ax.get_title(loc="left") == "xavier × tanh"]
        assert summary.MARKS[summary.FAILED] in shown(ax)
        assert "failed" in figure._supxlabel.get_text()


def test_every_init_is_drawn_at_its_own_greatest_depth_and_width(tmp_path):
    cells = grid(("xavier",), ("tanh",), (8,), (30,)) + grid(("kaiming",), ("tanh",), (3,), (16,))
    found = curves.by_layer(*stored(tmp_path / "a", cells))
    assert found.groupby("line")["layer"].max().to_dict() == {"xavier": 8, "kaiming": 3}


def test_a_signal_that_overflows_can_be_drawn(tmp_path):
    one = cell(init={"name": "huge_normal"}, act={"name": "relu"}, depth=250, width=30, batch=20)
    cells, layers = stored(tmp_path / "a", [one], histogram=True)
    assert np.isinf(layers["std"]).any()
    assert draw(tmp_path / "a")
    with style.applied():
        assert overlaps(histograms.picture(cells.iloc[0], layers)) == []


def test_a_report_that_cannot_be_written_is_one_line(tmp_path):
    stored(tmp_path / "a", grid(("xavier",), ("tanh",), (2,), (16,)))
    (tmp_path / "a" / "report").write_text("a file where the folder should be")
    with pytest.raises(sweep.StoreError, match="cannot write the figures"):
        draw(tmp_path / "a")


def every_figure(cells, layers):
    yield from heatmaps(cells).values()
    yield from heatmaps(cells, "verdict").values()
    for kind in (curves, gradients, histograms, theory):
        yield from kind.figures(cells, layers).values()


def many_inits(tmp_path):
    stds = [0.001 * 2**k for k in range(9)]
    cells = [
        cell(init={"name": "normal", "std": std}, act={"name": act}, depth=d, width=w, batch=8)
        for std in stds
        for act in ("tanh", "leaky_relu", "softsign")
        for d in (1, 2)
        for w in (4, 8)
    ]
    return stored(tmp_path / "study", cells)


@pytest.mark.parametrize("size", ["tiny", "usual", "large"])
def test_no_label_is_cut_off_or_overlaps_another(size, tmp_path, frames):
    if size == "tiny":
        frames = stored(tmp_path / "study", grid(("xavier",), ("tanh",), (2,), (16,)), histogram=True)
    elif size == "large":
        frames = many_inits(tmp_path)
    with style.applied():
        for figure in every_figure(*frames):
            assert overlaps(figure) == []
            assert cut_off(figure) == []


def test_any_statistic_can_be_shown_and_is_averaged_as_fits_it(frames):
    own = frames[0].query("init == 'xavier' and act == 'relu' and depth == 8 and width == 300")
    for value, middle in (("mean", own["mean"].mean()), ("grad_rms", np.exp(np.log(own["grad_rms"]).mean()))):
        panel, picture = panel_of(frames[0], value, row="xavier", col="relu")
        row = panel.query("x == 300 and y == 8").iloc[0]
        assert row["value"] == pytest.approx(middle)
        places, _ = heatmap.grids(panel, picture)
        assert np.isfinite(places.to_numpy()).all()
    with style.applied():
        few = frames[0][frames[0]["init"].isin(["zeros", "xavier"])]
        for value in MEASURES:
            assert heatmaps(few, value)


def test_any_axis_can_be_a_facet(frames, tmp_path):
    panel, picture = panel_of(
        frames[0], axes={"rows": "depth", "cols": "width", "x": "act", "y": "init"}, row=8, col=300
    )
    _, texts = heatmap.grids(panel, picture)
    assert list(texts.index) == list(INITS)
    assert list(texts.columns) == ["relu", "tanh"]
    cells = [
        cell(init={"name": "normal", "std": s}, depth=2, width=8, batch=b) for s in (1, 0.1) for b in (8, 16)
    ]
    batches, _ = stored(tmp_path / "a", cells)
    panel, picture = panel_of(batches, axes={"x": "init.std", "y": "batch"})
    places, _ = heatmap.grids(panel, picture)
    assert (list(places.columns), list(places.index)) == ([0.1, 1.0], [8, 16])


def test_what_is_no_axis_of_a_figure_gets_panels_of_its_own(frames):
    panel, _ = panel_of(frames[0], axes={"rows": "act", "cols": "depth", "x": "width", "y": "init"})
    assert set(panel["rest"]) == {""}
    with style.applied():
        figures = heatmaps(frames[0].assign(batch=[64, 128] * (len(frames[0]) // 2)), x="depth", y="width")
        titles = {ax.get_title(loc="left") for figure in figures.values() for ax in figure.axes}
    assert {"xavier × tanh\nbatch=64", "xavier × tanh\nbatch=128"} <= titles


def test_a_long_axis_is_thinned_with_a_note_and_a_wrong_one_refused(frames):
    long = frames[0].query("init == 'xavier' and act == 'tanh' and width == 16 and depth == 2").iloc[[0]]
    long = long.loc[long.index.repeat(90)].assign(width=range(10, 100))
    (figure,) = heatmaps(long, x="width", y="depth").values()
    assert "40 of 90 values shown across" in figure._supxlabel.get_text()
    with pytest.raises(sweep.RequestError, match="did you mean 'depth'"):
        heatmaps(frames[0], x="dept")
    with pytest.raises(sweep.RequestError, match="named twice"):
        heatmaps(frames[0], x="depth", y="depth")


def test_the_verdict_map_has_letters_and_says_how_many_seeds_agree(frames):
    cells = frames[0].copy()
    one = cells.query("init == 'xavier' and act == 'tanh' and depth == 8 and width == 300").index
    cells.loc[one[0], "verdict"] = "saturated"
    places, texts = heatmap.grids(*panel_of(cells, "verdict", row="xavier", col="tanh"))
    assert texts.loc[2, 300] == "H"
    assert texts.loc[8, 300] == "H\n2/3"
    assert places.loc[8, 300] == WORDS.index("healthy")
    assert set(LETTERS) == set(WORDS)
    assert len(set(LETTERS.values())) == len(WORDS)


def test_gradient_flow_is_forward_and_backward_by_layer(frames):
    found = curves.by_layer(*frames, [MEASURES["rms"], MEASURES["delta_rms"]])
    one = found[(found["line"] == "kaiming") & (found["act_label"] == "relu")].set_index("layer")
    layers = frames[1].query(
        "init == 'kaiming' and act == 'relu' and depth == 8 and width == 300 and layer == 3"
    )
    assert one.loc[3, "delta_rms"] == pytest.approx(np.exp(np.log(layers["delta_rms"]).mean()))
    assert one.loc[3, "theory_delta_rms"] == pytest.approx(layers["theory_delta_rms"].mean())
    without = frames[1].assign(delta_rms=np.nan)
    assert gradients.figures(frames[0], without) == {}


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


def test_a_study_whose_cells_all_failed_is_drawn(tmp_path, frames):
    failed = frames[0].assign(status="failed", verdict="failed", error="boom")
    with style.applied():
        (figure,) = heatmaps(failed).values()
        assert {text for ax in figure.axes for text in shown(ax)} == {summary.MARKS[summary.FAILED]}
        (figure,) = heatmaps(failed, "verdict").values()
        assert "× failed" in figure._supxlabel.get_text()


def test_a_statistic_that_is_nowhere_defined_is_said_to_be(frames):
    with style.applied():
        (figure,) = heatmaps(frames[0].assign(delta_std_first=np.nan), "delta_std_first").values()
    assert {text for ax in figure.axes for text in shown(ax)} == {"·"} | {
        f"·\n{mark}" for mark in "▼▲■=" if mark in "".join(t for ax in figure.axes for t in shown(ax))
    }
    assert "not defined" in figure._supxlabel.get_text()


def test_names_are_never_read_as_mathematics(frames):
    cells = frames[0].query("act == 'tanh' and init in ['xavier', 'kaiming']").copy()
    own = cells["init"] == "xavier"
    cells.loc[own, "init_params"] = '{"function": "a_b$c$", "source": "s"}'
    cells.loc[own, "init"] = "custom"
    with style.applied():
        (figure,) = heatmaps(cells).values()
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert "a_b$c$ × tanh" in titles
    assert not any(text.get_parse_math() for text in figure.findobj(Text))
