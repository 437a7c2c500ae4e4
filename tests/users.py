"""What users bring: schemes that take their time, that fail and that take their process down."""

import os
import signal
import threading
from pathlib import Path

import numpy as np

from tests.processes import ROOT, until


class Gate:
    """Holds the cells of some widths, drawn by `held`, for as long as the test wants.

    passes: how many widths the process that comes first is let through with, whichever those are.
    environment: what the command that computes them must be given. arguments: what it must be asked for.
    """

    arguments = ("init=custom", "init.function=tests.users.held")

    def __init__(self, folder, *widths, passes=0):
        self._folder = folder / "gate"
        self._folder.mkdir()
        for number in range(passes):
            (self._folder / f"pass-{number}").touch()
        for width in widths:
            (self._folder / str(width)).touch()
        self.environment = {"GATE": str(self._folder), "PYTHONPATH": str(ROOT)}

    def waiting(self):
        """The processes that have come to the gate, in that order, however they have fared since."""
        notes = self._folder / "waiting"
        return [int(line) for line in notes.read_text().splitlines()] if notes.exists() else []

    def open(self):
        """Let all pass."""
        for bar in self._folder.glob("[0-9]*"):
            bar.unlink()


def held(rng, fan_in, fan_out):
    """Waits at the gate where its width is held, having noted which process it is in."""
    gate = Path(os.environ["GATE"])
    bar = gate / str(fan_in)
    if bar.exists() and is_first(gate) and any(map(taken, gate.glob("pass-*"))):
        bar.unlink()
    if bar.exists():
        with (gate / "waiting").open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
        until(lambda: not bar.exists(), f"the test to let width {fan_in} pass")
    return rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)


def is_first(gate):
    """Whether this is the process that came first."""
    try:
        (gate / "first").symlink_to(str(os.getpid()))
    except FileExistsError:
        return (gate / "first").readlink() == Path(str(os.getpid()))
    return True


def taken(file):
    """Whether it was this process that removed the file."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def deadly(rng, fan_in, fan_out, number=0, culprit=-1):
    """Ends its process at the number of the culprit."""
    if number == culprit:
        os._exit(1)
    return rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)


def poison(rng, fan_in, fan_out):
    """At width 13, kills its process: as a crash in compiled code does, or a memory limit."""
    if fan_in == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return rng.standard_normal((fan_in, fan_out))


def wrong(rng, fan_in, fan_out):
    """At width 13, raises."""
    if fan_in == 13:
        raise ValueError("thirteen")
    return rng.standard_normal((fan_in, fan_out))


def endless(rng, fan_in, fan_out):
    """A scheme that leaves a thread running."""
    threading.Thread(target=threading.Event().wait, name="endless").start()
    return rng.standard_normal((fan_in, fan_out)) / fan_in**0.5
