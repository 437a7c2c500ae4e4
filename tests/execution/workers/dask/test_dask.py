"""A real Dask scheduler and workers on loopback. Every wait has an end; what never ends fails its test."""

import os
import re
import signal
import socket
import sys
import threading
import time
from dataclasses import replace

import pandas as pd
import pytest

from sweep.base.errors import RequestError
from sweep.execution.options import Options
from sweep.experiment.outcomes import verdict
from sweep.kernel.passes import NUMPY
from tests.execution.workers.conftest import FAST, GRID, assert_equal, assert_near, ended, gate, held, kinds
from tests.execution.workers.daemons import Dask as Cluster
from tests.execution.workers.daemons import free_port
from tests.processes import processes, until

pytest.importorskip("distributed")

from sweep.execution.workers.dask import connection, futures, loops
from sweep.execution.workers.dask.settings import Dask
from sweep.execution.workers.program import program
from tests.make import grid, packed

# Seconds for what is not there: whoever waits them out waits for nothing else, and what is there answers
# within them on a machine with other things to do.
SHORT = 10


def executor(dask, *more):
    return ("executor=dask", f"executor.address={dask.address}", *more)


def parts(commands, study):
    return list((commands.folder / "outputs" / study / "cells").glob("[!.]*.parquet"))


@pytest.fixture
def two(dask):
    dask.worker()
    dask.worker()
    return dask


def test_a_grid_of_2000_cells_equals_the_local_run_and_workers_store_it_themselves(
    two, commands, computed_here
):
    done = commands(*GRID, *executor(two))
    assert done.returncode == 0, done.stderr
    assert_equal(commands, computed_here(*GRID))
    assert all("-d" in path.stem for path in parts(commands, "smoke")), "the driver has stored nothing"
    assert "all stored already: nothing to compute" in commands(*GRID, *executor(two)).stderr


COMPILED = (*GRID, "compiled=true")


def test_a_grid_is_compiled_where_all_workers_can_and_the_record_says_so(dask, commands, computed_here):
    pytest.importorskip("numba")
    dask.worker(**FAST)
    dask.worker(**FAST)
    done = commands(*COMPILED, *executor(dask))
    assert done.returncode == 0, done.stderr
    assert kinds(commands) == {"compiled"}
    assert_near(commands, computed_here(*GRID))


def test_a_worker_that_cannot_compile_is_named_and_all_have_numpys(dask, commands, computed_here):
    pytest.importorskip("numba")
    dask.worker(**FAST)
    dask.worker()
    done = commands(*COMPILED, *executor(dask))
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"NumPy's passes are used: on the Dask worker tcp://\S+ SWEEP_PASSES=numpy\n", done.stderr
    )
    assert kinds(commands) == {"numpy"}
    assert_equal(commands, computed_here(*GRID))


def test_loops_are_compiled_on_the_workers_machines(dask, tmp_path):
    pytest.importorskip("numba")
    dask.worker(**FAST, SWEEP_CACHE=str(tmp_path))
    dask.worker(**FAST, SWEEP_CACHE=str(tmp_path))
    cluster = loops.Cluster(Dask(dask.address, None, 60.0))
    wanted = frozenset({"relu", "normal"})
    assert cluster.why_not() == ""
    assert cluster.missing(wanted) == wanted
    assert cluster.build(wanted) == ""
    assert cluster.missing(wanted) == frozenset()
    assert "no such loop" in cluster.build({"no such loop"})


def test_a_worker_killed_midway_costs_nothing_and_one_that_joins_late_helps(dask, commands):
    dask.worker()
    bars = gate(dask.folder, 6, 9)
    process = commands.start(*held(9, "killed"), *executor(dask), **bars.environment)
    process.until(lambda: parts(commands, "killed"), "a stored part")
    process.until(bars.waiting, "a cell in the middle")
    dask.worker()
    process.until(lambda: len(set(bars.waiting())) >= 2, "a cell at the late worker")
    os.kill(bars.waiting()[0], signal.SIGKILL)
    bars.open()
    done = ended(process)
    assert done.returncode == 0, done.stderr
    assert len(commands.table("killed")) == 9
    assert len(pd.read_parquet(commands.folder / "outputs" / "killed" / "cells")) == 9


def test_a_cell_that_kills_its_workers_is_one_failed_row(two, commands):
    poisoned = (
        "-m", "grid=smoke", "init=custom,xavier", "init.function=tests.users.poison", "act=tanh",
        "depth=1", "width=8,13", "batch=20", "report=false",
    )  # fmt: skip
    done = commands(*poisoned, "seed=0", *executor(two))
    assert done.returncode == 1, done.stderr
    assert re.search(r"1 failed: .*died", done.stderr)
    table = commands.table()
    assert table["status"].value_counts().to_dict() == {"ok": 3, "failed": 1}
    assert table.loc[table["status"] == "failed", "width"].tolist() == [13]


def test_a_cluster_that_is_empty_for_a_moment_is_waited_for(dask):
    settings = Dask(dask.address, None, 60.0)
    late = threading.Timer(1.0, dask.worker)
    late.start()
    results = list(futures.run(packed(grid(depths=(2,), widths=(8,)), 1), settings, 2, False, NUMPY, None))
    late.join()
    assert sum(map(len, results)) == len(grid(depths=(2,), widths=(8,)))


def test_a_scheduler_that_dies_is_a_clear_error_and_the_same_command_goes_on(two, commands):
    arguments, bars = held(9, "lost"), gate(two.folder, 6, 9)
    process = commands.start(*arguments, *executor(two), **bars.environment)
    process.until(lambda: parts(commands, "lost"), "a stored part")
    two.scheduler.end()
    lost = ended(process)
    assert lost.returncode == 1
    assert (
        "the Dask scheduler is gone; what is stored is kept: run the same command to continue" in lost.stderr
    )
    kept = len(commands.table("lost"))
    assert 0 < kept < 9
    two.start_scheduler()
    two.worker()
    process = commands.start(*arguments, *executor(two), **bars.environment)
    process.says(f"{kept} stored already, {9 - kept} to compute")
    bars.open()
    done = ended(process)
    assert done.returncode == 0, done.stderr
    assert len(commands.table("lost")) == 9


def test_the_last_worker_leaving_is_a_clear_error(dask, commands):
    worker = dask.worker()
    environment = gate(dask.folder, 6, 9).environment
    process = commands.start(*held(9, "left"), *executor(dask, f"executor.timeout={SHORT}"), **environment)
    process.until(lambda: parts(commands, "left"), "a stored part")
    worker.end()
    done = ended(process)
    assert done.returncode == 1
    assert f"the Dask scheduler has had no worker for {SHORT} s" in done.stderr


def test_without_an_address_workers_of_this_machine_do_it_and_leave_nothing_behind(commands):
    arguments = (*GRID[:-2], "seed=range(0,5)", "report=false", "executor=dask", "n_jobs=2")
    done = commands(*arguments, CLUSTER=str(commands.folder))
    assert done.returncode == 0, done.stderr
    assert len(commands.table()) == 20
    until(lambda: not processes(f"CLUSTER={commands.folder}"), "the workers' end")


OTHER = "import sweep.execution.workers.program as it\nit.KERNEL_VERSION = 'other'\n"
OLD = "import sys\nsys.modules['sweep.execution'] = None\n"  # as before there was such a package


def test_a_worker_with_another_version_is_refused(dask, commands, tmp_path):
    preload = tmp_path / "preload.py"
    preload.write_text(OTHER)
    dask.worker("--preload", str(preload), "--no-nanny")
    done = commands(*GRID, *executor(dask))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "(kernel other), this is sweep" in done.stderr
    assert not (commands.folder / "outputs").exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (OTHER, r"\(kernel other\), this is sweep .*: install the same one there"),
        (OLD, r"a Dask worker has no sweep \S+ \(kernel \S+\) \(ModuleNotFoundError: .*\): install it there"),
    ],
    ids=["another version", "old layout"],
)
def test_a_worker_with_another_program_that_joins_late_ends_the_run_clearly(
    dask, commands, tmp_path, code, says
):
    preload = tmp_path / "preload.py"
    preload.write_text(code)
    dask.worker()
    process = commands.start(*held(9, "late"), *executor(dask), **gate(dask.folder, 6, 9).environment)
    process.until(lambda: parts(commands, "late"), "a stored part")
    dask.worker("--preload", str(preload), "--no-nanny")
    done = ended(process)
    assert done.returncode == 1, done.stderr
    assert re.search(says, done.stderr), done.stderr


@pytest.mark.parametrize(
    "code", ["import sys\nsys.modules['sweep'] = None\n", OLD], ids=["no program", "old layout"]
)
def test_a_worker_without_this_program_is_refused(dask, commands, tmp_path, code):
    preload = tmp_path / "preload.py"
    preload.write_text(code)
    dask.worker("--preload", str(preload), "--no-nanny")
    done = commands(*GRID, *executor(dask))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert re.search(r"the Dask worker tcp://\S+ has no sweep", done.stderr)


def refused(commands, *arguments):
    done = commands(*GRID, "executor=dask", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert list(commands.folder.iterdir()) == []
    return done.stderr


def test_an_address_nobody_answers_is_given_up(commands):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        said = refused(commands, f"executor.address={address}", "executor.timeout=2")
        assert f"no Dask scheduler answers at {address}" in said
    assert "no Dask scheduler answers" in refused(
        commands, f"executor.address={address}", "executor.timeout=2"
    )


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1", "tcp://127.0.0.1:", "nope://x:1", "tls://127.0.0.1:1"]
)
def test_an_address_of_no_scheduler_is_one_line_at_once(commands, address):
    started = time.monotonic()
    said = refused(commands, f"executor.address={address}", "executor.timeout=20")
    assert f"no Dask scheduler answers at {address}" in said
    assert time.monotonic() - started < 20, "nobody is waited for"


@pytest.mark.parametrize("scheme", ["tcp://", ""])
def test_an_address_with_a_password_is_refused_and_not_repeated(commands, scheme):
    said = refused(commands, f"executor.address={scheme}user:SECRET@127.0.0.1:1")
    assert "must not hold a user" in said
    assert "SECRET" not in said
    with pytest.raises(RequestError, match=r"executor.address=…@…: an address must not hold a user"):
        Dask.of({"address": f"{scheme}user:SECRET@127.0.0.1:1", "scheduler_file": None, "timeout": 1})


def test_a_scheduler_without_workers_is_given_up(dask, commands):
    said = refused(commands, f"executor.address={dask.address}", f"executor.timeout={SHORT}")
    assert (
        f"has no worker (waited {SHORT} s): start some with 'dask worker {dask.address} --nthreads 1'" in said
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["executor.address=localhost"], "executor.address=localhost: give a scheduler's address"),
        (["executor.address=tcp://a:1", "executor.scheduler_file=f"], "give only one of them"),
        (["executor.scheduler_file=nowhere.json"], "no such file"),
        (["executor.timeout=0"], "executor.timeout=0"),
        (["executor.adress=tcp://a:1"], "did you mean 'address'?"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2_and_writes_nothing(commands, arguments, message):
    assert message in refused(commands, *arguments)


def test_where_the_root_is_not_shared_results_come_back_through_the_driver(tmp_path):
    (task,) = packed(grid(depths=(2,), widths=(8,), batch=20), 1)
    store = futures.WorkerStore(tmp_path / "study", tmp_path / "study" / "runs" / "a", "a", verdict.DEFAULT)
    returned = futures._work(task, False, NUMPY, program(), store, 0)
    assert returned.statistics
    assert not returned.stored
    assert not (tmp_path / "study").exists()
    store.mark.mkdir(parents=True)
    (store.study / "layers").write_text("in the way")
    blocked = futures._work(task, False, NUMPY, program(), store, 0)
    assert blocked.statistics, "seen, but no study that can be written"
    (store.study / "layers").unlink()
    for _ in range(2):  # whoever computes a task a second time writes the same part
        stored = futures._work(task, False, NUMPY, program(), store, 0)
        assert stored.stored
        assert not stored.statistics
    assert [path.name for path in (store.study / "cells").iterdir()] == ["a-d000000.parquet"]


def test_waiting_for_what_never_answers_ends(monkeypatch):
    monkeypatch.setattr(connection, "_GRACE_SECONDS", 0.0)
    never = threading.Event()
    try:
        with pytest.raises(TimeoutError, match="no answer within 0"):
            connection.wait_for(never.wait, 0.0)
    finally:
        never.set()


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    settings = Dask(None, None, 1.0)
    with pytest.raises(RequestError, match=r"pip install distributed"):
        futures.capacity(settings)


def test_a_dry_run_asks_the_cluster_what_it_has_and_makes_a_plan_without_its_answer(two):
    options = Options(study="planned", dry_run=True)
    there = Dask(two.address, None, 60.0).capacity(options, needed=True)
    assert (there.workers, there.here) == (2, False)
    nobody = Dask(f"tcp://127.0.0.1:{free_port()}", None, 1.0)
    assert not nobody.capacity(options, needed=True).here
    with pytest.raises(RequestError, match="no Dask scheduler answers"):
        nobody.capacity(replace(options, dry_run=False), needed=True)


def test_a_task_is_split_into_all_its_cells():
    (task,) = packed(grid(depths=(2,), widths=(8,), seeds=range(30), batch=20), 1)
    split = futures._split(task)
    assert len(split) > 8
    assert {one for part in split for one in part.cells} == set(task.cells)


def test_no_test_leaves_a_process_behind(tmp_path):
    with Cluster(tmp_path) as running:
        running.worker()
        assert processes(running.address, "dask_worker")
    assert processes(running.address) == {}
