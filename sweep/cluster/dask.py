"""Tasks to results on the workers of a Dask cluster.

distributed's own interface, not joblib's Dask backend: there a task that kills its workers makes the
caller wait for ever (joblib 1.6.0), and here every wait has an end.
"""

import contextlib
import itertools
import logging
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sweep import compute, interrupts, pieces
from sweep.cluster.settings import Dask
from sweep.compute import Result, run_task
from sweep.errors import ClusterError, Failure, RequestError
from sweep.kernel import KERNEL_VERSION
from sweep.plan import Task
from sweep.provenance import provenance
from sweep.verdict import Thresholds

if TYPE_CHECKING:
    from distributed import Client, Future

_T = TypeVar("_T")

_WATCH_SECONDS = 2.0  # between two looks at who is there
_GRACE_SECONDS = 3.0  # after distributed's own timeouts, for what never answers at all
_TASKS_PER_THREAD = 4  # sent ahead, so that no worker waits and few are lost with the scheduler
_PARTS = 16  # of a task that killed its workers: few rounds to the culprit, few tasks besides
_WORKER_BYTES = 400_000_000  # what a worker uses well: see plan.py


@dataclass(frozen=True)
class Place:
    """Where a worker stores its results itself, if it sees the study.

    mark: a path that only this run has made. part: the beginning of the parts' names.
    """

    study: Path
    mark: Path
    part: str
    thresholds: Thresholds

    @classmethod
    def of(cls, study: Path, run: str, thresholds: Thresholds) -> "Place":
        """The place of a run, whose folder in the study nobody else makes."""
        return cls(study.absolute(), study.absolute() / "runs" / run, run, thresholds)


@dataclass(frozen=True)
class Stored(Result):
    """A result that its worker has stored already; the statistics stayed with it."""


@dataclass(frozen=True)
class Capacity:
    """workers: threads of the cluster; memory: bytes that all of them together may hold."""

    workers: int
    memory: int


@dataclass(frozen=True)
class _Program:
    version: str
    kernel: str

    def __str__(self) -> str:
        return f"sweep {self.version} (kernel {self.kernel})"


@dataclass(frozen=True)
class _Worker:
    program: _Program
    threads: int
    memory: int | None


def check(settings: Dask, workers: int) -> Capacity | None:
    """What the cluster offers; None where it is one of `workers` on this machine, not yet started.

    Raises RequestError where distributed is not installed, no scheduler answers, no worker is there
    or one of them runs another version of this program.
    """
    try:
        import distributed  # noqa: F401, PLC0415
    except ImportError:
        raise RequestError("executor=dask needs distributed: pip install distributed") from None
    if settings.local:
        return None
    with _client(settings, workers) as client:
        found = _checked_workers(client, settings)
    threads = sum(worker.threads for worker in found.values())
    each = min((w.memory // 2 // w.threads for w in found.values() if w.memory), default=_WORKER_BYTES)
    return Capacity(threads, threads * min(each, _WORKER_BYTES))


def run(
    tasks: Iterable[Task], settings: Dask, workers: int, histogram: bool, place: Place | None
) -> Iterator[Result]:
    """The results of the tasks, as they end.

    A task whose workers die is split until the one cell is known that kills them, which is a failed
    row. Raises ClusterError where the scheduler is lost, or no worker is left: what is stored is kept.
    """
    with _client(settings, workers) as client:
        if settings.local:
            _checked_workers(client, settings)
        yield from _Driver(client, settings, histogram, place).run(iter(tasks))


class _Driver:
    """Keeps the cluster busy with tasks, and finds the cells that kill workers."""

    def __init__(self, client: "Client", settings: Dask, histogram: bool, place: Place | None) -> None:
        self._client, self._settings = client, settings
        self._histogram, self._place = histogram, place
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
            while len(self._flying) < self._threads * _TASKS_PER_THREAD:
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
                outcome = compute.failed(next(task.cells), failure, self._histogram)
            yield outcome

    def _send(self, task: Task) -> None:
        number = next(self._numbers)
        future = self._client.submit(
            _work,
            task,
            self._histogram,
            _program(),
            self._place,
            number,
            key=f"sweep-{self._client.id}-{number}",
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
                error, outcome = _bounded(partial(_outcome, future), self._settings.timeout)
            except TimeoutError:  # its worker died with the result in hand: it is computed again
                self._watch()
                future.add_done_callback(self._ended.put)
                continue
            if future.status == "cancelled" or isinstance(error, (OSError, CancelledError)):
                raise self._lost("the Dask scheduler is gone")
            del self._flying[future.key]
            if isinstance(error, KilledWorker):
                return task, "its worker died each time (out of memory, or killed by the cell's own code)"
            if error is not None:
                raise self._lost(f"a Dask worker cannot run this program ({_one_line(error)})")
            if isinstance(outcome, _Refused):
                raise self._lost(_other(outcome.worker, outcome.program))
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
            self._threads = sum(_bounded(self._client.nthreads, timeout).values())
        except (OSError, TimeoutError, ValueError) as error:
            raise self._lost("the Dask scheduler is gone") from error
        if self._threads:
            self._populated = now
        elif now - self._populated > timeout:
            raise self._lost(f"the Dask scheduler has had no worker for {timeout:g} s")

    def _lost(self, reason: str) -> ClusterError:
        return ClusterError(f"{reason}; what is stored is kept: run the same command to go on")


@dataclass(frozen=True)
class _Refused:
    worker: str
    program: _Program


def _work(
    task: Task, histogram: bool, program: _Program, place: Place | None, number: int
) -> Result | _Refused:
    """What a worker does: compute, and store where it sees the study."""
    if _program() != program:
        from distributed import get_worker  # noqa: PLC0415

        return _Refused(get_worker().address, _program())
    result = run_task(task, histogram)
    if place is None or not place.mark.exists():
        return result
    from sweep import tables  # noqa: PLC0415
    from sweep.errors import StoreError  # noqa: PLC0415
    from sweep.store import Study  # noqa: PLC0415

    try:
        # The name is the task's: whoever computes it a second time writes the same part again.
        name = f"{place.part}-d{number:06d}.parquet"
        Study(place.study).write(name, *tables.tables(result, place.part, place.thresholds))
    except StoreError:  # seen, but not writable from here
        return result
    return Stored(result.blocks, result.estimate, result.errors, result.seconds, {}, None)


def _outcome(future: "Future") -> tuple[BaseException | None, Result | _Refused | None]:
    try:
        return None, future.result()
    except BaseException as error:
        return error, None


def _split(task: Task) -> list[Task]:
    parts = [task]
    while len(parts) < min(_PARTS, len(task)):
        parts = [half for part in parts for half in (pieces.halves(part) if len(part) > 1 else [part])]
    return parts


@contextlib.contextmanager
def _unseen_by_children() -> Iterator[None]:
    """Processes started in the block never see Ctrl-C; the command ends them, by other signals."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _client(settings: Dask, workers: int) -> "Iterator[Client]":
    """A connection to the scheduler, or to a cluster of this process; RequestError where none answers."""
    from distributed import Client, LocalCluster  # noqa: PLC0415
    from distributed.utils import silence_logging_cmgr  # noqa: PLC0415

    where: Any = settings.address
    with contextlib.ExitStack() as stack:
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))  # we say it, in one line
        if settings.local:
            with interrupts.held(), _unseen_by_children():
                where = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            stack.callback(where.close, timeout=10)
        connect = partial(
            Client,
            where,
            scheduler_file=settings.scheduler_file,
            timeout=settings.timeout,
            set_as_default=False,
        )
        try:
            client: Client = _bounded(connect, settings.timeout)
        except (OSError, TimeoutError, ValueError, ImportError) as error:
            place = settings.address or settings.scheduler_file or "this machine"
            raise RequestError(
                f"no Dask scheduler answers at {place} ({_one_line(error)}): "
                "start one with 'dask scheduler', or leave executor.address away to compute here"
            ) from error
        stack.callback(client.close, timeout=5)
        yield client


def _checked_workers(client: "Client", settings: Dask) -> Mapping[str, _Worker]:
    """Every worker by its address; RequestError where there is none, or one is not as we are."""
    deadline = time.monotonic() + settings.timeout
    while True:
        found: dict[str, Any] = _bounded(lambda: client.run(_describe, on_error="return"), settings.timeout)
        if found:
            break
        if time.monotonic() > deadline:
            raise RequestError(
                f"the Dask scheduler has no worker (waited {settings.timeout:g} s): "
                f"start some with 'dask worker {client.scheduler.address} --nthreads 1'"
            )
        time.sleep(0.2)
    for address, worker in found.items():
        if isinstance(worker, BaseException):
            raise RequestError(
                f"the Dask worker {address} has no {_program()} ({_one_line(worker)}): install it there"
            )
        if worker.program != _program():
            raise RequestError(_other(address, worker.program))
    return found


def _other(address: str, program: _Program) -> str:
    return f"the Dask worker {address} runs {program}, this is {_program()}: install the same one there"


def _describe(dask_worker: Any) -> _Worker:
    memory = dask_worker.memory_manager.memory_limit
    return _Worker(_program(), dask_worker.state.nthreads, memory)


def _program() -> _Program:
    return _Program(provenance()["version"], KERNEL_VERSION)


def _bounded(call: Callable[[], _T], seconds: float) -> _T:
    """What the call returns; TimeoutError where it takes much longer than the timeout it was given.

    distributed's own timeouts end before; this one is for a process that is there and never answers.
    """
    outcome: list[_T] = []
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds + _GRACE_SECONDS)
    if errors:
        raise errors[0]
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return outcome[0]


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
