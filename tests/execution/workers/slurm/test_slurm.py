"""A real Slurm on loopback. Every wait has an end; what never ends fails its test."""

import json
import os
import re
import shutil
import signal

import pandas as pd
import pytest

from sweep.base.errors import RequestError
from sweep.execution.options import Options
from sweep.execution.pipeline import run
from sweep.execution.workers import calibration
from sweep.execution.workers.slurm import array
from sweep.execution.workers.slurm.settings import Slurm
from sweep.experiment.batches import Cells
from tests.execution.workers.conftest import FAST, GRID, assert_equal, assert_near, ended, gate, held, kinds
from tests.make import grid
from tests.processes import processes, until

EXECUTOR = ("executor=slurm", "executor.cores=1", "executor.mem_gb=0.4", "executor.min_seconds=0")
WAIT = (*EXECUTOR, "executor.wait=true")
SUBMIT = (*EXECUTOR, "executor.wait=false")


def job_of(commands, study, process=None):
    """The job of the study's newest run, once it is submitted; process: the command that submits it."""

    def newest():
        found = sorted((commands.folder / "outputs" / study / "runs").glob("*/slurm/job.json"))
        return found and json.loads(found[-1].read_text())["job"]

    return (process.until if process else until)(newest, "a submitted job")


def begun(commands, study):
    """The numbers of the elements that have begun, over all runs of the study."""
    files = (commands.folder / "outputs" / study / "runs").glob("*/slurm/started-*")
    return {int(path.name.rpartition("-")[2]) for path in files}


def stored(commands, study):
    return len(list((commands.folder / "outputs" / study / "cells").glob("[!.]*.parquet")))


@pytest.fixture(scope="module", autouse=True)
def limited(slurm, tmp_path_factory):
    """A job that will reach its time limit of a minute, submitted before everything else."""
    from tests.execution.workers.conftest import Commands  # noqa: PLC0415

    commands = Commands(tmp_path_factory.mktemp("limited"), slurm.environment)
    arguments, bars = held(12, "limited"), gate(commands.folder, 6, 12)
    limits = ("executor.max_jobs=1", "executor.walltime=1", "executor.requeues=0")
    done = commands(*arguments, *SUBMIT, *limits, **bars.environment)
    assert done.returncode == 0, done.stderr
    return commands, arguments, bars


def test_a_grid_of_2000_cells_in_8_elements_equals_the_local_run(on_slurm, computed_here):
    done = on_slurm(*GRID, *WAIT, "executor.max_jobs=8")
    assert done.returncode == 0, done.stderr
    assert re.search(r"job \d+: 8 elements of 1 core", done.stderr)
    assert_equal(on_slurm, computed_here(*GRID))
    assert len(pd.read_parquet(on_slurm.folder / "outputs" / "smoke" / "cells")) == 2000
    again = on_slurm(*GRID, *WAIT)
    assert "all stored already: nothing to compute" in again.stderr
    assert again.stdout == done.stdout


def test_elements_have_the_passes_that_were_chosen_for_all(on_slurm, computed_here):
    pytest.importorskip("numba")
    done = on_slurm(*GRID, "compiled=true", *WAIT, "executor.max_jobs=2", **FAST)
    assert done.returncode == 0, done.stderr
    assert kinds(on_slurm) == {"compiled"}
    assert_near(on_slurm, computed_here(*GRID))


def test_without_waiting_the_command_says_how_to_follow_and_the_same_command_follows(
    on_slurm, slurm, tmp_path
):
    arguments, bars = held(4, "followed"), gate(tmp_path, 4)
    done = on_slurm(*arguments, *SUBMIT, "executor.max_jobs=2", **bars.environment)
    assert done.returncode == 0, done.stderr
    job = job_of(on_slurm, "followed")
    follow = f"follow: squeue -j {job}; progress: python -m sweep.status outputs/followed"
    assert f"{follow}; cancel: scancel {job}; result: python -m sweep -m grid=smoke" in done.stderr
    assert slurm.ask("squeue", "--noheader", f"--jobs={job}"), "it did not wait for the job"

    following = on_slurm.start(*arguments, *WAIT, **bars.environment)
    following.says("still working")
    following.signal(signal.SIGINT)
    stopped = ended(following)
    assert stopped.returncode == 130
    assert "interrupted" in stopped.stderr

    following = on_slurm.start(*arguments, *WAIT, **bars.environment)
    following.says("still working")
    bars.open()
    followed = ended(following)
    assert followed.returncode == 0, followed.stderr
    assert f"job {job} of an earlier command is still working on this study" in followed.stderr
    assert not re.search(r"job \d+: ", followed.stderr), "what is at work is not submitted again"
    assert len(on_slurm.table("followed")) == 4


def test_a_cancelled_element_and_a_killed_one_are_noticed_and_the_same_command_finishes(
    on_slurm, slurm, tmp_path
):
    arguments, bars = held(8, "hurt"), gate(tmp_path, 8)
    process = on_slurm.start(*arguments, *WAIT, "executor.max_jobs=4", **bars.environment)
    job = job_of(on_slurm, "hurt", process)
    process.until(lambda: begun(on_slurm, "hurt") >= {0, 1}, "two elements")
    slurm.ask("scancel", f"{job}_0")
    found = processes("submitit.core._submit", f"SLURM_ARRAY_JOB_ID={job}", "SLURM_ARRAY_TASK_ID=1")
    assert found
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    elements = ("squeue", "--noheader", "--states=PD,R,CG", f"--jobs={job}_0,{job}_1")
    process.until(lambda: not slurm.ask(*elements), "the end of both elements")
    bars.open()
    hurt = ended(process)
    assert hurt.returncode == 1
    assert re.search(rf"job {job}: .*1 cancelled", hurt.stderr), hurt.stderr
    assert re.search(rf"job {job}: .*1 failed", hurt.stderr)
    said = re.search(r"(\d+) cells are stored, (\d+) are left; to finish: python -m sweep -m", hurt.stderr)
    assert said, hurt.stderr
    assert int(said[2]) > 0
    assert int(said[1]) == len(on_slurm.table("hurt"))

    finished = on_slurm(*arguments, *WAIT, "executor.max_jobs=4", **bars.environment)
    assert finished.returncode == 0, finished.stderr
    assert f"{said[1]} stored already, {said[2]} to compute" in finished.stderr
    assert len(on_slurm.table("hurt")) == 8


def test_an_element_told_that_its_time_is_up_stores_what_it_has_and_goes_on_later(on_slurm, slurm, tmp_path):
    arguments, bars = held(6, "requeued"), gate(tmp_path, 3, 6)
    process = on_slurm.start(*arguments, *WAIT, "executor.max_jobs=1", **bars.environment)
    job = job_of(on_slurm, "requeued", process)
    process.until(lambda: stored(on_slurm, "requeued") and bars.waiting(), "a stored part and work left")
    first = set(bars.waiting())
    slurm.ask("scancel", "--signal=USR2", job)
    process.until(lambda: set(bars.waiting()) - first, "its second start")
    bars.open()
    done = ended(process)
    assert done.returncode == 0, done.stderr
    assert len(on_slurm.table("requeued")) == 6


def test_slurmctld_may_restart(on_slurm, slurm, tmp_path):
    bars, asked = gate(tmp_path, 4), tmp_path / "asked"
    squeue = tmp_path / "bin" / "squeue"  # which notes how each of its calls went
    squeue.parent.mkdir()
    squeue.write_text(f'#!/bin/sh\n{shutil.which("squeue")} "$@"\ns=$?\necho $s >> {asked}\nexit $s\n')
    squeue.chmod(0o755)
    environment = {"PATH": f"{squeue.parent}:{os.environ['PATH']}"} | bars.environment
    process = on_slurm.start(*held(4, "restarted"), *WAIT, "executor.max_jobs=2", **environment)
    process.until(
        lambda: begun(on_slurm, "restarted") and asked.exists(), "an element, and a look at the queue"
    )
    slurm.stop_controller()
    process.until(lambda: set(asked.read_text().split()) - {"0"}, "a look that found no controller")
    slurm.start_controller()
    bars.open()
    done = ended(process)
    assert done.returncode == 0, done.stderr
    assert len(on_slurm.table("restarted")) == 4


def test_elements_that_never_start_are_noticed(on_slurm):
    done = on_slurm(*held(2, "unseen"), *WAIT, "executor.setup=[exit 3]")
    assert done.returncode == 1
    assert "none of its elements was seen to start" in done.stderr
    assert "0 cells are stored, 2 are left" in done.stderr


def test_a_node_with_a_program_of_the_old_layout_is_named_and_nothing_runs(on_slurm):
    (on_slurm.folder / "old" / "sweep").mkdir(parents=True)
    (on_slurm.folder / "old" / "sweep" / "__init__.py").touch()
    setup = f"executor.setup=['export PYTHONPATH={on_slurm.folder}/old']"
    done = on_slurm(*held(2, "other"), *WAIT, setup)
    assert done.returncode == 2, done.stderr
    said = r"^sweep: node \S+ has another version of sweep than submitted the job: install the same one there"
    assert re.search(rf"{said}; job \d+ is cancelled, nothing was computed$", done.stderr, re.MULTILINE)
    assert not begun(on_slurm, "other")


def test_cells_that_fail_are_listed_and_status_1(on_slurm):
    done = on_slurm(
        "-m", "grid=smoke", "init=custom", "init.function=tests.users.wrong", "act=tanh", "depth=1",
        "width=8,13", "batch=20", "seed=0", "report=false", *WAIT,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"1 failed: .*thirteen", done.stderr), done.stderr
    assert on_slurm.table()["status"].value_counts().to_dict() == {"ok": 1, "failed": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["executor.partition=nope"], "invalid partition specified: nope"),
        (["executor.walltime=1x"], "executor.walltime=1x: give a time as Slurm writes it"),
        (["executor.cores=1000"], "Slurm refuses the job"),
        (["executor.core=2"], "did you mean 'cores'?"),
        (["executor.setup=3"], "must be a list of shell lines"),
        (["executor.max_jobs=0"], "executor.max_jobs=0"),
        (["executor.sbatch.constraint=nonesuch"], "Slurm refuses the job"),
        (["executor.sbatch.nodes=2"], "executor.sbatch.nodes=2: this program sets --nodes itself"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2_and_writes_nothing(on_slurm, arguments, message):
    done = on_slurm(*GRID, "executor=slurm", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr
    assert list(on_slurm.folder.iterdir()) == []


def test_where_there_is_no_slurm_it_says_what_to_use_instead(without_slurm):
    done = without_slurm(*GRID, "executor=slurm")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "no Slurm on this machine" in done.stderr
    assert "shard=k/n" in done.stderr


def test_what_was_stored_before_a_time_limit_stays_and_the_same_command_finishes(limited, slurm):
    """Last in this module: its minute passes while the others run."""
    commands, arguments, bars = limited
    job = job_of(commands, "limited")
    until(lambda: not slurm.ask("squeue", "--noheader", f"--jobs={job}"), "the time limit")
    kept = len(commands.table("limited"))
    assert 0 < kept < 12, "what was done before the limit is stored"
    bars.open()
    done = commands(*arguments, *WAIT, "executor.max_jobs=4", **bars.environment)
    assert done.returncode == 0, done.stderr
    assert f"{kept} stored already, {12 - kept} to compute" in done.stderr
    assert len(commands.table("limited")) == 12


def settings(**values):
    plain = {
        "partition": None, "account": None, "cores": 4, "mem_gb": 8, "walltime": "01:00:00", "max_jobs": 32,
        "array_parallelism": None, "min_seconds": 60, "requeues": 3, "setup": [], "wait": None,
        "sbatch": {},
    }  # fmt: skip
    return Slurm.of(plain | values)


def test_options_of_sbatch_are_handed_on_but_for_those_that_are_set_otherwise():
    given = {"qos": "long", "gres": "gpu:1", "mail_type": "END", "nice": 10, "exclusive": True, "x11": False}
    assert settings(sbatch=given).sbatch == (
        ("qos", "long"), ("gres", "gpu:1"), ("mail-type", "END"), ("nice", "10"), ("exclusive", True),
    )  # fmt: skip
    wrong = {"partition": "x", "cpus_per_task": 3, "array": "1", "output": "x", "Q": "x", "qos": ["x"]}
    for name, value in wrong.items():
        with pytest.raises(RequestError, match=rf"^executor\.sbatch\.{name}="):
            settings(sbatch={name: value})


def test_elements_are_as_many_as_are_worth_their_while():
    assert array.elements(1e6, 10**5, settings(), None) == 32
    assert array.elements(1e6, 10**5, settings(max_jobs=2000), 1001) == 1001
    assert array.elements(1000.0, 10**5, settings(), None) == 4
    assert array.elements(0.1, 10**5, settings(), None) == 1
    assert array.elements(0.1, 5, settings(min_seconds=0), None) == 5


def test_a_dry_run_plans_for_the_elements_and_does_not_measure_the_login_node(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(calibration, "calibrate", None)
    options = Options(study="s", root=str(tmp_path), executor=settings(), dry_run=True)
    assert settings().capacity(options, needed=True).workers == 4 * 32
    assert run(Cells.of(grid(seeds=range(200))), options, {}) == 0
    assert re.search(r"│ to compute +│ +1,600 │", capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (90, 5400), ("90", 5400), ("10:30", 630), ("01:00:00", 3600), ("1-00:00:00", 86400), ("2-12", 216000),
        ("90m", 5400), ("2h", 7200), ("1d", 86400), ("30s", 30),
    ],
)  # fmt: skip
def test_walltimes_are_read_as_slurm_reads_them(text, seconds):
    assert settings(walltime=text).walltime == seconds
