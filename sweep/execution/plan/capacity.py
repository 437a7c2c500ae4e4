"""The missing cells as tasks, for the workers and the memory that there are, here or on a cluster."""

from collections.abc import Sequence
from dataclasses import replace

from sweep.base import machine, memory
from sweep.base.errors import RequestError
from sweep.execution.options import Options
from sweep.execution.plan import estimate
from sweep.execution.plan.tasks import Task, fitting, pack
from sweep.execution.workers import registry
from sweep.experiment.batches import Cells
from sweep.report.frames import text
from sweep.store.places import is_url


def tasks_of(options: Options, missing: Cells) -> tuple[list[Task], int, Options]:
    """The missing cells as tasks, for how many workers, and the options with as many."""
    workers, held = _capacity(options, bool(missing) and not options.dry_run)
    held = options.max_memory or held
    tasks = pack(missing, workers, held)
    if options.max_memory and (needs := _largest(tasks, options.max_memory)):
        allowed = f"max_memory={text.si(options.max_memory)}B"
        raise RequestError(f"{allowed}: {needs}; give it as much, or ask for less")
    if options.cluster:
        return tasks, workers, options
    if (fit := fitting(tasks, workers, held)) < workers:
        workers = fit  # fewer, for what one network needs cannot be split
        tasks = pack(missing, workers, held)
    return tasks, workers, replace(options, n_jobs=workers)


def too_much(tasks: Sequence[Task], workers: int, options: Options) -> str:
    """Why there is not the memory for these tasks, and what to do, in a line; empty where there is."""
    if isinstance(options.cluster, registry.Slurm):
        allowed = int(options.cluster.mem_gb * 1e9) - memory.DRIVER_BYTES
        if needs := _largest(tasks, allowed):
            return (
                f"executor.mem_gb={options.cluster.mem_gb:g}: {needs}; give an element more, or ask for less"
            )
        return ""
    if isinstance(options.cluster, registry.Dask) and not options.cluster.local:
        return ""  # its workers' memory is not this machine's
    there = memory.available()
    left = f"{text.si(there)}B of memory are left here"
    if needs := _largest(tasks, there - memory.DRIVER_BYTES):
        return f"{needs}, {left}: ask for less of depth, width or batch, or run it where there is more"
    if options.max_memory and estimate.expected(tasks, workers, False, 1.0).memory > there:
        return f"max_memory={text.si(options.max_memory)}B: {left}: give less, or leave it away"
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


def _capacity(options: Options, needed: bool) -> tuple[int, int]:
    """How many workers there are, and bytes for all of them; RequestError where a cluster has none."""
    local = machine.workers(options.n_jobs)
    if isinstance(options.cluster, registry.Dask) and needed:
        from sweep.execution.workers.dask import futures  # noqa: PLC0415

        if found := futures.check(options.cluster, local):
            return found.workers, found.memory
    if isinstance(options.cluster, registry.Slurm):
        if is_url(options.root):
            raise RequestError(
                f"root={options.root}: executor=slurm keeps shares and logs beside the results: root must be "
                "a folder that the nodes share; shard=k/n needs none"
            )
        if needed:
            from sweep.execution.workers.slurm import array  # noqa: PLC0415

            array.check(options.cluster)
        elements = options.cluster.max_jobs
        return options.cluster.cores * elements, int(options.cluster.mem_gb * 1e9) // 2 * elements
    local = memory.workers(local)
    return local, memory.for_stacks(local)
