"""A real Slurm of two nodes, that fail, that see another file system, whose controller loses its memory."""

import contextlib
import re
import shutil
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from sweep.base.errors import ClusterError, RequestError
from sweep.execution.workers.slurm import array, marker, private, squeue
from sweep.execution.workers.slurm import follow as jobs
from sweep.experiment.batches import Cells
from sweep.store.index import Watch
from sweep.store.study import Study
from tests.execution.workers.conftest import Commands, ended, gate, held
from tests.execution.workers.daemons import Slurm
from tests.execution.workers.slurm.test_slurm import SUBMIT, WAIT, begun, job_of
from tests.make import grid, packed
from tests.processes import until
from tests.studies import write

GRID = ("-m", "grid=smoke", "depth=2", "width=8", "batch=20", "report=false")
# Below the working directory of whoever asks: the one path that is another folder for another process,
# without any privilege. The node's processes work in its own disk, the command where it was started.
ROOT = "root=/proc/self/cwd/outputs"
UNSEEN = r"node far does not see /\S+/outputs/smoke as this machine does .*choose a root=… .*shard=k/n"


@pytest.fixture(scope="module")
def pair():
    if missing := Slurm.missing():
        pytest.skip(f"no Slurm here: {', '.join(missing)} not installed")
    pytest.importorskip("submitit")
    with Slurm.in_a_folder("near", "far") as running:
        yield running
    assert running.left_behind() == {}


@pytest.fixture
def far(pair):
    """Start the second node for a test."""
    yield lambda **options: pair.start_node("far", **options)
    pair.kill_node("far")
    pair.ask("scontrol", "update", "nodename=far", "state=down", "reason=lost")


@contextlib.contextmanager
def busy(slurm, node):
    """No element starts on the node before the block has ended."""
    alone = ("--exclusive", "--output=/dev/null", "--chdir=/", "--wrap=sleep infinity")
    job = slurm.ask("sbatch", "--parsable", f"--partition={node}", *alone)
    state = ("squeue", "--noheader", f"--jobs={job}", "--format=%T")
    try:
        until(lambda: slurm.ask(*state) == "RUNNING", "the hold")
        yield
    finally:
        slurm.ask("scancel", job)


class Apart:
    """A command in one folder, and a node on whose own disk the folder of that name is another one."""

    def __init__(self, folder, slurm):
        self.here, self.moved, self.disk = (folder / name for name in ("here", "moved", "disk"))
        self.here.mkdir()
        self.disk.mkdir()
        self.commands = Commands(self.here, slurm.environment)

    def part(self, copied, process=None):
        """The command's folder keeps its files under another name; by its own there is the node's disk."""
        job = job_of(self.commands, "smoke", process)
        self.here.rename(self.moved)
        self.commands.folder = self.moved
        self.here.symlink_to(self.disk)
        if copied:
            others = shutil.ignore_patterns(".*")  # which the command may be about to rename
            shutil.copytree(self.moved / "outputs", self.disk / "outputs", ignore=others)
            (file,) = self.disk.glob("outputs/smoke/runs/*/slurm/marker")
            file.write_text("of another run\n", encoding="utf-8")
        return job

    def status(self):
        """What `python -m sweep.status` says above its table of runs, in one line."""
        done = self.commands("outputs/smoke", module="sweep.status")
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.partition("\nruns\n")[0].split())


@pytest.mark.parametrize("copied", [False, True], ids=["no such folder", "another folder"])
def test_a_node_that_does_not_see_the_root_is_named_and_nothing_waits(pair, far, tmp_path, copied):
    apart = Apart(tmp_path, pair)
    far(cwd=apart.disk)
    with busy(pair, "far"):
        process = apart.commands.start(*GRID, *WAIT, "executor.partition=far", "executor.max_jobs=8", ROOT)
        job = apart.part(copied, process)
    refused = ended(process)
    assert refused.returncode == 2, refused.stderr
    assert re.search(rf"^sweep: {UNSEEN}; job {job} is cancelled", refused.stderr.splitlines()[-1])
    until(lambda: not pair.ask("squeue", "--noheader", f"--jobs={job}"), "the job's end")
    files = [path.relative_to(apart.moved) for path in apart.moved.glob("outputs/*/**/*") if path.is_file()]
    assert {path.parts[2] for path in files} == {"runs", "study.json"}
    assert not list(apart.disk.rglob("started-*")), "nothing was computed there"
    logs = "".join(path.read_text() for path in tmp_path.rglob("*_log.err"))
    assert "this node does not see" in logs


def test_without_waiting_the_status_and_the_next_command_name_a_node_that_does_not_see_the_root(
    pair, far, tmp_path
):
    apart = Apart(tmp_path, pair)
    far(cwd=apart.disk)
    with busy(pair, "far"):
        submitted = apart.commands(*GRID, *SUBMIT, "executor.partition=far", ROOT)
        assert "progress: python -m sweep.status /proc/self/cwd/outputs/smoke" in submitted.stderr
        job = apart.part(copied=True)
        assert f"job {job}: 8 pending; 0 of 8 have begun" in apart.status()
    until(lambda: not pair.ask("squeue", "--noheader", f"--jobs={job}"), "the job's end")
    assert re.search(rf"8 cells left.* job {job}: 8 failed; {UNSEEN}", apart.status())

    finished = apart.commands(*GRID, *WAIT, "executor.partition=near", "executor.max_jobs=1", "root=outputs")
    assert finished.returncode == 0, finished.stderr
    assert re.search(rf"an earlier command's job {job}: 8 failed; {UNSEEN}", finished.stderr)
    assert len(apart.commands.table()) == 8
    assert "job" not in apart.status()


def test_what_a_lost_node_was_computing_goes_on_elsewhere(pair, far, tmp_path):
    far()
    commands = Commands(tmp_path, pair.environment)
    arguments, bars = held(4, "lost", "depth=10", "batch=20"), gate(tmp_path, 4)
    with busy(pair, "near"):
        process = commands.start(*arguments, *WAIT, "executor.max_jobs=2", **bars.environment)
        job = job_of(commands, "lost", process)
        process.until(lambda: begun(commands, "lost") == {0, 1}, "two elements")
        pair.kill_node("far")
        pair.ask("scontrol", "update", "nodename=far", "state=down", "reason=lost")  # as SlurmdTimeout does
    bars.open()
    done = ended(process)
    assert done.returncode == 0, done.stderr
    assert len(commands.table("lost")) == 4
    shown = pair.ask("scontrol", "--oneliner", "show", "job", job)
    assert [word for word in shown.split() if word.startswith(("Restarts=", "NodeList="))] == [
        "Restarts=1", "NodeList=near", "Restarts=1", "NodeList=near",
    ]  # fmt: skip


def test_a_job_that_slurmctld_forgets_is_noticed_and_the_same_command_finishes(pair, tmp_path):
    commands = Commands(tmp_path, pair.environment)
    process = commands.start(*GRID, *WAIT, "executor.max_jobs=1", "executor.setup=[sleep infinity]")
    job = job_of(commands, "smoke", process)
    pair.kill_controller()
    shutil.rmtree(pair.folder / "state")  # killed before it wrote anything, and started with nothing
    (pair.folder / "state").mkdir(mode=0o700)
    pair.start_controller()
    forgotten = ended(process)
    assert forgotten.returncode == 1, forgotten.stderr
    assert f"job {job}: no longer in the queue; none of its elements was seen" in forgotten.stderr
    assert "0 cells are stored, 8 are left; to finish: python -m sweep -m" in forgotten.stderr
    finished = commands(*GRID, *WAIT, "executor.max_jobs=1")
    assert finished.returncode == 0, finished.stderr
    assert len(commands.table()) == 8


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """Follow a job of two elements through what the queue says of them, look by look."""
    study = Study(tmp_path / "smoke")
    study.create()
    folder = study.path / "runs" / "a" / "slurm"
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(jobs, "_POLL_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(jobs, "_LATE_SECONDS", 0.0)
    asked = []
    monkeypatch.setattr(squeue, "ask", lambda *command: asked.append(command))

    def run(*looks, begun=(), ours=True):
        for number in begun:
            (folder / f"started-{number:05d}").touch()
        answers = iter(looks)
        monkeypatch.setattr(squeue, "elements", lambda _: dict(enumerate(next(answers))))
        cells = Cells.of(grid(inits=("xavier",), depths=(2,), widths=(8,), seeds=(0,), batch=20))
        job = jobs.ArrayJob("7", 2, folder)
        if ours:
            private.make("a")
            job.save()
        try:
            stored = np.sum(list(jobs.follow([job], Watch(study, cells, overwrite=False))), axis=0)
        except ClusterError as lost:
            return str(lost), asked
        assert stored.tolist() == [1], "each cell once"
        return None, asked

    return run


RUNNING, COMPLETED = (squeue.QueueEntry(state, "None", "near") for state in ("RUNNING", "COMPLETED"))
BLIND = squeue.QueueEntry("FAILED", "NonZeroExitCode", "far", marker.UNSEEN)


def test_elements_that_see_the_root_go_on_where_another_one_does_not(follow):
    said, asked = follow((RUNNING, BLIND), (COMPLETED, BLIND), begun=[0])
    assert re.match("job 7: 1 completed, 1 failed; node far does not see", said)
    assert asked == [], "nothing is cancelled"


def test_a_cell_that_fails_and_is_stored_well_later_is_one_outcome_without_an_error(monkeypatch):
    cells = grid(inits=("xavier",), depths=(2,), widths=(8,), batch=20)
    watch = SimpleNamespace(failed=np.array([True, False]))

    def looks(*_):
        yield np.array([True, True])
        watch.failed[0] = False  # its element was put into the queue again
        yield np.array([False, False])

    monkeypatch.setattr(jobs, "follow", looks)
    work = SimpleNamespace(cells=Cells.of(cells), tasks=packed(cells))
    outcomes = list(array._follow(work, [], watch, "", ""))
    assert Counter(one for outcome in outcomes for one in outcome.cells) == Counter(cells)
    assert all(outcome.stored and not outcome.errors for outcome in outcomes)


def test_what_was_lost_with_a_node_is_said_where_it_is_not_to_be_requeued(follow):
    lost = squeue.QueueEntry("NODE_FAIL", "NodeDown", "far")
    said, _ = follow((RUNNING, RUNNING), (COMPLETED, lost), begun=[0, 1])
    assert said.startswith("job 7: 1 completed, 1 node fail (logs: ")


def test_cells_that_a_job_stores_before_it_is_followed_are_not_waited_for(follow, tmp_path):
    write(Study(tmp_path / "smoke"), "b", grid(depths=(2,), widths=(8,), batch=20)[:1])
    assert follow((RUNNING, RUNNING), begun=[0, 1]) == (None, [])


def test_an_element_that_runs_gets_some_time_to_begin(follow, monkeypatch):
    said, _ = follow((RUNNING, BLIND), (RUNNING, BLIND), (COMPLETED, COMPLETED), begun=[])
    assert "none of its elements was seen to start" in said
    monkeypatch.setattr(jobs, "_BEGIN_SECONDS", 0.0)
    with pytest.raises(RequestError, match=r"node far does not see .*; job 7 is cancelled"):
        follow((RUNNING, BLIND), (RUNNING, BLIND))


def test_only_jobs_that_this_user_submitted_are_cancelled_whatever_a_study_names(follow, monkeypatch):
    asked = []
    monkeypatch.setattr(jobs, "_BEGIN_SECONDS", 0.0)
    monkeypatch.setattr(squeue, "ask", lambda *command: asked.append(command))
    with pytest.raises(RequestError, match=r"node far does not see .* shard=k/n; nothing was computed"):
        follow((RUNNING, BLIND), (RUNNING, BLIND), ours=False)
    assert asked == []


def test_a_node_that_does_not_see_the_users_own_folder_is_named(follow):
    for blind in (
        squeue.QueueEntry("FAILED", "NonZeroExitCode", "far", private.UNSAFE),
        squeue.QueueEntry("FAILED", "", "far", 0, 53),
    ):
        with pytest.raises(
            RequestError, match=r"node far does not see \S+/sweep/slurm/a .*set XDG_STATE_HOME"
        ):
            follow((blind, blind))


@pytest.mark.parametrize(
    ("code", "ending"),
    [("16896", (66, 0)), ("66:0", (66, 0)), ("4021", (15, 53)), ("0:53", (0, 53)), ("", (0, 0))],
)
def test_an_ending_is_read_as_any_version_of_slurm_writes_it(code, ending):
    assert squeue._ending(code) == ending


def test_many_nodes_that_do_not_see_the_root_are_counted(tmp_path):
    nodes = [squeue.QueueEntry("FAILED", "", f"n{number}", 66) for number in range(6)]
    others = [squeue.QueueEntry("FAILED", "", "own", 1), squeue.QueueEntry("COMPLETED", "", "well")]
    said = marker.refusal([*nodes, *others], tmp_path / "study", tmp_path / "own")
    assert said.startswith(f"nodes n0, n1, n2 and 3 more do not see {tmp_path}/study as")
    assert marker.refusal(others, tmp_path, tmp_path) is None
