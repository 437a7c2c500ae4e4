"""The kernel: pushes random inputs through deep networks and measures every layer.

    h_0 = x;   z_l = h_{l-1} W_l + b_l;   h_l = act(z_l);   L = sum(G * h_depth)

A stack of networks crosses its layers in arrays of its own dtype, and each layer says what that dtype cannot
hold (`sweep.kernel.layers.ranges`). That is computed again in float64, and what float64 cannot hold either in
long double, network by network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.base.inputs import GAUSSIAN, Inputs
from sweep.kernel import passes
from sweep.kernel.chains.chain import Chain, ChainStatistics
from sweep.kernel.passes import Passes
from sweep.kernel.precision import careful
from sweep.kernel.precision.carrier import Carrier, Doubts
from sweep.kernel.stack import Observer, Stack
from sweep.kernel.statistics.table import BACKWARD, FORWARD

__all__ = ["BACKWARD", "FORWARD", "KERNEL_VERSION", "Chain", "ChainStatistics", "propagate"]

KERNEL_VERSION = "1"  # part of every cell's id; a correction raises a revision instead


def propagate(
    chains: Sequence[Chain],
    widths: Sequence[int],
    seeds: Sequence[int],
    batch: int,
    dtype: str = "float32",
    histogram: bool = False,
    observe: Observer | None = None,
    kind: str | None = None,
    inputs: Inputs = GAUSSIAN,
) -> list[ChainStatistics]:
    """Push one batch per seed through all chains, and gradients back.

    chains: of one distribution, but for first and last layers. widths: (w_0 .. w_L), L being the greatest
    depth. observe: called with every h (batch, width), dL/dW and dL/dV (fan_in, fan_out) of the first seed;
    again, if it is computed again. kind: of passes, as `sweep.kernel.passes.named` takes it.
    inputs: what is pushed through; raises as `inputs_of` does.
    Returns the statistics in the order of `chains`.
    """
    assert len({chain.scheme.base for chain in chains}) == 1, "the chains of a stack share their draws"
    asked = _Asked(tuple(widths), batch, np.dtype(dtype), histogram, passes.named(kind), inputs)
    with np.errstate(all="ignore"):  # divergence is data: it is stored, not warned about
        return asked.measure(chains, seeds, asked.dtype, observe)


@dataclass(frozen=True)
class _Asked:
    """What is asked of every network alike. dtype: the networks'; the arrays may have more range."""

    widths: tuple[int, ...]
    batch: int
    dtype: np.dtype[Any]
    histogram: bool
    passes: Passes
    inputs: Inputs

    def measure(
        self, chains: Sequence[Chain], seeds: Sequence[int], dtype: np.dtype[Any], observe: Observer | None
    ) -> list[ChainStatistics]:
        """Measure with arrays of this dtype, and again with wider ones where its range is too small."""
        stack = Stack(
            chains, self.widths, seeds, self.batch, dtype, self.dtype, self.histogram, observe, self.passes,
            self.inputs,
        )  # fmt: skip
        stack.measure()
        statistics, carriers = stack.statistics, stack.carriers
        del stack  # frees its arrays before wider ones are made
        for carrier in carriers:
            networks = carrier.doubts.networks
            most = -(-len(seeds) // 2)  # a wider array is twice as large
            for start in range(0, len(networks), most):
                self._mend(carrier, networks[start : start + most], seeds, dtype, observe)
        return statistics

    def _mend(
        self,
        carrier: Carrier,
        networks: Array,
        seeds: Sequence[int],
        dtype: np.dtype[Any],
        observe: Observer | None,
    ) -> None:
        """Measure what is in doubt in these networks again, with more range."""
        parts = [(member, carrier.doubts.part_of(member.chain, networks)) for member in carrier.members]
        parts = [(member, chain) for member, chain in parts if chain.depth]
        if not parts:
            return
        show = None
        if observe and networks[0] == 0:

            def show(kind: str, chain: int, depth: int, layer: int, values: Array) -> None:
                observe(kind, parts[chain][0].index, depth, layer, values)

        chains, seeds = [chain for _, chain in parts], [seeds[network] for network in networks]
        if dtype == np.float32:
            again = self.measure(chains, seeds, np.dtype(np.float64), show)
        else:
            again = careful.measure(
                chains, self.widths, seeds, self.batch, self.dtype, self.histogram, show, self.inputs,
                self.passes,
            )  # fmt: skip
        for (member, chain), mended in zip(parts, again, strict=True):
            for index, network in enumerate(networks):
                _replace(member.statistics, int(network), mended.of_seed(index), carrier.doubts, chain)


def _replace(
    statistics: ChainStatistics, network: int, mended: ChainStatistics, doubts: Doubts, chain: Chain
) -> None:
    """Overwrite the layers and gradients of a network that are in doubt, and nothing else."""
    layers = slice(doubts.since[network], chain.depth + 1)
    for name, values in mended.forward.items():
        statistics.forward[name][network, layers] = values[layers]
    statistics.unheld[network, layers] = mended.unheld[layers]
    if statistics.histogram is not None and mended.histogram is not None:
        statistics.histogram[network, layers] = mended.histogram[layers]
    for depth, columns in mended.backward.items():
        if doubts.of_start(depth)[network]:
            for name, values in columns.items():
                statistics.backward[depth][name][network] = values
            if depth in mended.loss_scale:
                statistics.loss_scale[depth][network] = mended.loss_scale[depth]
