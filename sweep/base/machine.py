"""Which machine this is, and how many workers it has cores for."""

import os
import platform


def identity() -> dict[str, str]:
    """What a measured time is true for."""
    return {"host": platform.node(), "cores": str(os.cpu_count())}


def workers(n_jobs: int) -> int:
    """How many workers n_jobs stands for, counted as joblib does: -1 is every core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)
