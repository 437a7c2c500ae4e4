"""Which passes a run uses, and that it says so."""

import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest

import sweep
from sweep.execution.options import Options
from sweep.execution.plan import passes
from sweep.execution.plan.compilers import Here, Nodes
from sweep.execution.plan.passes import Choice, choose, of_unfinished, ready
from sweep.execution.workers.slurm import element
from sweep.experiment.batches import Cells
from sweep.kernel.passes import COMPILED, NUMPY, OWN, folder
from sweep.store.records import runs
from sweep.store.study import Study
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
    assert choose(gelu, Here(), 2.0, None) == Choice()  # to load numba would take longer
    assert choose(gelu, Here(), 30.0, None) == Choice(COMPILED)
    assert choose(gelu, Here(), 0.1, True) == Choice(COMPILED)
    assert choose(gelu, Here(), 1e6, False) == Choice()
    missing(monkeypatch, ["gelu-slope", "back"])
    short, long = choose(gelu, Here(), 5.0, None), choose(gelu, Here(), 500.0, None)
    assert (short.kind, long.kind) == (NUMPY, COMPILED)
    assert short.missing == long.missing == {"gelu-slope", "back"}
    assert "beside this run" in short.lines[0]
    assert "compiling 2 loops" in long.lines[0]
    assert choose(gelu, Here(), 5.0, True).kind == COMPILED


def test_the_nodes_of_slurm_have_what_is_worth_compiling_on_each(monkeypatch):
    monkeypatch.setattr(folder, "why_not_kept", lambda: "")
    missing(monkeypatch, ())  # here: of a node nothing is known
    assert choose(tasks(), Nodes(), 5.0, None) == Choice()
    long = choose(tasks(), Nodes(), 1e6, None)
    assert long.kind == ready(long, Nodes()).kind == COMPILED
    for kind, compiled in ((COMPILED, True), (OWN, True), (NUMPY, False)):
        assert element.options_of_share(Options("x"), 2, False, kind).compiled is compiled


def test_a_run_that_goes_on_has_the_passes_of_the_one_that_began(monkeypatch):
    missing(monkeypatch, ())
    gelu = tasks(act={"name": "gelu"})
    assert choose(gelu, Here(), 0.1, None, COMPILED) == Choice(COMPILED)
    assert choose(gelu, Here(), 1e6, None, NUMPY) == Choice()
    assert choose(gelu, Here(), 1e6, True, NUMPY) == Choice(COMPILED)  # who says so has it so
    assert choose(gelu, Here(), 1e6, False, COMPILED) == Choice()
    own = tasks(act={"name": "custom", "function": "numpy.arctan"})
    assert choose(own, Here(), 0.1, None, OWN).functions == choose(own, Here(), 0.1, True).functions
    assert choose(own, Here(), 0.1, None, COMPILED) == Choice()
    missing(monkeypatch, ["gelu-slope"])
    assert choose(gelu, Here(), 0.1, None, COMPILED).kind == COMPILED
    monkeypatch.setattr(folder, "why_not", lambda: "numba is not installed")
    (line,) = choose(gelu, Here(), 0.1, None, COMPILED).lines
    assert line.startswith(
        "the run that this one continues had compiled passes; NumPy's passes are used: numba"
    )


def test_what_is_not_compiled_asks_for_nothing(monkeypatch):
    missing(monkeypatch, folder.keys_of([("tanh", True)]) - {folder.NORMAL})
    assert choose(tasks(dtype="float64"), Here(), 1e6, True) == Choice()
    own = tasks(act={"name": "custom", "function": "numpy.arctan"})
    assert choose(own, Here(), 1e6, None) == Choice()
    assert choose(tasks(backward=False), Here(), 1e6, None) == Choice(COMPILED)  # tanh alone is there
    both = packed([cell(act={"name": "relu"}, backward=way) for way in (True, False)])
    assert passes._loops(both, False) == {"relu", "relu-slope", "through", "back", "normal"}


def test_only_who_asks_is_told_that_numba_is_missing(monkeypatch):
    monkeypatch.setattr(folder, "why_not", lambda: "numba is not installed")
    assert choose(tasks(), Here(), 1e6, None) == Choice()
    assert choose(tasks(), Here(), 1e6, True).lines == ["NumPy's passes are used: numba is not installed"]


def test_a_folder_that_cannot_be_written_to_is_said(monkeypatch):
    monkeypatch.setenv("SWEEP_CACHE", "/dev/null/cache")
    assert "cannot be kept, /dev/null/cache" in choose(tasks(), Here(), 1e6, None).lines[0]


def test_the_compiler_works_beside_a_run_that_does_not_wait(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path))
    loops, before = frozenset({"relu", folder.NORMAL}), set(processes.marked())
    assert ready(Choice(NUMPY, loops), Here()) == Choice()
    processes.until(lambda: not folder.missing(loops), "the loops beside the run")
    processes.until(lambda: set(processes.marked()) <= before, "the compiler's end")
    assert choose(tasks(act={"name": "relu"}, backward=False), Here(), 30.0, None) == Choice(COMPILED)


def test_a_compiler_that_fails_leaves_numpys(monkeypatch, tmp_path):
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path / "cache"))
    failed = ready(Choice(COMPILED, frozenset({"no such loop"})), Here())
    assert failed.kind == NUMPY
    assert "NumPy's passes are used: " in failed.lines[0]
    assert "no such loop" in failed.lines[0]


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


def test_functions_of_your_own_are_compiled_where_asked_for_and_numpys_where_numba_refuses(
    sweep_command, tmp_path
):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def swish(z, beta=1.5):\n    return z / (1 + np.exp(-beta * z))\n"
        "def hidden(z):\n    import math\n    return z * math.pi\n"
    )
    keys = (
        "-m",
        "act=custom",
        "act.function=mine.swish,mine.hidden",
        "init=kaiming",
        "depth=3",
        "width=64",
        "seed=0",
        "batch=80",
        "report=false",
    )
    environment = {"SWEEP_PASSES": "", "SWEEP_CACHE": os.environ["SWEEP_CACHE"]}
    plain = sweep_command(*keys, "study=plain", "compiled=null", **environment)
    assert "numba" not in plain.stderr
    done = sweep_command(*keys, "study=own", "compiled=true", **environment)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("NumPy computes")]
    assert line.startswith("NumPy computes mine.hidden(z): numba cannot compile mine.hidden: ")
    assert "mine.swish" not in done.stderr
    kinds = {}
    for study in ("plain", "own"):
        (part,) = (tmp_path / "outputs" / study / "cells").glob("*.parquet")
        kinds[study] = pq.read_schema(part).metadata[b"passes"].decode()
    assert kinds == {"plain": NUMPY, "own": OWN}
    one, other = (
        sweep.load(tmp_path / "outputs" / study, table="layers").sort_values(["cell_id", "layer"])
        for study in kinds
    )
    assert one["cell_id"].tolist() == other["cell_id"].tolist()
    for column in ("rms", "std", "pre_rms", "delta_std", "grad_rms", "flat"):
        np.testing.assert_allclose(one[column], other[column], rtol=1e-5)


def test_the_passes_of_a_run_that_was_killed_are_known(tmp_path):
    cells = [cell(seed=seed) for seed in range(4)]
    study = Study(tmp_path / "study")
    study.create()
    assert of_unfinished(study, Cells.of(cells)) is None
    made = runs.RunRecord(study, {})
    made.write_plan(packed(cells[:2]), {"passes": COMPILED})
    made.close(130)
    assert of_unfinished(study, Cells.of(cells)) == COMPILED
    assert of_unfinished(study, Cells.of(cells[2:])) is None  # these it was not to compute
    later = Study(tmp_path / "study")
    made = runs.RunRecord(later, {})
    made.write_plan(packed(cells[1:]), {"passes": NUMPY})
    made.close(0)
    assert of_unfinished(later, Cells.of(cells)) == COMPILED  # who has ended well left nothing
