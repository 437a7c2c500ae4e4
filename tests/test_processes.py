"""What the tests start ends, and what does not is named."""

import os
import signal
import subprocess
import sys

import pytest

from tests.processes import Process, alive, left, marked, none_left, session, until

FAMILY = """
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; print(1, flush=True); signal.pause()"])
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # not before: a child would inherit it
print("both are there", file=sys.stderr, flush=True)
signal.pause()
"""


def test_a_process_ends_with_all_that_it_has_started_also_where_the_test_fails():
    def failing():
        with Process([sys.executable, "-c", FAMILY]) as process:
            found.append(process.pid)
            process.until(lambda: process.out, "the child's word")
            found.extend(session(process.pid))
            process.says("both are there")
            process.signal(signal.SIGTERM)  # which ends the child alone
            process.until(lambda: not alive(found[1]), "the child's end")
            assert process.running()
            raise ZeroDivisionError

    found = []
    with pytest.raises(ZeroDivisionError):
        failing()
    assert not any(map(alive, found))


def test_a_child_ends_that_has_outlived_who_started_it():
    with Process([sys.executable, "-c", FAMILY]) as process:
        process.until(lambda: process.out, "the child's word")
        (child,) = session(process.pid)
        process.kill()
        assert alive(child)
    assert not alive(child)


def test_who_is_left_behind_is_named_and_killed():
    before = set(marked())
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    with subprocess.Popen(command, start_new_session=True) as lost:
        try:
            until(lambda: lost.pid in left(before), "the process")
            with pytest.raises(AssertionError, match=rf"left behind: {{{lost.pid}: '.*signal.pause"):
                none_left(before, 0.0)
            assert lost.wait() == -signal.SIGKILL
        finally:
            lost.kill()


def test_what_belongs_to_a_fixture_is_left_to_it():
    with Process([sys.executable, "-c", FAMILY]) as process:
        until(lambda: process.pid in marked(), "the process")
        before = set(marked())
        process.until(lambda: process.out, "the child's word")
        (child,) = session(process.pid)
        assert child in marked()
        assert left(before - {child}) == {}
        assert child in left(before - {child, process.pid})
        assert os.getpid() not in marked()


def test_an_end_before_what_is_awaited_says_what_was_awaited_and_what_was_said():
    code = "import sys; sys.exit('no such thing')"
    with (
        pytest.raises(AssertionError, match="ended with 1 before an answer: no such thing"),
        Process([sys.executable, "-c", code]) as process,
    ):
        process.until(lambda: False, "an answer")
    with pytest.raises(TimeoutError, match="waited 0 s for godot"):
        until(lambda: False, "godot", 0.0)
