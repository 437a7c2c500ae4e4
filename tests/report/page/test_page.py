"""The report's page: what is in it, and that a reader can use it in a browser."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from sweep.experiment.outcomes.verdict import DEFAULT
from sweep.kernel.statistics.correlation import CORRELATED_NEURONS, COSINE_SAMPLES
from sweep.report import page
from sweep.report.figures.colours import scale_of
from sweep.report.frames import fates
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.parameters import NONE
from sweep.report.page import data
from sweep.store.places.local import Local
from sweep.store.study import Study
from tests.browser import opened
from tests.make import cell
from tests.report.page.pages import drawn, labels_of, written
from tests.studies import stored

WIDTHS = (390, 1440)


# ---- what is in the page


def test_the_page_is_one_small_file_that_names_the_study_and_its_commands(study, file):
    text = file.read_text(encoding="utf-8")
    assert file.stat().st_size < 5e6
    assert "<title>study: does the signal survive?</title>" in text
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text.split("<script>")[0])
    for words in ("geometric", "rms &lt; 0.01 × the input", "pd.read_parquet", "kernel version"):
        assert words in text


def test_post_norm_networks_of_relu_have_a_word_on_their_gradients(study, tmp_path):
    folder, cells, layers = study
    assert 'id="against-the-tale"' not in page.html(Study(folder), cells, layers, DEFAULT, [])
    block = {"name": "post_ln"}
    own = tmp_path / "post"
    cells, layers = stored(own, [cell(act={"name": "relu"}, depth=2, width=16, batch=20, block=block)])
    text = page.html(Study(own), cells, layers, DEFAULT, [])
    assert "the gradient&#39;s ratio is 1 at every depth" in text


def test_every_network_has_its_mean_over_the_seeds_and_theory(study):
    _, cells, layers = study
    rows = data.networks(cells)
    content = data.payload(rows, cells, layers)
    assert len(content["verdict"]) == 4 * 2 * 2 * 2
    own = cells.query("init == 'xavier' and act == 'relu' and depth == 8 and width == 60")
    where = [
        i
        for i in range(len(rows))
        if [content["axes"][a][content["codes"][a][i]] for a in ("init", "act", "depth", "width")]
        == ["xavier", "relu", "8", "60"]
    ]
    (i,) = where
    assert content["stats"]["std"]["value"][i] == pytest.approx(np.exp(np.log(own["std"]).mean()), rel=1e-3)
    assert content["stats"]["std"]["high"][i] == pytest.approx(own["std"].max(), rel=1e-3)
    assert content["stats"]["std"]["theory"][i] == pytest.approx(own["theory_std"].iloc[0], rel=1e-3)
    assert content["seeds"][i] == 3
    layer = layers[layers["cell_id"].isin(own["cell_id"]) & (layers["layer"] == 4)]
    curve = content["curves"]["std"]["value"][i][content["curves"]["layers"][i].index(4)]
    assert curve == pytest.approx(np.exp(np.log(layer["std"]).mean()), rel=1e-3)


def test_the_answer_names_who_survives_and_who_dies_of_what(study):
    found = {one.act: one for one in fates.answers(data.networks(study[1]))}
    assert "kaiming" in {fate.init for fate in found["relu"].survivors}
    lost = {fate.init: (fate.word, fate.depth) for fate in found["relu"].casualties + found["relu"].limited}
    assert lost["small_normal"] == ("vanishing", None)
    assert lost["big_normal"] == ("exploding", 2)  # healthy at depth 2, no longer at 8
    assert "xavier" in {fate.init for fate in found["tanh"].survivors}
    assert fates.counts(data.networks(study[1])).endswith(".")


def test_the_columns_are_explained_with_the_samples_they_look_at(file):
    meanings = file.read_text(encoding="utf-8").partition('id="meanings"')[2].partition("</table>")[0]
    rows = dict(re.findall(r"<th scope=\"row\">(.+?)</th><td>(.+?)</td>", meanings))
    assert f"first {COSINE_SAMPLES} inputs" in rows["sample_cosine"]
    assert f"first {CORRELATED_NEURONS} neurons" in rows["neuron_corr"]
    for name, count in {"sample_cosine": COSINE_SAMPLES, "neuron_corr": CORRELATED_NEURONS}.items():
        assert f"first {count} " in MEASURES[name].title


values = st.one_of(st.integers(-3, 3), st.booleans(), st.sampled_from(["1", "true", "–", "null", "[8,8]"]))


@given(st.lists(st.one_of(values, st.floats(-2, 2), st.none()), min_size=1, max_size=12))
def test_no_two_values_of_an_axis_read_the_same(values):
    column = pd.Series(values, dtype=object, name="kernel_version")
    texts, codes = data._axis(column)
    assert len(set(texts)) == len(texts) == max(codes) + 1
    by_value = {}
    for value, code in zip(column.fillna(NONE), codes, strict=True):
        assert by_value.setdefault(value, code) == code


def test_networks_that_differ_in_the_last_letter_have_rows_options_and_panels_of_their_own(
    tmp_path, browser, study
):
    _, cells, layers = study
    names = {
        "xavier": "a_module_of_some_length.a_function_1",
        "kaiming": "a_module_of_some_length.a_function_2",
    }
    own = cells["init"].isin(list(names))
    cells = cells[own].copy()
    cells["init_params"] = [json.dumps({"function": names[init], "source": "s"}) for init in cells["init"]]
    cells["init"] = "custom"
    with opened(browser, written(Local(tmp_path / "report"), tmp_path / "s", cells, layers)) as shown:
        drawn(shown)
        panels = shown.evaluate("[...document.querySelectorAll('#map svg text')].map(t => t.textContent)")
        panels = [text for text in panels if "×" in text]
        assert len(set(panels)) == len(panels) == 4
        shown.select_option("#rows", "")
        drawn(shown, rows="")
        options = shown.eval_on_selector_all("#held-init option", "all => all.map(one => one.textContent)")
        assert sorted(options) == sorted(names.values())
        rows = shown.eval_on_selector_all("#table tbody tr", "all => all.map(one => one.textContent)")
        assert len(set(rows)) == len(rows) == 16


def test_failures_are_told_with_their_errors(study):
    folder, cells, layers = study
    cells = cells.copy()
    cells.loc[cells.index[:5], ["status", "error", "verdict"]] = ["failed", "MemoryError: <4 PiB>", "failed"]
    text = page.html(Study(folder), cells, layers, DEFAULT, [])
    assert "5 of 96 cells could not be computed" in text
    assert "MemoryError: &lt;4 PiB&gt;" in text


def large():
    """5,000 cells of one seed that nobody computed."""
    cells, layers = [], []
    for std in np.geomspace(0.01, 10, 50):
        for act in ("relu", "tanh", "gelu", "selu"):
            for depth in (2, 4, 8, 16, 32):
                for width in (16, 32, 64, 128, 256):
                    cells.append((f"{len(cells)}", act, depth, width, float(std)))
    columns = ["cell_id", "act", "depth", "width", "std_of_init"]
    frame = pd.DataFrame(cells, columns=columns).assign(
        init="normal", seed=0, widths=None, bias_std=0.0, batch=100
    )
    frame["init_params"] = [json.dumps({"std": std}) for std in frame.pop("std_of_init")]
    frame = frame.assign(
        act_params="{}", dtype="float32", backward=True, kernel_version="1", run_id="r", error=None
    )
    frame = frame.assign(status="ok", seconds=0.1, verdict="healthy", verdict_layer=np.nan)
    frame["sigma_w"] = frame["width"] ** 0.5 / 10
    rng = np.random.default_rng(0)
    for name in MEASURES:
        if name not in frame:
            frame[name] = rng.lognormal(size=len(frame))
    layers = frame.loc[frame.index.repeat(frame["depth"] + 1), ["cell_id", "depth"]].reset_index(drop=True)
    layers["layer"] = layers.groupby("cell_id").cumcount()
    for name in data.CURVES:
        layers[name] = rng.lognormal(size=len(layers))
    return frame, layers


def test_five_thousand_cells_make_a_page_that_a_browser_opens(tmp_path, browser):
    cells, layers = large()
    file = written(Local(tmp_path / "report"), tmp_path / "large", cells, layers)
    assert file.stat().st_size < 8e6
    with opened(browser, file) as shown:
        assert shown.inner_text("#count") == "1–25 of 5000 networks"
        assert len(labels_of(shown)) <= 48 * 25
        shown.fill("#filter", "tanh depth=32 width=256")
        shown.wait_for_function("document.getElementById('count').textContent.includes('50 of 5000')")


# ---- in a browser


def test_the_statistic_and_the_axes_can_be_changed(opened_page, study):
    drawn(opened_page)
    assert len(labels_of(opened_page)) == 32
    opened_page.select_option("#stat", "flat")
    drawn(opened_page, "flat")
    assert all(": flat " in label for label in labels_of(opened_page))
    opened_page.select_option("#x", "act")  # the two change places
    drawn(opened_page, "flat", x="act", cols="width")
    assert len(labels_of(opened_page)) == 32
    opened_page.select_option("#rows", "")
    drawn(opened_page, "flat", x="act", cols="width", rows="")
    opened_page.select_option("#held-init", label="xavier")
    opened_page.wait_for_function(
        "[...document.querySelectorAll('#map .square')].every(s => s.ariaLabel.startsWith('xavier'))"
    )
    assert len(labels_of(opened_page)) == 8
    opened_page.select_option("#stat", "verdict")
    drawn(opened_page, "verdict", x="act", cols="width", rows="")
    assert "healthy" in opened_page.inner_text("#legend")


@pytest.mark.parametrize("value", ["std", "grad_rms", "mean", "flat"])  # a scale of every kind
def test_every_square_has_the_colour_that_a_figure_gives_its_value(value, opened_page, study):
    drawn(opened_page)
    opened_page.select_option("#stat", value)
    drawn(opened_page, value)
    painted = opened_page.eval_on_selector_all(
        "#map .square", "all => all.map(one => [Number(one.dataset.point), one.getAttribute('fill')])"
    )
    values = data.networks(study[1])[f"value:{value}"]
    scale = scale_of(MEASURES[value], values)
    expected = scale.colours(scale.norm(scale.positions(values.to_frame())[values.name]))
    assert len(painted) == len(expected) == 32
    for point, fill in painted:
        # The page rounds values to six digits: one step of the ramp either way.
        np.testing.assert_allclose(to_rgb(fill), expected[point][:3], atol=0.02)


def test_hovering_tells_value_spread_theory_and_verdict(opened_page):
    drawn(opened_page)
    square = opened_page.locator('#map .square[aria-label^="xavier × tanh, depth 8, width 60"]')
    square.hover()
    tooltip = opened_page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    text = tooltip.inner_text()
    for words in ("xavier × tanh, depth 8, width 60", "±", "theory", "healthy", "seeds"):
        assert words in text


def test_a_click_shows_that_networks_layers(opened_page):
    drawn(opened_page)
    square = opened_page.locator('#map .square[aria-label^="kaiming × relu, depth 8, width 16"]')
    square.click()
    point = square.get_attribute("data-point")
    opened_page.wait_for_selector(f'#detail[data-point="{point}"][data-curve="std"]')
    assert opened_page.inner_text("#detail-title") == "kaiming × relu, depth 8, width 16"
    assert opened_page.locator("#curve-chart svg path[stroke]").count() > 0
    assert "verdict healthy" in opened_page.inner_text("#detail-text")
    opened_page.select_option("#curve", "flat")
    opened_page.wait_for_selector('#detail[data-curve="flat"]')


def test_the_map_is_walked_and_chosen_with_the_keyboard(opened_page):
    drawn(opened_page)
    opened_page.locator("#rows").focus()
    opened_page.keyboard.press("Tab")  # one press from the last control: the frame is no stop
    focused = "document.activeElement.getAttribute('aria-label')"
    start = opened_page.evaluate(focused)
    assert opened_page.evaluate("document.activeElement.matches('#map .square.chosen')")
    opened_page.keyboard.press("ArrowUp")
    above = opened_page.evaluate(focused)
    assert above != start
    point = opened_page.evaluate("document.activeElement.dataset.point")
    opened_page.keyboard.press("Enter")
    opened_page.wait_for_selector(f'#detail[data-point="{point}"]')
    opened_page.keyboard.press("ArrowDown")
    assert opened_page.evaluate(focused) == start
    assert opened_page.locator("#map .square.chosen").get_attribute("aria-label") == above


def test_the_table_is_sorted_and_filtered(opened_page):
    names = opened_page.eval_on_selector_all("#table th", "all => all.map(one => one.dataset.name)")
    place = names.index("std")
    column = f"all => all.map(row => parseFloat(row.cells[{place}].textContent))"
    header = opened_page.locator('#table th[data-name="std"]')
    header.locator("button").click()
    values = opened_page.eval_on_selector_all("#table tbody tr", column)
    assert values == sorted(values)
    assert header.get_attribute("aria-sort") == "ascending"
    header.locator("button").click()
    values = opened_page.eval_on_selector_all("#table tbody tr", column)
    assert values == sorted(values, reverse=True)
    opened_page.click("#next")
    assert opened_page.inner_text("#count") == "26–32 of 32 networks"
    opened_page.fill("#filter", "xavier depth=8")
    assert opened_page.inner_text("#count") == "4 of 32 networks"
    opened_page.fill("#filter", "")
    opened_page.select_option("#verdict-filter", "exploding")
    assert "of 32 networks" in opened_page.inner_text("#count")
    opened_page.locator("#table tbody tr .link").first.click()
    opened_page.wait_for_function("document.getElementById('detail-text').textContent.includes('exploding')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_serious_and_nothing_overflows(browser, file, width, scheme):
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="axe-core-python is not installed")
    with opened(browser, file, width, scheme) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        found = axe.Axe().run(shown)["violations"]
        serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
        assert serious == []


def test_without_javascript_the_answer_and_the_method_are_there(browser, file):
    with opened(browser, file, javascript=False) as shown:
        assert "kaiming to depth 8" in shown.inner_text("main")
        assert "need JavaScript" in shown.inner_text("main")


def test_names_with_markup_are_shown_as_text(tmp_path, browser, study):
    _, cells, layers = study
    names = {"xavier": "<b>", "kaiming": "a_b$c$", "small_normal": "</script><script>alert(1)</script>"}
    cells = cells.copy()
    for name, hostile in names.items():
        own = cells["init"] == name
        cells.loc[own, "init_params"] = json.dumps({"function": hostile, "source": "s"})
        cells.loc[own, "init"] = "custom"
    file = written(Local(tmp_path / "report"), tmp_path / "<i>study", cells, layers)
    with opened(browser, file) as shown:
        text = shown.inner_text("main")
        for hostile in names.values():
            assert hostile in text
        assert any("a_b$c$" in label for label in labels_of(shown))
        assert shown.locator("main b", has_text="<b>").count() > 0
        assert shown.locator("b b").count() == 0


def test_one_cell_makes_a_page(tmp_path, browser):
    frames = stored(tmp_path / "one", [cell(depth=1, width=4, batch=10)])
    with opened(browser, written(Local(tmp_path / "report"), tmp_path / "one", *frames)) as shown:
        assert len(labels_of(shown)) == 1
        assert shown.inner_text("#count") == "1 network"


def test_all_cells_failed_makes_a_page(tmp_path, browser):
    cells, layers = stored(tmp_path / "one", [cell(depth=1, width=4, batch=10)])
    cells = cells.assign(status="failed", verdict="failed", error="boom", std=np.nan, rms=np.nan)
    file = written(Local(tmp_path / "report"), tmp_path / "one", cells, layers.iloc[:0])
    with opened(browser, file) as shown:
        assert "boom" in shown.inner_text("main")
