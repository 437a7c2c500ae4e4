import subprocess
import sys
from functools import cache

import pandas as pd
import pyarrow.parquet as pq
import pytest

import sweep
from tests.execution.workers.daemons import Dask, Slurm
from tests.processes import ROOT, start
from tests.users import Gate

# Cheap cells, and enough of them that a scheduler's part in it is seen.
GRID = (
    "-m", "grid=smoke", "init=xavier,kaiming", "act=tanh,relu", "depth=2", "width=8", "batch=20",
    "seed=range(0,500)", "report=false",
)  # fmt: skip


FIRST_WIDTH = 512


def held(cells, study, *sizes):
    """A grid of so many widths, from FIRST_WIDTH on, in tasks of a cell or two; a Gate may hold some."""
    named = {argument.partition("=")[0] for argument in sizes}
    large = [size for size in ("depth=40", "batch=200") if size.partition("=")[0] not in named]
    return (
        "-m", "grid=smoke", *Gate.arguments, *sizes, "act=tanh", f"study={study}",
        f"width=range({FIRST_WIDTH},{FIRST_WIDTH + cells})", *large, "seed=0", "report=false",
    )  # fmt: skip


def gate(folder, held, cells=None):
    """One that holds so many of the widths of `held`, of which there are `cells`: those that come last.

    A run beside others, as an element is beside its driver, takes its tasks in an order of its own.
    """
    widths = range(FIRST_WIDTH, FIRST_WIDTH + (cells or held))
    return Gate(folder, *widths, passes=len(widths) - held)


class Commands:
    """`python -m sweep …` in a folder of its own, as a user of a cluster types it."""

    def __init__(self, folder, environment, begins=lambda *_: subprocess.Popen):
        self.folder = folder
        self.begins = begins  # (folder, environment) -> how to begin a command that is waited for
        # Users' functions are found where the tests are, whatever the working directory.
        self.environment = {"PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(self.state)} | environment

    @property
    def state(self):
        """What programs keep for this user, beside the folder."""
        return self.folder.with_name(f"{self.folder.name}-state")

    def start(self, *arguments, module="sweep", begin=subprocess.Popen, **environment):
        command = [sys.executable, "-W", "error::RuntimeWarning", "-m", module, *arguments]
        return start(command, self.folder, environment=self.environment | environment, begin=begin)

    def __call__(self, *arguments, **environment):
        begin = self.begins(self.folder, self.environment | environment)
        return ended(self.start(*arguments, begin=begin, **environment))

    def table(self, study="smoke", root="outputs"):
        """What is stored, cell by cell, but for what differs from run to run."""
        cells = sweep.load(self.folder / root / study).set_index("cell_id").sort_index()
        return cells.drop(columns=["seconds", "run_id"])

    def layers(self, study="smoke"):
        """What is stored, layer by layer."""
        layers = sweep.load(self.folder / "outputs" / study, table="layers")
        return layers.set_index(["cell_id", "layer"]).sort_index()


FAST = {"SWEEP_PASSES": ""}  # the environment of who may compile


def kinds(commands, study="smoke"):
    """The kinds of passes that computed the parts of a study, as these say."""
    parts = (commands.folder / "outputs" / study).glob("*/[!.]*.parquet")
    return {pq.read_schema(part).metadata.get(b"passes", b"").decode() for part in parts}


def assert_near(commands, other):
    """Both have stored the grid with the same numbers, but for what one rounding makes of them."""
    pd.testing.assert_frame_equal(commands.layers(), other.layers(), rtol=1e-5, atol=1e-6)


def ended(process):
    """The finished command, which has shown no traceback."""
    done = process.ended()
    assert "Traceback" not in done.stderr, done.stderr
    return done


def assert_equal(commands, other):
    """Both have stored the grid, every cell and every layer, with the same numbers.

    Bit for bit, since whoever computes this grid keeps its seeds whole, and products of the same shapes
    are the same. Where shares tear a seed's chains apart, numbers agree within 1e-5.
    """
    pd.testing.assert_frame_equal(commands.table(), other.table(), check_exact=True)
    pd.testing.assert_frame_equal(commands.layers(), other.layers(), check_exact=True)


@pytest.fixture(scope="session")
def computed_here(warm, tmp_path_factory):
    """A grid as this machine alone computes it."""

    @cache
    def run(*grid):
        commands = Commands(tmp_path_factory.mktemp("here"), {}, warm.begins)
        done = commands(*grid)
        assert done.returncode == 0, done.stderr
        return commands

    return run


@pytest.fixture
def commands(warm, tmp_path):
    """Those of a machine without Slurm; what is waited for is forked (tests/warm.py)."""
    return Commands(tmp_path, {}, warm.begins)


@pytest.fixture
def dask(tmp_path_factory):
    pytest.importorskip("distributed")
    with Dask(tmp_path_factory.mktemp("dask")) as running:
        yield running


@pytest.fixture(scope="session")
def slurm():
    if missing := Slurm.missing():
        pytest.skip(f"no Slurm here: {', '.join(missing)} not installed")
    pytest.importorskip("submitit")
    # The path of a socket is short: not in pytest's own folders.
    with Slurm.in_a_folder() as running:
        yield running
    assert running.left_behind() == {}


@pytest.fixture
def on_slurm(slurm, tmp_path):
    return Commands(tmp_path, slurm.environment)


@pytest.fixture
def without_slurm(tmp_path):
    """A machine where Python is found and Slurm is not."""
    (tmp_path / "bin").mkdir()
    return Commands(tmp_path / "bin", {"PATH": str(tmp_path / "bin")})
