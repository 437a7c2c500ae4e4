"""A forked command finds what a command that Python starts finds, and ends as it does."""

import os
import subprocess
import sys

import pytest

from tests.processes import ROOT, start

LOOK = """
import os, signal, sys, threading
own = {name for name in sys.modules if name.partition(".")[0] in ("sweep", "tests", "look")}
main = sys.modules["__main__"]
print(__name__, main.__spec__.name, main.__file__, main.__dict__ is globals(), sorted(own))
print(sys.argv, sys.orig_argv, sys.flags, sys.warnoptions)
print(sys.path, os.getcwd(), sorted(os.environ), os.environ["COLUMNS"])
print(os.getsid(0) == os.getpid(), threading.active_count(), signal.getsignal(signal.SIGINT))
print(sorted(map(int, os.listdir("/proc/self/fd")))[:3], os.isatty(1), sys.stdin.read() == "")
print("said", file=sys.stderr)
"""
ENDS = {
    "nothing": "",
    "a status": "sys.exit(3)",
    "a text": "sys.exit('what is wrong')",
    "an error": "import look_no_further",
    "a signal": "os.kill(os.getpid(), signal.SIGTERM)",
    "at once": "os._exit(5)",
    "what is to be done at the end": "import atexit; atexit.register(print, 'done'); sys.exit(2)",
    "a thread": "threading.Timer(0.01, print, ['later']).start()",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_forked_command_is_what_python_starts(warm, tmp_path, end):
    (tmp_path / "look.py").write_text(LOOK + ENDS[end])
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "look", "one", "-m", "--two"]
    ended = []
    for begin in (subprocess.Popen, warm.begin):
        more = {"PYTHONPATH": str(ROOT), "COLUMNS": "70"}
        done = start(command, tmp_path, environment=more, begin=begin).ended()
        # A traceback begins with how Python came to run the module.
        ended.append((done.returncode, done.stdout, done.stderr.rpartition("line ")[2]))
    assert ended[1] == ended[0]
    assert "__main__ look" in ended[0][1]


def test_commands_run_side_by_side_and_end_when_they_are_told_to(warm, tmp_path):
    (tmp_path / "wait.py").write_text("import signal; print('there', flush=True); signal.pause()")
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "wait"]
    first, second = (start(command, tmp_path, begin=warm.begin) for _ in range(2))
    for process in (first, second):
        process.until(lambda process=process: process.out, "its word")
    first.kill()
    assert (first.running(), first.wait()) == (False, -9)
    assert second.running()
    second.end()
    assert not os.path.exists(f"/proc/{second.pid}")  # noqa: PTH110


def test_a_command_starts_from_nothing_where_it_would_find_other_libraries(warm, tmp_path):
    assert warm.begins(tmp_path, {"PYTHONPATH": str(ROOT), "COLUMNS": "40"}) == warm.begin
    (tmp_path / "mine.py").touch()
    assert warm.begins(tmp_path, {"PYTHONPATH": str(tmp_path)}) == warm.begin
    assert warm.begins(tmp_path, {"MPLBACKEND": "agg"}) == subprocess.Popen
    for name in ("sitecustomize.py", "seaborn.py", "yaml", "site.py"):
        (tmp_path / "site" / name).mkdir(parents=True)
        path = os.pathsep.join([str(ROOT), str(tmp_path / "site")])
        assert warm.begins(ROOT, {"PYTHONPATH": path}) == subprocess.Popen
        assert warm.begins(tmp_path / "site", {}) == subprocess.Popen
        (tmp_path / "site" / name).rmdir()
