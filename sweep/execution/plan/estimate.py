"""What a run will cost: before it starts, and without starting it."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweep.base.process.machine import DRIVER_BYTES, worker_bytes
from sweep.execution.plan.factor import Factor
from sweep.execution.plan.tasks import Task, rows_of
from sweep.report.frames.text import between, si

# Measured on the standard grid; all but start-up scale with the tables that are written.
_STARTUP_SECONDS = 1.0  # of worker processes: Python, NumPy and this program are imported
_TASK_SECONDS = 0.02  # to store a part
_CELL_BYTES, _LAYER_BYTES, _HISTOGRAM_BYTES = 150, 80, 70
_PART_BYTES = 25_000  # a part's schema and indexes

# Below this estimated time, starting workers costs more than they save.
_WORTH_WORKERS = 2.0


@dataclass(frozen=True)
class Counts:
    """Cells of a request: asked for, named more than once, stored, failed earlier, to be computed."""

    cells: int
    duplicates: int
    stored: int
    failed: int
    missing: int


@dataclass(frozen=True)
class Expected:
    """What computing some tasks will take.

    model_seconds: the plan's own estimate, as if its machine were this one; seconds: corrected, with
    the overhead of workers and storage; least, most: what they should lie between. bytes: written; memory:
    at most, of all processes together. here: whether this machine computes them; of others nothing is known
    but that they are as slow or as quick as machines are, and how long they keep one waiting not even that.
    """

    tasks: int
    workers: int
    flops: int
    model_seconds: float
    overhead: float
    seconds: float
    least: float
    most: float
    bytes: int
    memory: int
    here: bool = True

    def __str__(self) -> str:
        tasks = "1 task" if self.tasks == 1 else f"{self.tasks:,} tasks"
        return (
            f"{tasks}, {self.time}, {si(self.flops)}FLOP, {si(self.bytes)}B to write, "
            f"{si(self.memory)}B of memory"
        )

    @property
    def time(self) -> str:
        """The time that it will take, as people say it."""
        workers = "1 worker has" if self.workers == 1 else f"{self.workers:,} workers have"
        return between(self.least, self.most) + ("" if self.here else f" once {workers} started")

    def after(self, seconds: float) -> "Expected":
        """The same where workers take so many seconds more to start."""
        longer = {name: getattr(self, name) + seconds for name in ("overhead", "seconds", "least", "most")}
        return replace(self, **longer)


def expected(
    tasks: Sequence[Task], workers: int, histogram: bool, factor: Factor, here: bool = True
) -> Expected:
    """The cost of `tasks`; factor: the time of whoever computes them over that of the plan's model."""
    if not tasks:
        return Expected(0, workers, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, here)
    used = min(workers, len(tasks))
    model = _makespan([task.seconds for task in tasks], used)
    stacks = [stack for task in tasks for stack in task.stacks]
    processes = needs_processes(tasks, used)
    overhead = (_STARTUP_SECONDS if processes else 0.0) + _TASK_SECONDS * len(tasks)
    rows = sum(rows_of(stack.block) for stack in stacks)
    cells = sum(map(len, tasks))
    written = cells * _CELL_BYTES + rows * (_LAYER_BYTES + histogram * _HISTOGRAM_BYTES)
    largest = heapq.nlargest(used, (max(stack.bytes for stack in task.stacks) for task in tasks))
    seconds = factor.middle * model + overhead
    return Expected(
        tasks=len(tasks),
        workers=used,
        flops=sum(stack.flops for stack in stacks),
        model_seconds=model,
        overhead=overhead,
        seconds=seconds,
        least=seconds / factor.below,
        most=seconds * factor.above,
        bytes=written + len(tasks) * _PART_BYTES,
        memory=DRIVER_BYTES + sum(largest) + (worker_bytes() * used if processes else 0),
        here=here,
    )


def needs_processes(tasks: Sequence[Task], count: int) -> bool:
    """Whether `count` workers of this machine, being asked for, are processes of their own."""
    # A user's own function may do anything, and take its process down: that must not be this one.
    if any(spec.has_own for task in tasks for spec in task.specs):
        return True
    return count > 1 and sum(task.seconds for task in tasks) >= _WORTH_WORKERS


def _makespan(seconds: Sequence[float], workers: int) -> float:
    """When the last worker ends, each taking the next task as soon as it is free."""
    free = [0.0] * workers
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)
