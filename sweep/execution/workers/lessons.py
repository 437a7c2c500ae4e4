"""The short trainings of a task's cells: those of one shape together."""

import time
from collections import defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from sweep.activations import slope_unknown
from sweep.base.arrays import Array
from sweep.base.errors import UserCodeError
from sweep.experiment.axes import UNTRAINED
from sweep.experiment.batches import Block
from sweep.experiment.cell import Spec
from sweep.kernel import Chain
from sweep.kernel.training.outcomes import OUTCOMES

OF_TRAINING = ("train_lr", *OUTCOMES)


def untrained(count: int) -> dict[str, Array]:
    """OF_TRAINING of so many cells that are not trained: NaN."""
    return {name: np.full(count, np.nan) for name in OF_TRAINING}


def trained(block: Block) -> tuple[dict[str, Array], Array]:
    """OF_TRAINING of the cells of a block, and the seconds that each took: (cells,) each."""
    found, seconds = untrained(len(block)), np.zeros(len(block))
    if all(spec.train == UNTRAINED for spec in block.specs):
        return found, seconds
    from sweep.experiment.predictions.steps import step_of  # noqa: PLC0415  what follows is for trained cells alone
    from sweep.kernel.training.descent import Pupil, train  # noqa: PLC0415

    groups: dict[Any, list[int]] = defaultdict(list)
    chains = [replace(spec.family, depth=spec.depth) for spec in block.specs]
    for number, (spec, chain) in enumerate(zip(block.specs, chains, strict=True)):
        if spec.train != UNTRAINED:
            groups[_shape(spec, chain)].append(number)
    for numbers in groups.values():
        start, first, pupils, rows = time.perf_counter(), block.specs[numbers[0]], [], []
        for number in numbers:
            spec, lr = block.specs[number], step_of(block.specs[number])
            pupils += [Pupil(chains[number], seed, spec.batch, lr, spec.inputs) for seed in block.seeds]
            rows += [number * len(block.seeds) + place for place in range(len(block.seeds))]
        values = train(pupils, first.profile, first.training, first.dtype)
        for name in OUTCOMES:
            found[name][rows] = values[name]
        found["train_lr"][rows] = [pupil.lr for pupil in pupils]
        seconds[rows] = (time.perf_counter() - start) / len(rows)
    return found, seconds


def _shape(spec: Spec, chain: Chain) -> tuple[Any, ...]:
    """What networks have in common that are trained together."""
    from sweep.kernel.training.drawing import is_biased  # noqa: PLC0415

    if why := slope_unknown(chain.act):
        raise UserCodeError(f"it cannot be trained: {why}")
    biased = tuple(is_biased(chain, number, fans) for number, fans in enumerate(pairwise(spec.profile), 1))
    training = replace(spec.training, lr=0.0)
    return spec.profile, chain.act, chain.block, biased, training, spec.dtype
