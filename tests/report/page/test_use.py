"""What a reader does with the page: filters, picks columns, downloads, keeps a link, compares, prints."""

import re

import numpy as np
import pandas as pd
import pytest

from sweep.experiment.outcomes.verdict import ORDER
from sweep.report.page import data
from sweep.store.places.local import Local
from tests.browser import opened
from tests.make import cell
from tests.report.page.pages import count_of, drawn, labels_of, names_of, written
from tests.studies import grid, stored

FILTERS = {
    "depth<5": lambda r: r["depth"] < 5,
    "depth >= 5 width<20": lambda r: (r["depth"] >= 5) & (r["width"] < 20),
    "std>=0.1": lambda r: r["value:std"] >= 0.1,
    "std<1e-3": lambda r: r["value:std"] < 1e-3,
    "rms<inf act=relu": lambda r: (r["value:rms"] < np.inf) & (r["act_label"] == "relu"),
    "theory_std>0.5": lambda r: r["theory:std"] > 0.5,
    "verdict=healthy": lambda r: r["verdict"] == "healthy",
    "verdict!=healthy depth<=2": lambda r: (r["verdict"] != "healthy") & (r["depth"] <= 2),
    "init!=xavier xavier": lambda r: r["depth"] < 0,
    "NORMAL depth=8": lambda r: r["init_label"].str.contains("normal") & (r["depth"] == 8),
    "seeds=3 init=kaiming": lambda r: r["init_label"] == "kaiming",
}


@pytest.fixture(scope="module")
def rows(study):
    return data.networks(study[1])


@pytest.mark.parametrize("text", FILTERS)
def test_a_filter_leaves_what_it_says(text, opened_page, rows):
    opened_page.fill("#filter", text)
    left = int(FILTERS[text](rows).sum())
    count = count_of(opened_page)
    assert re.search(r"(\d+)( of 32)? networks$", count)[1] == str(left), count
    assert opened_page.inner_text("#filter-complaint") == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [("dept<5", "no column 'dept'"), ("depth<five", "'five' is not a number"), ("depth<", "not finished")],
)
def test_a_filter_that_cannot_be_says_why(text, words, opened_page):
    opened_page.fill("#filter", text)
    assert words in opened_page.inner_text("#filter-complaint")
    assert count_of(opened_page) == "0 of 32 networks"


def test_parameters_are_filtered_by_their_name(tmp_path, browser, study):
    _, cells, layers = study
    cells = cells.assign(init="normal")
    cells["init_params"] = [f'{{"std": {10.0 ** -(1 + i % 3)}}}' for i in range(len(cells))]
    rows = data.networks(cells)
    with opened(browser, written(Local(tmp_path), tmp_path / "s", cells, layers)) as shown:
        shown.fill("#filter", "init.std<0.05")
        assert count_of(shown).endswith(
            f"{(rows['init_label'] != 'normal std=0.1').sum()} of {len(rows)} networks"
        )
        shown.fill("#filter", "std=0.01")  # as it is read
        assert count_of(shown).endswith(
            f"{(rows['init_label'] == 'normal std=0.01').sum()} of {len(rows)} networks"
        )


def test_columns_can_be_chosen_but_none_that_tells_rows_apart(opened_page):
    heads = "all => all.map(one => one.dataset.name)"
    before = opened_page.eval_on_selector_all("#table th", heads)
    assert "dead" not in before
    opened_page.click("summary")
    opened_page.check("#columns input[value=dead]")
    opened_page.uncheck("#columns input[value=mean]")
    after = opened_page.eval_on_selector_all("#table th", heads)
    assert set(after) == (set(before) | {"dead"}) - {"mean"}
    fixed = opened_page.eval_on_selector_all("#columns input:disabled", "all => all.map(one => one.value)")
    assert fixed == ["init", "act", "depth", "width"]


def test_the_download_has_the_rows_and_columns_that_are_shown(opened_page, rows, tmp_path):
    opened_page.fill("#filter", "act=tanh depth>2")
    opened_page.click('#table th[data-name="std"] button')
    opened_page.click("summary")
    opened_page.check("#columns input[value=neuron_corr]")
    with opened_page.expect_download() as started:
        opened_page.click("#download")
    assert started.value.suggested_filename == "study.csv"
    started.value.save_as(tmp_path / "table.csv")
    table = pd.read_csv(tmp_path / "table.csv")
    own = rows[(rows["act_label"] == "tanh") & (rows["depth"] > 2)].sort_values("value:std")
    assert table["init"].tolist() == own["init_label"].tolist()
    assert table.columns.tolist() == opened_page.eval_on_selector_all(
        "#table th", "all => all.map(one => one.dataset.name)"
    )
    for name in ("std", "neuron_corr", "theory_std"):
        column = "theory:std" if name == "theory_std" else f"value:{name}"
        np.testing.assert_allclose(table[name].to_numpy(float), own[column].to_numpy(float), rtol=1e-5)


def test_a_link_opens_the_same_view(opened_page, browser, file):
    drawn(opened_page)
    assert "#" not in opened_page.url
    opened_page.select_option("#stat", "flat")
    drawn(opened_page, "flat")
    opened_page.select_option("#rows", "")
    opened_page.select_option("#held-init", label="kaiming")
    opened_page.fill("#filter", "depth>2 verdict=healthy")
    opened_page.click('#table th[data-name="std"] button')
    opened_page.click('#table th[data-name="std"] button')
    opened_page.click("summary")
    opened_page.check("#columns input[value=dead]")
    opened_page.locator('#map .square[aria-label^="kaiming × relu, depth 8, width 16"]').click()
    opened_page.click("#pin")
    opened_page.locator('#map .square[aria-label^="kaiming × tanh, depth 2, width 60"]').click()
    opened_page.select_option("#curve", "flat")
    opened_page.wait_for_selector('#detail[data-curve="flat"]')
    fragment = opened_page.url.partition("#")[2]
    assert opened_page.get_attribute("#link", "href") == f"#{fragment}"
    seen = [
        opened_page.inner_text(name)
        for name in ("#map-name", "#table", "#count", "#detail-title", "#comparison")
    ]
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    again = context.new_page()
    again.goto(f"{file.as_uri()}#{fragment}")
    again.wait_for_selector("body[data-ready=yes]")
    assert [
        again.inner_text(name) for name in ("#map-name", "#table", "#count", "#detail-title", "#comparison")
    ] == seen
    assert again.url.partition("#")[2] == fragment
    again.goto(f"{file.as_uri()}#stat=nothing&x=depth&y=depth&network.init=none&sort=what&page=x&columns=,")
    again.reload()
    again.wait_for_selector("body[data-ready=yes]")
    assert len(labels_of(again)) == 32
    context.close()


def test_two_networks_are_compared(opened_page, rows):
    drawn(opened_page)
    squares = [
        f'#map .square[aria-label^="{name} × tanh, depth 8, width 60"]' for name in ("xavier", "kaiming")
    ]
    opened_page.locator(squares[0]).click()
    opened_page.click("#pin")
    assert "choose the other" in opened_page.inner_text("#compare-hint")
    opened_page.locator(squares[1]).click()
    pinned, chosen = (opened_page.get_attribute(square, "data-point") for square in squares)
    opened_page.wait_for_selector(f'#detail[data-point="{chosen}"][data-pinned="{pinned}"]')
    text = opened_page.inner_text("#comparison")
    for point in (pinned, chosen):
        assert f"{rows['value:std'].iloc[int(point)]:.3f}" in text
    assert opened_page.locator("#curve-chart .mark-line path").count() >= 2
    assert "orange" in opened_page.inner_text("#curve-note")
    assert opened_page.locator("#map .frame.pinned").count() == 1
    opened_page.click("#pin")
    opened_page.wait_for_selector('#detail[data-pinned=""]')
    assert not opened_page.is_visible("#comparison")


def test_the_frame_of_the_chosen_square_lies_over_its_neighbours(opened_page):
    drawn(opened_page)
    opened_page.locator('#map .square[aria-label^="kaiming × relu, depth 2, width 16"]').click()
    whole = """() => {
        const frame = document.querySelector('#map .frame.chosen');
        const square = document.querySelector('#map .square.chosen');
        const [a, b] = [frame, square].map(one => one.getBoundingClientRect());
        const over = frame.parentNode.lastElementChild === frame && a.x === b.x && a.y === b.y;
        return over && a.width === b.width && getComputedStyle(frame).stroke;
    }"""
    assert opened_page.evaluate(whole) == "rgb(209, 73, 91)"


# ---- marks


def all_words(cells):
    """The cells with every verdict in turn, the same for the seeds of a network."""
    keys = cells.groupby(["init", "act", "depth", "width"]).ngroup()
    cells = cells.assign(verdict=[ORDER[key % len(ORDER)] for key in keys])
    return cells.assign(status=np.where(cells["verdict"] == "failed", "failed", "ok"))


def written_on(shown):
    """By network what its square says, and its verdict."""
    return shown.evaluate("""() => [...document.querySelectorAll('#map .square')].map(square => {
        const point = Number(square.dataset.point);
        const texts = [...document.querySelectorAll('#map .mark-text text')];
        const text = texts.find(one => one.__data__.datum && one.__data__.datum.point === point);
        return [word(point).word, text ? text.textContent : ''];
    })""")


def test_every_word_but_healthy_has_its_mark_and_its_legend_on_the_map(tmp_path, browser, study):
    cells = all_words(study[1])
    marks = {one["word"]: one["mark"] for one in data.payload(data.networks(cells), cells, study[2])["words"]}
    assert [word for word, mark in marks.items() if not mark] == ["healthy"]
    assert len(set(marks.values())) == len(marks)
    with opened(browser, written(Local(tmp_path), tmp_path / "s", cells, study[2])) as shown:
        said = written_on(shown)
        assert {word for word, _ in said} == set(ORDER)
        assert all(text.endswith(marks[word]) for word, text in said)
        legend = shown.inner_text("#legend")
        for word, mark in marks.items():
            assert word == "healthy" or re.search(rf"{re.escape(mark)}\s*{word}", legend)


def test_a_small_square_has_its_mark_too(tmp_path, browser, study):
    widths = range(8, 48)
    cells, layers = stored(
        tmp_path / "s", grid(("xavier",), ("tanh",), (1, 2), tuple(widths), (0,), batch=20)
    )
    cells = all_words(cells)
    with opened(browser, written(Local(tmp_path / "r"), tmp_path / "s", cells, layers)) as shown:
        said = written_on(shown)
        assert len(said) == 80
        content = data.payload(data.networks(cells), cells, layers)
        marks = {one["word"]: one["mark"] for one in content["words"]}
        assert all(text == marks[word] for word, text in said)


# ---- order and chaos


def test_a_plane_of_weights_and_biases_is_drawn_with_its_critical_line(tmp_path, browser):
    scales = [{"name": "variance_scaling", "scale": scale} for scale in (0.5, 1.5, 3.0)]
    cells, layers = stored(
        tmp_path / "s",
        [
            cell(init=i, act={"name": "tanh"}, depth=20, width=40, seed=0, batch=20, bias_std=b)
            for i in scales
            for b in (0.0, 0.1, 0.3)
        ],
    )
    (plane,) = data.payload(data.networks(cells), cells, layers)["planes"]
    assert len(plane["points"]) == 9
    for point in plane["points"]:
        (own,) = cells[
            np.isclose(cells["sigma_w"], point["sigma_w"], rtol=1e-5)
            & (cells["bias_std"] == point["sigma_b"])
        ]["sample_cosine"]
        silent = point["sigma_b"] == 0 and point["sigma_w"] <= 1  # in order without bias cosines stay 0
        assert np.isnan(point["cosine"]) if silent else point["cosine"] == pytest.approx(own, rel=1e-5)
    assert plane["line"][0] == pytest.approx([1, 0], abs=1e-6)  # tanh without bias
    with opened(browser, written(Local(tmp_path / "r"), tmp_path / "s", cells, layers)) as shown:
        shown.wait_for_selector('#plane-section[data-drawn="0"]')
        assert "variance_scaling × tanh: depth 20" in shown.inner_text("#plane-name")
        assert shown.locator("#plane-chart .mark-rect path").count() == 9
        assert shown.locator("#depth-chart .mark-symbol path").count() > 0
        assert not shown.is_visible("#plane-choice")


def test_other_studies_have_no_plane(opened_page):
    assert not opened_page.is_visible("#plane-section")


# ---- paper


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_prints_whole_dark_on_white_and_names_its_map(scheme, browser, file):
    with opened(browser, file, 700, scheme) as shown:  # a sheet of A4 between its margins, in px
        shown.emulate_media(media="print", color_scheme=scheme)
        shown.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        colours = shown.evaluate("""() => {
            const style = getComputedStyle(document.body);
            return [style.color, style.backgroundColor];
        }""")
        assert colours == ["rgb(34, 48, 60)", "rgb(255, 255, 255)"]
        assert shown.evaluate("document.documentElement.scrollWidth") <= 700
        assert shown.evaluate("document.querySelector('#table').getBoundingClientRect().right") <= 700
        assert shown.locator("#table tbody tr").count() == 32
        assert shown.is_visible("#map-name")
        assert shown.inner_text("#map-name").startswith(
            "std: std of the last layer; width across, depth down"
        )
        assert not shown.is_visible("#stat")
        shown.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert len(names_of(shown)) == 25


def test_printing_tells_the_page_so(browser, file):
    with opened(browser, file) as shown:
        shown.evaluate("window.addEventListener('beforeprint', () => { document.title = 'printed'; })")
        assert shown.pdf()[:4] == b"%PDF"
        assert shown.title() == "printed"
