"""The kernel: pushes random inputs through deep networks and measures every layer.

    h_0 = x;   z_l = h_{l-1} W_l + b_l;   h_l = act(z_l);   L = sum(G * h_depth)

A stack of networks crosses its layers in arrays of its own dtype, which say themselves what they
cannot hold (`sweep.kernel.layers.ranges`). That is computed again in float64, and what float64 cannot
hold either in long double, network by network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel import careful
from sweep.kernel.carrier import Carrier, Doubts
from sweep.kernel.chain import Chain, ChainStatistics
from sweep.kernel.stack import Observer, Stack
from sweep.kernel.statistics.table import BACKWARD, FORWARD

__all__ = ["BACKWARD", "FORWARD", "KERNEL_VERSION", "Chain", "ChainStatistics", "propagate"]

KERNEL_VERSION = "1"  # part of every cell's identity; a correction raises a revision instead


def propagate(
    chains: Sequence[Chain],
    widths: Sequence[int],
    seeds: Sequence[int],
    batch: int,
    dtype: str = "float32",
    histogram: bool = False,
    observe: Observer | None = None,
) -> list[ChainStatistics]:
    """Push one batch per seed through all chains and the gradients back.

    chains: their schemes share one distribution. widths: (w_0 .. w_L) for the greatest depth L.
    observe: shown every h (batch, width) and every dL/dW (fan_in, fan_out) of the first seed; again,
    where it is computed again.
    Returns the statistics in the order of `chains`.
    """
    assert len({chain.scheme.base for chain in chains}) == 1, "the chains of a stack share their draws"
    asked = _Asked(tuple(widths), batch, np.dtype(dtype), histogram)
    with np.errstate(all="ignore"):  # divergence is data: it is stored, not warned about
        return asked.measured(chains, seeds, asked.dtype, observe)


@dataclass(frozen=True)
class _Asked:
    """What is asked of every network alike. dtype: the networks', whose arrays may have more range."""

    widths: tuple[int, ...]
    batch: int
    dtype: np.dtype[Any]
    histogram: bool

    def measured(
        self, chains: Sequence[Chain], seeds: Sequence[int], dtype: np.dtype[Any], observe: Observer | None
    ) -> list[ChainStatistics]:
        """Measured with arrays of this dtype, and with larger ones where it is not enough."""
        stack = Stack(chains, self.widths, seeds, self.batch, dtype, self.dtype, self.histogram, observe)
        stack.measure()
        statistics, carriers = stack.statistics, stack.carriers
        del stack  # its arrays make room for wider ones
        for carrier in carriers:
            networks = carrier.doubts.networks
            most = -(-len(seeds) // 2)  # of twice the size
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
        """Measure what of these networks is in doubt again, with more range."""
        members = [(member, carrier.doubts.of_chain(member.chain, networks)) for member in carrier.members]
        members = [(member, chain) for member, chain in members if chain.depth]
        if not members:
            return
        if networks[0] > 0 or observe is None:
            shown = None
        else:
            indices = [member.index for member, _ in members]

            def shown(kind: str, chain: int, depth: int, layer: int, values: Array) -> None:
                observe(kind, indices[chain], depth, layer, values)

        chains, some = [chain for _, chain in members], [seeds[i] for i in networks]
        if dtype == np.float32:
            again = self.measured(chains, some, np.dtype(np.float64), shown)
        else:
            again = careful.measured(chains, self.widths, some, self.batch, self.dtype, self.histogram, shown)
        for (member, chain), mended in zip(members, again, strict=True):
            for place, network in enumerate(networks):
                _replace(member.statistics, int(network), mended.of_seed(place), carrier.doubts, chain)


def _replace(
    statistics: ChainStatistics, network: int, mended: ChainStatistics, doubts: Doubts, chain: Chain
) -> None:
    """Put what was mended of a network's doubtful layers and gradients where it belongs."""
    layers = slice(doubts.since[network], chain.depth + 1)
    for name, values in mended.forward.items():
        statistics.forward[name][network, layers] = values[layers]
    if statistics.histogram is not None and mended.histogram is not None:
        statistics.histogram[network, layers] = mended.histogram[layers]
    for depth, columns in mended.backward.items():
        if doubts.of_start(depth)[network]:
            for name, values in columns.items():
                statistics.backward[depth][name][network] = values
