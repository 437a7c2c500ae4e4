"""How much of h = act(z), z Gaussian, is of a certain size: exact also where h is far from Gaussian."""

import math
from collections.abc import Callable

import numpy as np

from sweep.activations import Activation, kinks_of
from sweep.base.arrays import Array
from sweep.theory.gaussian.moments import Gaussian, waves

# Points of z between which abs(act) is taken to cross a size at most once: 8 an octave over all of float64,
# 64 where activations bend, in their own unit.
_OCTAVES = 2.0 ** (np.arange(-8 * 1060, 8 * 1020) / 8)
_BENDS = 2.0 ** (np.arange(-5 * 64, 8 * 64) / 64)
_BISECTIONS = 80
_REACH = 40.0  # beyond which there is no share in float64
_PHASES = 2048


def share_between(means_of: Gaussian, scale: float, low: float, high: float) -> float:
    """P(low < abs(act(z)) <= high), z ~ N(0, scale²)."""
    act = means_of.act
    if scale == 0:
        return float(_between(act, np.zeros(1), low, high)[0])
    if waves(act, scale):
        period = act.period or 1.0  # all phases are alike
        z = np.linspace(0.0, period, _PHASES)
        return sum(b - a for a, b in _intervals(act, z, low, high)) / period
    bends = np.concatenate([_BENDS * act.unit, np.abs(kinks_of(act))])
    aside = np.union1d(_OCTAVES, bends)
    aside = aside[aside <= _REACH * scale]
    z = np.concatenate([-aside[::-1], [0.0], aside])
    root = math.sqrt(2) * scale
    return sum(_normal_share(a / root, b / root) for a, b in _intervals(act, z, low, high))


def _intervals(act: Activation, z: Array, low: float, high: float) -> list[tuple[float, float]]:
    """Where low < abs(act) <= high, among ascending points z and with ends to the last bit."""
    with np.errstate(all="ignore"):
        sign = np.sign(np.asarray(act.f(z), np.float64))
    crossed = sign[1:] != sign[:-1]  # next to a zero act may be small between two points
    side, first, last = sign[:-1][crossed], z[:-1][crossed], z[1:][crossed]
    zeros = _bisected(lambda x: np.sign(np.asarray(act.f(x), np.float64)) == side, first, last)
    z = np.unique(np.concatenate([z, *zeros]))
    inside = _between(act, z, low, high)
    change = inside[1:] != inside[:-1]
    first, last = z[:-1][change], z[1:][change]
    ends = _bisected(lambda x: _between(act, x, low, high) == inside[:-1][change], first, last)[1].tolist()
    ends = [*([z[0]] if inside[0] else []), *ends, *([z[-1]] if inside[-1] else [])]
    return list(zip(ends[::2], ends[1::2], strict=True))


def _between(act: Activation, z: Array, low: float, high: float) -> Array:
    with np.errstate(all="ignore"):
        size = np.abs(np.asarray(act.f(z), np.float64))
    return (size > low) & ~(size > high)


def _bisected(is_first: Callable[[Array], Array], first: Array, last: Array) -> tuple[Array, Array]:
    """The cells (first, last) narrowed to where is_first(z), true at the first, changes."""
    for _ in range(_BISECTIONS if len(first) else 0):
        middle = first + (last - first) / 2
        with np.errstate(all="ignore"):
            early = is_first(middle)
        first, last = np.where(early, middle, first), np.where(early, last, middle)
    return first, last


def _normal_share(a: float, b: float) -> float:
    """P(a < z/√2 < b), z ~ N(0, 1), without cancellation in the tails or next to 0."""
    if a > 0.5:
        return (math.erfc(a) - math.erfc(b)) / 2
    if b < -0.5:
        return (math.erfc(-b) - math.erfc(-a)) / 2
    return (math.erf(b) - math.erf(a)) / 2
