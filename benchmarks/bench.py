"""`make bench`: sweep against the machine's own limit and against its peers, in one run.

Every figure is a ratio of medians of interleaved repetitions, for these machines are noisy. Where a
row says *marginal*, it is the difference between 10 seeds and 2: start-up has a row of its own.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from peers import numpy_cell, specs, textbook, torch_cells, xyzpy_cells
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from sweep.base.process import machine
from sweep.execution.plan import tasks
from sweep.execution.workers import local
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Spec
from sweep.experiment.predictions.prediction import predicted
from sweep.kernel.passes import COMPILED, NUMPY, folder
from sweep.store import tables
from sweep.store.study import Study

HERE = Path(__file__).parent
INITS, DEPTHS, WIDTHS, BATCH = (
    ("xavier", "kaiming", "small_normal", "big_normal"),
    (5, 10, 20, 50),
    (64, 128, 256, 512),
    1000,
)
# Four Gaussian schemes under relu are one chain by the exact law, under tanh four.
CHAINS = 5
KIND = NUMPY if folder.why_not() or folder.why_not_kept() else COMPILED  # of passes
FEW, MANY = 2, 10
TINY = {"inits": ("xavier", "kaiming"), "depths": (2, 5), "widths": (8, 16)}
TINY_SEEDS, TINY_BATCH = 625, 100


def cells(wanted: Sequence[tuple[str, str, int, int, int]], batch: int, backward: bool) -> Cells:
    """The grid that `wanted` lists, (init, act, depth, width, seed) by cell, as the command line makes it."""
    common = {"widths": None, "bias_std": 0.0, "batch": batch, "dtype": "float32", "backward": backward}
    networks = dict.fromkeys(one[:4] for one in wanted)
    found = [
        Spec.of({"init": {"name": i}, "act": {"name": a}, "depth": d, "width": w} | common)
        for i, a, d, w in networks
    ]
    return Cells((Block(tuple(found), tuple(dict.fromkeys(seed for *_, seed in wanted))),))


def ours(wanted: Sequence[Any], batch: int, backward: bool, kind: str = KIND) -> None:
    """Plan and compute them as `python -m sweep -m` does, on every core, nothing stored."""
    planned = tasks.pack(cells(wanted, batch, backward), machine.workers(-1))
    for _ in local.run(planned, machine.workers(-1), False, kind=kind):
        pass


def ours_stored(wanted: Sequence[Any], batch: int, backward: bool) -> None:
    """The same and its tables, stored."""
    with tempfile.TemporaryDirectory() as folder:
        study = Study(Path(folder))
        study.create()
        planned = tasks.pack(cells(wanted, batch, backward), machine.workers(-1))
        for number, result in enumerate(local.run(planned, machine.workers(-1), False, kind=KIND)):
            study.write(f"bench-{number:06d}.parquet", *tables.tables(result, "bench"))


def one_chain(init: str, act: str) -> Callable[[], None]:
    """Depth 50, width 512, forward and back, on one core."""
    (task,) = tasks.pack(cells([(init, act, 50, 512, 0)], BATCH, True), 1)

    def run() -> None:
        for _ in local.run_here([task], False, kind=KIND):
            pass

    return run


def chain_flops(seeds: int, backward: bool) -> float:
    """What the chains actually run need: each once, to the greatest depth; two products per gradient."""
    per_layer = sum(2 * BATCH * width**2 for width in WIDTHS) * CHAINS * seeds
    return per_layer * (max(DEPTHS) + (2 * sum(DEPTHS) if backward else 0))


def gemm_seconds(dtype: str, threads: int, size: int = 4096) -> float:
    """Seconds per FLOP of one large product: the machine's limit."""
    a = np.random.default_rng(0).standard_normal((size, size)).astype(dtype)
    with threadpool_limits(threads):
        out = np.matmul(a, a)
        return seconds(lambda: np.matmul(a, a, out=out)) / (2 * size**3)


def seconds(job: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def command(*arguments: str, script: str | None = None, door: str = "sweep") -> Callable[[], None]:
    """A command in a folder of its own."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            program = [script] if script else ["-m", door]
            environment = os.environ | {"PYTHONPATH": str(HERE)}
            subprocess.run(
                [sys.executable, *program, *arguments],
                cwd=folder,
                env=environment,
                check=True,
                capture_output=True,
            )

    return run


def many_cells(seeds: int) -> tuple[float, float]:
    """16 · seeds tiny cells from the command line: the driver's peak memory in MB, and the seconds that the
    same command takes to see that all of them are stored."""
    axes = [
        "init=xavier,kaiming",
        "act=tanh,relu",
        "depth=2,5",
        "width=8,16",
        f"seed=range(0,{seeds})",
        "batch=100",
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, "-m", "sweep", "-m", *axes, "report=false"]
        # A process counts the memory of the one that started it: a small one in between keeps ours out.
        between = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True);"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        measured = subprocess.run(
            [sys.executable, "-c", between, *arguments],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        again = [*arguments, "dry_run=true"]
        planning = seconds(lambda: subprocess.run(again, cwd=folder, check=True, capture_output=True))
        return int(measured.stdout) / 1024, planning


def jobs() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    app = str(HERE / "hydra_app.py")
    launcher = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    standard = {n: specs(INITS, DEPTHS, WIDTHS, range(n)) for n in (1, FEW, MANY)}
    tiny = specs(seeds=range(TINY_SEEDS), **TINY)
    small = ("grid=smoke", "report=false", "init=xavier,kaiming", "act=tanh,relu", "depth=2", "width=8")
    return {
        "sgemm, all threads": lambda: gemm_seconds("float32", os.cpu_count() or 1),
        "sgemm, one thread": lambda: gemm_seconds("float32", 1),
        "dgemm, all threads": lambda: gemm_seconds("float64", os.cpu_count() or 1),
        "forward, few": lambda: ours(standard[FEW], BATCH, False),
        "forward, many": lambda: ours(standard[MANY], BATCH, False),
        "backward, few": lambda: ours(standard[FEW], BATCH, True),
        "backward, many": lambda: ours(standard[MANY], BATCH, True),
        "textbook loop": lambda: textbook(standard[1], BATCH),
        "PyTorch": lambda: torch_cells(standard[1], BATCH),
        "tiny": lambda: ours_stored(tiny, TINY_BATCH, True),
        "tiny, forward": lambda: ours_stored(tiny, TINY_BATCH, False),
        "tiny, xyzpy": lambda: xyzpy_cells(seeds=TINY_SEEDS, batch=TINY_BATCH, **TINY),
        "wide, few": lambda: ours([("xavier", "tanh", 20, 2048, s) for s in range(2)], BATCH, False),
        "wide, many": lambda: ours([("xavier", "tanh", 20, 2048, s) for s in range(6)], BATCH, False),
        "healthy tanh": one_chain("xavier", "tanh"),
        "vanished tanh": one_chain("small_normal", "tanh"),
        "healthy gelu": one_chain("kaiming", "gelu_tanh"),
        "exploded gelu": one_chain("big_normal", "gelu_tanh"),
        "theory, 640 cells": theory,
        "50 Hydra jobs": command(*launcher, "seed=range(0,50)", script=app),
        "2 Hydra jobs": command(*launcher, "seed=range(0,2)", script=app),
        "help": command("--help"),
        "help, bare Hydra": command("--help", script=app),
        "one cell": command("depth=2", "width=8", "batch=100", "report=false"),
        "one cell, bare Hydra": command(script=app),
        "bare Hydra and libraries": command("libraries=true", script=app),
        "python -m sweep": command(),
        "recommend": command("gelu", "--depth", "50", door="sweep.recommend"),
        "four cells": command("-m", *small),
    }


def theory() -> None:
    """The predictions of the standard grid, as if for the first time."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("sweep.theory", "sweep.experiment.predictions.prediction")):
            for kept in vars(module).values():
                if hasattr(kept, "cache_clear"):
                    kept.cache_clear()
    for cell in cells(specs(INITS, DEPTHS, WIDTHS, range(5)), BATCH, True):
        predicted(cell)


def measure(wanted: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """The median seconds of every job, the repetitions interleaved; a limit's seconds are per FLOP."""
    console = Console(stderr=True)
    times: dict[str, list[float]] = {name: [] for name in wanted}
    for repetition in range(repetitions):
        for name, job in wanted.items():
            console.print(f"{repetition + 1}/{repetitions} {name}", style="dim")
            taken = seconds(job)
            times[name].append(float(job()) if "gemm" in name else taken)  # type: ignore[arg-type]
    return {name: median(values) for name, values in times.items()}


def ratios(t: dict[str, float], memory: dict[str, float]) -> list[tuple[str, float, float]]:
    """(what, ratio, at least or at most what we want)."""
    limit = 1 / t["sgemm, all threads"]
    extra = MANY - FEW
    forward, backward = (t[f"{way}, many"] - t[f"{way}, few"] for way in ("forward", "backward"))
    per_hydra_job = (t["50 Hydra jobs"] - t["2 Hydra jobs"]) / 48
    count = len(specs(seeds=range(TINY_SEEDS), **TINY))
    wide_flops = 4 * 2 * BATCH * 2048**2 * 20  # of four seeds
    return [
        (
            "standard, forward: share of the sgemm limit (marginal)",
            chain_flops(extra, False) / forward / limit,
            0.70,
        ),
        (
            "standard, with backward: share of the sgemm limit (marginal)",
            chain_flops(extra, True) / backward / limit,
            0.68,
        ),
        ("standard, forward: textbook loop's time over ours", t["textbook loop"] * extra / forward, 10),
        ("standard, forward: PyTorch's time over ours", t["PyTorch"] * extra / forward, 5),
        (
            "wide (2048): share of the sgemm limit (marginal)",
            wide_flops / (t["wide, many"] - t["wide, few"]) / limit,
            0.75,
        ),
        ("tiny: cells/s over Hydra's joblib launcher", per_hydra_job * count / t["tiny"], 400),
        ("tiny: cells/s over xyzpy, which gives the final std alone", t["tiny, xyzpy"] / t["tiny"], 1.5),
        ("tiny, forward only: cells/s over xyzpy", t["tiny, xyzpy"] / t["tiny, forward"], 1.5),
        ("vanished over healthy, tanh (time)", t["vanished tanh"] / t["healthy tanh"], 1.3),
        ("exploded over healthy, gelu_tanh (time)", t["exploded gelu"] / t["healthy gelu"], 1.3),
        ("peak memory, 100,000 tiny cells over 10,000", memory["100,000"] / memory["10,000"], 1.3),
        ("--help over a bare Hydra app's (time)", t["help"] / t["help, bare Hydra"], 1.25),
        ("one small cell over a bare Hydra app's (time)", t["one cell"] / t["one cell, bare Hydra"], 0),
        (
            "`python -m sweep`, table and picture, over a bare Hydra app with libraries (time)",
            t["python -m sweep"] / t["bare Hydra and libraries"],
            1.8,
        ),
        (
            "`recommend gelu --depth 50` over the same (time)",
            t["recommend"] / t["bare Hydra and libraries"],
            2.0,
        ),
        ("theory for 640 cells, share of the run", t["theory, 640 cells"] / (5 * backward / extra), 0.02),
    ]


def main() -> None:
    """Measure, show and write benchmarks/results.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", default="", help="jobs whose names contain this, their seconds alone")
    arguments = parser.parse_args()
    chosen = {name: job for name, job in jobs().items() if arguments.only in name}
    ours(specs(INITS[:1], (20,), (512,), range(4)), BATCH, True)  # workers started, code warm
    numpy_cell("xavier", "tanh", 2, 8, 0, 10)
    times = measure(chosen, arguments.repetitions)
    console = Console()
    if arguments.only:
        console.print_json(json.dumps(times))
        return
    many = {"10,000": many_cells(TINY_SEEDS), "100,000": many_cells(10 * TINY_SEEDS)}
    memory = {count: megabytes for count, (megabytes, _) in many.items()}
    table = Table("what", "ratio", "target")
    found = ratios(times, memory)
    for what, ratio, target in found:
        table.add_row(what, f"{ratio:.3g}", f"{target:g}" if target else "")
    console.print(table)
    output = {
        "machine": described(),
        "passes": KIND,
        "ratios": {what: {"ratio": float(f"{ratio:.4g}"), "target": target} for what, ratio, target in found},
        "seconds": {name: float(f"{value:.4g}") for name, value in times.items()},
        "peak_megabytes": memory,
        "planning_seconds_all_stored": {count: planning for count, (_, planning) in many.items()},
        "gflops": {name: round(1e-9 / times[name]) for name in times if "gemm" in name},
    }
    (HERE / "results.json").write_text(json.dumps(output, indent=1) + "\n", encoding="utf-8")


def described() -> str:
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(": ", 1)[1] if lines else model
    return f"{model}, {machine.workers(-1)} cores, Python {platform.python_version()}, NumPy {np.__version__}"


if __name__ == "__main__":
    main()
