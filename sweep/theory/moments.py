"""Gaussian means of one activation at any variance: E[act], E[act²], E[act'²] and what follows.

Panels of Gauss and Legendre that no kink falls into, halved where the integrand is not resolved: a
user's function may have kinks that nobody declared. Scales are standard deviations, not variances,
so that 1e-200 and 1e+200 are numbers like any other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep import activations
from sweep.activations import FLAT_SLOPE, Activation
from sweep.errors import RequestError, SweepError

Array = NDArray[Any]
Act = str | Activation | Callable[..., Array]

_NODES = 24
_REACHES = (13.0, 38.0)  # φ(13) = 8e-38; beyond 38 it underflows
_PANEL = 2.0  # in units of the standard deviation
# A panel is resolved when its highest Legendre coefficients are this small a share of the whole. The
# rule is exact to twice their degree, so what it then misses of a smooth integrand is the square of that.
_RESOLVED = 1e-10
_MOST_HALVINGS = 48
_MOST_PANELS = 60_000
_ROUNDING = 1e-15


@dataclass(frozen=True)
class Means:
    """What one activation does to z ~ N(0, scale²).

    rms: sqrt(E[act²]); slope_rms: sqrt(E[act'²]); elasticity: d log E[act²] / d log(scale²), that
    is E[z act act'] / E[act²]. structure: points z between which act is smooth at this scale.
    """

    mean: float
    rms: float
    slope_rms: float
    elasticity: float
    structure: Array

    @property
    def std(self) -> float:
        """sqrt(Var act): from the second moment, which a mean can come close to."""
        return math.sqrt(max(0.0, (self.rms - self.mean) * (self.rms + self.mean)))


class Gaussian:
    """The Gaussian means of one activation, each computed once."""

    def __init__(self, act: Activation) -> None:
        self.act = act
        self._means: dict[float, Means] = {}
        self._flat: Array | None = None

    def at(self, scale: float) -> Means:
        """The means at z ~ N(0, scale²); scale above 0. Raises RequestError where they do not exist."""
        if self.act.homogeneous:
            unit = self._at(1.0)
            return Means(unit.mean * scale, unit.rms * scale, unit.slope_rms, 1.0, unit.structure)
        return self._at(scale)

    def _at(self, scale: float) -> Means:
        found = self._means.get(scale)
        if found is None:
            found = self._means[scale] = _means(self.act, scale)
        return found

    def flat(self, scale: float) -> float:
        """P(abs(act'(z)) < FLAT_SLOPE), z ~ N(0, scale²)."""
        if self._flat is None:
            self._flat = _flat_intervals(self.act)
        root = math.sqrt(2) * scale
        return sum(_normal_share(a / root, b / root) for a, b in self._flat.tolist())


class _Same:
    """An activation compared by identity: two closures of one source are two functions."""

    def __init__(self, act: Activation) -> None:
        self.act = act

    def __hash__(self) -> int:
        return id(self.act)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.act is other.act


@lru_cache(maxsize=64)
def _gaussian(same: _Same) -> Gaussian:
    return Gaussian(same.act)


def gaussian(act: Act) -> Gaussian:
    """The Gaussian means of a name, an activation, or a function."""
    return _gaussian(_Same(activations.resolved(act, {})))


def _means(act: Activation, scale: float) -> Means:
    for reach in _REACHES:
        result, inside = _integrated(act, scale, reach)
        if inside:
            return result
    raise _no_moment(act, scale)


def _integrated(act: Activation, scale: float, reach: float) -> tuple[Means, bool]:
    """The means over abs(z) < reach · scale, and whether next to nothing lies beyond."""
    structure = _structure(act, scale, reach)
    count = 2 * math.ceil(reach / _PANEL) + 1
    edges = np.union1d(np.linspace(-reach, reach, count), structure / scale)
    edges[np.abs(edges) < 1e-300] = 0.0
    left, right = edges[:-1], edges[1:]
    halves: list[Array] = []
    unit: float | None = None
    panels: list[Array] = []  # of those resolved: the integrals
    ends: list[Array] = []
    for _ in range(_MOST_HALVINGS):
        integrand, magnitude = _integrand(act, scale, left, right)  # (4, panels, nodes)
        if unit is None:
            unit = magnitude or 1.0
        length = (right - left) / 2
        factor = np.array([magnitude / unit, (magnitude / unit) ** 2, 1.0, (magnitude / unit) ** 2])
        integrand *= factor[:, None, None]
        integrals = integrand @ _WEIGHTS * length
        if not np.isfinite(integrals).all():
            raise _no_moment(act, scale)
        total = np.abs(integrals).sum(axis=1) + sum((np.abs(p).sum(axis=1) for p in panels), np.zeros(4))
        total = np.array([math.sqrt(total[1]), total[1], total[2], total[1]])
        top = np.abs(integrand @ _TOP).max(axis=-1) * length
        coarse = (top > _RESOLVED * total[:, None]).any(axis=0)
        coarse &= right - left > 1e-13 * np.maximum(np.abs(left), np.abs(right))
        panels.append(integrals[:, ~coarse])
        ends.append(np.maximum(np.abs(left), np.abs(right))[~coarse])
        if not coarse.any():
            break
        middle = (left[coarse] + right[coarse]) / 2
        halves.append(middle)
        left, right = (
            np.stack([left[coarse], middle]).T.ravel(),
            np.stack([middle, right[coarse]]).T.ravel(),
        )
        if len(left) > _MOST_PANELS:
            raise _no_moment(act, scale)
    else:
        raise _no_moment(act, scale)
    joined = np.concatenate(panels, axis=1)
    sums = joined.sum(axis=1)
    outer = np.concatenate(ends) >= reach
    inside = bool((np.abs(joined[:, outer]).sum(axis=1) <= 1e-12 * np.abs(joined).sum(axis=1)).all())
    rms = math.sqrt(sums[1])
    mean = 0.0 if abs(sums[0]) < _ROUNDING * rms else float(sums[0])
    elasticity = float(sums[3] / sums[1]) if sums[1] else 0.0
    fine = np.concatenate([structure, *(scale * half for half in halves)])
    return Means(mean * unit, rms * unit, math.sqrt(sums[2]), elasticity, np.unique(fine)), inside


def _integrand(act: Activation, scale: float, left: Array, right: Array) -> tuple[Array, float]:
    """(act, act², act'², z act act') · φ at the nodes of every panel, act in units of what is returned."""
    x = ((left + right) / 2)[:, None] + ((right - left) / 2)[:, None] * _X
    z = scale * x
    with np.errstate(all="ignore"):
        h = np.asarray(act.f(z), dtype=np.float64)
        slope = np.asarray(act.derivative(z, h), dtype=np.float64)
        magnitude = float(np.abs(h).max())
        if not math.isfinite(magnitude):
            raise _no_moment(act, scale)
        if magnitude:
            h = h / magnitude
        density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        weighted = h * density
        pull = (slope * (scale / magnitude)) * x if magnitude else np.zeros_like(x)
        return np.stack([weighted, weighted * h, slope * slope * density, weighted * pull]), magnitude


def _structure(act: Activation, scale: float, reach: float) -> Array:
    """The kinks, and panels as fine as activations bend, near 0, where the density asks for less."""
    bends = 2.0 ** np.arange(1, max(1.0, math.log2(4 * scale)))
    points = np.concatenate([-bends, bends, [0.0] if scale > 1 else [], act.kinks])
    return np.unique(points[np.abs(points) < reach * scale])


def _no_moment(act: Activation, scale: float) -> SweepError:
    return RequestError(
        f"act {act.formula or act.name}: E[act(z)²] or E[act'(z)²] does not converge for "
        f"z ~ N(0, {scale:g}²): choose an activation with finite moments, or a smaller variance"
    )


_X, _WEIGHTS = np.polynomial.legendre.leggauss(_NODES)
# f's Legendre coefficients of degree n - 1 and n - 2 on a panel, from its values at the nodes.
_TOP = np.stack(
    [
        _WEIGHTS * np.polynomial.legendre.Legendre.basis(k)(_X) * (2 * k + 1) / 2
        for k in (_NODES - 1, _NODES - 2, _NODES - 3)
    ],
    axis=1,
)


def _normal_share(a: float, b: float) -> float:
    """P(a < z/√2 < b), z ~ N(0, 1), without cancellation in the tails."""
    if a > 0:
        return (math.erfc(a) - math.erfc(b)) / 2
    if b < 0:
        return (math.erfc(-b) - math.erfc(-a)) / 2
    return (math.erf(b) - math.erf(a)) / 2


_SCANNED = 1024.0  # an activation that goes on waving beyond is followed so far
_SCAN_STEP = 1 / 64


def _flat_intervals(act: Activation) -> Array:
    """(n, 2): the intervals of z on which abs(act'(z)) < FLAT_SLOPE."""
    far = _SCANNED * 2.0 ** np.arange(1, 40)
    near = np.arange(-_SCANNED, _SCANNED, _SCAN_STEP) + _SCAN_STEP / 2  # no kink falls on a point

    def is_flat(z: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.abs(act.derivative(z, act.f(z))) < FLAT_SLOPE

    z = np.concatenate([-far[::-1], near, far])
    flat = is_flat(z)
    change = np.flatnonzero(flat[1:] != flat[:-1])
    low, high, before = z[change], z[change + 1], flat[change]
    for _ in range(60):
        middle = (low + high) / 2
        same = is_flat(middle) == before
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    edges = np.concatenate([[-math.inf] if flat[0] else [], high, [math.inf] if flat[-1] else []])
    return edges.reshape(-1, 2)
