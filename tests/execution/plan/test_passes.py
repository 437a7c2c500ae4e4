"""Which passes a run uses, and that it says so."""

import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

import sweep
from sweep.execution.options import Options
from sweep.execution.plan import passes
from sweep.execution.plan.passes import Choice, choose, ready
from sweep.execution.workers.slurm import element
from sweep.kernel.passes import COMPILED, NUMPY, folder
from tests import processes
from tests.make import cell, packed

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def _asked(monkeypatch):
    monkeypatch.delenv("SWEEP_PASSES", raising=False)
    clear = folder.why_not.cache_clear
    clear()
    yield
    clear()


def tasks(**values):
    return packed([cell(**values)])


def missing(monkeypatch, loops):
    monkeypatch.setattr(folder, "missing", lambda keys: set(loops) & set(keys))


def test_a_run_takes_what_it_is_worth(monkeypatch):
    gelu = tasks(act={"name": "gelu"})
    missing(monkeypatch, ())
    assert choose(gelu, True, 2.0, None) == Choice()  # to load numba would take longer
    assert choose(gelu, True, 30.0, None) == Choice(COMPILED)
    assert choose(gelu, True, 0.1, True) == Choice(COMPILED)
    assert choose(gelu, True, 1e6, False) == Choice()
    missing(monkeypatch, ["gelu-slope", "back"])
    short, long = choose(gelu, True, 5.0, None), choose(gelu, True, 500.0, None)
    assert (short.kind, long.kind) == (NUMPY, COMPILED)
    assert short.missing == long.missing == {"gelu-slope", "back"}
    assert "beside this run" in short.line
    assert "compiling 2 loops" in long.line
    assert choose(gelu, True, 5.0, True).kind == COMPILED


def test_workers_elsewhere_have_numpys(monkeypatch):
    missing(monkeypatch, ())
    assert choose(tasks(), False, 1e6, None) == Choice()
    assert "not known of the workers' machines" in choose(tasks(), False, 1e6, True).line
    options = element.options_of_share(Options("x", compiled=True), 2, False)
    assert options.compiled is False


def test_what_is_not_compiled_asks_for_nothing(monkeypatch):
    missing(monkeypatch, folder.keys_of([("tanh", True)]) - {folder.NORMAL})
    assert choose(tasks(dtype="float64"), True, 1e6, True) == Choice()
    own = tasks(act={"name": "custom", "function": "numpy.arctan"})
    assert choose(own, True, 1e6, True) == Choice()
    assert choose(tasks(backward=False), True, 1e6, None) == Choice(COMPILED)  # tanh alone is there
    both = packed([cell(act={"name": "relu"}, backward=way) for way in (True, False)])
    assert passes._loops(both) == {"relu", "relu-slope", "through", "back", "normal"}


def test_only_who_asks_is_told_that_numba_is_missing(monkeypatch):
    monkeypatch.setattr(folder, "why_not", lambda: "numba is not installed")
    assert choose(tasks(), True, 1e6, None) == Choice()
    assert choose(tasks(), True, 1e6, True).line == "NumPy's passes are used: numba is not installed"


def test_a_folder_that_cannot_be_written_to_is_said(monkeypatch):
    monkeypatch.setenv("SWEEP_CACHE", "/dev/null/cache")
    assert "cannot be kept, /dev/null/cache" in choose(tasks(), True, 1e6, None).line


def test_the_compiler_works_beside_a_run_that_does_not_wait(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path))
    loops, before = frozenset({"relu", folder.NORMAL}), set(processes.marked())
    assert ready(Choice(NUMPY, loops, "")) == NUMPY
    processes.until(lambda: not folder.missing(loops), "the loops beside the run")
    processes.until(lambda: set(processes.marked()) <= before, "the compiler's end")
    assert choose(tasks(act={"name": "relu"}, backward=False), True, 30.0, None) == Choice(COMPILED)


def test_a_compiler_that_fails_leaves_numpys(monkeypatch, tmp_path):
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    assert ready(Choice(COMPILED, frozenset({"no such loop"}), "")) == NUMPY


def test_runs_of_either_kind_store_the_same_and_say_which_it_was(sweep_command, tmp_path):
    keys = (
        "-m",
        "act=gelu,relu",
        "init=kaiming",
        "depth=3",
        "width=64",
        "seed=0,1",
        "batch=80",
        "report=false",
    )
    environment = {"SWEEP_PASSES": "", "SWEEP_CACHE": os.environ["SWEEP_CACHE"]}
    for kind, asked in ((NUMPY, "null"), (COMPILED, "true")):
        done = sweep_command(*keys, f"compiled={asked}", f"study={kind}", **environment)
        assert done.returncode == 0, done.stderr
        study = tmp_path / "outputs" / kind
        (summary,) = study.glob("runs/*/summary.json")
        assert json.loads(summary.read_text())["passes"] == kind
        assert f"passes: {kind}" in next(study.glob("runs/*/log*")).read_text()
        for part in study.glob("*/*.parquet"):
            assert pq.read_schema(part).metadata[b"passes"] == kind.encode()
    one, other = (
        sweep.load(tmp_path / "outputs" / kind, table="layers").sort_values(["cell_id", "layer"])
        for kind in (NUMPY, COMPILED)
    )
    assert one["cell_id"].tolist() == other["cell_id"].tolist()
    for column in ("rms", "std", "pre_rms", "delta_std", "grad_rms", "neuron_corr", "flat"):
        np.testing.assert_allclose(one[column], other[column], rtol=1e-5)
    verified = sweep_command("outputs/compiled", module="sweep.verify", **environment)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "4 of 4 recomputed cells match" in verified.stdout


def test_the_version_says_which_passes_there_are(sweep_command):
    assert "passes: NumPy's (SWEEP_PASSES=numpy)" in sweep_command("--version", SWEEP_PASSES="numpy").stdout
    assert "passes: compiled (numba " in sweep_command("--version", SWEEP_PASSES="").stdout
