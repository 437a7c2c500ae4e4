"""Tasks to results: which kind of worker computes them."""

from collections.abc import Callable, Iterator, Sequence

from sweep.base import machine
from sweep.execution.plan.tasks import Task
from sweep.execution.workers import pool
from sweep.execution.workers.compute import run_task
from sweep.experiment.outcome import Result
from sweep.initializers import CUSTOM

# Below this estimated time, starting workers costs more than they save.
_WORTH_WORKERS = 2.0


def run(
    tasks: Sequence[Task],
    executor: str,
    n_jobs: int,
    histogram: bool,
    wanted: Callable[[Task], Task | None] = lambda task: task,
) -> Iterator[Result]:
    """The results of the tasks, as they end. One BLAS thread per worker.

    wanted: what of a task is still to be computed, None if nothing is; asked just before the task
    is handed to a worker.
    """
    count = min(machine.workers(n_jobs), len(tasks))
    if executor == "serial" or not needs_processes(tasks, count):
        return _here(tasks, histogram, wanted)
    return pool.run(tasks, count, histogram, wanted)


def needs_processes(tasks: Sequence[Task], count: int) -> bool:
    """Whether `count` workers, being asked for, are processes of their own."""
    # A user's own function may do anything, and take its process down: that must not be this one.
    if any(_own_code(task) for task in tasks):
        return True
    return count > 1 and sum(task.seconds for task in tasks) >= _WORTH_WORKERS


def _here(tasks: Sequence[Task], histogram: bool, wanted: Callable[[Task], Task | None]) -> Iterator[Result]:
    for planned in tasks:
        task = wanted(planned)
        if task is not None:
            yield run_task(task, histogram)


def _own_code(task: Task) -> bool:
    return any(CUSTOM in (spec.init, spec.act) for spec in task.specs)
