"""Workers that die: what each test runs in is a process of its own, killed for real."""

import os
import re
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sweep.execution.workers import local
from tests.make import cell, packed
from tests.processes import alive, session, start, until
from tests.users import Gate


def user_scheme(rng, fan_in, fan_out, deadly=0, how="exit", path=""):
    """A user's scheme that takes its process down at one width; it notes whom it takes."""
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {fan_in}\n")
    if fan_in == deadly and how == "exit":
        os._exit(7)
    if fan_in == deadly and how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fan_in == deadly and how == "leave":
        sys.exit(3)
    return rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)


def own(**keywords):
    return {"name": "custom", "function": "tests.execution.workers.test_pool.user_scheme", "kwargs": keywords}


def outcomes(tasks, n_jobs=2, remaining=lambda task: task):
    """[(cell, error or None)] of everything that comes back."""
    results = local.run(tasks, n_jobs, False, remaining)
    return [(one, r.errors.get(place)) for r in results for place, one in enumerate(r.cells)]


@pytest.mark.parametrize(
    ("how", "says"),
    [("exit", "WorkerDied: .*EXIT\\(7\\)"), ("kill", "WorkerDied: .*SIGKILL"), ("leave", "SystemExit: 3")],
)
def test_a_cell_that_takes_its_worker_down_fails_alone(how, says):
    cells = [
        cell(init=own(deadly=11, how=how), act={"name": act}, depth=depth, width=width, batch=5)
        for width in range(4, 14)
        for act in ("tanh", "relu")
        for depth in (2, 3)
    ]
    found = outcomes(packed(cells, 2))
    assert Counter(one for one, _ in found) == Counter(cells)
    failed = {one: str(error) for one, error in found if error}
    assert set(failed) == {one for one in cells if one.width == 11}
    for error in failed.values():
        assert re.search(says, error)


def test_a_users_function_never_runs_in_the_driver_however_short_the_run(tmp_path):
    ((_, error),) = outcomes(packed([cell(init=own(path=str(tmp_path / "p")), depth=1, width=4)], 1), 1)
    assert error is None
    assert {int(line.split()[0]) for line in (tmp_path / "p").read_text().splitlines()}.isdisjoint(
        {os.getpid()}
    )


def test_a_task_is_asked_for_once_more_before_it_is_handed_out():
    cells = [cell(init=own(), depth=1, width=width, batch=5) for width in range(4, 10)]
    tasks = packed(cells, 2)
    assert outcomes(tasks, remaining=lambda task: None) == []


def test_a_worker_that_dies_while_it_waits_for_work_is_replaced(tmp_path):
    notes = tmp_path / "notes"
    first, second = (cell(init=own(path=str(notes)), depth=1, width=width, batch=5) for width in (4, 5))
    handed_out = []

    def remaining(task):
        if handed_out:
            pid = int(notes.read_text().split()[0])
            os.kill(pid, signal.SIGKILL)
            until(lambda: not alive(pid), "the worker's end")
        handed_out.append(task)
        return task

    tasks = [*packed([first], 1), *packed([second], 1)]
    assert outcomes(tasks, 1, remaining) == [(first, None), (second, None)]


DRIVER = """
from sweep.execution.workers import local
from tests.make import cell, packed
init = {"name": "custom", "function": "tests.users.held"}
cells = [cell(init=init, depth=1, width=width) for width in (4, 5)]
list(local.run(packed(cells, 2), 2, False))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to look processes up in")
def test_workers_end_when_their_driver_is_killed(tmp_path):
    gate = Gate(tmp_path, 4, 5)
    driver = start([sys.executable, "-c", DRIVER], environment=gate.environment)
    driver.until(gate.waiting, "a worker at work")
    assert set(gate.waiting()) <= set(session(driver.pid))
    driver.kill()
    until(lambda: not session(driver.pid), "the end of all that it has started")
