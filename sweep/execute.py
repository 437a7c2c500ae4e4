"""Tasks to results: the only module that knows of workers.

A task computes its cells and returns arrays; a cell that fails is part of the result and takes
no other down.
"""

import os
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sweep import kernel
from sweep.cell import Cell
from sweep.layer import HISTOGRAM_BINS
from sweep.plan import Stack, Task, chains_of

Array = NDArray[Any]

STATISTICS = (*kernel.FORWARD, *kernel.BACKWARD)
# Below this estimated time, starting workers costs more than they save.
_WORTH_WORKERS = 2.0


@dataclass(frozen=True)
class Result:
    """What one task computed.

    cells: in the order of everything below; errors: None, or what failed. seconds: (cells,).
    estimate: what the plan thought the task would take on one core.
    statistics: name -> (rows,), the layers 0 .. depth of one cell after another, failed cells
    having none. histogram: (rows, 30), or None.
    """

    cells: list[Cell]
    estimate: float
    errors: list[str | None]
    seconds: Array
    statistics: dict[str, Array]
    histogram: Array | None


def workers(n_jobs: int) -> int:
    """How many workers n_jobs stands for, counted as joblib does: -1 is every core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)


def run(tasks: Sequence[Task], executor: str, n_jobs: int, histogram: bool) -> Iterator[Result]:
    """The results of the tasks, as they end. One BLAS thread per worker."""
    count = min(workers(n_jobs), len(tasks))
    short = sum(task.seconds for task in tasks) < _WORTH_WORKERS
    if executor == "serial" or count < 2 or short:
        for task in tasks:
            yield run_task(task, histogram)
        return
    from joblib import Parallel, delayed, parallel_config  # noqa: PLC0415  a short run needs no workers

    with parallel_config("loky", n_jobs=count, inner_max_num_threads=1):
        # batch_size=1: a task is already a batch. return_as: store each one as soon as it ends.
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=2 * count)
        with _interrupts_held():
            results = parallel(delayed(run_task)(task, histogram) for task in tasks)
        try:
            yield from results
        finally:
            with warnings.catch_warnings():
                # A run that stops early knows that it leaves tasks behind.
                warnings.filterwarnings("ignore", message=".*tasks", category=UserWarning)
                results.close()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the block ends, and processes started in it never see it.

    Workers are stopped by the driver, which alone knows what is stored; a worker that is told by
    the terminal too dies with a traceback, wherever it just is.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not POSIX
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_task(task: Task, histogram: bool) -> Result:
    """Compute every cell of a task; a stack that fails is computed again cell by cell."""
    parts: list[Result] = []
    with threadpool_limits(1):
        for stack in task.stacks:
            try:
                parts.append(_run_stack(stack, histogram))
            except Exception:
                parts += [_run_cell(stack, cell, histogram) for cell in stack.cells]
    return _joined(parts)


def _run_cell(stack: Stack, cell: Cell, histogram: bool) -> Result:
    try:
        return _run_stack(Stack((cell,), stack.profile[: cell.depth + 1], 0.0, 0), histogram)
    except Exception as error:
        nothing = {name: np.empty(0) for name in STATISTICS}
        message = f"{type(error).__name__}: {error}"
        counts = np.empty((0, HISTOGRAM_BINS), np.int64) if histogram else None
        return Result([cell], 0.0, [message], np.zeros(1), nothing, counts)


def _run_stack(stack: Stack, histogram: bool) -> Result:
    start = time.perf_counter()
    grouped = chains_of(stack.cells)
    chains = [_chain(cells) for cells in grouped]
    first = stack.cells[0]
    measured = kernel.propagate(chains, stack.profile, first.seed, first.batch, first.dtype, histogram)
    cells: list[Cell] = []
    columns: dict[str, list[Array]] = {name: [] for name in STATISTICS}
    counts: list[Array] = []
    for members, chain in zip(grouped, measured, strict=True):
        for cell in members:
            rows = cell.depth + 1
            cells.append(cell)
            for name in kernel.FORWARD:
                columns[name].append(chain.forward[name][:rows])
            missing = np.full(rows, np.nan)
            gradients = chain.backward[cell.depth] if cell.backward else {}
            for name in kernel.BACKWARD:
                columns[name].append(gradients.get(name, missing))
            if chain.histogram is not None:
                counts.append(chain.histogram[:rows])
    cost = np.array([cell.depth * (3.0 if cell.backward else 1.0) for cell in cells])
    seconds = (time.perf_counter() - start) * cost / cost.sum()  # shared work has no owner: by depth
    statistics = {name: np.concatenate(values) for name, values in columns.items()}
    histograms = np.concatenate(counts) if histogram else None
    return Result(cells, stack.seconds, [None] * len(cells), seconds, statistics, histograms)


def _chain(cells: Sequence[Cell]) -> kernel.Chain:
    one = cells[0]
    backward = tuple(sorted({cell.depth for cell in cells if cell.backward}))
    return kernel.Chain(one.scheme, one.activation, one.bias_std, max(cell.depth for cell in cells), backward)


def _joined(parts: Sequence[Result]) -> Result:
    histograms = [part.histogram for part in parts if part.histogram is not None]
    return Result(
        [cell for part in parts for cell in part.cells],
        sum(part.estimate for part in parts),
        [error for part in parts for error in part.errors],
        np.concatenate([part.seconds for part in parts]),
        {name: np.concatenate([part.statistics[name] for part in parts]) for name in STATISTICS},
        np.concatenate(histograms) if histograms else None,
    )
