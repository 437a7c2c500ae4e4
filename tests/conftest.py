import os
import subprocess
import sys

import pytest
from threadpoolctl import threadpool_limits

from sweep.store import Study


def _no_skip(report):
    """What may be absent on a user's machine is installed in CI: there a skip is a failure."""
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    return _no_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    return _no_skip((yield))


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread():
    """As every worker computes; small products are also quicker so."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def study(tmp_path):
    """A new study, empty."""
    made = Study(tmp_path / "grid")
    made.create()
    return made


@pytest.fixture
def sweep_command(tmp_path):
    """Run `python -m sweep…` in an empty folder, as a user does."""

    def run(*arguments, module="sweep", cwd=tmp_path, timeout=300, **environment):
        return subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-m", module, *arguments],
            cwd=cwd,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Cells and layers of a study that the figures and the summaries are drawn from."""
    from tests.studies import grid, stored  # noqa: PLC0415

    return stored(tmp_path_factory.mktemp("grid") / "study", grid(), histogram=True)
