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
from tests.figures import cut_off, heatmaps, overlaps
from tests.make import cell
from tests.studies import grid, stored

STD = [MEASURES["std"]]
STANDARD = ("std", "verdict", "layers", "gradients", "theory")


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
        ("memory://x", "a folder on this mach"),
    ):
        with pytest.raises(RequestError, match=said):
            draw(tmp_path / "study", only=["heatmap"], to=to)


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
