"""Ctrl-C, pressed while a command is at work: a terminal, a pipe, real workers."""

import contextlib
import os
import pty
import re
import signal
import sys

import pandas as pd
import pytest

from tests.processes import session, start, until
from tests.torture import DRIVER
from tests.users import Gate


def at_work(gate, folder, *arguments, **files):
    """A command in two workers, a task for each width from 8 to 11, some of which the gate holds."""
    grid = ("grid=smoke", "act=tanh", *gate.arguments, "width=range(8,12)", "depth=2", "seed=0", "batch=20")
    command = [sys.executable, "-c", DRIVER, "-m", *grid, "n_jobs=2", "report=false", *arguments]
    return start(command, folder, environment=gate.environment, **files)


def interrupted(tmp_path, gate, terminal):
    """Press Ctrl-C once cells are stored and others are at work; the exit status and what was printed."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    try:
        process = at_work(gate, tmp_path, stdout=theirs, stderr=theirs)
    finally:
        os.close(theirs)
    os.set_blocking(ours, False)
    parts, said = tmp_path / "outputs" / "smoke" / "cells", []

    def read():
        """Whatever is there: a terminal that nobody reads makes the command wait."""
        with contextlib.suppress(OSError):  # nothing now, or a pty's end
            while chunk := os.read(ours, 65536):
                said.append(chunk)

    def at_it():
        read()
        return gate.waiting() and list(parts.glob("[!.]*.parquet"))

    try:
        process.until(at_it, "a stored part and work left")
        process.signal(signal.SIGINT)
        until(lambda: read() or not process.running(), "the end")
        read()
    finally:
        os.close(ours)
    return process.wait(), b"".join(said).decode()


@pytest.mark.parametrize("terminal", [True, False])
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path, terminal):
    gate = Gate(tmp_path, 8)
    status, printed = interrupted(tmp_path, gate, terminal)
    assert status == 130, printed
    assert "Traceback" not in printed
    done = re.search(r"interrupted: (\d+) cells are stored, (\d+) are left; run the same command", printed)
    assert done, printed
    stored, left = int(done[1]), int(done[2])
    assert stored + left == 4
    assert len(pd.read_parquet(tmp_path / "outputs" / "smoke" / "cells")) == stored > 0
    gate.open()
    resumed = at_work(gate, tmp_path).ended()
    assert resumed.returncode == 0, resumed.stderr
    assert f"4 cells, {stored} stored already, {left} to compute" in resumed.stderr


def test_ctrl_c_while_workers_start_is_one_line_too(tmp_path):
    """Whatever the moment: the workers never see the interrupt, and the driver says one line."""
    gate = Gate(tmp_path, 8, 9, 10, 11)

    def planned(process):
        return list(tmp_path.glob(f"outputs/{study}/runs/*/plan.jsonl.gz"))

    def first_other(process):
        return session(process.pid)

    def worker(process):
        return len(session(process.pid)) >= 2

    for moment in (planned, first_other, worker):
        study = moment.__name__
        process = at_work(gate, tmp_path, f"study={study}")
        process.until(lambda process=process, moment=moment: moment(process), study)
        process.signal(signal.SIGINT)
        done = process.ended()
        assert done.returncode == 130, done.stderr
        lines = [line for line in done.stderr.splitlines() if not line.startswith("study ")]
        assert len(lines) == 1, done.stderr
        assert "interrupted" in lines[0]
