import os
import uuid

import numpy as np
import pytest

import sweep
from sweep.base.errors import RequestError
from sweep.report import draw
from sweep.report.figures import curves, gradients, histograms, network, style, theory
from sweep.report.frames.labels import add_labels
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.seeds import average_over_seeds, by_layer
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
    assert f'pd.read_parquet("{study}/cells")' in report.read("index.html").decode()


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
