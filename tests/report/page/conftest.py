"""One study, its page, and a browser for all tests of the page."""

import pytest

from sweep.store.study import Study
from tests.browser import chromium, opened
from tests.report.page.pages import written
from tests.studies import grid, stored


@pytest.fixture(scope="package")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "study"
    cells = grid(("small_normal", "big_normal", "xavier", "kaiming"), depths=(2, 8), widths=(16, 60))
    return folder, *stored(folder, cells)


@pytest.fixture(scope="package")
def file(study):
    report = Study(study[0]).report
    report.write("std.svg", b"")
    return written(report, *study)


@pytest.fixture(scope="package")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def opened_page(browser, file):
    with opened(browser, file) as shown:
        yield shown
