"""The folder for what Slurm's jobs run: of this user alone, for whoever can write to it runs code as him.

Not in the study, which others may have made, or may write to. On a cluster it lies in the user's home,
which the nodes share; XDG_STATE_HOME, of the XDG base directory specification, moves it.
"""

import os
import shlex
import stat
from pathlib import Path

from sweep.base.errors import RequestError

UNSAFE = 77  # EX_NOPERM of sysexits.h
_OTHERS = 0o077


def of(run: str) -> Path:
    """Where the jobs of a run have their folder, whether or not there is one."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else Path.home() / ".local" / "state") / "sweep" / "slurm" / run


def make(run: str) -> Path:
    """Make the folder of a run's jobs; RequestError where it would not be this user's alone."""
    folder = of(run)
    try:
        folder.parents[2].mkdir(parents=True, exist_ok=True)
        for own in (folder.parents[1], folder.parent, folder):
            own.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"executor=slurm: cannot make {folder} ({error.strerror}): set XDG_STATE_HOME to a folder of "
            "your own that the nodes see"
        ) from error
    check(folder.parent)
    check(folder)
    return folder


def check(folder: Path) -> None:
    """Raise RequestError where somebody else may have written what lies in a folder."""
    try:
        found = folder.lstat()
    except OSError as error:
        raise RequestError(f"{folder}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
        raise RequestError(
            f"{folder} must be accessible to you alone, as what is in it runs as you: chmod 700 "
            f"{shlex.quote(str(folder))}, or set XDG_STATE_HOME to another folder that the nodes see"
        )


def line(folder: Path) -> str:
    """A line of shell that ends a script where the folder is not of this user alone."""
    quoted = shlex.quote(str(folder))
    said = f"sweep: {folder} is accessible to others than this user on this node"
    return (  # 2700 where folders hand on their group
        f'case "$(stat -c %u:%a {quoted} 2>/dev/null)" in "$(id -u)":700 | "$(id -u)":2700) ;; '
        f"*) echo {shlex.quote(said)} >&2; exit {UNSAFE} ;; esac"
    )
