"""Panels on each of which a function of one number is a polynomial: halved until its Chebyshev series ends.

The panels are octaves at first, out to where the function is a straight line. What a panel misses shows in
its last coefficients. Where something is missed however narrow the panel, there is a kink or a jump: the
line is cut there, and that stretch is fitted again.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sweep.activations.cuts import cut_at
from sweep.base.arrays import Array

Function = Callable[[Array], Array]  # (n,) -> (n,) float64, NaN where it is not defined

NODES, DEGREE = 16, 10  # points, and coefficients kept: the others tell what is missed
ROUNDING = 2.0**-52
_MISSED = 64 * ROUNDING  # the share of a panel's values that may be missed
_NOISIEST = 2.0**-21  # noise above float32's is not rounding but part of the function
_LEVEL = 1e4  # multiples of the noise up to which what halving does not reduce is noise too
_NARROW = 2.0**-14  # of its distance from 0: a panel so narrow that misses something holds a kink
_SLIVER = 2.0**-40  # of its distance from 0: what rounding leaves between a kink and its cut
_OCTAVES = 1020
_DEEPEST = 1000  # halvings, towards a singularity at 0
_MOST, _MOST_NEAR = 8192, 65_536  # panels of one stretch; of the one from -1 to 1
_MOST_CUTS = 4096
_TOGETHER = 16  # octaves halved at a time
_INWARD = 30  # halvings towards 0, before all the others are made at once
PROBES = np.array([0.11, 0.23, 0.37, 0.61, 0.83, 1.3, 1.9, 2.7, 3.9, 5.3])
PROBES = np.concatenate([-PROBES, PROBES])
_X = -np.cos(math.pi * (np.arange(NODES) + 0.5) / NODES)
_SERIES = np.cos(np.outer(np.arange(NODES), np.arccos(_X))) * (2 / NODES)
_SERIES[0] /= 2
_AT_ENDS = np.stack([(-1.0) ** np.arange(NODES), np.ones(NODES)], axis=1)
_SLOPE_AT_ENDS = _AT_ENDS * np.arange(NODES)[:, None] ** 2 * np.array([-1.0, 1.0])
_BETWEEN = np.linspace(-0.99, 0.99, 67)
_AT_BETWEEN = np.polynomial.chebyshev.chebvander(_BETWEEN, NODES - 1).T
_WIDE = 0.2  # of the distance from 0
_LOOKED_INTO = 6  # octaves
_INSIDE = 2.0**-42  # of the distance from 0
_NO_INSIDE = 2.0**-30  # panels this narrow have nothing there but nodes
_NEXT_TO_0 = 2.0**-900


@dataclass(frozen=True)
class Panels:
    """Panels from left to right; (n,) each.

    series: Chebyshev coefficients in t from -1 to 1, (n, NODES), NaN where f is not defined.
    secant: the mean slope. size: the largest abs(f). off: what the series misses at the ends.
    missed: whether more happens there than can be listed.
    """

    left: Array
    right: Array
    series: Array
    secant: Array
    size: Array
    off: Array
    missed: Array

    def __len__(self) -> int:
        return len(self.left)

    @property
    def width(self) -> Array:
        """From end to end."""
        return self.right - self.left

    @property
    def away(self) -> Array:
        """The distance from 0 of the end farther from it."""
        return np.maximum(-self.left, self.right)

    def __getitem__(self, chosen: Any) -> "Panels":
        return Panels(*(column[chosen] for column in vars(self).values()))


def noise_of(f: Function) -> float:
    """The function's rounding, a share of its values: what is not polynomial over 1e-5 of z."""
    z = PROBES[:, None] * np.array([1 - 1e-5, 1 + 1e-5])
    panels = _sampled(f, z.min(axis=1), z.max(axis=1))
    with np.errstate(all="ignore"):
        rest = np.sqrt((panels.series[:, 6:] ** 2).mean(axis=1) * (NODES / 2)) / panels.size
    rest = rest[np.isfinite(rest) & (rest > 0)]
    return float(min(max(ROUNDING, np.quantile(rest, 0.4)), _NOISIEST)) if len(rest) else ROUNDING


def panels_of(f: Function, noise: float) -> Panels:
    """The panels of f, side by side, 0 and every kink among their ends.

    The outermost have no end: f is straight there, or nothing is known beyond them (missed).
    """
    low = 2.0 ** np.arange(_OCTAVES)
    below, above = _sampled(f, -2 * low, -low), _sampled(f, low, 2 * low)
    reach = max(_straight_from(below, noise), _straight_from(above, noise))
    parts = [_stretch(f, np.array([-1.0, 0.0]), np.array([0.0, 1.0]), noise)]
    start, step = 0, _TOGETHER
    while start < reach:
        octaves = slice(start, min(start + step, reach))
        both = _joined([below[octaves], above[octaves]])
        ok = _resolved(both, noise)
        if start < _LOOKED_INTO:
            ok = _confirmed(f, both, ok, noise)
        stretch = _stretch(f, both.left[~ok], both.right[~ok], noise)
        if not stretch.missed.any():
            parts += [both[ok], stretch]
            start += step
        elif step > 1:
            step = 1
        else:  # it goes on like that
            parts.append(_missing(both))
            break
    else:
        parts += [_onward(below, reach), _onward(above, reach)]
    panels = _joined(parts)
    return _without_slivers(panels[np.argsort(panels.left)])


def _onward(octaves: Panels, octave: int) -> Panels:
    """That octave as the last panel: straight, with the slope that f has as far out as it is defined."""
    defined, panel = np.flatnonzero(np.isfinite(octaves.size)), octaves[octave : octave + 1]
    if not len(defined) or defined[-1] < octave:
        return panel
    series = panel.series.copy()
    series[:, 2:] = 0.0
    return replace(panel, series=series, secant=octaves.secant[defined[-1:]])


def _straight_from(octaves: Panels, noise: float) -> int:
    """The octave from which on f is one straight line; the last where it never is."""
    defined = np.flatnonzero(np.isfinite(octaves.size))
    if not len(defined):
        return 0
    octaves = octaves[: defined[-1] + 1]
    with np.errstate(all="ignore"):
        rough = np.abs(octaves.series[:, 2:]).sum(axis=1)
        turned = np.abs(octaves.secant - octaves.secant[-1]) * octaves.width
        slack = 64 * noise * octaves.size
        odd = np.flatnonzero(~((rough <= slack) & (turned <= slack)))
    return int(odd.max(initial=-1)) + 1


def _stretch(f: Function, left: Array, right: Array, noise: float) -> Panels:
    """The panels between these ends, cut at the kinks."""
    panels, low, high = _halved(f, left, right, noise)
    if len(low) > _MOST_CUTS:
        return _missing(panels)
    if len(low):
        cuts = cut_at(f, low, high, noise)
        edges = np.union1d(np.concatenate([left, right]), cuts)
        inside = ((edges[:-1, None] >= left) & (edges[1:, None] <= right)).any(axis=1)
        panels, _, _ = _halved(f, edges[:-1][inside], edges[1:][inside], noise)
    return panels


def _halved(f: Function, left: Array, right: Array, noise: float) -> tuple[Panels, Array, Array]:
    """Panels halved until f is resolved on each, and the ends of the narrow cells that hold a kink."""
    pending = _sampled(f, left, right)
    scale = pending.size  # f's rounding may be a share of this, even where f itself is next to 0
    ok = _confirmed(f, pending, _resolved(pending, noise), noise)
    leaves = [pending[ok]]
    pending, scale = pending[~ok], scale[~ok]
    cells: list[Panels] = []
    for halving in range(_DEEPEST):
        if not len(pending):
            break
        if sum(map(len, leaves)) + 2 * len(pending) > (_MOST_NEAR if (np.abs(left) < 1).any() else _MOST):
            leaves.append(_missing(pending))
            pending = pending[:0]
            break
        if halving == _INWARD:
            pending, scale = _inward(f, pending, scale)
        middle = pending.left + pending.width / 2
        left, right = np.stack([pending.left, middle], 1), np.stack([middle, pending.right], 1)
        children = _sampled(f, left.ravel(), right.ravel())
        scale = np.repeat(scale, 2)
        scale = np.where(np.isfinite(scale), scale, children.size)
        ok = _confirmed(f, children, _resolved(children, noise), noise)
        tail, before = _tail(children), np.repeat(_tail(pending), 2)
        with np.errstate(all="ignore"):
            noisy = ~ok & (tail > before / 4) & (tail <= _LEVEL * noise * scale)
        noisy = np.repeat(noisy.reshape(-1, 2).all(axis=1), 2)
        spent = ~ok & (children.width <= 16 * ROUNDING * children.away)
        whole = (ok | spent).reshape(-1, 2).all(axis=1) & ~noisy[::2]
        narrow = pending.width <= _NARROW * pending.away
        cells.append(pending[whole & narrow & (pending.left != 0) & (pending.right != 0)])
        leaves += [pending[noisy[::2]], children[(ok | spent) & ~noisy]]
        on = ~(ok | spent | noisy)
        pending, scale = children[on], scale[on]
    leaves.append(_missing(pending))
    kinks = _joined(cells) if cells else pending[:0]
    return _joined(leaves), kinks.left, kinks.right


def _inward(f: Function, pending: Panels, scale: Array) -> tuple[Panels, Array]:
    """The same, the panels that end at 0 cut into octaves: f is singular there."""
    touches = (pending.left == 0) | (pending.right == 0)
    if not touches.any():
        return pending, scale
    parts, scales = [pending[~touches]], [scale[~touches]]
    for end in (pending.right + pending.left)[touches]:
        ends = np.append(end * 2.0 ** -np.arange(_DEEPEST - _INWARD), 0.0)
        parts.append(_sampled(f, np.minimum(ends[1:], ends[:-1]), np.maximum(ends[1:], ends[:-1])))
        scales.append(parts[-1].size)
    return _joined(parts), np.concatenate(scales)


def _sampled(f: Function, left: Array, right: Array) -> Panels:
    """The panels between these ends, with what f is at their nodes."""
    half = (right - left) / 2
    x = left[:, None] + half[:, None] * (1 + _X)
    # Just inside either end f must agree with the series, or something hides between the nodes.
    inside = np.where(left == 0, right * _NEXT_TO_0, left + _INSIDE * np.maximum(-left, right))
    outside = np.where(right == 0, left * _NEXT_TO_0, right - _INSIDE * np.maximum(-left, right))
    sampled = f(np.concatenate([x.ravel(), inside, outside]))
    values, ends = sampled[: x.size].reshape(x.shape), sampled[x.size :].reshape(2, -1).T
    with np.errstate(all="ignore"):
        middle = values[:, NODES // 2 :][:, :1]
        series = (values - middle) @ _SERIES.T
        series[:, 0] += middle[:, 0]
        lost = ~np.isfinite(values)
        size = np.where(lost, -1.0, np.abs(values)).max(axis=1)
        secant = (values[:, -1] - values[:, 0]) / (x[:, -1] - x[:, 0])
        aside = np.stack([inside - left, outside - right], axis=1) / half[:, None]
        off = np.abs(ends - series @ _AT_ENDS - series @ _SLOPE_AT_ENDS * aside).max(axis=1)
    off[right - left < _NO_INSIDE * np.minimum(np.abs(left), np.abs(right))] = 0.0
    series[lost.any(axis=1)] = np.inf  # an end of where f is defined lies in between
    series[lost.all(axis=1)] = np.nan
    size[lost.all(axis=1)] = np.nan
    return Panels(left, right, series, secant, size, off, np.zeros(len(left), bool))


def _tail(panels: Panels) -> Array:
    """The largest coefficient that is not kept; NaN where f is not defined."""
    tail: Array = np.abs(panels.series[:, DEGREE + 1 :]).max(axis=1)
    return np.where(np.isnan(tail), tail, np.fmax(tail, panels.off / 8))


def _resolved(panels: Panels, noise: float) -> Array:
    tail = _tail(panels)
    with np.errstate(all="ignore"):  # the nodes themselves are rounded
        slack = max(_MISSED, 4 * noise) * panels.size + 4 * ROUNDING * panels.away * np.abs(panels.secant)
        return (tail <= np.where(np.isfinite(slack), slack, 0.0)) | np.isnan(tail)


def _confirmed(f: Function, panels: Panels, ok: Array, noise: float) -> Array:
    """Which panels of those that seem resolved are so; the wide ones are looked at between the nodes too."""
    doubtful = np.flatnonzero(ok & (panels.width > _WIDE * panels.away) & np.isfinite(panels.size))
    if not len(doubtful):
        return ok
    wide = panels[doubtful]
    z = wide.left[:, None] + (wide.width / 2)[:, None] * (1 + _BETWEEN)
    values = f(z.ravel()).reshape(len(wide), -1)
    confirmed = ok.copy()
    with np.errstate(all="ignore"):
        off = np.abs(values - wide.series @ _AT_BETWEEN).max(axis=1)
        confirmed[doubtful] = off <= 32 * max(_MISSED, 4 * noise) * wide.size
    return confirmed


def _missing(panels: Panels) -> Panels:
    """The same panels, each with more in it than can be listed."""
    return replace(panels, series=np.full_like(panels.series, np.nan), missed=np.ones(len(panels), bool))


def _joined(parts: list[Panels]) -> Panels:
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Panels(*map(np.concatenate, columns))


def _without_slivers(panels: Panels) -> Panels:
    """Slivers that rounding leaves between a kink and its cut go to the panel before them."""
    kept = panels[(panels.width > _SLIVER * panels.away) | (panels.left == 0) | (panels.right == 0)]
    return replace(kept, right=np.append(kept.left[1:], kept.right[-1]))
