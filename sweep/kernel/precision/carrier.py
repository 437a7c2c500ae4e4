"""A carrier is a chain that is pushed; its members, often one, are the chains an exact law reads off it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel.chains import homogeneity
from sweep.kernel.chains.chain import Chain, ChainStatistics
from sweep.kernel.copies.copy import Copy
from sweep.kernel.layers.layer import Layer, Sizes
from sweep.kernel.layers.signal import Measured, Signal
from sweep.kernel.statistics import float32
from sweep.kernel.statistics.table import STATISTICS

NOWHERE = np.iinfo(np.int64).max  # a layer beyond all others


@dataclass(frozen=True)
class Member:
    """A chain that is read off a carrier.

    index: in the order the chains were given. log2: how much larger its weights are: (layers,), from layer 1.
    by_law: whether the carrier has other weights. copy: its copy in a number format, if it has one.
    """

    chain: Chain
    index: int
    statistics: ChainStatistics
    log2: Array
    by_law: bool = False
    copy: Copy | None = None

    def log2_of_h(self, layer: int) -> float:
        """log2 of the member's h over the carrier's; this and the next two are `homogeneity`'s law."""
        return float(self.log2[:layer].sum())

    def log2_of_delta(self, layer: int, depth: int) -> float:
        """The same of dL/dh, sent back from `depth`."""
        return float(self.log2[layer:depth].sum())

    def log2_of_grad(self, layer: int, depth: int) -> float:
        """The same of dL/dW."""
        return self.log2_of_delta(layer, depth) + self.log2_of_h(layer - 1)


@dataclass
class Doubts:
    """What is not vouched for in each network of a carrier.

    since: (seeds,), the first layer in doubt, with all above it; NOWHERE if none is. starts: depth -> whether
    the gradients sent back from there are in doubt although the layers are not, (seeds,) bool. without_slope:
    (seeds,) bool, the networks whose gradients are unknown whatever the range.
    """

    since: Array
    without_slope: Array
    starts: dict[int, Array] = field(default_factory=dict)

    @property
    def everywhere(self) -> bool:
        return bool((self.since < NOWHERE).all())

    @property
    def networks(self) -> Array:
        """The networks with anything in doubt."""
        anything = self.since < NOWHERE
        for doubt in self.starts.values():
            anything |= doubt
        return np.flatnonzero(anything)

    def part_of(self, chain: Chain, networks: Array) -> Chain:
        """The part of `chain` that these networks must cross again; of depth 0 if there is none."""
        backward = tuple(depth for depth in chain.backward if self.of_start(depth)[networks].any())
        reached = (self.since[networks] <= chain.depth).any()
        return replace(chain, depth=chain.depth if reached else max(backward, default=0), backward=backward)

    def add_layer(self, number: int, doubt: Array) -> None:
        """doubt: (seeds,) bool."""
        self.since[doubt] = np.minimum(self.since[doubt], number)

    def add_gradients(self, starts: Sequence[int], doubts: Array) -> None:
        """doubts: (gradients, seeds) bool."""
        for depth, doubt in zip(starts, doubts, strict=True):
            self.starts[depth] = self.starts.get(depth, False) | (doubt & ~self.without_slope)

    def of_start(self, depth: int) -> Array:
        """Whether the gradients sent back from this depth are in doubt: (seeds,) bool."""
        doubt: Array = (self.since <= depth) | self.starts.get(depth, False)
        return doubt


@dataclass
class Carrier:
    """A chain on its way. signal: of the layer it has reached. layers: those kept to send gradients back."""

    chain: Chain
    members: list[Member]
    signal: Signal
    doubts: Doubts
    layers: list[Layer] = field(default_factory=list)

    @property
    def depth(self) -> int:
        return max(member.chain.depth for member in self.members)

    @property
    def backward(self) -> list[int]:
        """The depths from which gradients are sent back, deepest first."""
        return sorted({depth for member in self.members for depth in member.chain.backward}, reverse=True)

    def record(self, number: int, measured: Measured) -> None:
        """Fill in what was measured of a layer, for every member."""
        for member in self.members:
            if number <= member.chain.depth:
                factor = np.full(1, member.log2_of_h(number))
                for name, values in measured.items():
                    power = STATISTICS[name].power
                    scaled = homogeneity.scaled(values, power * factor) if power and factor[0] else values
                    member.statistics.forward[name][:, number] = scaled
                member.statistics.unheld[:, number] = self._unheld(member, number)

    def _unheld(self, member: Member, number: int) -> Array:
        """Whether float32 could not hold h of this layer, the latest: (seeds,) bool."""
        rms, h = member.statistics.forward["rms"][:, number], self.signal.mantissa
        must, may = float32.bounds(rms, h[0].size)
        for i in np.flatnonzero(may & ~must):
            log2 = float(self.signal.exponent[i]) + member.log2_of_h(number)
            must[i] = float32.cannot_hold(np.abs(h[i]).max(), log2)
        return must

    def record_gradients(self, kind: str, number: int, starts: Sequence[int], sizes: Sizes) -> None:
        """Fill in the sizes of gradients sent back from these depths; kind: 'delta', 'grad', 'grad_out'."""
        std, rms, exponents = sizes
        for member in self.members:
            log2_of = member.log2_of_delta if kind == "delta" else member.log2_of_grad
            for i, depth in enumerate(starts):
                if depth in member.chain.backward:
                    columns, log2 = member.statistics.backward[depth], exponents[i] + log2_of(number, depth)
                    columns[f"{kind}_std"][:, number] = homogeneity.scaled(std[i], log2)
                    columns[f"{kind}_rms"][:, number] = homogeneity.scaled(rms[i], log2)


def carriers_of(
    chains: Sequence[Chain],
    statistics: Sequence[ChainStatistics],
    widths: Sequence[int],
    signal: Signal,
    copy_of: Callable[[int], Copy | None],
) -> list[Carrier]:
    """The carriers of these chains, whose statistics they will fill in; copy_of: the copy of a chain."""
    carriers = []
    for group in homogeneity.carried(chains, widths):
        members = [
            Member(chains[index], index, statistics[index], log2, group.by_law, copy_of(index))
            for index, log2 in zip(group.indices, group.log2, strict=True)
        ]
        seeds = len(signal.rms)
        doubts = Doubts(np.full(seeds, NOWHERE), np.zeros(seeds, bool))
        carriers.append(Carrier(group.pushed, members, signal, doubts))
    return carriers
