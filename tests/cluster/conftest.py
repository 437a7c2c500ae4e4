import os
import subprocess
import sys

import pandas as pd
import pytest

import sweep
from tests.cluster.daemons import ROOT, Dask, Slurm

# Cheap cells, and enough of them that a scheduler's part in it is seen.
GRID = (
    "-m", "grid=smoke", "init=xavier,kaiming", "act=tanh,relu", "depth=2", "width=8", "batch=20",
    "seed=range(0,500)", "report=false",
)  # fmt: skip


def slow(cells, study, *arguments):
    """A grid whose cells take 40 times the environment's SLOW, in tasks of a few cells."""
    named = {argument.partition("=")[0] for argument in arguments}
    large = [size for size in ("depth=40", "width=512", "batch=200") if size.partition("=")[0] not in named]
    return (
        "-m", "grid=smoke", "init=custom", "init.function=tests.cluster.users.slow", *arguments, "act=tanh",
        f"init.kwargs.number=range(0,{cells})", *large, "seed=0", "report=false", f"study={study}",
    )  # fmt: skip


class Commands:
    """`python -m sweep …` in a folder of its own, as a user of a cluster types it."""

    def __init__(self, folder, environment):
        self.folder = folder
        # Users' functions are found where the tests are, whatever the working directory.
        self.environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment

    def start(self, *arguments, **environment):
        return subprocess.Popen(
            [sys.executable, "-m", "sweep", *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments, timeout=240, **environment):
        return ended(self.start(*arguments, **environment), timeout)

    def table(self, study="smoke", root="outputs"):
        """What is stored, cell by cell, but for what differs from run to run."""
        cells = sweep.load(self.folder / root / study).set_index("cell_id").sort_index()
        return cells.drop(columns=["seconds", "run_id"])

    def layers(self, study="smoke"):
        """What is stored, layer by layer."""
        layers = sweep.load(self.folder / "outputs" / study, table="layers")
        return layers.set_index(["cell_id", "layer"]).sort_index()


def ended(process, timeout=240):
    """The finished command; one that outlasts its deadline is killed, and fails the test."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def assert_equal(commands, other):
    """Both have stored the grid, every cell and every layer, with the same numbers.

    Bit for bit: whoever computes them, the seeds of this grid stay whole, and a seed's products have
    then the same shapes. Where shares tear a seed's chains apart, numbers agree within 1e-5.
    """
    pd.testing.assert_frame_equal(commands.table(), other.table(), check_exact=True)
    pd.testing.assert_frame_equal(commands.layers(), other.layers(), check_exact=True)


@pytest.fixture(scope="session")
def local(tmp_path_factory):
    """The grid as this machine alone computes it."""
    commands = Commands(tmp_path_factory.mktemp("local"), {})
    done = commands(*GRID)
    assert done.returncode == 0, done.stderr
    return commands


@pytest.fixture
def commands(tmp_path):
    return Commands(tmp_path, {})


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
