"""Worker processes on this machine that may die.

Every worker is an executor of its own, so that a death names its task and disturbs no other: the
worker is replaced, the task split, and its halves tried again, until the culprit is alone. A cell
that is alone with its worker when it dies twice has failed; the second time it runs with no
neighbour at all, for memory that was short may have been theirs.
"""

import os
import re
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from typing import Any

from sweep.base import interrupts
from sweep.execution.plan import pieces
from sweep.execution.plan.tasks import Task
from sweep.execution.workers import compute
from sweep.experiment.outcome import Failure, Result

_STARTS = 5  # of a worker that dies before it takes a task
_DEATHS = 2  # of a cell's workers, it being alone, before it has failed
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"), "1"
)


def run(
    tasks: Sequence[Task], count: int, histogram: bool, wanted: Callable[[Task], Task | None]
) -> Iterator[Result]:
    """The results of the tasks, as they end, from `count` worker processes.

    wanted: asked just before a task is handed out: what of it is still to be computed.
    When interrupted, what has ended is yielded before the interrupt goes on.
    """
    pool = _Pool(count, histogram, wanted, deque(tasks))
    try:
        while pool.hand_out():
            yield from pool.next_results()
        pool.close()
    except (KeyboardInterrupt, interrupts.Terminated):
        yield from pool.results_so_far()
        raise
    finally:
        pool.close(kill=True)


@dataclass
class _Worker:
    """One process and the tasks that are on their way to it, the running one first."""

    executor: Any
    tasks: dict[Future[Result], Task] = field(default_factory=dict)


@dataclass
class _Pool:
    count: int
    histogram: bool
    wanted: Callable[[Task], Task | None]
    waiting: deque[Task]
    suspects: deque[Task] = field(default_factory=deque)  # cells that were alone when a worker died
    deaths: Counter[str] = field(default_factory=Counter)
    workers: list[_Worker] = field(default_factory=list)

    def hand_out(self) -> bool:
        """Give every worker something to do; False when nothing is left."""
        # A second task waits beside the one that runs, unless the end is near and both cores should share it.
        ahead = 2 if len(self.waiting) > 2 * self.count else 1
        for depth in range(1, ahead + 1):
            for place in range(self.count):
                while self._load(place) < depth and self.waiting:
                    task = self.wanted(self.waiting.popleft())
                    if task is not None:
                        self._submit(place, task)
        if not self._busy() and self.suspects:
            self._submit(0, self.suspects.popleft())
        return self._busy()

    def next_results(self) -> Iterator[Result]:
        """Wait until a task ends; yields what has ended, and the rows of cells that have failed for good."""
        running = [next(iter(worker.tasks)) for worker in self.workers if worker.tasks]
        wait(running, return_when=FIRST_COMPLETED)
        for place in range(len(self.workers)):
            yield from self._take(place)

    def results_so_far(self) -> Iterator[Result]:
        """What has ended by now."""
        for worker in self.workers:
            for future in worker.tasks:
                if future.done() and future.exception() is None:
                    yield future.result()

    def close(self, kill: bool = False) -> None:
        """Stop the workers."""
        workers, self.workers = self.workers, []
        for worker in workers:
            worker.executor.shutdown(wait=False, kill_workers=kill)
        for worker in workers:
            worker.executor.shutdown(wait=True, kill_workers=kill)

    def _load(self, place: int) -> int:
        return len(self.workers[place].tasks) if place < len(self.workers) else 0

    def _busy(self) -> bool:
        return any(worker.tasks for worker in self.workers)

    def _submit(self, place: int, task: Task) -> None:
        with interrupts.held():
            if place == len(self.workers):
                self.workers.append(_Worker(_executor()))
            worker = self.workers[place]
            for attempt in range(_STARTS):
                try:
                    with interrupts.unseen_by_children():
                        future = worker.executor.submit(compute.run_task, task, self.histogram)
                except (OSError, RuntimeError):  # it has died while it was idle, or while it started
                    if worker.tasks:
                        self.waiting.appendleft(task)  # the task that it died of tells the rest
                        return
                    if attempt == _STARTS - 1:
                        raise
                    worker.executor.shutdown(wait=True, kill_workers=True)
                    worker.executor = _executor()
                else:
                    worker.tasks[future] = task
                    return

    def _take(self, place: int) -> Iterator[Result]:
        worker = self.workers[place]
        while worker.tasks and (future := next(iter(worker.tasks))).done():
            error = future.exception()
            task = worker.tasks.pop(future)
            if error is None:
                yield future.result()
                continue
            died = _death(error)
            if died:
                self.waiting.extendleft(reversed(worker.tasks.values()))  # they only stood in the queue
                with interrupts.held():
                    worker.executor.shutdown(wait=True, kill_workers=True)
                    worker = self.workers[place] = _Worker(_executor())
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
            yield compute.failed(cell, failure, self.histogram)


def _executor() -> Any:
    from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415  a short run needs no workers

    # Where pgrep is missing, a worker's own children outlive it; nobody can do anything about it.
    warnings.filterwarnings("ignore", message="Failed to kill subprocesses", category=UserWarning)
    # A worker that has grown is replaced between two tasks: nothing that anybody need know.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
    resource_tracker.ensure_running()  # starting it lets interrupts through: not where they are held
    return ProcessPoolExecutor(
        max_workers=1, initializer=interrupts.end_with_parent, initargs=(os.getpid(),), env=_ONE_THREAD
    )


def _death(error: BaseException) -> Failure | None:
    """What to say of a worker that died; None if `error` is something else."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError  # noqa: PLC0415

    if not isinstance(error, TerminatedWorkerError):
        return None
    found = re.search(r"exit codes of the workers are \{(.*)\}", str(error))
    how = f" ({found[1]})" if found and found[1] else ""
    reason = "out of memory?" if "SIGKILL" in how else "a crash or an exit in the code that it ran"
    return Failure("WorkerDied", f"the worker process died{how} whenever it computed this cell: {reason}", "")
