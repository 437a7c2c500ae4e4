"""One element of a Slurm array: a share of the work, run on its node as any local run is.

submitit pickles it on the login node, into the user's own folder (see `private`), and calls it on the
compute node; it also puts it into the queue again when its time is up. What is stored decides what it
then has to do. In the study lies what others may know of it: whether it has begun, and its cells' ids.
"""

import os
import signal
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from sweep.base.process import interrupts, threads
from sweep.execution.workers.local import Local as ThisMachine
from sweep.execution.workers.slurm import private
from sweep.experiment.batches import Cells
from sweep.experiment.cell import ID_BYTES
from sweep.kernel.passes import NUMPY
from sweep.store.places.local import Local
from sweep.store.records import files, plans, reading

if TYPE_CHECKING:
    from sweep.execution.options import Options

_MOST_IDS = 1 << 28  # bytes
# What submitit has Slurm send before the time limit; where there is no such signal, there is no Slurm either.
_TIME_IS_UP = getattr(signal, "SIGUSR2", signal.SIGTERM)


@dataclass(frozen=True)
class ShareRunner:
    """Computes shares, each as a local run of its node.

    folder: in the study, for what others may know. own: the user's, where the shares are. options: of the
    local run.
    """

    folder: Path
    own: Path
    options: "Options"

    def __call__(self, number: int) -> int:
        """The exit status of the run: 0 or 1 when all cells are stored, 143 when it was stopped."""
        from sweep.execution.pipeline import run  # noqa: PLC0415  a program of its own, on its node

        # Whoever waits for this share sees by this file that nodes and login node share the study.
        Local(self.folder).write(_started(number), f"{socket.gethostname()}\n".encode())
        record = {files.COMMAND: f"share {number} of {self.folder.parent.name}\n"}
        requeue: Any = signal.getsignal(_TIME_IS_UP)
        told: list[int] = []

        def stop(signum: int, _: FrameType | None) -> None:
            told.append(signum)
            os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(_TIME_IS_UP, stop)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # submitit ignores it
        try:
            with interrupts.raised():
                status = run(load(self.own, number), self.options, record)
        except interrupts.Terminated:
            status = 143
        threads.watch(status)
        if told and status == 143:
            requeue(_TIME_IS_UP, None)  # leaves this process, or raises if it was done too often
        return status

    def checkpoint(self, number: int) -> Any:
        """What submitit puts into the queue again: the same share, less what is stored by then."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415

        return DelayedSubmission(self, number)


def options_of_share(options: "Options", cores: int, histogram: bool, kind: str) -> "Options":
    """The options of a share on a node: the same run, on that machine alone; kind: of passes."""
    return replace(
        options,
        root=str(Path(options.root.removeprefix("file://")).expanduser().absolute()),
        executor=ThisMachine(),
        n_jobs=cores,
        shard=None,
        report=(),
        histogram=histogram,
        compiled=kind != NUMPY,  # of what its node lacks it compiles its own
        show=False,
    )


def save(folder: Path, own: Path, number: int, cells: Cells) -> None:
    """Write a share's cells for its element, and their ids for whoever asks what is at work."""
    blocks = ((block, 0.0) for block in cells.blocks)
    Local(own).write(_share(number), plans.pack(blocks))
    Local(folder).write(_ids(number), b"".join(block.digests() for block in cells.blocks))


def load(own: Path, number: int) -> Cells:
    """The cells of a share; RequestError where others than this user may have written it."""
    private.check(own)
    return Cells.joined(block for block, _ in plans.read(Local(own).read(_share(number))))


def ids(folder: Path, number: int) -> set[str]:
    """The ids of a share's cells, as far as the study's record says."""
    content = reading.content(Local(folder), _ids(number), _MOST_IDS) or b""
    return {content[start : start + ID_BYTES].hex() for start in range(0, len(content), ID_BYTES)}


def started(folder: Path, number: int) -> bool:
    """Whether an element has begun."""
    return (folder / _started(number)).exists()


def _started(number: int) -> str:
    return f"started-{number:05d}"


def _share(number: int) -> str:
    return f"share-{number:05d}.jsonl.gz"


def _ids(number: int) -> str:
    return f"share-{number:05d}.ids"
