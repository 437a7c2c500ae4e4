"""Compiled loops are kept for whoever may use them, and where they cannot be had it is said."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from sweep.base.errors import SweepWarning
from sweep.experiment import interactive
from sweep.kernel.passes import NUMPY, folder

pytest.importorskip("numba")


@pytest.fixture(autouse=True, params=["compiled"])
def kind(request):
    """These are of compiled loops."""
    return request.param


def run_python(code, **environment):
    there = {key: value for key, value in os.environ.items() if not key.startswith("SWEEP_")}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=there | environment, capture_output=True, text=True, check=False)


PROPAGATE = (
    "import sweep; frame = sweep.propagate('xavier', 'silu', 3, 64, batch=50);"
    "from sweep.kernel.passes.compiled import Compiled;"
    "print(sorted(Compiled._loops), frame['rms'].iloc[-1])"
)


def rms_of(done, says=""):
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(says, done.stderr), done.stderr
    return float(done.stdout.split()[-1])


def test_propagate_compiles_once_and_keeps_it_and_does_without(tmp_path):
    cache = tmp_path / "cache"
    first = run_python(PROPAGATE, SWEEP_CACHE=str(cache))
    rms = rms_of(first, r"sweep: compiling 4 loops for this machine, once: \d+\.\d s\n")
    assert "'silu-slope'" in first.stdout
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nbc")}
    assert kept
    assert rms_of(run_python(PROPAGATE, SWEEP_CACHE=str(cache))) == rms
    assert kept == {path: path.stat().st_mtime_ns for path in cache.rglob("*.nbc")}
    for path in kept:  # damaged: it is compiled for this process alone, or again
        path.write_bytes(b"nonsense")
    assert rms_of(run_python(PROPAGATE, SWEEP_CACHE=str(cache))) == rms
    softly = f"import warnings; warnings.simplefilter('default'); {PROPAGATE}"
    barred = run_python(softly, SWEEP_CACHE="/dev/null/cache")
    assert "[]" in barred.stdout
    says = r".*SweepWarning: NumPy's passes are used, compiled ones cannot be kept: /dev/null/cache: Not a .*"
    without = rms_of(barred, f"(?s){says}")
    assert without == pytest.approx(rms, rel=1e-5)
    assert rms_of(run_python(PROPAGATE, SWEEP_PASSES="numpy", SWEEP_CACHE=str(cache))) == without


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (None, "numba is not installed"),
        ("", "numba is not installed"),
        ("0.48.0", "numba 0.48.0 is older than 0.61"),
        ("0.60rc1", "numba 0.60rc1 is older than 0.61"),
    ],
)
def test_without_numba_or_with_an_old_one_passes_are_numpys(found, says, monkeypatch):
    def version(name):
        if found is None:
            raise folder.PackageNotFoundError(name)
        return found

    monkeypatch.delenv("SWEEP_PASSES", raising=False)
    monkeypatch.setattr(folder, "version", version)
    folder.why_not.cache_clear()
    try:
        assert says in folder.why_not()
        assert interactive._passes("relu", True) == NUMPY
    finally:
        folder.why_not.cache_clear()


def test_several_processes_may_compile_the_same_at_once(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "sweep.kernel.passes", "softsign"]
    environment = {**os.environ, "SWEEP_CACHE": str(tmp_path), "SWEEP_PASSES": ""}

    def once(_):
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(once, range(3)))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 3
    assert "compiled: numba" in done[0].stdout
    assert len(list(tmp_path.rglob("whole"))) == 1


def test_a_cache_that_others_may_write_to_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_CACHE", str(tmp_path))
    assert folder.why_not_kept() == ""
    for path in (folder._path(), tmp_path):
        path.chmod(0o777)
        assert folder.why_not_kept() == f"others may write to {path}"
        path.chmod(0o700)
    tmp_path.chmod(0o1777)  # where nobody moves what is another's, as in /tmp
    assert folder.why_not_kept() == ""


def test_without_a_home_or_with_numba_switched_off_passes_are_numpys_and_it_is_said(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    with monkeypatch.context() as patch:
        for name in ("SWEEP_CACHE", "XDG_CACHE_HOME", "SWEEP_PASSES"):
            patch.delenv(name, raising=False)
        patch.setattr(folder.Path, "home", nowhere)
        assert "no home folder" in folder.why_not_kept()
        interactive._warn_once.cache_clear()
        with pytest.warns(SweepWarning, match="compiled ones cannot be kept: this user has no home folder"):
            assert interactive._passes("relu", True) == NUMPY
        assert interactive._passes("relu", True) == NUMPY  # said once
    done = run_python(
        "from sweep.kernel.passes import folder; print(folder.why_not())", NUMBA_DISABLE_JIT="1"
    )
    assert done.stdout == "NUMBA_DISABLE_JIT is set\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_until_numba_has_compiled():
    code = (
        "import os, sys, threading, time; from sweep.kernel.passes import folder\n"
        "assert not folder.why_not()\n"
        "from numba.core.compiler_lock import global_compiler_lock as lock\n"
        "held = threading.Event()\n"
        "def compile():\n"
        "    with lock: held.set(); time.sleep(0.3)\n"
        "threading.Thread(target=compile).start(); held.wait()\n"
        "child = os.fork()\n"
        "if not child: os._exit(int(folder.loop('back') is None))\n"
        "sys.exit(os.waitpid(child, 0)[1])"
    )
    done = run_python(code, SWEEP_CACHE=os.environ["SWEEP_CACHE"])
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_of_a_process_that_compiles_may_compile_too():
    code = (
        "import os, sys; from sweep.kernel.passes import folder\n"
        "with folder._locks[0]:\n"
        "    child = os.fork()\n"
        "    if not child: os._exit(int(folder.loop('back') is None))\n"
        "    sys.exit(os.waitpid(child, 0)[1])"
    )
    done = run_python(code, SWEEP_CACHE=os.environ["SWEEP_CACHE"])
    assert (done.returncode, done.stderr) == (0, "")


def test_the_folder_is_keyed_by_what_machine_code_depends_on(monkeypatch):
    stamp = folder._stamp()
    folder._stamp.cache_clear()
    monkeypatch.setattr(folder, "_features", lambda: {"sse2": True})
    other = folder._stamp()
    folder._stamp.cache_clear()
    assert stamp != other
