"""What a run will cost: before it starts, and without starting it."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sweep import activations, initializers
from sweep.base import machine
from sweep.base.memory import DRIVER_BYTES, WORKER_BYTES
from sweep.execution.plan.tasks import Stack, Task, chains_of, pack, rows_of
from sweep.execution.workers import local
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Spec
from sweep.report.frames.text import duration, si

# Measured on the standard grid; all but start-up scale with the tables that are written.
_STARTUP_SECONDS = 1.0  # of worker processes: Python, NumPy and this program are imported
_TASK_SECONDS = 0.02  # to store a part
_CELL_BYTES, _LAYER_BYTES, _HISTOGRAM_BYTES = 150, 80, 70
_PART_BYTES = 25_000  # a part's schema and indexes

_CALIBRATION_SECONDS = 1.0
_SAMPLES = 12


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
    the overhead of workers and storage. bytes: written; memory: at most, of all processes together.
    """

    tasks: int
    workers: int
    flops: int
    model_seconds: float
    overhead: float
    seconds: float
    bytes: int
    memory: int

    def __str__(self) -> str:
        tasks = "1 task" if self.tasks == 1 else f"{self.tasks:,} tasks"
        return (
            f"{tasks}, {duration(self.seconds)}, {si(self.flops)}FLOP, {si(self.bytes)}B to write, "
            f"{si(self.memory)}B of memory"
        )


def expected(tasks: Sequence[Task], workers: int, histogram: bool, factor: float) -> Expected:
    """The cost of `tasks`; factor: this machine's time over that of the plan's model."""
    if not tasks:
        return Expected(0, workers, 0, 0.0, 0.0, 0.0, 0, 0)
    used = min(workers, len(tasks))
    model = _makespan([task.seconds for task in tasks], used)
    stacks = [stack for task in tasks for stack in task.stacks]
    processes = local.needs_processes(tasks, used)
    overhead = (_STARTUP_SECONDS if processes else 0.0) + _TASK_SECONDS * len(tasks)
    rows = sum(rows_of(stack.block) for stack in stacks)
    cells = sum(map(len, tasks))
    written = cells * _CELL_BYTES + rows * (_LAYER_BYTES + histogram * _HISTOGRAM_BYTES)
    largest = heapq.nlargest(used, (max(stack.bytes for stack in task.stacks) for task in tasks))
    return Expected(
        tasks=len(tasks),
        workers=used,
        flops=sum(stack.flops for stack in stacks),
        model_seconds=model,
        overhead=overhead,
        seconds=factor * model + overhead,
        bytes=written + len(tasks) * _PART_BYTES,
        memory=DRIVER_BYTES + sum(largest) + (WORKER_BYTES * used if processes else 0),
    )


def calibrated(tasks: Sequence[Task], executor: str, n_jobs: int) -> float:
    """This machine's time over the plan's, from about a second of the plan's own work on every worker.

    A user's own functions are not run for it: xavier and tanh stand in for them.
    """
    workers = min(machine.workers(n_jobs), len(tasks))
    sample = _sample(tasks, _CALIBRATION_SECONDS * workers)
    # The first of the results find their code cold; they come first, and once more at the end.
    warm = [min(sample, key=lambda task: task.seconds)] * workers
    results = list(local.run([*warm, *sample], executor, n_jobs, histogram=False))[workers:]
    measured = sum(float(result.seconds.sum()) for result in results)
    modelled = sum(result.estimate for result in results)
    return measured / modelled if modelled else 1.0


def _makespan(seconds: Sequence[float], workers: int) -> float:
    """When the last worker ends, each taking the next task as soon as it is free."""
    free = [0.0] * workers
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def _sample(tasks: Sequence[Task], seconds: float) -> list[Task]:
    """Tasks of so many seconds in all, like those given: stacks from everywhere, cut down."""
    stacks = sorted((stack for task in tasks for stack in task.stacks), key=lambda stack: stack.seconds)
    total = sum(stack.seconds for stack in stacks)
    each = min(seconds, total) / _SAMPLES
    chosen: dict[int, Stack] = {}
    passed, number = 0.0, 0
    for place, stack in enumerate(stacks):  # one at each of so many equal steps of the whole time
        passed += stack.seconds
        while passed >= (number + 0.5) * total / _SAMPLES and number < _SAMPLES:
            chosen[place] = stack
            number += 1
    cut = [_cut(stack, each) for stack in chosen.values()]
    return [task for block in cut for task in pack(Cells((block,)), 1)]


def _cut(stack: Stack, seconds: float) -> Block:
    """Cells like those of a stack, but of about so many seconds."""
    specs, seeds = stack.block.specs, stack.block.seeds
    share = stack.seconds
    chains = chains_of(specs)
    if share > seconds:  # fewer chains first, then fewer seeds: the depth is more telling
        count = max(1, int(len(chains) * seconds / share))
        specs = tuple(spec for chain in chains[:count] for spec in chain)
        share *= count / len(chains)
    if share > seconds:
        count = max(1, int(len(seeds) * seconds / share))
        share *= count / len(seeds)
        seeds = seeds[:count]
    if share > seconds:
        deepest = max(specs, key=lambda spec: spec.depth)
        depth = max(1, int(deepest.depth * seconds / share))
        widths = None if deepest.widths is None else deepest.widths[: depth + 1]
        specs = (replace(deepest, depth=depth, widths=widths, width=deepest.profile[depth]),)
        share *= depth / deepest.depth
    if share > seconds:  # one layer of one network: fewer inputs
        specs = (replace(specs[0], batch=max(2, int(specs[0].batch * seconds / share))),)
    return Block(tuple(dict.fromkeys(map(_harmless, specs))), seeds)


def _harmless(spec: Spec) -> Spec:
    if spec.init == initializers.CUSTOM:
        spec = replace(spec, init="xavier", init_params="{}")
    return replace(spec, act="tanh", act_params="{}") if spec.act == activations.CUSTOM else spec
