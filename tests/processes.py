"""Commands as processes of their own: what they say while they run, and the end of all that they started.

No test waits for a time to pass: it waits for what the program announces, and nothing outlives it.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEADLINE = 600.0  # s, of every wait: only what hangs takes so long, however busy the machine is
MARK = "STARTED_BY_TESTS"  # in the environment of whatever one run of the tests starts
_LEAVING_SECONDS = 60.0  # for what has been told to end, or ends with the one that started it
_SESSION = uuid.uuid4().hex


def until(condition, what, seconds=DEADLINE):
    """Poll until the condition holds; its value. TimeoutError, which says for what, where it never does."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)
    return found


class Process:
    """A command in a session of its own; its output is there while it runs.

    The `with` block, or `end`, kills it and all that it started, whatever has happened.
    environment: added to that of the tests. stdout, stderr: files instead of those that `out` and `err` read.
    begin: how to start it, as subprocess.Popen does.
    """

    def __init__(self, command, cwd=ROOT, environment=None, stdout=None, stderr=None, begin=subprocess.Popen):
        self.command = [str(word) for word in command]
        self._files = [tempfile.TemporaryFile(buffering=0) for _ in range(2)]  # noqa: SIM115  until `end`
        self._process = begin(
            self.command,
            cwd=cwd,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=self._files[0] if stdout is None else stdout,
            stderr=self._files[1] if stderr is None else stderr,
            start_new_session=True,
        )
        self.pid = self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    @property
    def out(self):
        """What it has printed by now."""
        return self._read(0)

    @property
    def err(self):
        """What it has said on stderr by now."""
        return self._read(1)

    def _read(self, number):
        descriptor = self._files[number].fileno()
        # At a place of its own: the command writes at the place that they share.
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def running(self):
        return self._process.poll() is None

    def until(self, condition, what):
        """Poll until the condition holds; its value. AssertionError where the command ends before it does."""

        def met():
            running = self.running()
            found = condition()  # once more after its end: it may have been the last thing that it did
            assert found or running, f"ended with {self._process.returncode} before {what}: {self.err}"
            return found

        return until(met, f"{what}, by {self.command}")

    def says(self, text):
        """Wait until it says so on stderr."""
        self.until(lambda: text in self.err, repr(text))

    def signal(self, number):
        """To all of its processes: as a terminal and a scheduler do."""
        os.killpg(self.pid, number)

    def kill(self):
        """This process, and none that it started."""
        self._process.kill()
        self._process.wait()

    def wait(self):
        """Its exit status."""
        until(lambda: not self.running(), f"the end of {self.command}, which has said: {self.err}")
        return self._process.returncode

    def ended(self):
        """The finished command, as subprocess.run has it."""
        status = self.wait()
        return subprocess.CompletedProcess(self.command, status, self.out, self.err)

    def end(self):
        """Kill what is left of it and of what it started; nothing where that has been done."""
        if self._files[0].closed:
            return
        if self.running():
            self._process.kill()
        self._process.wait()
        until(lambda: not _killed(session(self.pid)), f"the end of all that {self.command} started")
        for file in self._files:
            file.close()


_started = []


def start(command, cwd=ROOT, **options):
    """A process that ends with the test that starts it, at the latest."""
    _started.append(Process(command, cwd, **options))
    return _started[-1]


def end_all():
    """End what `start` has started."""
    while _started:
        _started.pop().end()


def _killed(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _status(pid):
    """The fields of /proc/pid/stat from the state on; None where no such process lives."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = fields.rpartition(")")[2].split()
    return None if found[0] in "ZX" else found


def alive(pid):
    return _status(pid) is not None


def parent(pid):
    """Who started a process; 0 where it has ended."""
    found = _status(pid)
    return int(found[1]) if found else 0


def session(leader):
    """The living processes of a session, its leader left out."""
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [
        pid
        for pid in pids
        if pid != leader and (found := _status(pid)) is not None and int(found[3]) == leader
    ]


def processes(*words):
    """Command lines and environments of living processes that hold all the words: pid -> command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes().decode(errors="replace")
            if command and all(str(word) in command + environment for word in words):
                found[int(folder.name)] = command
    found.pop(os.getpid(), None)
    return found


def mark():
    """Have all that is started from now on carry the mark, and hear Ctrl-C also in a shell's background."""
    os.environ[MARK] = _SESSION
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def marked():
    """What this run of the tests has started, and lives: pid -> command line."""
    return processes(f"{MARK}={_SESSION}")


def left(before):
    """What has been started since, and lives, but for what belongs to somebody who lived before."""
    return {pid: command for pid, command in marked().items() if not _belongs(pid, command, before)}


def _belongs(pid, command, before):
    if parent(pid) == os.getpid() and "resource_tracker" in command:  # Python's own, until this process ends
        return True
    while pid > 1 and pid not in before and pid != os.getpid():
        pid = parent(pid)
    return pid in before


def none_left(before, seconds=_LEAVING_SECONDS):
    """AssertionError, naming them, where processes outlive whoever started them; they are killed then."""
    try:
        until(lambda: not left(before), "the end of what a test has started", seconds)
    except TimeoutError:
        found = left(before)
        _killed(found)
        raise AssertionError(f"processes are left behind: {found}") from None
