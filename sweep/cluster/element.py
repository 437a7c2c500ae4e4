"""One element of a Slurm array: a share of the work, run on its node as any local run is.

It is pickled on the login node and called on the compute node by submitit, which also puts it into
the queue again when its time is up; what is stored decides what it then has to do.
"""

import os
import pickle
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from sweep import interrupts
from sweep.blocks import Cells

_TIME_IS_UP = signal.SIGUSR2  # what submitit has Slurm send before the time limit


@dataclass(frozen=True)
class Element:
    """Computes shares whose files are in `folder`; run: the local run, with its options."""

    folder: Path
    run: Callable[..., int]
    options: Any

    def __call__(self, number: int) -> int:
        """The exit status of the run: 0 or 1 when all cells are stored, 143 when it was stopped."""
        # Whoever waits for this share sees by this file that nodes and login node share the study.
        started(self.folder, number).write_text(f"{socket.gethostname()}\n", encoding="utf-8")
        record = {"command.txt": f"share {number} of {self.folder.parent.name}\n"}
        requeue: Any = signal.getsignal(_TIME_IS_UP)
        told: list[int] = []

        def stop(signum: int, _: FrameType | None) -> None:
            told.append(signum)
            os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(_TIME_IS_UP, stop)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # submitit ignores it
        try:
            with interrupts.raised():
                status = self.run(load(self.folder, number), self.options, record)
        except interrupts.Terminated:
            status = 143
        if told and status == 143:
            requeue(_TIME_IS_UP, None)  # leaves this process, or raises if it was done too often
        return status

    def checkpoint(self, number: int) -> Any:
        """What submitit puts into the queue again: the same, for what is stored is never computed again."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415

        return DelayedSubmission(self, number)


def save(folder: Path, number: int, cells: Cells) -> None:
    """Write a share's cells."""
    _share(folder, number).write_bytes(pickle.dumps(cells, protocol=pickle.HIGHEST_PROTOCOL))


def load(folder: Path, number: int) -> Cells:
    """The cells of a share."""
    cells: Cells = pickle.loads(_share(folder, number).read_bytes())
    return cells


def started(folder: Path, number: int) -> Path:
    """The file that shows that an element has begun."""
    return folder / f"started-{number:05d}"


def _share(folder: Path, number: int) -> Path:
    return folder / f"share-{number:05d}.pkl"
