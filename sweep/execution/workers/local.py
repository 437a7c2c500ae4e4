"""Tasks computed on this machine: by worker processes, or in this one."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sweep.base.errors import SweepWarning
from sweep.base.process import machine
from sweep.execution.plan.compilers import Compiler, Here
from sweep.execution.plan.estimate import needs_processes
from sweep.execution.plan.tasks import Task
from sweep.execution.workers import pool
from sweep.execution.workers.compute import run_task
from sweep.execution.workers.executor import Capacity, Remaining, Work, this_machine
from sweep.experiment.outcomes.outcome import Result

if TYPE_CHECKING:
    from sweep.execution.options import Options
    from sweep.store.records.runs import RunRecord


@dataclass(frozen=True)
class Local:
    """As many workers as n_jobs says."""

    @classmethod
    def of(cls, _: Mapping[str, Any]) -> Self:
        return cls()

    def capacity(self, options: "Options", needed: bool) -> Capacity:
        return this_machine(machine.workers(options.n_jobs) if machine.may_start_processes() else 1)

    def compiler(self) -> Compiler:
        return Here()

    def outcomes(self, work: Work, record: "RunRecord", remaining: Remaining) -> Iterator[Result]:
        if machine.may_start_processes():
            return run(work.tasks, work.capacity.workers, work.histogram, remaining, work.passes)
        from sweep.execution import screen  # noqa: PLC0415  rich: not for a worker

        screen.say("a daemonic process may not start others: this one computes the tasks itself, one by one")
        return run_here(work.tasks, work.histogram, remaining, work.passes)


@dataclass(frozen=True)
class Serial(Local):
    """One cell after another in this process, a user's own functions too: for debugging."""

    def capacity(self, options: "Options", needed: bool) -> Capacity:
        return this_machine(1)

    def outcomes(self, work: Work, record: "RunRecord", remaining: Remaining) -> Iterator[Result]:
        return run_here(work.tasks, work.histogram, remaining, work.passes)


def run(
    tasks: Sequence[Task],
    workers: int,
    histogram: bool,
    remaining: Remaining = lambda task: task,
    kind: str | None = None,
) -> Iterator[Result]:
    """The results of the tasks, as they end. One BLAS thread per worker.

    remaining: asked just before a task is handed to a worker. kind: of passes, as `kernel.propagate` has it.
    """
    count = min(workers, len(tasks))
    if needs_processes(tasks, count):
        why_not = pool.why_not()
        if not why_not:
            return pool.run(tasks, count, histogram, remaining, kind)
        said = f"no worker processes here, so everything is computed in this one: {why_not}"
        warnings.warn(SweepWarning(said), stacklevel=2)
    return run_here(tasks, histogram, remaining, kind)


def run_here(
    tasks: Sequence[Task],
    histogram: bool,
    remaining: Remaining = lambda task: task,
    kind: str | None = None,
) -> Iterator[Result]:
    """The same, in this process."""
    return (run_task(task, histogram, kind) for task in map(remaining, tasks) if task is not None)
