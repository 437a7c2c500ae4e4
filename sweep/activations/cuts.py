"""Where exactly a function jumps or bends, given a narrow cell that holds the point."""

from collections.abc import Callable

import numpy as np

from sweep.base.arrays import Array

_BISECTIONS = 64
_ASIDE, _CLOSE = 64, 8  # lengths of the cell over which the slope on either side of it is taken
_ULP = 2.0**-52
_WINDOW = np.cos(np.pi * (np.arange(16) + 0.5) / 16)
_SOFT = 1e-3  # of a cell: how closely slopes are known to meet


def cut_at(f: Callable[[Array], Array], low: Array, high: Array, noise: float) -> Array:
    """The point in each cell (low, high) where f jumps or bends, to the last bits that f's rounding leaves.

    A jump is bisected; a bend is where the lines on either side of the cell meet. Of all points that
    qualify, the one with the fewest digits is meant: 0.3, not 0.30000000000000004.
    """
    length = high - low
    far, near = _ASIDE * length, _CLOSE * length
    points = [low - far, low - near, low, high, high + near, high + far]
    before, closer, start, end, close, after = f(np.concatenate(points)).reshape(6, -1)
    with np.errstate(all="ignore"):
        below, above = (start - before) / (_ASIDE * length), (after - end) / (_ASIDE * length)
        size = noise * np.maximum(np.abs(start), np.abs(end))
        step = np.abs(end - start) - 2 * np.maximum(np.abs(below), np.abs(above)) * length
        jumps = (step > 64 * size) | (np.isfinite(start) != np.isfinite(end))
        bend = above - below
        closer_bend = ((close - end) - (start - closer)) / (_CLOSE * length)
        bends = ~jumps & (np.abs(bend) * length > 32 * size) & (np.abs(closer_bend) > np.abs(bend) / 2)
        where = low + (start - end + above * length) / np.where(bends, bend, 1.0)
        spread = np.where(bends, 16 * size / np.abs(bend), length)
    where = np.where(bends, np.clip(where, low, high), (low + high) / 2)
    spread = np.where(bends, spread + 2 * _ULP * np.abs(where), length)
    first, last = np.where(bends, where - spread, low), np.where(bends, where + spread, high)
    soft = ~jumps & ~bends
    if soft.any():
        first[soft], last[soft] = _slopes_meet(f, low[soft], high[soft])
    if jumps.any():
        first[jumps], last[jumps] = _bisected(f, low[jumps], high[jumps], start[jumps], end[jumps])
    return np.array([_shortest(*ends) for ends in zip(first.tolist(), last.tolist(), strict=True)])


def _slopes_meet(f: Callable[[Array], Array], low: Array, high: Array) -> tuple[Array, Array]:
    """The cells narrowed to where the slopes on either side meet: f'' jumps there."""
    middle, length = (low + high) / 2, high - low
    slopes: list[Array] = []
    bends: list[Array] = []
    half = length * _ASIDE
    for centre in (low - half, high + half):
        values = f((centre + half * _WINDOW[:, None]).ravel()).reshape(len(_WINDOW), -1)
        if not np.isfinite(values).all():
            return low, high
        series = np.polynomial.chebyshev.chebfit(_WINDOW, values, 6)
        t = (middle - centre) / half
        for order, derivatives in ((1, slopes), (2, bends)):
            derived = np.polynomial.chebyshev.chebder(series, order)
            derivatives.append(np.polynomial.chebyshev.chebval(t, derived, tensor=False) / half**order)
    with np.errstate(all="ignore"):
        where = middle - (slopes[1] - slopes[0]) / (bends[1] - bends[0])
    inside, slack = np.abs(where - middle) <= length / 2, _SOFT * length
    return np.where(inside, where - slack, low), np.where(inside, where + slack, high)


def _bisected(
    f: Callable[[Array], Array], low: Array, high: Array, start: Array, end: Array
) -> tuple[Array, Array]:
    for _ in range(_BISECTIONS):
        middle = low + (high - low) / 2
        values = f(middle)
        with np.errstate(all="ignore"):
            early = np.where(
                np.isfinite(start) & np.isfinite(end),
                np.abs(values - start) <= np.abs(values - end),
                np.isfinite(values) == np.isfinite(start),
            )
        early &= middle != high
        low, high = np.where(early, middle, low), np.where(early, high, middle)
    return low, high


def _shortest(low: float, high: float) -> float:
    middle = low + (high - low) / 2
    for digits in range(1, 17):
        candidate = float(f"{middle:.{digits}g}")
        if low <= candidate <= high:
            return candidate
    return middle
