"""What every activation costs, with NumPy's passes and with compiled ones, and what PyTorch takes.

Medians of interleaved repetitions. A network's time is processor time of one core, so that other work on the
machine distorts little; an entry is one of h of one layer, and "beside the product" is what is left of its
time when that of the bare products is taken off. The standard grid of two seeds, forward, is measured by the
clock and on every core, ours and PyTorch's, which takes its cells one by one.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from bench import BATCH, DEPTHS, INITS, KIND, WIDTHS, described, ours
from peers import torch_cells
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from sweep import activations, initializers, kernel
from sweep.kernel.passes import COMPILED, NUMPY, folder

DEPTH, NETWORKS = 20, (128, 512)
OF_RELU = (256, 40)  # the width and the depth at which activations are compared with relu


def network(act: str, kind: str, width: int, depth: int, backward: bool) -> Callable[[], object]:
    """One chain, forward or forward and back."""
    back = (depth,) if backward else ()
    chain = kernel.Chain(initializers.get("kaiming"), activations.get(act), 0.0, depth, back)
    return lambda: kernel.propagate([chain], (width,) * (depth + 1), [0], BATCH, kind=kind)


def products(width: int, depth: int, backward: bool) -> Callable[[], object]:
    """The bare products of such a chain."""
    rng = np.random.default_rng(0)
    h, weights = (rng.standard_normal(shape).astype(np.float32) for shape in ((BATCH, width), (width, width)))
    out, gradient = np.empty_like(h), np.empty_like(weights)

    def run() -> None:
        for _ in range(depth):
            np.matmul(h, weights, out=out)
            if backward:
                np.matmul(h.T, h, out=gradient)
                np.matmul(h, weights.T, out=out)

    return run


def standard(act: str) -> list[tuple[str, str, int, int, int]]:
    """The cells of the standard grid of one act and two seeds."""
    return [*itertools.product(INITS, (act,), DEPTHS, WIDTHS, range(2))]


def jobs(acts: list[str], kinds: list[str], peer: bool) -> dict[str, Callable[[], object]]:
    """What is timed, by name: all of one act together, and relu beside every other."""
    found: dict[str, Callable[[], object]] = {}
    for way in (False, True):
        for width in NETWORKS:
            found[f"products {width} {way}"] = products(width, DEPTH, way)
        for act in acts:
            for kind in kinds:
                for width in NETWORKS:
                    found[f"{act} {kind} {width} {way}"] = network(act, kind, width, DEPTH, way)
                found[f"{act} {kind} relu {way}"] = network(act, kind, *OF_RELU, way)
    if peer:
        for act in acts:
            found[f"{act} torch"] = partial(torch_cells, standard(act), BATCH)
            for kind in kinds:
                found[f"{act} {kind} standard"] = partial(ours, standard(act), BATCH, False, kind)
    return found


def seconds(name: str, job: Callable[[], object]) -> float:
    """Time of one call: of all cores by the clock, of one by the processor's."""
    if name.endswith((" torch", " standard")):
        start = time.perf_counter()
        job()
        return time.perf_counter() - start
    with threadpool_limits(1):
        start = time.process_time()
        job()
        return time.process_time() - start


def rows(t: dict[str, float], acts: list[str], kinds: list[str], peer: bool) -> dict[str, dict[str, float]]:
    """Figures by act: ns an entry beside the product, time over relu's, PyTorch's time over ours."""
    found: dict[str, dict[str, float]] = {}
    for act in acts:
        figures = found[act] = {}
        for kind in kinds:
            for way, name in ((False, "forward"), (True, "backward")):
                for width in NETWORKS:
                    left = t[f"{act} {kind} {width} {way}"] - t[f"products {width} {way}"]
                    figures[f"{kind} {name} {width} ns"] = 1e9 * left / (BATCH * width * DEPTH)
                over = t[f"{act} {kind} relu {way}"] / t[f"relu {kind} relu {way}"]
                figures[f"{kind} {name} over relu"] = over
            if peer:
                figures[f"{kind} PyTorch over ours"] = t[f"{act} torch"] / t[f"{act} {kind} standard"]
    return found


def main() -> None:
    """Measure, show and write benchmarks/activations.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--acts", nargs="*", default=[*activations.ACTIVATIONS])
    parser.add_argument("--without-peer", action="store_true", help="leave PyTorch out")
    arguments = parser.parse_args()
    acts, peer = ["relu", *(act for act in arguments.acts if act != "relu")], not arguments.without_peer
    kinds = [*dict.fromkeys((NUMPY, KIND))]
    console = Console(stderr=True)
    times: dict[str, list[float]] = {}
    wanted = jobs(acts, kinds, peer)
    for name, job in wanted.items():  # what is compiled, is; workers have started
        if not name.endswith(" torch"):
            seconds(name, job)
    for repetition in range(arguments.repetitions):
        console.print(f"{repetition + 1}/{arguments.repetitions}", style="dim")
        for name, job in wanted.items():
            times.setdefault(name, []).append(seconds(name, job))
    found = rows({name: median(values) for name, values in times.items()}, acts, kinds, peer)
    names = list(found["relu"])
    table = Table("act", *names)
    for act, figures in found.items():
        table.add_row(act, *(f"{figures[name]:.2f}" for name in names))
    Console(width=400).print(table)
    level = folder.described() if KIND == COMPILED else folder.why_not() or folder.why_not_kept()
    output = {"machine": described(), "passes": level, "acts": found}
    text = json.dumps(output, indent=1, default=float)
    (Path(__file__).parent / "activations.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
