"""Tasks to results: the only module that knows of workers."""

import os
import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker

from sweep.compute import Result, run_task
from sweep.plan import Task

# Below this estimated time, starting workers costs more than they save.
_WORTH_WORKERS = 2.0


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

    resource_tracker.ensure_running()  # starting it lets interrupts through: not where they are held
    with parallel_config("loky", n_jobs=count, inner_max_num_threads=1):
        # batch_size=1: a task is already a batch. return_as: store each one as soon as it ends.
        parallel = Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch=2 * count)
        results: Generator[Result, None, None] | None = None
        try:
            with _interrupts_held():
                results = parallel(delayed(run_task)(task, histogram) for task in tasks)
            yield from results
        finally:
            with warnings.catch_warnings():
                # A run that stops early knows that it leaves tasks behind.
                warnings.filterwarnings("ignore", message=".*tasks", category=UserWarning)
                if results is not None:
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
