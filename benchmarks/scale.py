"""What many cells cost: `python benchmarks/scale.py`, slopes from 10^3 cells on.

Every size is a real study of tiny cells (width 8, batch 64) in a temporary folder, made and then asked
for again by the command line. Time, memory and bytes are of the whole command, its start included.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sweep.base.process import machine
from sweep.execution.plan import shards, tasks
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Spec

PER_SEED = 8  # cells: two inits, two activations, two depths
AXES = ("init=xavier,kaiming", "act=tanh,relu", "depth=2,4", "width=8", "batch=64")
COMMON = {"widths": None, "width": 8, "bias_std": 0.0, "batch": 64, "dtype": "float32", "backward": True}


def cells(count: int) -> Cells:
    """The same cells in Python."""
    found = [
        Spec.of({"init": {"name": init}, "act": {"name": act}, "depth": depth} | COMMON)
        for init in ("xavier", "kaiming")
        for act in ("tanh", "relu")
        for depth in (2, 4)
    ]
    return Cells((Block(tuple(found), tuple(range(count // PER_SEED))),))


def measured(job: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def in_memory(count: int) -> dict[str, float]:
    """What naming, packing and sharing the cells takes, in a fresh process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = cells(count)
    return {
        "ids_seconds": measured(lambda: [block.digests() for block in made.blocks]),
        "tasks_seconds": measured(lambda: tasks.pack(made, machine.workers(-1))),
        "shares_seconds": measured(lambda: shards.shares(made, 32)),
        "planning_bytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024,
    }


def command(count: int, root: Path) -> tuple[float, float]:
    """Wall time and peak memory (bytes, of the largest process) of the command for so many cells."""
    arguments = [
        "-m",
        "grid=smoke",
        *AXES,
        f"seed=range(0,{count // PER_SEED})",
        f"root={root}",
        "report=false",
    ]
    # A process in between, whose children's peak is this command's alone.
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, sys.executable, "-m", "sweep", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return time.perf_counter() - start, int(done.stdout) * 1024.0


def study(count: int) -> dict[str, float]:
    """One study from nothing, and the same command again."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        first, peak = command(count, root)
        parts = list((root / "smoke" / "cells").glob("*.parquet"))
        sizes = {table: _bytes(root / "smoke" / table) for table in ("cells", "layers")}
        second, second_peak = command(count, root)
    return {
        "first_seconds": first,
        "first_peak_bytes": peak,
        "second_seconds": second,
        "second_peak_bytes": second_peak,
        "parts": len(parts),
        "cells_table_bytes": sizes["cells"],
        "layers_table_bytes": sizes["layers"],
    }


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """What one more cell costs: between the two largest sizes."""
    return (values[-1] - values[-2]) / (sizes[-1] - sizes[-2])


def main() -> None:
    """Measure, show and write benchmarks/scale.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sizes", type=lambda text: [int(float(size)) for size in text.split(",")], default="1e3,1e4,1e5"
    )
    sizes: list[int] = parser.parse_args().sizes
    rows: list[dict[str, Any]] = []
    for size in sizes:
        with get_context("spawn").Pool(1) as fresh:
            memory = fresh.apply(in_memory, (size,))
        rows.append({"cells": size} | memory | study(size))
        Console(stderr=True).print(rows[-1])
    table = Table()
    table.add_column("")
    for size in sizes:
        table.add_column(f"{size:,} cells", justify="right")
    table.add_column("one more cell", justify="right")
    for name in rows[0]:
        if name != "cells":
            values = [float(row[name]) for row in rows]
            table.add_row(
                name.replace("_", " "), *(f"{value:,.4g}" for value in values), f"{slope(sizes, values):.3g}"
            )
    Console().print(table)
    where = f"{platform.machine()}, {machine.workers(-1)} cores, NumPy {np.__version__}"
    output = Path(__file__).parent / "scale.json"
    output.write_text(json.dumps({"machine": where, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
