"""The missing cells as tasks, for the workers and the memory that there are."""

from collections.abc import Sequence
from dataclasses import replace

from sweep.base.errors import RequestError
from sweep.base.process import machine
from sweep.execution.plan import estimate, factor
from sweep.execution.plan.tasks import Task, pack, workers_within
from sweep.execution.workers.executor import Capacity
from sweep.experiment.batches import Cells
from sweep.report.frames import text


def tasks_of(missing: Cells, capacity: Capacity, most: int | None) -> tuple[list[Task], Capacity]:
    """The missing cells as tasks, and the capacity that they leave: fewer workers where memory is short.

    most: bytes that the stacks of all workers may hold, as the request says.
    """
    held = most or capacity.memory
    tasks = pack(missing, capacity.workers, held)
    if most and (needs := _largest(tasks, most)):
        raise RequestError(f"max_memory={text.si(most)}B: {needs}; raise it, or ask for less")
    # What one network needs cannot be split.
    if capacity.here and (fit := workers_within(held, tasks, capacity.workers)) < capacity.workers:
        capacity = replace(capacity, workers=fit)
        tasks = pack(missing, fit, held)
    return tasks, capacity


def too_much(tasks: Sequence[Task], capacity: Capacity, most: int | None) -> str:
    """Why there is not the memory for these tasks, and what to do, in a line; empty where there is."""
    if capacity.most is not None and (needs := _largest(tasks, capacity.most)):
        return capacity.refusal.format(needs)
    if capacity.here and most:
        there = machine.available_memory()
        if estimate.expected(tasks, capacity.workers, False, factor.of_runs([])).memory > there:
            left = f"only {text.si(there)}B of memory is free here"
            return f"max_memory={text.si(most)}B: {left}: lower it, or drop it"
    return ""


def _largest(tasks: Sequence[Task], allowed: int) -> str:
    """The network that needs more than is allowed by itself, and how much; empty where there is none."""
    stacks = [stack for task in tasks for stack in task.stacks]
    largest = max(stacks, key=lambda stack: stack.bytes, default=None)
    if not largest or largest.bytes <= allowed:
        return ""
    one = max(largest.block.specs, key=lambda spec: spec.depth)
    return (
        f"depth={one.depth} width={max(one.profile)} batch={one.batch} needs "
        f"{text.si(largest.bytes)}B at once"
    )
