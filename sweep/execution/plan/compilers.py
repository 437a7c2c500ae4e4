"""Who compiles the loops of a run, and what its workers have of them: a compiler for each kind of machine."""

import subprocess
import sys
from collections.abc import Collection, Sequence
from typing import Protocol

from sweep.base.process import interrupts
from sweep.kernel.passes import folder

_DOOR = (sys.executable, "-m", "sweep.kernel.passes")


class Compiler(Protocol):
    """What the machines of all workers have. beside: whether it can compile while they compute."""

    beside: bool

    def why_not(self) -> str:
        """Why they can have no compiled loops, in a line; '' where they can."""

    def missing(self, loops: Collection[str]) -> frozenset[str]:
        """Those of these loops that are not kept yet where they are to run."""

    def build(self, loops: Collection[str]) -> str:
        """Compile and keep these; returns why they could not be, '' where they are kept."""


class Here:
    """This machine, for workers that see what this user has compiled."""

    beside = True

    def why_not(self) -> str:
        if reason := folder.why_not():
            return reason
        return f"compiled ones cannot be kept, {kept}" if (kept := folder.why_not_kept()) else ""

    def missing(self, loops: Collection[str]) -> frozenset[str]:
        return frozenset(folder.missing(loops))

    def build(self, loops: Collection[str]) -> str:
        done = subprocess.run([*_DOOR, *sorted(loops)], check=False, capture_output=True, text=True)
        if not self.missing(loops):
            return ""
        said = [line for line in done.stderr.splitlines() if line.strip()]
        ended = f"the compiler ended with status {done.returncode}"
        return said[-1].removeprefix("sweep: ") if said else ended


class Nodes(Here):
    """Slurm's nodes, with this machine's program and home: each element compiles what its node lacks."""

    beside = False

    def missing(self, loops: Collection[str]) -> frozenset[str]:
        return frozenset(loops)  # a node may be of another kind

    def build(self, loops: Collection[str]) -> str:
        return ""


def start_beside(loops: Collection[str]) -> None:
    """Have these loops compiled by a process of its own, which ends by itself: nobody waits for it."""
    with interrupts.unseen_by_children():
        beside = subprocess.Popen(
            [*_DOOR, *sorted(loops), "--beside"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    beside.returncode = 0


def refused(functions: Sequence[str]) -> list[str]:
    """A line for each of these activations of a user's own that numba cannot compile, with its reason.

    functions: their parameters, as canonical JSON. Their code runs in a process of its own.
    """
    done = subprocess.run([*_DOOR, "--own", *functions], check=False, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line]
    if done.returncode and not lines:
        said = done.stderr.strip().splitlines()
        ended = f"the compiler ended with status {done.returncode}"
        lines = [f"your own functions: {said[-1] if said else ended}"] * len(functions)
    return lines
