"""Worker processes on this machine, any of which may die.

Each worker is an executor of its own, so that a death points at one task and disturbs no other: the
worker is replaced, and the task split in halves that are tried again, until the culprit is alone. A cell
whose worker dies twice while it runs alone has failed; the second time nothing runs beside it, since the
neighbours may have taken the memory that it lacked.
"""

import os
import re
import signal
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import Any

from sweep.base.process import interrupts, threads
from sweep.execution.plan import pieces
from sweep.execution.plan.tasks import Task
from sweep.execution.workers import compute
from sweep.execution.workers.executor import Remaining
from sweep.experiment.outcomes.outcome import Failure, Result

_STARTS = 5  # of a worker that dies before it takes a task
_DEATHS = 2  # of workers that ran a cell alone, before it has failed
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1"
)


def run(
    tasks: Sequence[Task], count: int, histogram: bool, remaining: Remaining, kind: str | None = None
) -> Iterator[Result]:
    """The results of the tasks, as they end, from `count` worker processes.

    remaining: asked just before a task is handed out. kind: of passes.
    On an interrupt, the results so far are yielded before it is raised again.
    """
    pool = _Pool(count, histogram, kind, remaining, deque(tasks))
    try:
        while pool.hand_out():
            yield from pool.next_results()
        pool.close()
    except (KeyboardInterrupt, interrupts.Terminated):
        yield from pool.results_so_far()
        raise
    finally:
        pool.close(kill=True)


def why_not() -> str:
    """Why no worker can be started on this machine, in a line; '' where it can."""
    try:
        import joblib.externals.loky  # noqa: F401, PLC0415  a short run needs no workers
    except Exception as error:  # psutil, which it takes where it finds it, knows few systems
        return f"{type(error).__name__}: {error}"
    return ""


@dataclass
class _Worker:
    """One process and the tasks it was given, the running one first."""

    executor: Any
    tasks: dict[Future[tuple[Result, list[str]]], Task] = field(default_factory=dict)


@dataclass
class _Pool:
    count: int
    histogram: bool
    kind: str | None
    remaining: Remaining
    waiting: deque[Task]
    suspects: deque[Task] = field(default_factory=deque)  # cells that were alone when a worker died
    deaths: Counter[str] = field(default_factory=Counter)
    workers: list[_Worker] = field(default_factory=list)
    lasting: set[str] = field(default_factory=set)  # threads that a user's code has left in a worker

    def hand_out(self) -> bool:
        """Give every worker something to do; False when nothing is left."""
        # Each worker has a second task queued, except near the end, where all should share what is left.
        ahead = 2 if len(self.waiting) > 2 * self.count else 1
        for depth in range(1, ahead + 1):
            for index in range(self.count):
                while self._load(index) < depth and self.waiting:
                    task = self.remaining(self.waiting.popleft())
                    if task is not None:
                        self._submit(index, task)
        if not self._busy() and self.suspects:
            self._submit(0, self.suspects.popleft())
        return self._busy()

    def next_results(self) -> Iterator[Result]:
        """Wait until a task ends; yields what has ended, and the rows of cells that have failed for good."""
        running = [next(iter(worker.tasks)) for worker in self.workers if worker.tasks]
        wait(running, return_when=FIRST_COMPLETED)
        for index in range(len(self.workers)):
            yield from self._take(index)

    def results_so_far(self) -> Iterator[Result]:
        """What has ended by now."""
        for worker in self.workers:
            for future in worker.tasks:
                if future.done() and future.exception() is None:
                    yield future.result()[0]

    def close(self, kill: bool = False) -> None:
        """Stop the workers."""
        workers, self.workers = self.workers, []
        begun = time.monotonic()
        if self.lasting:  # all at the same time: each may take all the patience there is
            closing = [threading.Thread(target=_shut, args=(worker.executor, kill)) for worker in workers]
            for thread in closing:
                thread.start()
            for thread in closing:
                thread.join()
        for worker in workers:
            worker.executor.shutdown(wait=False, kill_workers=kill)
        for worker in workers:
            worker.executor.shutdown(wait=True, kill_workers=kill)
        if workers and self.lasting and not kill and time.monotonic() - begun >= threads.PATIENCE:
            from sweep.execution import screen  # noqa: PLC0415  rich: not for a worker

            screen.say(f"sweep: {threads.LINE.format(', '.join(sorted(self.lasting)))}")

    def _load(self, index: int) -> int:
        return len(self.workers[index].tasks) if index < len(self.workers) else 0

    def _busy(self) -> bool:
        return any(worker.tasks for worker in self.workers)

    def _submit(self, index: int, task: Task) -> None:
        with interrupts.held():
            if index == len(self.workers):
                self.workers.append(_Worker(_executor()))
            worker = self.workers[index]
            for attempt in range(_STARTS):
                try:
                    with interrupts.unseen_by_children():
                        future = worker.executor.submit(_run_task, task, self.histogram, self.kind)
                except (OSError, RuntimeError):  # it died idle, or while it started
                    if worker.tasks:
                        self.waiting.appendleft(task)  # what it died of is seen when its result is taken
                        return
                    if attempt == _STARTS - 1:
                        raise
                    worker.executor.shutdown(wait=True, kill_workers=True)
                    worker.executor = _executor()
                else:
                    worker.tasks[future] = task
                    return

    def _take(self, index: int) -> Iterator[Result]:
        worker = self.workers[index]
        while worker.tasks and (future := next(iter(worker.tasks))).done():
            error = future.exception()
            task = worker.tasks.pop(future)
            if error is None:
                result, lasting = future.result()
                self.lasting.update(lasting)
                yield result
                continue
            died = _death(error)
            if died:
                self.waiting.extendleft(reversed(worker.tasks.values()))  # they were only queued
                with interrupts.held():
                    worker.executor.shutdown(wait=True, kill_workers=True)
                    worker = self.workers[index] = _Worker(_executor())
            yield from self._suspect(task, died or Failure.of(error))

    def _suspect(self, task: Task, failure: Failure) -> Iterator[Result]:
        """Try a task that went wrong again, in halves, or alone; or give its only cell up."""
        if len(task) > 1:
            self.waiting.extendleft(pieces.halves(task))
            return
        (cell,) = task.cells
        self.deaths[cell.id] += 1
        if self.deaths[cell.id] < _DEATHS:
            self.suspects.append(task)
        else:
            yield compute.failed_result(cell, failure, self.histogram)


def _run_task(task: Task, histogram: bool, kind: str | None) -> tuple[Result, list[str]]:
    """What a worker does: a task's result, and the names of threads that are left running."""
    return compute.run_task(task, histogram, kind), threads.lasting()


def _shut(executor: Any, kill: bool) -> None:
    executor.shutdown(wait=True, kill_workers=kill)


def _executor() -> Any:
    from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415  a short run needs no workers

    # Without pgrep a worker's own children outlive it: nothing that a user could change.
    warnings.filterwarnings("ignore", message="Failed to kill subprocesses", category=UserWarning)
    # A worker that has grown is replaced between two tasks: of no interest to a user.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
    if hasattr(signal, "pthread_sigmask"):  # POSIX, which alone has a tracker
        resource_tracker.ensure_running()  # starting it unblocks interrupts, so not while they are blocked
    return ProcessPoolExecutor(
        max_workers=1, initializer=interrupts.end_with_parent, initargs=(os.getpid(),), env=_ONE_THREAD
    )


def _death(error: BaseException) -> Failure | None:
    """The failure that a worker's death is; None if `error` is something else."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError  # noqa: PLC0415

    if not isinstance(error, TerminatedWorkerError):
        return None
    found = re.search(r"exit codes of the workers are \{(.*)\}", str(error))
    how = f" ({found[1]})" if found and found[1] else ""
    reason = "out of memory?" if "SIGKILL" in how else "a crash or an exit in the code that it ran"
    return Failure(
        "WorkerDied", f"the worker process died{how} every time it computed this cell: {reason}", ""
    )
