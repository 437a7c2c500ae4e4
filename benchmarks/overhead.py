"""What a cluster's machinery costs: 2,000 cells of about 5 ms on Dask workers against local ones.

The ratio of medians of interleaved repetitions, starts of workers left out: a Dask cluster is there
before the command.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from statistics import median

from distributed import LocalCluster
from rich.console import Console

from sweep.base.process import machine
from sweep.execution.plan.tasks import Task, pack
from sweep.execution.workers import local
from sweep.execution.workers.dask import futures
from sweep.execution.workers.dask.settings import Dask
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Spec
from sweep.kernel.passes import NUMPY

COUNT, SECONDS = 2000, 0.005
_COMMON = {"init": {"name": "xavier"}, "act": {"name": "tanh"}, "widths": None, "bias_std": 0.0}


def cells(count: int, depth: int) -> Cells:
    """Cells that differ in what they draw, so that each is work of its own."""
    common = _COMMON | {"depth": depth, "width": 128, "batch": 500, "dtype": "float32", "backward": True}
    return Cells((Block((Spec.of(common),), tuple(range(count))),))


def seconds(tasks: list[Task], workers: int, settings: Dask | None) -> float:
    """Wall time of the tasks, nothing stored."""
    start = time.perf_counter()
    results = (
        futures.run(tasks, settings, workers, False, NUMPY, None)
        if settings
        else local.run(tasks, workers, False)
    )
    done = sum(map(len, results))
    assert done == sum(map(len, tasks))
    return time.perf_counter() - start


def main() -> None:
    """Measure, show and write benchmarks/overhead.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    repetitions = parser.parse_args().repetitions
    workers = machine.workers(-1)
    depth = 4
    while True:  # deep enough that a cell takes its 5 ms here
        one = seconds(pack(cells(100, depth), 1), 1, None) / 100
        if one >= SECONDS:
            break
        depth = max(depth + 1, round(depth * SECONDS / one))
    tasks = pack(cells(COUNT, depth), workers)
    times: dict[str, list[float]] = {"local": [], "dask": []}
    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        settings = Dask(cluster.scheduler_address, None, 60.0)
        for kind in (None, settings):  # workers started, code warm
            seconds(pack(cells(8 * workers, depth), workers), workers, kind)
        for _ in range(repetitions):
            times["local"].append(seconds(tasks, workers, None))
            times["dask"].append(seconds(tasks, workers, settings))
    middle = {name: median(values) for name, values in times.items()}
    results = {
        "machine": f"{platform.machine()}, {workers} workers",
        "cells": COUNT,
        "tasks": len(tasks),
        "milliseconds_per_cell": 1000 * one,
        "seconds": middle,
        "dask_over_local": middle["dask"] / middle["local"],
    }
    Console().print(
        f"{COUNT} cells of {1000 * one:.1f} ms in {len(tasks)} tasks: dask takes "
        f"{results['dask_over_local']:.2f}× the time of local workers"
    )
    output = Path(__file__).parent / "overhead.json"
    output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
