"""What is tested of systems without Linux's own: the program as it is there, with the libraries of here."""

import os
import signal
import sys

import pandas as pd
import pytest

from tests.elsewhere import GONE, MODULES
from tests.processes import ROOT, start
from tests.users import Gate

SMALL = ("act=tanh", "depth=2,3", "width=8", "seed=0", "batch=20")
STUDY = "outputs/s"


@pytest.fixture
def elsewhere(sweep_command, tmp_path):
    """Run a command of the program where these things are not there."""
    path = _path(tmp_path, "from tests import elsewhere\nelsewhere.take_away()\n")
    return lambda *arguments, **options: sweep_command(*arguments, PYTHONPATH=path, **options)


def _path(folder, text):
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(text)
    return f"{folder / 'site'}{os.pathsep}{ROOT}"


def test_the_main_job_and_the_commands_run_where_there_is_nothing_of_linux(elsewhere, tmp_path):
    grid = ("-m", "init=xavier,custom", "init.function=tests.users.deadly", *SMALL, "study=s")
    done = elsewhere(*grid)  # a user's own scheme: in worker processes
    assert done.returncode == 0, done.stderr
    assert "page: outputs/s/report/index.html" in done.stderr
    cells = pd.read_parquet(tmp_path / STUDY / "cells")
    assert list(cells["status"]) == ["ok"] * 4
    for arguments, module, said in (
        (grid, "sweep", "all stored already"),
        (("init=kaiming", "act=relu", "depth=2", "width=8", "report=false"), "sweep", "single/cells"),
        (("-m", "init=xavier", "dry_run=true", *SMALL), "sweep", "to compute"),
        (("-m", "init=xavier,kaiming", "shard=1/2", *SMALL), "sweep", "once all shares are done"),
        (
            ("-m", "init=xavier", "executor=serial", "study=serial", "report=false", *SMALL),
            "sweep",
            "serial/cells",
        ),
        (("--help",), "sweep", "hydra.cc"),
        ((STUDY,), "sweep.status", "planned"),
        ((STUDY, "--function", "tests.users.deadly"), "sweep.verify", "4 of 4 recomputed cells match"),
        ((STUDY,), "sweep.compact", "1 parts before"),
        ((STUDY, "--only", "page"), "sweep.report", "index.html"),
        (("relu", "--depth", "5"), "sweep.recommend", "kaiming"),
        ((), "sweep.initializers", "torch/linear_default"),
        ((), "sweep.activations", "softsign"),
    ):
        done = elsewhere(*arguments, module=module)
        assert done.returncode == 0, (arguments, module, done.stderr)
        assert said in done.stdout + done.stderr, (arguments, module, done.stdout, done.stderr)


def test_dask_computes_there(elsewhere, tmp_path):
    pytest.importorskip("distributed")
    done = elsewhere("-m", "init=xavier", *SMALL, "study=s", "executor=dask", "report=false")
    assert done.returncode == 0, done.stderr
    assert len(pd.read_parquet(tmp_path / STUDY / "cells")) == 2


def test_slurm_is_refused_there_in_a_line(elsewhere):
    done = elsewhere("-m", "init=xavier", *SMALL, "executor=slurm", PATH="")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "executor=slurm" in done.stderr


def test_an_interrupt_keeps_there_what_is_stored(tmp_path):
    path = _path(tmp_path, "from tests import elsewhere\nelsewhere.take_away()\n")
    gate = Gate(tmp_path, 9)
    command = [
        sys.executable,
        "-m",
        "sweep",
        "-m",
        *gate.arguments,
        "act=tanh",
        "depth=2",
        "width=8,9",
        "seed=0",
    ]
    run = start(
        [*command, "batch=20", "n_jobs=1"], tmp_path, environment=gate.environment | {"PYTHONPATH": path}
    )
    run.until(gate.waiting, "a cell at the gate")
    run.signal(signal.SIGINT)
    assert run.wait() == 130
    assert "Traceback" not in run.err


def test_where_no_worker_can_be_started_the_command_computes_alone(sweep_command, tmp_path):
    """As where psutil, which joblib takes where it finds it, does not know the system."""
    path = _path(tmp_path, "")
    (tmp_path / "site" / "psutil.py").write_text(
        "raise NotImplementedError('platform plan9 is not supported')\n"
    )
    run = ("-m", "init=custom", "init.function=tests.users.deadly", *SMALL, "study=s", "report=false")
    done = sweep_command(*run, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    said = "so everything is computed in this one: NotImplementedError: platform plan9 is not supported"
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(pd.read_parquet(tmp_path / STUDY / "cells")) == 2


def test_what_is_taken_away_is_there_here():
    """Else the tests above say nothing."""
    assert {"sysconf", "sched_getaffinity", "O_NOFOLLOW"} <= {name for name in GONE[os] if hasattr(os, name)}
    assert {"SIGHUP", "pthread_sigmask"} <= {name for name in GONE[signal] if hasattr(signal, name)}
    assert "fcntl" in MODULES
