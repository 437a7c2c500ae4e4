"""One task to its results: what a worker does, whatever kind of worker it is.

A task computes its cells and returns arrays; a cell that fails is part of the result and takes
no other down.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sweep import kernel
from sweep.activations import CUSTOM, histogram_range
from sweep.cell import Cell
from sweep.errors import Failure
from sweep.layer import HISTOGRAM_BINS
from sweep.plan import Stack, Task, chains_of
from sweep.predicted import Spec, predicted, spec_of
from sweep.verdict import flat_share_of

Array = NDArray[Any]

STATISTICS = (*kernel.FORWARD, *kernel.BACKWARD)


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
    errors: list[Failure | None]
    seconds: Array
    statistics: dict[str, Array]
    histogram: Array | None
    own: dict[Spec, "Own"] = field(default_factory=dict)


@dataclass(frozen=True)
class Own:
    """What is asked of a user's own activation: here, for the driver never calls it.

    theory: its predictions by name. flat_share: its share of flat units at unit variance.
    histogram_range: where its histograms begin and end.
    """

    theory: dict[str, Array]
    flat_share: float
    histogram_range: tuple[float, float]


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


def _asked(cells: Sequence[Cell], errors: Sequence[Failure | None]) -> dict[Spec, Own]:
    """Of every spec with a user's own activation, if it could be computed at all."""
    fine = {
        spec_of(cell): cell
        for cell, error in zip(cells, errors, strict=True)
        if error is None and cell.act == CUSTOM
    }
    return {
        spec: Own(predicted(cell), flat_share_of(cell.activation), histogram_range(cell.activation))
        for spec, cell in fine.items()
    }


def _run_cell(stack: Stack, cell: Cell, histogram: bool) -> Result:
    try:
        return _run_stack(Stack((cell,), stack.profile[: cell.depth + 1], 0.0, 0), histogram)
    except Exception as error:
        return failed(cell, Failure.of(error), histogram)


def failed(cell: Cell, failure: Failure, histogram: bool) -> Result:
    """The result of a cell that could not be computed."""
    nothing = {name: np.empty(0) for name in STATISTICS}
    counts = np.empty((0, HISTOGRAM_BINS), np.int64) if histogram else None
    return Result([cell], 0.0, [failure], np.zeros(1), nothing, counts)


def _run_stack(stack: Stack, histogram: bool) -> Result:
    start = time.perf_counter()
    grouped = chains_of(stack.cells)
    chains = [_chain(cells) for cells in grouped]
    first = stack.cells[0]
    seeds = sorted({cell.seed for cell in stack.cells})
    place = {seed: i for i, seed in enumerate(seeds)}
    measured = kernel.propagate(chains, stack.profile, seeds, first.batch, first.dtype, histogram)
    cells: list[Cell] = []
    columns: dict[str, list[Array]] = {name: [] for name in STATISTICS}
    counts: list[Array] = []
    for chain, statistics in zip(grouped, measured, strict=True):
        for (depth, backward), members in _alike(chain).items():
            rows = [place[cell.seed] for cell in members]
            cells += members
            for name in kernel.FORWARD:
                columns[name].append(statistics.forward[name][rows, : depth + 1].ravel())
            missing = np.full((len(seeds), depth + 1), np.nan)
            gradients = statistics.backward[depth] if backward else {}
            for name in kernel.BACKWARD:
                columns[name].append(gradients.get(name, missing)[rows].ravel())
            if statistics.histogram is not None:
                counts.append(statistics.histogram[rows, : depth + 1].reshape(-1, HISTOGRAM_BINS))
    cost = np.array([cell.depth * (3.0 if cell.backward else 1.0) for cell in cells])
    seconds = (time.perf_counter() - start) * cost / cost.sum()  # shared work has no owner: by depth
    values = {name: np.concatenate(parts) for name, parts in columns.items()}
    histograms = np.concatenate(counts) if histogram else None
    return Result(cells, stack.seconds, [None] * len(cells), seconds, values, histograms)


def _alike(chain: Sequence[Cell]) -> dict[tuple[int, bool], list[Cell]]:
    """The cells of one chain that differ by their seed alone."""
    groups: dict[tuple[int, bool], list[Cell]] = defaultdict(list)
    for cell in chain:
        groups[cell.depth, cell.backward].append(cell)
    return groups


def _chain(cells: Sequence[Cell]) -> kernel.Chain:
    one = cells[0]
    backward = tuple(sorted({cell.depth for cell in cells if cell.backward}))
    return kernel.Chain(one.scheme, one.activation, one.bias_std, max(cell.depth for cell in cells), backward)


def _joined(parts: Sequence[Result]) -> Result:
    histograms = [part.histogram for part in parts if part.histogram is not None]
    cells = [cell for part in parts for cell in part.cells]
    errors = [error for part in parts for error in part.errors]
    return Result(
        cells,
        sum(part.estimate for part in parts),
        errors,
        np.concatenate([part.seconds for part in parts]),
        {name: np.concatenate([part.statistics[name] for part in parts]) for name in STATISTICS},
        np.concatenate(histograms) if histograms else None,
        _asked(cells, errors),
    )
