"""A system without what Linux, or POSIX, has of its own, for this program and the processes that it starts.

Called by a `sitecustomize`, before anything of the program is imported. The libraries keep what they count on
under Linux; a read of /proc or /sys by the program finds nothing.
"""

import builtins
import os
import signal
import sys

# What Python documents as absent on Windows, as far as a program like this one might use it.
_OF_OS = """
    O_ASYNC O_CLOEXEC O_DIRECTORY O_DSYNC O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_SYNC chown
    chroot confstr copy_file_range ctermid eventfd fchdir fchmod fchown fdatasync fork forkpty
    getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority getresuid getsid getuid
    initgroups killpg lchown lockf major memfd_create minor mkfifo mknod nice openpty pathconf
    pidfd_open pipe2 posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev
    register_at_fork sched_getaffinity sched_setaffinity sched_yield sendfile setegid seteuid setgid
    setpgid setpriority setsid setuid statvfs sync sysconf sysconf_names tcgetpgrp ttyname uname
    wait wait3 wait4 waitid
"""
_OF_SIGNAL = """
    ITIMER_REAL SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGPROF SIGQUIT SIGRTMAX
    SIGRTMIN SIGSTOP SIGSYS SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM
    SIGWINCH SIGXCPU SIGXFSZ SIG_BLOCK SIG_SETMASK SIG_UNBLOCK alarm getitimer pause pthread_kill
    pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait sigwaitinfo
"""
GONE = {os: _OF_OS.split(), signal: _OF_SIGNAL.split()}
_FROM_ALL = {"sched_getaffinity", "sched_setaffinity", "SIGHUP"}
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty", "_posixsubprocess"}
_PROGRAM = ("sweep", "hydra_plugins")
_READING = ("pathlib", "io", "_io", "os", "codecs", "contextlib")  # between the program and a file
_import = builtins.__import__


def _is_ours(names):
    package = (names or {}).get("__package__") or (names or {}).get("__name__") or ""
    return package.partition(".")[0] in _PROGRAM


def _lost(module, names):
    """Take these from a module: the program finds them no more, the libraries those that they count on."""
    kept = {name: vars(module)[name] for name in names if name in vars(module)}
    for name in kept:
        delattr(module, name)

    def found(name):
        if name in kept and name not in _FROM_ALL and not _is_ours(sys._getframe(1).f_globals):
            return kept[name]
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    module.__getattr__ = found


def _imported(name, globals=None, locals=None, fromlist=(), level=0):
    if name in MODULES and _is_ours(globals):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return _import(name, globals, locals, fromlist, level)


def _opened(event, arguments):
    if event != "open" or not str(arguments[0]).startswith(("/proc", "/sys")):
        return
    frame = sys._getframe(1)
    while frame and frame.f_globals.get("__name__") in _READING:
        frame = frame.f_back
    if frame and _is_ours(frame.f_globals):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])


def take_away():
    """From now on, in this process."""
    from multiprocessing import resource_tracker  # noqa: PLC0415

    tracker = resource_tracker.ensure_running

    def ensure_running():
        if _is_ours(sys._getframe(1).f_globals):
            raise ModuleNotFoundError("No module named '_posixsubprocess'", name="_posixsubprocess")
        tracker()

    resource_tracker.ensure_running = ensure_running
    for module, names in GONE.items():
        _lost(module, names)
    builtins.__import__ = _imported
    sys.addaudithook(_opened)
