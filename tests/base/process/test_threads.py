"""A thread that a user's code never ends keeps no command from ending."""

import pytest

from tests.processes import ROOT

GRID = ("init=custom", "init.function=tests.users.endless", "act=tanh", "depth=1", "seed=0", "batch=10")
SAID = "a thread started by your code is still running (endless"


@pytest.mark.parametrize("executor", ["serial", "local"])
def test_a_command_ends_with_a_line_where_a_thread_does_not(sweep_command, tmp_path, executor):
    more = (f"executor={executor}", "width=4,5", "n_jobs=2", "report=false", "study=s")
    done = sweep_command("-m", "grid=smoke", *GRID, *more, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if SAID in line]
    assert len(lines) == 1, done.stderr
    assert "0 failed" in done.stderr
    assert list((tmp_path / "outputs" / "s" / "cells").glob("*.parquet"))


def test_a_command_without_such_a_thread_says_nothing_of_it(sweep_command):
    done = sweep_command("depth=1", "width=4", "batch=10", "report=false")
    assert done.returncode == 0
    assert "thread" not in done.stderr
