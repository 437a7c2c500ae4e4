"""What Slurm's elements run lies in a folder of the user's alone, and nothing of it in the study."""

import os
import pickle
import subprocess

import pytest

from sweep.base.errors import RequestError
from sweep.execution.workers.slurm import element, private
from sweep.experiment.batches import Cells
from tests.make import grid


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def script(folder):
    """The exit status of a script with the line that guards it."""
    done = subprocess.run(["sh", "-c", f"{private.line(folder)}\nexit 0"], capture_output=True, check=False)
    return done.returncode


def test_a_share_is_data_in_the_users_folder_and_only_ids_in_the_study(tmp_path):
    cells = Cells.of(grid(inits=("xavier",), depths=(2, 3), widths=(8,), seeds=(0, 5), batch=20))
    own, study = private.make("a"), tmp_path / "study" / "runs" / "a" / "slurm"
    element.save(study, own, 3, cells)
    assert set(element.load(own, 3)) == set(cells)
    assert element.ids(study, 3) == {cell.id for cell in cells}
    assert [path.name for path in study.iterdir()] == ["share-00003.ids"]
    assert own.stat().st_mode & 0o777 == own.parent.stat().st_mode & 0o777 == 0o700
    assert script(own) == 0


def test_a_pickle_in_the_place_of_a_share_is_not_loaded(tmp_path):
    own = private.make("a")

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    (own / "share-00000.jsonl.gz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(Exception, match="not a run's plan"):
        element.load(own, 0)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("how", ["open to others", "a link"])
def test_a_folder_that_others_may_write_to_is_refused(state, tmp_path, how):
    own = private.make("a")
    assert script(own) == 0
    if how == "a link":
        own.rename(tmp_path / "elsewhere")
        own.symlink_to(tmp_path / "elsewhere")
    else:
        own.chmod(0o770)
    for attempt in (lambda: private.make("a"), lambda: element.load(own, 0)):
        with pytest.raises(RequestError, match=r"accessible to you alone.*chmod 700"):
            attempt()
    assert script(own) == private.UNSAFE


def test_where_no_folder_can_be_made_the_way_out_is_said(state):
    state.write_text("")
    with pytest.raises(RequestError, match=r"cannot make .* set XDG_STATE_HOME"):
        private.make("a")


def test_a_relative_state_home_is_not_one(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert private.of("a") == tmp_path / ".local" / "state" / "sweep" / "slurm" / "a"
