"""A carrier is a chain that is really pushed, with the chains that an exact law reads off it: one, mostly."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel import homogeneity
from sweep.kernel.chain import Chain, ChainStatistics
from sweep.kernel.layers.layer import Layer, Sizes
from sweep.kernel.layers.signal import Measured, Signal
from sweep.kernel.statistics.table import STATISTICS


@dataclass(frozen=True)
class Member:
    """A chain that is read off a carrier. log2: how much larger its weights are, by layer from 1."""

    chain: Chain
    index: int  # in the order the chains were given
    statistics: ChainStatistics
    log2: Array


NOWHERE = np.iinfo(np.int64).max


@dataclass
class Doubts:
    """What of a carrier is not vouched for, by network.

    since: the first such layer, (seeds,); NOWHERE if there is none. starts: depth -> the gradients sent
    back from there, (seeds,) bool, where they are in doubt by themselves. without_slope: (seeds,) bool, the
    networks whose gradients nobody knows.
    """

    since: Array
    without_slope: Array
    starts: dict[int, Array] = field(default_factory=dict)

    @property
    def everywhere(self) -> bool:
        return bool((self.since < NOWHERE).all())

    @property
    def networks(self) -> Array:
        """The networks of which anything is in doubt."""
        anything = self.since < NOWHERE
        for own in self.starts.values():
            anything |= own
        return np.flatnonzero(anything)

    def of_chain(self, chain: Chain, networks: Array) -> Chain:
        """The part of `chain` that these networks have to cross again; its depth is 0 where there is none."""
        backward = tuple(depth for depth in chain.backward if self.of_start(depth)[networks].any())
        reached = (self.since[networks] <= chain.depth).any()
        return replace(chain, depth=chain.depth if reached else max(backward, default=0), backward=backward)

    def of_layer(self, number: int, doubt: Array) -> None:
        self.since[doubt] = np.minimum(self.since[doubt], number)

    def of_gradients(self, starts: Sequence[int], doubt: Array) -> None:
        """doubt: (gradients, seeds)."""
        for depth, own in zip(starts, doubt, strict=True):
            self.starts[depth] = self.starts.get(depth, False) | (own & ~self.without_slope)

    def of_start(self, depth: int) -> Array:
        """For which networks the gradients sent back from this depth are in doubt: (seeds,) bool."""
        doubt: Array = (self.since <= depth) | self.starts.get(depth, False)
        return doubt


@dataclass
class Carrier:
    """A chain on its way. layers: those that gradients will be sent back through."""

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
        for member in self.members:
            if number <= member.chain.depth:
                factor = np.full(1, member.log2[:number].sum())
                for name, values in measured.items():
                    power = STATISTICS[name].power
                    read_off = homogeneity.scaled(values, power * factor) if power and factor[0] else values
                    member.statistics.forward[name][:, number] = read_off

    def record_gradients(self, kind: str, number: int, starts: Sequence[int], sizes: Sizes) -> None:
        """The sizes of the gradients that started at these depths."""
        std, rms, exponents = sizes
        for member in self.members:
            for i, depth in enumerate(starts):
                if depth in member.chain.backward:
                    log2 = member.log2[number:depth].sum()
                    if kind == "grad":
                        log2 += member.log2[: number - 1].sum()
                    columns = member.statistics.backward[depth]
                    columns[f"{kind}_std"][:, number] = homogeneity.scaled(std[i], exponents[i] + log2)
                    columns[f"{kind}_rms"][:, number] = homogeneity.scaled(rms[i], exponents[i] + log2)


def carriers_of(
    chains: Sequence[Chain], statistics: Sequence[ChainStatistics], widths: Sequence[int], signal: Signal
) -> list[Carrier]:
    """What has to be pushed for these chains, whose statistics are to be filled in."""
    carriers = []
    for group in homogeneity.carried(chains, widths):
        members = [
            Member(chains[index], index, statistics[index], log2)
            for index, log2 in zip(group.indices, group.log2, strict=True)
        ]
        pushed, seeds = replace(members[0].chain, scheme=group.scheme), len(signal.rms)
        doubts = Doubts(np.full(seeds, NOWHERE), np.zeros(seeds, bool))
        carriers.append(Carrier(pushed, members, signal, doubts))
    return carriers
