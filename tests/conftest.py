import contextlib
import getpass
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest
from threadpoolctl import threadpool_limits

from sweep.store.study import Study
from tests import processes
from tests.warm import Warm

# Commands write into files here, whose lines are as long as they are; a test that wants a screen says so.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)
# Tests of compiled passes ask for them; what they compile is kept from one run of the tests to the next.
os.environ["SWEEP_PASSES"] = "numpy"
os.environ.setdefault("SWEEP_CACHE", str(Path(tempfile.gettempdir()) / f"sweep-tests-{getpass.getuser()}"))
# A shared machine may pause at any time: no example is too slow.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


# Modules that wait for other processes a long time: whoever begins with these is not left alone with one.
_LONG = (
    "dask", "slurm", "workers", "test_s3.py", "test_driver.py", "test_permissions.py", "test_command.py",
    "test_command_refusals.py", "test_command_interrupts.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not set(_LONG) & set(item.path.parts))


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


@pytest.fixture(scope="session", autouse=True)
def _nobody_outlives_the_tests():
    """Processes that fixtures of modules start, and theirs, end with them."""
    processes.mark()
    yield
    processes.none_left(set())


@pytest.fixture(autouse=True)
def _nobody_outlives_a_test(_nobody_outlives_the_tests):
    """What a test has started by `start` ends with it, however that ends; all else must have ended."""
    before = set(processes.marked())
    yield
    processes.end_all()
    processes.none_left(before)


@pytest.fixture(autouse=True)
def _no_figure_outlives_a_test():
    """Whoever draws on the current axes finds none of another test's."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def study(tmp_path):
    """A new study, empty."""
    made = Study(tmp_path / "grid")
    made.create()
    return made


@pytest.fixture(scope="session")
def warm(_nobody_outlives_the_tests):
    """What forks for commands."""
    with contextlib.closing(Warm()) as running:
        yield running


def _command(folder, begins):
    def run(*arguments, module="sweep", cwd=folder, **environment):
        command = [sys.executable, "-W", "error::RuntimeWarning", "-m", module, *arguments]
        begin = begins(cwd, environment)
        return processes.start(command, cwd, environment=environment, begin=begin).ended()

    return run


@pytest.fixture
def sweep_command(warm, tmp_path):
    """Run `python -m sweep…` in an empty folder, as a user does; the libraries are there (tests/warm.py)."""
    return _command(tmp_path, warm.begins)


@pytest.fixture
def cold_command(tmp_path):
    """Run `python -m sweep…` in an empty folder, as a user does, from the start of Python."""
    return _command(tmp_path, lambda *_: subprocess.Popen)


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Cells and layers of a study that the figures and the summaries are drawn from."""
    from tests.studies import grid, stored  # noqa: PLC0415

    return stored(tmp_path_factory.mktemp("grid") / "study", grid(), histogram=True)
