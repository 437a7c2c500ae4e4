import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

import sweep
from sweep.experiment.outcomes.verdict import ORDER, WORDS
from sweep.report.figures import colours, curves, heatmap, style
from sweep.report.frames import seeds, text
from sweep.report.frames.measures import MEASURES
from tests.figures import heatmaps, overlaps, panel_of, shown
from tests.make import cell
from tests.studies import INITS, grid, stored


def test_a_panel_shows_depth_down_and_width_across(frames):
    panel, picture = panel_of(frames[0], row="xavier", col="tanh")
    places, texts = heatmap.grids(panel, picture)
    assert list(places.index) == [2, 8]
    assert list(places.columns) == [16, 300]
    value = panel.query("depth == 8 and width == 300")["value"].item()
    assert places.loc[8, 300] == pytest.approx(np.log10(value))
    assert texts.loc[8, 300] == text.number(value, 3)


def test_one_exploded_cell_does_not_eat_the_colour_scale(frames):
    places, texts = heatmap.grids(*panel_of(frames[0], row="big_normal", col="relu"))
    assert places.to_numpy().max() == colours.DECADES
    assert seeds.MARKS["exploding"] in texts.loc[8, 300]


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
        healthy = (cells["verdict"] == "healthy").groupby(cells["init"]).mean()
        assert sorted(labels) == sorted(INITS)
        assert list(healthy[labels]) == sorted(healthy, reverse=True), "what survives most comes first"
        assert labels[-1] != "kaiming"
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
        assert seeds.MARKS["failed"] in shown(ax)
        assert "failed" in figure._supxlabel.get_text()


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
    assert sorted(texts.index) == sorted(INITS)
    assert set(texts.index[:2]) == {"xavier", "kaiming"}, "not zeros first"
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


def test_the_verdict_map_has_words_and_says_how_many_seeds_agree(frames):
    cells = frames[0].copy()
    one = cells.query("init == 'xavier' and act == 'tanh' and depth == 8 and width == 300").index
    cells.loc[one[0], "verdict"] = "saturated"
    places, texts = heatmap.grids(*panel_of(cells, "verdict", row="xavier", col="tanh"))
    assert texts.loc[2, 300] == "healthy"
    assert texts.loc[8, 300] == "healthy\n2/3"
    assert places.loc[8, 300] == ORDER.index("healthy")


def test_a_study_whose_cells_all_failed_is_drawn(tmp_path, frames):
    failed = frames[0].assign(status="failed", verdict="failed", error="boom")
    with style.applied():
        (figure,) = heatmaps(failed).values()
        assert {text for ax in figure.axes for text in shown(ax)} == {seeds.MARKS["failed"]}
        (figure,) = heatmaps(failed, "verdict").values()
        assert {text for ax in figure.axes for text in shown(ax)} == {"failed"}


def test_a_statistic_that_is_nowhere_defined_is_said_to_be(frames):
    with style.applied():
        (figure,) = heatmaps(frames[0].assign(delta_std_first=np.nan), "delta_std_first").values()
    assert {text for ax in figure.axes for text in shown(ax)} == {"·"} | {
        f"·\n{mark}"
        for mark in seeds.MARKS.values()
        if mark in "".join(t for ax in figure.axes for t in shown(ax))
    }
    assert "· not defined" in " ".join(figure._supxlabel.get_text().split())


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


DEAD = [word for word in ORDER if word != "healthy"]


def plane(width=4, height=3):
    """Cells over width and depth of which each dies of another word, in turn, the last one apart."""
    words = [*DEAD, "healthy"]
    places = [(x, y) for y in range(height) for x in range(width)]
    rows = [
        {"width": x + 1, "depth": y + 1, "verdict": words[n % len(words)], "cell_id": f"c{n}"}
        for n, (x, y) in enumerate(places)
    ]
    common = {
        "init": "xavier", "init_params": "{}", "act": "tanh", "act_params": "{}", "widths": None, "batch": 9,
        "bias_std": 0.0, "dtype": "float32", "backward": True, "kernel_version": 1, "seed": 0, "std": 0.5,
        "verdict_layer": 1.0, "delta_std_first": 1.0,
    }  # fmt: skip
    frame = pd.DataFrame(rows).assign(**common)
    return frame.assign(status=np.where(frame["verdict"] == "failed", "failed", "ok"))


def test_no_map_shows_a_dead_network_unmarked_whatever_it_died_of():
    cells = plane()
    with style.applied():
        (figure,) = heatmaps(cells).values()
    texts = shown(figure.axes[0])
    for word, written in zip([*DEAD, "healthy"], texts, strict=True):
        assert written.splitlines()[-1] == (WORDS[word].mark or "0.500"), word
    legend = figure._supxlabel.get_text().replace("\n", " ")
    assert all(WORDS[word].legend in " ".join(legend.split()) for word in DEAD)


def test_small_squares_are_marked_too_and_a_map_of_verdicts_has_a_key_of_colours():
    cells = plane(width=20, height=5)
    with style.applied():
        (figure,) = heatmaps(cells, x="width", y="depth").values()
        (words,) = heatmaps(cells, "verdict", x="width", y="depth").values()
    ax = figure.axes[0]
    assert shown(ax) == []
    marks = {c.get_gid(): len(c.get_offsets()) for c in ax.collections if c.get_gid()}
    assert marks == cells[cells["verdict"] != "healthy"]["verdict"].value_counts().to_dict()
    died = cells[cells["verdict"] == "collapsed"]
    (own,) = [c for c in ax.collections if c.get_gid() == "collapsed"]
    at = {(x - 0.5, y - 0.5) for x, y in own.get_offsets().tolist()}
    assert at == set(zip(died["width"] - 1.0, died["depth"] - 1.0, strict=True))
    assert [label.get_text() for label in words.axes[-1].get_yticklabels()] == [*DEAD, "healthy"]


def test_a_square_without_a_network_has_a_key():
    cells = plane()
    with style.applied():
        (whole,) = heatmaps(cells).values()
        (holed,) = heatmaps(cells.drop(index=4)).values()
    assert "grey squares" not in whole._supxlabel.get_text()
    assert "grey squares: networks that are not in this study" in holed._supxlabel.get_text()


def test_what_was_not_measured_is_not_said_of_a_healthy_network():
    cells = plane()
    with style.applied():
        (measured,) = heatmaps(cells, "verdict").values()
        (forward,) = heatmaps(cells.assign(delta_std_first=np.nan), "verdict").values()
    assert "gradients" not in measured._supxlabel.get_text()
    said = " ".join(forward._supxlabel.get_text().split())
    assert "healthy refers to the signal alone: gradients were not measured" in said


STDS = st.lists(st.floats(1e-4, 1e4).map(lambda x: float(f"{x:.6g}")), min_size=2, max_size=5, unique=True)
SLOPES = st.lists(st.floats(0.01, 0.5), min_size=1, max_size=3, unique=True)


@settings(max_examples=15)
@given(STDS, SLOPES, st.lists(st.integers(1, 10**6), min_size=1, max_size=2, unique=True))
def test_no_two_panels_of_a_figure_have_one_title(stds, slopes, batches):
    one = plane(2, 2)
    cells = pd.concat(
        one.assign(
            init="truncated_normal",
            init_params=f'{{"mean": 0.0, "std": {std!r}, "low": -2.0, "high": 2.0}}',
            act="leaky_relu",
            act_params=f'{{"negative_slope": {slope!r}}}',
            batch=batch,
        )
        for std in stds
        for slope in slopes
        for batch in batches
    )
    with style.applied():
        figures = heatmaps(cells, x="width", y="depth")
        titles = [ax.get_title(loc="left") for figure in figures.values() for ax in figure.axes]
    titles = [" ".join(title.split()) for title in titles if title]
    assert len(set(titles)) == len(titles) == len(stds) * len(slopes) * len(batches)
