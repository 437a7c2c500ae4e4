"""A chain, what is measured of it, and the run that it is read off.

A run is a chain that is really pushed; its members are the chains that an exact law reads off it,
one of them in most cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.initializers import Scheme
from sweep.kernel import homogeneity, layer
from sweep.kernel.layer import Affine, Signal

FORWARD = ("mean", "std", "rms", "pre_rms", "flat", "dead", "sample_cosine", "neuron_corr")
BACKWARD = ("delta_std", "delta_rms", "grad_std", "grad_rms")
_SCALED = ("mean", "std", "rms", "pre_rms")  # what of h scales with the weights


@dataclass(frozen=True)
class Chain:
    """One kind of network in a stack.

    depth: how far it is pushed. backward: the depths from which a gradient is sent back.
    """

    scheme: Scheme
    act: Activation
    bias_std: float
    depth: int
    backward: tuple[int, ...] = ()


@dataclass(frozen=True)
class ChainStatistics:
    """What was measured of one chain; NaN where a statistic is not defined.

    forward: name -> (seeds, depth + 1), by layer. backward: depth -> name -> (seeds, depth + 1).
    histogram: (seeds, depth + 1, 30) counts of h by layer, or None.
    """

    forward: dict[str, Array]
    backward: dict[int, dict[str, Array]]
    histogram: Array | None

    def of_seed(self, index: int) -> "ChainStatistics":
        """Those of one seed: the same arrays without their first axis."""
        return ChainStatistics(
            {name: values[index] for name, values in self.forward.items()},
            {
                depth: {name: values[index] for name, values in columns.items()}
                for depth, columns in self.backward.items()
            },
            None if self.histogram is None else self.histogram[index],
        )


@dataclass(frozen=True)
class Member:
    """A chain that is read off a run. log2: how much larger its weights are, by layer from 1."""

    chain: Chain
    index: int  # in the order the chains were given
    statistics: ChainStatistics
    log2: Array


NOWHERE = np.iinfo(np.int64).max


@dataclass
class Doubts:
    """What of a run is not vouched for, by network.

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
class Run:
    """A chain on its way. Exponents and affines by layer, of every network."""

    scheme: Scheme
    act: Activation
    bias_std: float
    members: list[Member]
    signal: Signal
    exponents: list[Array]
    doubts: Doubts
    affines: list[Affine] = field(default_factory=list)
    tape: list[tuple[Array, Array]] = field(default_factory=list)  # (h below, act'(z)) by layer

    @property
    def depth(self) -> int:
        return max(member.chain.depth for member in self.members)

    @property
    def backward(self) -> list[int]:
        """The depths from which gradients are sent back, deepest first."""
        return sorted({depth for member in self.members for depth in member.chain.backward}, reverse=True)

    def record(self, number: int, measured: layer.Measured) -> None:
        for member in self.members:
            if number <= member.chain.depth:
                factor = np.full(1, member.log2[:number].sum())
                for name, values in measured.items():
                    own = homogeneity.scaled(values, factor) if name in _SCALED and factor[0] else values
                    member.statistics.forward[name][:, number] = own

    def record_gradients(
        self, kind: str, number: int, starts: Sequence[int], std: Array, rms: Array, exponents: Array
    ) -> None:
        """Std, rms and exponents of the gradients that started at these depths: (gradients, seeds)."""
        for member in self.members:
            for i, depth in enumerate(starts):
                if depth in member.chain.backward:
                    log2 = member.log2[number:depth].sum()
                    if kind == "grad":
                        log2 += member.log2[: number - 1].sum()
                    columns = member.statistics.backward[depth]
                    columns[f"{kind}_std"][:, number] = homogeneity.scaled(std[i], exponents[i] + log2)
                    columns[f"{kind}_rms"][:, number] = homogeneity.scaled(rms[i], exponents[i] + log2)


def runs_of(
    chains: Sequence[Chain], statistics: Sequence[ChainStatistics], widths: Sequence[int], signal: Signal
) -> list[Run]:
    """The chains, those that one law covers as members of one run."""
    runs: dict[Any, Run] = {}
    for index, chain in enumerate(chains):
        own_widths = widths[: chain.depth + 1]
        unit = homogeneity.unit_of(chain.scheme, chain.act, chain.bias_std, own_widths)
        if unit is None:
            log2 = np.zeros(chain.depth)
            key: Any = index
        else:
            log2 = homogeneity.log2_factors(chain.scheme, unit, own_widths)
            key = unit, chain.act
        member = Member(chain, index, statistics[index], log2)
        if key not in runs:
            scheme = chain.scheme if unit is None else unit
            doubts = Doubts(np.full(len(signal.rms), NOWHERE), np.zeros(len(signal.rms), bool))
            runs[key] = Run(scheme, chain.act, chain.bias_std, [], signal, [signal.exponent], doubts)
        runs[key].members.append(member)
    return list(runs.values())


def blank(chain: Chain, seeds: int, histogram: bool) -> ChainStatistics:
    """Nothing measured yet."""
    return ChainStatistics(
        {name: np.full((seeds, chain.depth + 1), np.nan) for name in FORWARD},
        {depth: {name: np.full((seeds, depth + 1), np.nan) for name in BACKWARD} for depth in chain.backward},
        np.zeros((seeds, chain.depth + 1, layer.HISTOGRAM_BINS), np.int64) if histogram else None,
    )
