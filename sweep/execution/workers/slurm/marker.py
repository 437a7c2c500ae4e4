"""Whether a node sees the study's folder as the submitting machine does: asked before anything runs there.

A random token lies in the run's folder. The script of every element compares it in plain shell, before
Python starts: the program may lie on the very file system that is missing. Where there is no such file, or
one of another folder by that name (a node's own disk), the script ends with the status UNSEEN, which the
queue shows, without accounting. So it does, with statuses of their own, where the user's own folder is not
safe (`private`) or Python finds another program (`program`). The logs lie in the user's own folder; where
Slurm cannot open one it says so by a signal, and no script begins.

Every element asks for itself. A probe before the array would wait in the queue as the array does, so that
all wait twice, and answer for one node alone.
"""

import secrets
import shlex
from collections.abc import Iterable
from pathlib import Path

from sweep.execution.workers import program
from sweep.execution.workers.slurm import private
from sweep.execution.workers.slurm.squeue import QueueEntry
from sweep.store.places.local import Local

UNSEEN = 66  # EX_NOINPUT of sysexits.h
_NO_LOG = 53  # the signal by which slurmstepd ends an element whose standard output it cannot open
_MOST_NODES = 3  # that are named


def put(folder: Path) -> str:
    """Put a marker into `folder`; returns a line of shell that ends a script where the marker is not seen."""
    token = secrets.token_hex(16)
    file = folder / "marker"
    Local(folder).write(file.name, f"{token}\n".encode())
    said = f"sweep: this node does not see {folder} as the submitting machine does"
    return (
        f'[ "$(cat {shlex.quote(str(file))} 2>/dev/null)" = {token} ] '
        f"|| {{ echo {shlex.quote(said)} >&2; exit {UNSEEN}; }}"
    )


def refusal(elements: Iterable[QueueEntry], study: Path, own: Path) -> str | None:
    """Which nodes could not begin, why, and what to do about it, in a line; None where there is none.

    own: the folder of this user alone, where the logs are.
    """
    failed = [element for element in elements if element.state == "FAILED"]
    if nodes := {element.node for element in failed if element.status == UNSEEN}:
        return _unseen_by(nodes, study, "choose a root=… on a file system that the nodes share")
    if nodes := {e.node for e in failed if e.signal == _NO_LOG or e.status == private.UNSAFE}:
        return _unseen_by(nodes, own, "set XDG_STATE_HOME to a folder of your own that the nodes share")
    if nodes := {element.node for element in failed if element.status == program.OTHER}:
        subject = _subject(nodes, "has", "have")
        return f"{subject} another version of sweep than submitted the job: install the same one there"
    return None


def _unseen_by(nodes: set[str], folder: Path, way_out: str) -> str:
    subject = _subject(nodes, "does", "do")
    return (
        f"{subject} not see {folder} as this machine does (no such folder there, another one, or one that it "
        f"may not write to): {way_out}, or use shard=k/n"
    )


def _subject(nodes: set[str], verb: str, plural: str) -> str:
    names = sorted(nodes)
    named = ", ".join(names[:_MOST_NODES])
    if len(names) > _MOST_NODES:
        named += f" and {len(names) - _MOST_NODES} more"
    return f"node {named} {verb}" if len(names) == 1 else f"nodes {named} {plural}"
