"""`make bench`: the kernel against the machine's own limit and against the textbook's loop, in one run.

Every figure is a ratio of medians of interleaved repetitions: these machines are noisy.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from sweep import execute, plan
from sweep.cell import Cell

INITS = {"xavier": 1.0, "kaiming": 2.0, "small_normal": None, "big_normal": None}
STD = {"small_normal": 0.01, "big_normal": 1.0}
DEPTHS, WIDTHS, BATCH = (5, 10, 20, 50), (64, 128, 256, 512), 1000


def cells(seeds: int, backward: bool) -> list[Cell]:
    """The standard grid's cells, for so many seeds."""
    common = {"widths": None, "bias_std": 0.0, "batch": BATCH, "dtype": "float32", "backward": backward}
    return [
        Cell.of({"init": {"name": i}, "act": {"name": a}, "depth": d, "width": w, "seed": s} | common)
        for i in INITS
        for a in ("tanh", "relu")
        for d in DEPTHS
        for w in WIDTHS
        for s in range(seeds)
    ]


def ours(seeds: int, backward: bool) -> None:
    """Plan and compute them as `python -m sweep -m` does, nothing stored."""
    for _ in execute.run(plan.tasks(cells(seeds, backward), execute.workers(-1)), "local", -1, False):
        pass


def textbook(seeds: int) -> None:
    """The chapter's loop: cell by cell, float64, NumPy's own threads, the std of every layer."""
    for seed in range(seeds):
        for init, scale in INITS.items():
            for act in (np.tanh, lambda z: np.maximum(z, 0)):
                for depth in DEPTHS:
                    for width in WIDTHS:
                        rng = np.random.default_rng(seed)
                        h = rng.standard_normal((BATCH, width))
                        std = STD[init] if scale is None else np.sqrt(scale / width)
                        with np.errstate(all="ignore"):
                            for _ in range(depth):
                                h = act(h @ (std * rng.standard_normal((width, width))))
                                h.std()


def chain_flops(seeds: int, backward: bool) -> float:
    """What the chains actually run need: each once, to the greatest depth; a gradient per depth."""
    per_layer = sum(2 * BATCH * width**2 for width in WIDTHS) * len(INITS) * 2 * seeds
    return per_layer * (max(DEPTHS) + (2 * sum(DEPTHS) if backward else 0))


def sgemm_flops_per_second() -> float:
    """The machine's limit: all threads on one large product."""
    a = np.random.default_rng(0).standard_normal((4096, 4096), dtype=np.float32)
    np.matmul(a, a)
    start = time.perf_counter()
    for _ in range(3):
        np.matmul(a, a)
    return 3 * 2 * 4096**3 / (time.perf_counter() - start)


def seconds(job: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def main() -> None:
    """Measure, show and write benchmarks/results.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    n = arguments.seeds
    ours(1, False)  # workers started, code warm
    jobs: dict[str, Callable[[], object]] = {
        "forward": lambda: ours(n, False),
        "forward and backward": lambda: ours(n, True),
        "textbook loop, forward": lambda: textbook(n),
    }
    times: dict[str, list[float]] = {name: [] for name in jobs}
    limits = []
    for _ in range(arguments.repetitions):
        limits.append(sgemm_flops_per_second())
        for name, job in jobs.items():
            times[name].append(seconds(job))
    middle = {name: median(values) for name, values in times.items()}
    limit = median(limits)
    results = {
        "machine": f"{platform.machine()}, {execute.workers(-1)} cores, NumPy {np.__version__}",
        "cells": len(cells(n, False)),
        "sgemm_gflops": limit / 1e9,
        "seconds": middle,
        "forward_share_of_sgemm": chain_flops(n, False) / middle["forward"] / limit,
        "backward_share_of_sgemm": chain_flops(n, True) / middle["forward and backward"] / limit,
        "textbook_over_forward": middle["textbook loop, forward"] / middle["forward"],
    }
    table = Table()
    table.add_column("standard grid")
    table.add_column("ratio", justify="right")
    table.add_row("forward, share of the sgemm limit", f"{results['forward_share_of_sgemm']:.2f}")
    table.add_row("with backward, share of the sgemm limit", f"{results['backward_share_of_sgemm']:.2f}")
    table.add_row("textbook loop's time over ours, forward", f"{results['textbook_over_forward']:.1f}×")
    Console().print(table)
    output = Path(__file__).parent / "results.json"
    output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
