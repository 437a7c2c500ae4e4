"""A study that an earlier program made loads, has nothing to compute, and its cells come out again."""

import shlex
import shutil

import pytest

import sweep
from tests.paths import DATA


@pytest.fixture
def before(tmp_path):
    shutil.copytree(DATA / "before", tmp_path / "outputs" / "before")
    return tmp_path / "outputs" / "before"


def test_it_loads(before):
    cells, layers = sweep.load(before), sweep.load(before, "layers")
    assert len(cells) == 72
    assert len(layers) == (cells["depth"] + 1).sum()
    assert set(cells["init"]) == {"xavier", "orthogonal", "normal"}


def test_its_command_has_nothing_to_compute_and_its_cells_come_out_again(before, sweep_command):
    (command,) = (path.read_text() for path in before.glob("runs/*/command.txt"))
    stored = sorted(before.glob("cells/*"))
    done = sweep_command(*shlex.split(command)[3:])
    assert done.returncode == 0, done.stderr
    assert "72 cells, all stored already: nothing to compute" in done.stdout + done.stderr
    assert sorted(before.glob("cells/*")) == stored
    verified = sweep_command(str(before), "--cells", "72", module="sweep.verify")
    assert verified.returncode == 0, verified.stdout
    assert "1 of 1 parts intact; 72 of 72 recomputed cells match" in verified.stdout
