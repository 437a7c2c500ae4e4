"""Exact laws: which chains are the same but for a factor.

A positively homogeneous act without bias turns every positive scale of the weights into a scale of the
signal: with W_l = s_l Z_l, h_l is s_1 … s_l times, delta_l is s_{l+1} … s_L times, and dL/dW_l is
s_1 … s_L / s_l times what it is for W_l = Z_l. So all such schemes of one distribution are read off one
chain, whose own scale keeps its signal near 1. First and last layers may have schemes of their own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.initializers import Distribution, Scheme
from sweep.kernel.chains.chain import Chain
from sweep.kernel.layers.kinds import kind_of


@dataclass(frozen=True)
class UnitGain(Scheme):
    """The scheme that keeps the second moment of h under a homogeneous act: E[act(z)²] gain² = 1."""

    distribution: Distribution
    gain: float

    @property
    def base(self) -> Distribution:
        return self.distribution

    @property
    def formula(self) -> str:
        return f"std² = {self.gain:g}² / fan_in"

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        return self.gain / math.sqrt(fan_in)


@dataclass(frozen=True)
class Carried:
    """Chains that are read off one chain.

    pushed: that chain, whatever its depth: it is pushed to the greatest of them. indices: into the list that
    was given. log2: of each, how much larger its weights are: (layers,), from 1. by_law: whether those of
    `pushed` are other weights.
    """

    pushed: Chain
    indices: list[int]
    log2: list[Array]
    by_law: bool = False


def carried(chains: Sequence[Chain], widths: Sequence[int]) -> list[Carried]:
    """Chains of one distribution, grouped by the chain to be pushed for them; widths: of the deepest."""
    groups: dict[Any, Carried] = {}
    copied = any(chain.format for chain in chains)  # one exact network beside all of its copies
    for index, chain in enumerate(chains):
        own_widths = widths[: chain.depth + 1]
        unit = _unit_of(chain, own_widths)
        pushed = unit or chain
        key = index if unit is None and not copied else _without_depth(pushed)
        if pushed.format:
            pushed = replace(pushed, format=None)
        group = groups.setdefault(key, Carried(pushed, [], [], unit is not None))
        group.indices.append(index)
        group.log2.append(_log2_factors(chain, unit, own_widths) if unit else np.zeros(chain.depth))
    return list(groups.values())


def _without_depth(unit: Chain) -> Chain:
    """What chains have in common that are read off one; without a last scheme whatever their depths."""
    return replace(unit, depth=0 if unit.last is None else unit.depth, backward=(), format=None)


def _unit_of(chain: Chain, widths: Sequence[int]) -> Chain | None:
    """The chain that this one is read off; None where no law holds."""
    act = chain.act
    if not (kind_of(chain).homogeneous and act.homogeneous):
        return None
    alike = {(id(chain.scheme_of(number)), fans): number for number, fans in enumerate(pairwise(widths), 1)}
    for (_, fans), number in alike.items():
        scheme = chain.scheme_of(number)
        if scheme.base is None or type(scheme).fit is not Scheme.fit or chain.bias_std_of(number, *fans):
            return None
        if scheme.weight_mean(*fans) != 0 or not 0 < scheme.weight_std(*fans) < math.inf:
            return None
    positive, negative = (float(value) for value in act.f(np.array([1.0, -1.0])))
    second_moment = (positive**2 + negative**2) / 2  # E[act(z)²], z ~ N(0, 1)
    if not second_moment:
        return None
    gain = 1 / math.sqrt(second_moment)
    base = chain.scheme.base

    def unit(scheme: Scheme | None) -> UnitGain | None:
        """That of another scheme at an end of the chain; None where it is what all layers have."""
        own = scheme.base if scheme else None
        return None if own is None or own == base else UnitGain(own, gain)

    scheme = chain.scheme if base is None else UnitGain(base, gain)
    first = (
        None if chain.depth == 1 and chain.last is not None else unit(chain.first)
    )  # the layer is the last
    return replace(chain, scheme=scheme, bias_std=0.0, first=first, last=unit(chain.last))


def _log2_factors(chain: Chain, unit: Chain, widths: Sequence[int]) -> Array:
    """log2 of the ratio of a chain's weights to the unit's: (layers,), from layer 1."""
    return np.array(
        [
            math.log2(chain.scheme_of(number).weight_std(*fans))
            - math.log2(unit.scheme_of(number).weight_std(*fans))
            for number, fans in enumerate(pairwise(widths), 1)
        ]
    )


def scaled(values: Array, log2: Array | float) -> Array:
    """values · 2^log2, without a factor that float64 could not hold."""
    whole = np.floor(log2)
    product: Array = np.ldexp(values * np.exp2(log2 - whole), np.asarray(whole, np.int64))
    return product
