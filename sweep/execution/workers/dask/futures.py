"""Tasks to results on the workers of a Dask cluster.

distributed's own interface, not joblib's Dask backend: there a task that kills its workers makes the
caller wait for ever (joblib 1.6.0), and here every wait has an end.
"""

import itertools
import pickle
import queue
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.base.errors import ClusterError, RequestError, StoreError
from sweep.execution.plan import pieces
from sweep.execution.plan.tasks import Task
from sweep.execution.workers import compute
from sweep.execution.workers.compute import run_task
from sweep.execution.workers.dask import connection
from sweep.execution.workers.dask.settings import Dask
from sweep.execution.workers.executor import Capacity
from sweep.execution.workers.program import program
from sweep.experiment.outcomes.outcome import Failure, Result
from sweep.experiment.outcomes.verdict import Thresholds
from sweep.kernel.passes import NUMPY, folder
from sweep.store import tables
from sweep.store.records import files
from sweep.store.study import Study

if TYPE_CHECKING:
    from distributed import Client, Future

_WATCH_SECONDS = 2.0  # between two looks at who is there
_TASKS_PER_THREAD = 4  # sent ahead, so that no worker waits and few are lost with the scheduler
_PARTS = 16  # of a task that killed its workers: few rounds to the culprit, few tasks besides
_WORKER_BYTES = 400_000_000  # what a worker uses well: see plan/tasks.py


@dataclass(frozen=True)
class WorkerStore:
    """Where a worker stores its results itself, if it sees the study.

    mark: a path that only this run has made. part: the beginning of the parts' names.
    """

    study: Path
    mark: Path
    part: str
    thresholds: Thresholds

    @classmethod
    def of(cls, study: Path, run: str, thresholds: Thresholds) -> "WorkerStore":
        """The store of a run, whose folder in the study nobody else makes."""
        return cls(study.absolute(), study.absolute() / files.FOLDER / run, run, thresholds)


def capacity(settings: Dask) -> Capacity | None:
    """What the cluster offers; None where it is one of this machine, not yet started.

    Raises RequestError where distributed is not installed, no scheduler answers, no worker is there
    or one of them runs another version of this program.
    """
    try:
        import distributed  # noqa: F401, PLC0415
    except ImportError:
        raise RequestError("executor=dask needs distributed: pip install distributed") from None
    if settings.local:
        return None
    with connection.connect(settings) as client:
        found = connection.check_workers(client, settings)
    threads = sum(worker.threads for worker in found.values())
    each = min((w.memory // 2 // w.threads for w in found.values() if w.memory), default=_WORKER_BYTES)
    return Capacity(threads, threads * min(each, _WORKER_BYTES), here=False)


def run(
    tasks: Iterable[Task], settings: Dask, workers: int, histogram: bool, kind: str, store: WorkerStore | None
) -> Iterator[Result]:
    """The results of the tasks, as they end. kind: of passes.

    A task whose workers die is split until the one cell is known that kills them, which is a failed
    row. Raises ClusterError where the scheduler is lost, or no worker is left: what is stored is kept.
    """
    with connection.connect(settings, workers) as client:
        if settings.local:
            connection.check_workers(client, settings)
        yield from _Driver(client, settings, histogram, kind, store).run(iter(tasks))


class _Driver:
    """Keeps the cluster busy with tasks, and finds the cells that kill workers."""

    def __init__(
        self, client: "Client", settings: Dask, histogram: bool, kind: str, store: WorkerStore | None
    ) -> None:
        self._client, self._settings = client, settings
        self._histogram, self._kind, self._store = histogram, kind, store
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._flying: dict[str, tuple[Task, Future]] = {}
        self._numbers = itertools.count()
        self._threads = 1
        self._looked = self._populated = -float("inf")

    def run(self, tasks: Iterator[Task]) -> Iterator[Result]:
        self._populated = time.monotonic()
        again: deque[Task] = deque()  # parts of a task that killed its workers
        suspects: list[Task] = []  # one cell each, that workers died with: or with another one
        tasks = itertools.chain(tasks)
        while True:
            self._watch()
            while len(self._flying) < max(1, self._threads) * _TASKS_PER_THREAD:  # a worker may come back
                task = again.popleft() if again else next(tasks, None)
                if task is None:
                    break
                self._send(task)
            if not self._flying:
                break
            task, outcome = self._next()
            if isinstance(outcome, Result):
                yield outcome
            elif len(task) > 1:
                again += _split(task)
            else:
                suspects.append(task)
        for suspect in suspects:  # each alone in the cluster: who dies now dies of this cell
            self._send(suspect)
            task, outcome = self._next()
            if isinstance(outcome, str):
                failure = Failure("KilledWorker", outcome, "")
                outcome = compute.failed_result(next(task.cells), failure, self._histogram)
            yield outcome

    def _send(self, task: Task) -> None:
        number = next(self._numbers)
        work = pickle.dumps(partial(_work, task, self._histogram, self._kind, program(), self._store, number))
        # What cannot be loaded as a worker reads it ends the worker, as if the task had killed it: a lambda
        # and bytes always can, and a program of another layout fails within the task.
        future = self._client.submit(
            lambda work: pickle.loads(work)(), work, key=f"sweep-{self._client.id}-{number}"
        )
        self._flying[future.key] = task, future
        future.add_done_callback(self._ended.put)

    def _next(self) -> tuple[Task, Result | str]:
        """A task that has ended, with its result or what killed its workers."""
        from distributed import KilledWorker  # noqa: PLC0415

        while True:
            try:
                future = self._ended.get(timeout=_WATCH_SECONDS)
            except queue.Empty:
                self._watch()
                continue
            task, _ = self._flying[future.key]
            try:
                error, outcome = connection.wait_for(partial(_outcome, future), self._settings.timeout)
            except TimeoutError:  # its worker died with the result in hand: it is computed again
                self._watch()
                future.add_done_callback(self._ended.put)
                continue
            if future.status == "cancelled" or isinstance(error, (OSError, CancelledError)):
                raise self._lost("the Dask scheduler is gone")
            del self._flying[future.key]
            if isinstance(error, KilledWorker):
                return task, "its worker died each time (out of memory, or killed by the cell's own code)"
            if isinstance(error, ClusterError):
                raise self._lost(str(error))
            if error is not None:
                why = connection.one_line(error)
                raise self._lost(f"a Dask worker has no {program()} ({why}): install it there")
            assert isinstance(outcome, Result)
            return task, outcome

    def _watch(self) -> None:
        """Count the workers now and then; ClusterError where the scheduler or all of them are gone."""
        now = time.monotonic()
        if now - self._looked < _WATCH_SECONDS:
            return
        self._looked = now
        timeout = self._settings.timeout
        try:
            if self._client.status != "running":
                raise OSError
            self._threads = sum(connection.wait_for(self._client.nthreads, timeout).values())
        except (OSError, TimeoutError, ValueError) as error:
            raise self._lost("the Dask scheduler is gone") from error
        if self._threads:
            self._populated = now
        elif now - self._populated > timeout:
            raise self._lost(f"the Dask scheduler has had no worker for {timeout:g} s")

    def _lost(self, reason: str) -> ClusterError:
        return ClusterError(f"{reason}; what is stored is kept: run the same command to continue")


def _work(
    task: Task, histogram: bool, kind: str, driver: str, store: WorkerStore | None, number: int
) -> Result:
    """What a worker does: compute, and store where it sees the study.

    kind: of passes; driver: the program that sends the task. ClusterError where this worker has others.
    """
    if program() != driver:
        raise ClusterError(connection.difference(_address(), program(), driver))
    if kind != NUMPY and (reason := folder.why_not()):
        raise ClusterError(f"the Dask worker {_address()} cannot compile what the others have: {reason}")
    result = run_task(task, histogram, kind)
    if store is None or not store.mark.exists():
        return result
    try:
        # The name is the task's: whoever computes it a second time writes the same part again.
        name = f"{store.part}-d{number:06d}.parquet"
        Study(store.study).write(name, *tables.tables(result, store.part, store.thresholds), kind)
    except StoreError:  # seen, but not writable from here
        return result
    return replace(result, statistics={}, histogram=None, facts={}, stored=True)


def _address() -> str:
    from distributed import get_worker  # noqa: PLC0415

    return str(get_worker().address)


def _outcome(future: "Future") -> tuple[BaseException | None, Result | None]:
    try:
        return None, future.result()
    except BaseException as error:
        return error, None


def _split(task: Task) -> list[Task]:
    parts = [task]
    while len(parts) < min(_PARTS, len(task)):
        parts = [half for part in parts for half in (pieces.halves(part) if len(part) > 1 else [part])]
    return parts
