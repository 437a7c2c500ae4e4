"""The Jacobians of a task's cells: those of one chain and seed together, whatever their depth."""

import time

import numpy as np

from sweep.base.arrays import Array
from sweep.execution.plan.tasks import chain_of, chains_of
from sweep.experiment.batches import Block


def jacobian_spreads(block: Block) -> tuple[Array, Array]:
    """`jac_spread` of the cells of a block, and the seconds that each took: (cells,); NaN: not asked."""
    found = np.full((len(block.specs), len(block.seeds)), np.nan)
    seconds = np.zeros(found.shape)
    asked = [spec for spec in block.specs if spec.jacobian]
    if not asked:
        return found.ravel(), seconds.ravel()
    from sweep.kernel.jacobian import spreads  # noqa: PLC0415  for such cells alone

    place_of = {spec: place for place, spec in enumerate(block.specs)}
    for specs in chains_of(asked):
        chain, widths = chain_of(specs), max((spec.profile for spec in specs), key=len)
        for column, seed in enumerate(block.seeds):
            start = time.perf_counter()
            depths, first = {spec.depth for spec in specs}, specs[0]
            by_depth = spreads(chain, widths, seed, first.batch, depths, first.inputs)
            took = (time.perf_counter() - start) / len(specs)
            for spec in specs:
                place = place_of[spec], column
                found[place], seconds[place] = by_depth[spec.depth], took
    return found.ravel(), seconds.ravel()
