import html
import os
import uuid

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.base.errors import RequestError
from sweep.report import draw, terminal
from sweep.report.figures import curves, gradients, histograms, network, style, theory
from sweep.report.frames.labels import add_labels
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.seeds import average_over_seeds, by_depth, by_layer
from sweep.report.page.data import networks, payload
from sweep.store.study import Study
from tests.figures import cut_off, heatmaps, overlaps, shown
from tests.make import cell
from tests.studies import INITS, grid, stored

STD = [MEASURES["std"]]
STANDARD = ("std", "verdict", "layers", "gradients", "theory")


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
        figure = network.picture(cells.iloc[0], layers)
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


def test_figures_are_drawn_where_the_study_is_whatever_keeps_it():
    pytest.importorskip("fsspec", reason="the extra s3 is not installed")
    study = f"memory://{uuid.uuid4()}/deep"
    stored(study, grid(("xavier",), ("tanh",), (2,), (16,)))
    report = Study(study).report
    report.write("std-9.png", b"old")
    files = draw(study)
    assert "std-9.png" not in report.files("")
    assert sorted(files) == sorted(f"{study}/report/{name}" for name in report.files(""))
    assert f'pd.read_parquet("{study}/cells")' in html.unescape(report.read("index.html").decode())


def test_a_figure_is_there_as_a_whole_or_as_it_was(tmp_path, monkeypatch):
    stored(tmp_path / "study", grid(("xavier",), ("tanh",), (2,), (16,)))
    draw(tmp_path / "study", only=["heatmap"])
    report = tmp_path / "study" / "report"
    before = {path.name: path.read_bytes() for path in report.iterdir()}
    (report / "std.svg").rename(tmp_path / "mine.svg")
    (report / "std.svg").symlink_to(tmp_path / "mine.svg")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            sweep.StoreError, match=r"cannot write the figures to .*: No space left on device"
        ):
            draw(tmp_path / "study", only=["heatmap"])
    assert {path.name: path.read_bytes() for path in report.iterdir()} == before
    draw(tmp_path / "study", only=["heatmap"])
    assert {path.name: path.read_bytes() for path in report.iterdir()} == before
    assert not (report / "std.svg").is_symlink(), "what a link leads to is nobody's to write"


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


def test_every_init_is_drawn_at_its_own_greatest_depth_and_width(tmp_path):
    cells = grid(("xavier",), ("tanh",), (8,), (30,)) + grid(("kaiming",), ("tanh",), (3,), (16,))
    found = by_layer(*stored(tmp_path / "a", cells), STD)
    assert found.groupby("line")["layer"].max().to_dict() == {"xavier": 8, "kaiming": 3}


def test_a_signal_that_overflows_can_be_drawn(tmp_path):
    one = cell(init={"name": "huge_normal"}, act={"name": "relu"}, depth=250, width=30, batch=20)
    cells, layers = stored(tmp_path / "a", [one], histogram=True)
    assert np.isinf(layers["std"]).any()
    assert draw(tmp_path / "a")
    with style.applied():
        assert overlaps(network.picture(cells.iloc[0], layers)) == []


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


@pytest.mark.parametrize("size", ["tiny", "usual", pytest.param("large", marks=pytest.mark.slow)])
def test_no_label_is_cut_off_or_overlaps_another(size, tmp_path, frames):
    if size == "tiny":
        frames = stored(tmp_path / "study", grid(("xavier",), ("tanh",), (2,), (16,)), histogram=True)
    elif size == "large":
        frames = many_inits(tmp_path)
    with style.applied():
        for figure in every_figure(*frames):
            assert overlaps(figure) == []
            assert cut_off(figure) == []


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


def test_a_signal_that_has_vanished_is_0_for_every_seed_in_tables_curves_and_pages(tmp_path):
    """One average over the seeds: that of the cells is the curve's last point, zeros included."""
    cells = grid(("zeros", "xavier", "huge_normal"), ("relu",), (60,), (8,), seeds=(0, 1, 2))
    cells, layers = stored(tmp_path / "study", cells)
    names = ("rms", "std", "mean", "flat")
    measures = [MEASURES[name] for name in names]
    table = average_over_seeds(add_labels(cells), measures)
    curves_end = by_layer(cells, layers, measures).query("layer == depth")
    assert (table["value:std"] == 0).any()
    for column in [f"{part}:{name}" for part in ("value", "low", "high", "theory") for name in names]:
        np.testing.assert_array_equal(curves_end[column], table[column].astype(float))
    page = payload(networks(cells), cells, layers)
    assert [curve[-1] for curve in page["curves"]["std"]["value"]] == page["stats"]["std"]["value"]
    with style.applied():
        assert curves.figures(cells, layers)


def test_a_study_is_drawn_by_its_url_and_elsewhere_by_another(sweep_command, tmp_path):
    stored(tmp_path / "study", [cell(width=8, batch=20)])
    url = f"file://{tmp_path}"
    done = sweep_command(f"{url}/study", "--only", "heatmap", module="sweep.report")
    assert (done.returncode, done.stdout.split()[0]) == (0, str(tmp_path / "study" / "report" / "std.png"))
    done = sweep_command("study", "--only", "heatmap", "--to", f"{url}/figures", module="sweep.report")
    assert (done.returncode, done.stdout.split()[0]) == (0, str(tmp_path / "figures" / "std.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures", "study"]
    for to, said in (
        (f"{url}/study/cells", "among a study's tables"),
        ("memory://x", "a folder of this mach"),
    ):
        with pytest.raises(RequestError, match=said):
            draw(tmp_path / "study", only=["heatmap"], to=to)


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


def test_the_panels_of_gradients_are_spread_where_there_are_too_many(tmp_path):
    cells = [cell(init={"name": "normal", "std": 0.01 * k}, depth=1, width=4, batch=8) for k in range(1, 31)]
    with style.applied():
        pages = gradients.figures(*stored(tmp_path / "a", cells))
    titles = [ax.get_title(loc="left") for page in pages.values() for ax in page.axes]
    assert len(titles) == 14
    assert (titles[0], titles[-1]) == ("normal std=0.01 × tanh", "normal std=0.3 × tanh")
    assert "16 more panels left out" in pages["gradients-1"]._supxlabel.get_text().replace("\n", " ")


def test_a_table_that_samples_keeps_rows_that_can_be_compared():
    rows = [(scale, bias) for scale in range(1, 13) for bias in range(7)]
    common = {
        "init": "normal", "act": "tanh", "act_params": "{}", "depth": 2, "width": 8, "widths": None,
        "batch": 9, "dtype": "float32", "backward": True, "kernel_version": 1,
        "seed": 0, "status": "ok", "std": 1.0, "verdict": "healthy", "verdict_layer": 1.0,
        "delta_std_first": 1.0,
    }  # fmt: skip
    cells = pd.DataFrame(
        {"init_params": [f'{{"std": {scale}}}' for scale, _ in rows], "bias_std": [b / 10 for _, b in rows]}
    ).assign(**common)
    table = by_depth(cells, 6)
    assert table.keys == ("init", "act", "bias_std")
    inits, biases = ({key[at] for key, _ in table.rows} for at in (0, 2))
    assert len(table.rows) == len(inits) * len(biases) <= 60, "every combination is there"
    assert "(56 of 84 rows: 8 of 12 inits)" in table.caption


@pytest.mark.parametrize(
    "others", [[{"width": 16, "depth": 10}], [{"widths": [16, 8]}, {"width": 8, "depth": 2}]]
)
def test_tapered_and_square_networks_share_a_report(tmp_path, capsys, others):
    tapered = cell(widths=[78, 51, 25, 12], batch=20)
    cells, _ = stored(tmp_path / "study", [tapered, *(cell(batch=20, **one) for one in others)])
    terminal.show_grid(cells)
    assert "widths=[78,51,25,12] to depth 3" in " ".join(capsys.readouterr().out.split())
    files = {path.name: path for path in draw(tmp_path / "study")}
    assert {f"{name}.png" for name in ("std", "verdict", "layers", "theory")} <= files.keys()
    texts = [files[name].read_text(encoding="utf-8") for name in files if not name.endswith(".png")]
    assert any("widths=[78,51,25,12]" in text for text in texts)
    assert not any("widths=nan" in text or "widths=null" in text for text in texts)
