"""Whether a node sees the study's folder as the submitting machine does: asked before anything runs there.

A random token lies in the run's folder. The script of every element compares it in plain shell, before
Python starts: the program may lie on the very file system that is missing. Where there is no such file, or
one of another folder by that name (a node's own disk), the script ends with the status UNSEEN, which the
queue shows, without accounting. The logs lie in the user's own folder; where Slurm cannot open one it says so
by a signal, and no script begins.

Every element asks for itself, not a probe before the array: a probe waits in the queue as the array does,
so everybody would wait twice, and it answers for one node alone.
"""

import secrets
import shlex
from collections.abc import Iterable
from pathlib import Path

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


def blind(elements: Iterable[QueueEntry], study: Path, own: Path) -> str | None:
    """Which nodes' elements ended since they do not see a folder, and what to do about it, in a line.

    own: the folder of this user alone, where the logs are; None where there is no such node.
    """
    failed = [one for one in elements if one.state == "FAILED"]
    if nodes := sorted({one.node for one in failed if one.status == UNSEEN}):
        return _unseen_by(nodes, study, "choose a root=… on a file system that the nodes share")
    unseen = {one.node for one in failed if one.signal == _NO_LOG or one.status == private.UNSAFE}
    if nodes := sorted(unseen):
        return _unseen_by(nodes, own, "set XDG_STATE_HOME to a folder of your own that the nodes share")
    return None


def _unseen_by(nodes: list[str], folder: Path, way_out: str) -> str:
    named = ", ".join(nodes[:_MOST_NODES])
    if len(nodes) > _MOST_NODES:
        named += f" and {len(nodes) - _MOST_NODES} more"
    subject = f"node {named} does" if len(nodes) == 1 else f"nodes {named} do"
    return (
        f"{subject} not see {folder} as this machine does (no such folder there, another one, or one that it "
        f"may not write to): {way_out}, or use shard=k/n"
    )
