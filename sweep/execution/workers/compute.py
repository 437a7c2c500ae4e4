"""One task to its result: what a worker of any kind does.

A cell that fails is part of the result, and takes no other down.
"""

import itertools
import time
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from sweep import kernel
from sweep.activations import CUSTOM, histogram_range, slope_unknown
from sweep.base.arrays import Array
from sweep.execution.plan.tasks import Stack, Task, chain_of, chains_of
from sweep.execution.workers.isometry import jacobian_spreads
from sweep.execution.workers.lessons import OF_TRAINING, trained, untrained
from sweep.experiment.batches import Block
from sweep.experiment.cell import Cell, Spec
from sweep.experiment.outcomes.outcome import ActivationFacts, Failure, Result
from sweep.experiment.outcomes.verdict import flat_share_of
from sweep.experiment.predictions.prediction import consequences, predicted
from sweep.kernel.layers.signal import HISTOGRAM_BINS
from sweep.kernel.statistics import float32
from sweep.kernel.statistics.table import STATISTICS


def run_task(task: Task, histogram: bool, kind: str | None = None) -> Result:
    """Compute every cell of a task; a stack that fails is computed again cell by cell.

    kind: of passes, as `kernel.propagate` takes it.
    """
    parts: list[Result] = []
    with threadpool_limits(1):
        for stack in task.stacks:
            try:
                parts.append(_run_stack(stack, histogram, kind))
            except Exception:
                parts += [_run_cell(stack, cell, histogram, kind) for cell in stack.block]
        return _join(parts)


def _facts(parts: Sequence[Result]) -> dict[Spec, ActivationFacts]:
    """What is known of each user's own activation that could be computed, by spec."""
    computed: dict[Spec, bool] = {}  # whether there are layers whose slope is not known
    for part in parts:
        if not part.errors:  # a part that failed is one cell
            gaps = bool((np.isnan(part.statistics["flat"]) & np.isfinite(part.statistics["pre_rms"])).any())
            specs = (spec for block in part.blocks for spec in block.specs if spec.act == CUSTOM)
            computed |= {spec: gaps or computed.get(spec, False) for spec in specs}
    return {spec: _facts_of(spec, gaps) for spec, gaps in computed.items()}


def _facts_of(spec: Spec, gaps: bool) -> ActivationFacts:
    act = spec.activation
    somewhere = f"the slope of {act.formula} is not known for every z that came up; give act.derivative"
    reason = slope_unknown(act) or (somewhere if gaps else None)
    theory, whole = predicted(spec), consequences(spec)
    return ActivationFacts(theory, whole, flat_share_of(act), histogram_range(act), reason)


def _run_cell(stack: Stack, cell: Cell, histogram: bool, kind: str | None) -> Result:
    one = Block((cell.spec,), (cell.seed,))
    try:
        return _run_stack(Stack(one, stack.profile[: cell.depth + 1], 0.0, 0), histogram, kind)
    except Exception as error:
        return failed_result(cell, Failure.of(error), histogram)


def failed_result(cell: Cell, failure: Failure, histogram: bool) -> Result:
    """The result of a cell that could not be computed."""
    nothing = {name: np.empty(0) for name in STATISTICS}
    counts = np.empty((0, HISTOGRAM_BINS), np.int64) if histogram else None
    one = Block((cell.spec,), (cell.seed,))
    unknown = np.full(1, np.nan)
    return Result((one,), 0.0, {0: failure}, np.zeros(1), nothing, counts, unknown, untrained(1))


def _run_stack(stack: Stack, histogram: bool, kind: str | None) -> Result:
    start = time.perf_counter()
    seeds = stack.block.seeds
    grouped = chains_of(stack.block.specs)
    first = stack.block.specs[0]
    chains = [chain_of(specs) for specs in grouped]
    batch, dtype = first.batch, first.dtype
    measured = kernel.propagate(
        chains, stack.profile, seeds, batch, dtype, histogram, kind=kind, inputs=first.inputs
    )
    columns: dict[str, list[Array]] = {name: [] for name in STATISTICS}
    leaves: list[Array] = []
    scales: list[Array] = []
    counts: list[Array] = []
    no_scale = np.full(len(seeds), np.nan)
    for chain, statistics in zip(grouped, measured, strict=True):
        for spec in chain:
            layers = slice(spec.depth + 1)
            for name in kernel.FORWARD:
                columns[name].append(statistics.forward[name][:, layers].ravel())
            gradients = statistics.backward[spec.depth] if spec.backward else {}
            missing = np.full((len(seeds), spec.depth + 1), np.nan)
            for name in kernel.BACKWARD:
                columns[name].append(gradients.get(name, missing).ravel())
            leaves.append(float32.first(statistics.unheld[:, layers]))
            scales.append(statistics.loss_scale.get(spec.depth if spec.backward else 0, no_scale))
            if statistics.histogram is not None:
                counts.append(statistics.histogram[:, layers].reshape(-1, HISTOGRAM_BINS))
    specs = tuple(spec for chain in grouped for spec in chain)
    block = Block(specs, seeds)
    cost = np.repeat([spec.depth * (3.0 if spec.backward else 1.0) for spec in specs], len(seeds))
    seconds = (time.perf_counter() - start) * cost / cost.sum()  # shared work has no owner: by depth
    training, took = trained(block)
    spreads, more = jacobian_spreads(block)
    values = {name: np.concatenate(parts) for name, parts in columns.items()}
    histograms = np.concatenate(counts) if histogram else None
    leaves_float32 = np.concatenate(leaves)
    return Result(
        (block,), stack.seconds, {}, seconds + took + more, values, histograms, leaves_float32, training,
        np.concatenate(scales), jac_spread=spreads,
    )  # fmt: skip


def _join(parts: Sequence[Result]) -> Result:
    histograms = [part.histogram for part in parts if part.histogram is not None]
    starts = itertools.accumulate((len(part) for part in parts), initial=0)
    return Result(
        tuple(block for part in parts for block in part.blocks),
        sum(part.estimate for part in parts),
        {
            start + index: error
            for start, part in zip(starts, parts, strict=False)
            for index, error in part.errors.items()
        },
        np.concatenate([part.seconds for part in parts]),
        {name: np.concatenate([part.statistics[name] for part in parts]) for name in STATISTICS},
        np.concatenate(histograms) if histograms else None,
        np.concatenate([part.leaves_float32 for part in parts]),
        {name: np.concatenate([part.training[name] for part in parts]) for name in OF_TRAINING},
        np.concatenate([part.loss_scales for part in parts]),
        _facts(parts),
        jac_spread=np.concatenate([part.jac_spreads for part in parts]),
    )
