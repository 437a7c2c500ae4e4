"""A killed study of a model goes on where it was, and an interrupted one ends with what it has."""

import signal
import sys

import pytest

import sweep
from tests.processes import ROOT, start

pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")

MODEL = "tests.probing.studies.models:Slow"
WHOLE = ("--input", "4,8", "--init", "default,xavier", "--seeds", "5", "--study", "s", "--no-report")


def command(folder):
    line = [sys.executable, "-m", "sweep.probe", MODEL, *WHOLE]
    return start(line, folder, environment={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})


def parts(folder):
    return [*(folder / "outputs/s/cells").glob("2*.parquet")]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_study_that_is_stopped_goes_on(number, status, tmp_path):
    one = command(tmp_path)
    one.until(lambda: len(parts(tmp_path)) >= 2, "two cells are stored")
    one.signal(number)
    assert one.wait() == status
    stored = sweep.load(tmp_path / "outputs/s")
    assert 2 <= len(stored) < 10
    done = command(tmp_path).ended()
    assert done.returncode == 0, done.stderr
    assert f"10 cells, {len(stored)} stored already, {10 - len(stored)} to compute" in done.stderr
    cells = sweep.load(tmp_path / "outputs/s")
    assert len(cells) == 10
    assert not cells["cell_id"].duplicated().any()
    assert sorted(zip(cells["init"], cells["seed"], strict=True)) == [
        (init, seed) for init in ("default", "xavier") for seed in range(5)
    ]
    assert len(sweep.load(tmp_path / "outputs/s", "layers")) == 20
