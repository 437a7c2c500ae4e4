"""The page's map of trained networks: there where there are any, with theory's lines, one at a time."""

from sweep.store.study import Study
from tests.browser import opened
from tests.make import cell
from tests.report.page.pages import written
from tests.studies import stored

SGD = {"name": "sgd", "data": "mixture", "steps": 20, "lr": 0.1}


def test_a_study_of_trainings_has_a_map_for_each_and_a_tooltip_for_every_square(browser, tmp_path):
    cells = [
        cell(
            init={"name": "variance_scaling", "scale": scale}, act={"name": act}, bias_std=0.2,
            depth=depth, width=16, batch=20, train=SGD,
        )
        for scale in (0.2, 1.0, 3.0)
        for act in ("tanh", "relu")
        for depth in (1, 3, 12)
    ]  # fmt: skip
    folder = tmp_path / "study"
    file = written(Study(folder).report, folder, *stored(folder, cells))
    with opened(browser, file) as page:
        page.wait_for_selector("#lesson-section[data-drawn='0'] svg")
        assert page.locator("#lesson-chart svg .mark-rect path").count() == 9
        assert "20 steps of 128 inputs of the mixture, step 0.1" in page.inner_text("#lesson-name")
        page.select_option("#lesson", "1")
        page.wait_for_selector("#lesson-section[data-drawn='1']")
        assert page.inner_text("#lesson-name").startswith("relu")


def test_a_study_without_trainings_has_no_such_section(opened_page):
    assert not opened_page.locator("#lesson-section").is_visible()
