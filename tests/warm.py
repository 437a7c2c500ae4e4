"""A Python that has imported the libraries once, and forks for every command that asks it.

`python -m sweep…` takes half a second to start, and one that draws takes two: numpy, pandas, matplotlib. A
command that is forked here has all else as a cold one has: a process and session of its own, its folder, its
environment, its arguments, its streams; everything of `sweep` is imported anew. What a command imports, and
whether it starts from nothing, others test: tests/test_imports.py, tests/test_command.py.

This file is the server too, and then imports nothing of the tests: a command must not find them by chance.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import threading
import types
import warnings
from pathlib import Path

# Of the environment, what nothing reads while Python starts and libraries are imported.
_LATE = {"PYTHONPATH", "COLUMNS", "NUMBER", "BUCKET", "AWS_ENDPOINT_URL", "XDG_STATE_HOME"}
_AT_THE_START = {"sitecustomize", "usercustomize"}
_FLAGS = ("-W", "error::RuntimeWarning")
_LIBRARIES = (
    "numpy", "scipy.special", "scipy.optimize", "scipy.linalg", "scipy.sparse", "scipy.stats",
    "scipy.interpolate", "pandas", "pyarrow", "pyarrow.parquet", "pyarrow.compute", "hydra",
    "hydra._internal.hydra", "hydra._internal.config_loader_impl", "hydra.core.global_hydra", "omegaconf",
    "rich.console", "rich.table", "rich.progress", "joblib", "joblib.externals.loky", "threadpoolctl",
    "matplotlib.pyplot", "matplotlib.figure", "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg", "seaborn", "jinja2", "fsspec", "s3fs", "gzip", "importlib.metadata",
    "concurrent.futures",
)  # fmt: skip
_LARGEST = 1 << 20  # bytes of a request: arguments and an environment


class Warm:
    """The server, for as long as the tests run."""

    def __init__(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, *_FLAGS, __file__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if name not in _LATE},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._socket = ours
        if not (said := ours.recv(_LARGEST)):
            raise RuntimeError(f"the warm Python has ended with {self._server.wait()} before any command")
        self._there = set(json.loads(said))  # which modules it has, their packages' names

    def close(self):
        """It ends when nobody can ask it any more."""
        self._socket.close()
        self._server.wait()

    def begins(self, cwd, environment):
        """How to begin such a command: from the start of Python where it finds other things than we have."""
        folders = [cwd, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        cold = not environment.keys() <= _LATE or any(map(self._has_another, folders))
        return subprocess.Popen if cold else self.begin

    def _has_another(self, folder):
        names = {path.name.partition(".")[0] for path in Path(folder).glob("*")}
        return not names.isdisjoint(self._there | _AT_THE_START)

    def begin(self, command, cwd, env, stdout, stderr, stdin, start_new_session):
        """`python -W error::RuntimeWarning -m …`, begun as subprocess.Popen begins it."""
        assert command[:4] == [sys.executable, *_FLAGS, "-m"]
        assert (stdin, start_new_session) == (subprocess.DEVNULL, True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps({"command": command, "cwd": str(cwd), "environment": dict(env)})
        with theirs:
            descriptors = [stdout.fileno(), stderr.fileno(), theirs.fileno()]
            socket.send_fds(self._socket, [request.encode()], descriptors)
        return Forked(ours)


class Forked:
    """A command that has been forked, as subprocess.Popen has its own."""

    def __init__(self, connection):
        self._connection = connection
        self.returncode = None
        self.pid = self._number()

    def _number(self):
        said = self._connection.recv(64)
        if not said:
            raise RuntimeError("the warm Python has ended before its command")
        return int(said)

    def poll(self):
        """The exit status, negative for a signal; None while it runs."""
        if self.returncode is None:
            self._connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self._end()
        return self.returncode

    def wait(self):
        """The exit status."""
        if self.returncode is None:
            self._connection.setblocking(True)
            self._end()
        return self.returncode

    def kill(self):
        """This process, and none that it started."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _end(self):
        self.returncode = self._number()
        self._connection.close()


def _serve(connection):
    """Fork for every request; in the child, the request. Exits when nobody can ask any more."""
    selector, running = selectors.DefaultSelector(), {}
    selector.register(connection, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is not connection:
                asker = running.pop(key.fd)
                selector.unregister(key.fd)
                _, status = os.waitpid(key.data, 0)
                os.close(key.fd)
                with contextlib.suppress(OSError), asker:  # who asked may have ended
                    asker.send(str(os.waitstatus_to_exitcode(status)).encode())
                continue
            text, descriptors, _, _ = socket.recv_fds(connection, _LARGEST, 3)
            if not text:
                sys.exit()
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", DeprecationWarning
                )  # threads of BLAS, which looks after itself
                pid = os.fork()
            if pid == 0:
                return json.loads(text), descriptors
            for one in descriptors[:2]:
                os.close(one)
            child = os.pidfd_open(pid)
            running[child] = socket.socket(fileno=descriptors[2])
            selector.register(child, selectors.EVENT_READ, pid)


def _become(request, descriptors):
    """Take the place of the command; the module that it runs."""
    os.setsid()
    stdout, stderr, asker = descriptors
    os.write(asker, str(os.getpid()).encode())
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)  # noqa: PTH208
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    # The first is this file's; site drops what it has seen before.
    sys.path[:] = [request["cwd"], *given, *(path for path in sys.path[1:] if path not in given)]
    sys.orig_argv[:] = request["command"]
    words = request["command"][1 + len(_FLAGS) :]
    sys.argv[:] = [words[0], *words[2:]]  # as Python has it while it looks for the module
    sys.modules["__main__"] = types.ModuleType("__main__")
    return words[1]


def _leave(status):
    """Leave as Python does, but clear no modules: with so many libraries that takes as long as a command."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    for _name in _LIBRARIES:
        with contextlib.suppress(ImportError):  # an extra's
            importlib.import_module(_name)
    gc.freeze()
    _connection = socket.socket(fileno=int(sys.argv[1]))
    _connection.send(json.dumps(sorted({_name.partition(".")[0] for _name in sys.modules})).encode())
    _module = _become(*_serve(_connection))
    try:
        runpy._run_module_as_main(_module)
    except SystemExit as _ended:
        if isinstance(_ended.code, int | None):
            _leave(_ended.code or 0)
        raise
