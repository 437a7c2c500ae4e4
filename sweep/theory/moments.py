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
from sweep.activations import FLAT_SLOPE, Activation, flat_within
from sweep.errors import RequestError, SweepError

Array = NDArray[Any]
Act = str | Activation | Callable[..., Array]

_NODES = 24
_REACHES = (13.0, 38.0)  # φ(13) = 8e-38; beyond 38 it underflows
_PANEL = 2.0  # in units of the standard deviation
# A panel is resolved when its highest Legendre coefficients are this small a share of the whole. The
# rule is exact to twice their degree, so what it then misses of a smooth integrand is the square of that.
_RESOLVED = 1e-10
_SETTLED = 1e-10  # or when halving what is not resolved changes the whole by no more than this
_NOISY = 1e-3  # or by this at the very end: a function in float32, and its numerical derivative
_MOST_HALVINGS = 48
_MOST_PANELS = 10_000
_MOST_KEPT = 20_000  # scales of one activation
_ROUNDING = 1e-15
_AT_ZERO = 2.0**-56  # as far from a kink at 0 as looking for it may end
_BEYOND = 1e-12  # the share of the outermost panels up to which nothing lies beyond them


@dataclass(frozen=True)
class Means:
    """What one activation does to z ~ N(0, scale²).

    rms: sqrt(E[act²]); slope_rms: sqrt(E[act'²]); elasticity: d log E[act²] / d log(scale²), that
    is E[z act act'] / E[act²]; curvature: v² (d/dv)² E[act²] / E[act²], v = scale².
    structure: points z between which act is smooth at this scale.
    """

    mean: float
    rms: float
    slope_rms: float
    elasticity: float
    curvature: float
    structure: Array

    @property
    def std(self) -> float:
        """sqrt(Var act): from the second moment, which a mean can come close to."""
        return math.sqrt(max(0.0, self.rms - self.mean)) * math.sqrt(max(0.0, self.rms + self.mean))


class Gaussian:
    """The Gaussian means of one activation, each computed once."""

    def __init__(self, act: Activation) -> None:
        self.act = act
        self._means: dict[float, Means] = {}
        self._flat: dict[int, list[tuple[float, float]]] = {}

    def at(self, scale: float) -> Means:
        """The means at z ~ N(0, scale²). Raises RequestError where they do not exist."""
        if scale == 0:
            (h,), (slope,) = self._at_zero()
            return Means(h, abs(h), abs(slope), 0.0, 0.0, np.zeros(0))
        if self.act.homogeneous:
            unit = self._at(1.0)
            return Means(unit.mean * scale, unit.rms * scale, unit.slope_rms, 1.0, 0.0, unit.structure)
        return self._at(scale)

    def _at(self, scale: float) -> Means:
        found = self._means.get(scale)
        if found is None:
            if len(self._means) >= _MOST_KEPT:
                self._means.clear()
            found = self._means[scale] = _means(self.act, scale)
        return found

    def flat(self, scale: float) -> float:
        """P(abs(act'(z)) < FLAT_SLOPE), z ~ N(0, scale²)."""
        if scale == 0:
            return float(abs(self._at_zero()[1][0]) < FLAT_SLOPE)
        octave = max(4, math.ceil(math.log2(_REACHES[0] * scale)))
        if octave not in self._flat:
            found = flat_within(self.act, 2.0**octave)
            self._flat[octave] = [(_settled(a), _settled(b)) for a, b in found]
        root = math.sqrt(2) * scale
        return sum(_normal_share(a / root, b / root) for a, b in self._flat[octave])

    def _at_zero(self) -> tuple[list[float], list[float]]:
        """act and act' at 0 itself, of which neither a scale nor the law of the homogeneous is a limit."""
        z = np.zeros(1)
        with np.errstate(all="ignore"):
            h = np.asarray(self.act.f(z), dtype=np.float64)
            return h.tolist(), np.asarray(self.act.derivative(z, h), dtype=np.float64).tolist()


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
    edges = np.union1d(np.linspace(-reach, reach, 2 * math.ceil(reach / _PANEL) + 1), structure / scale)
    unit = _largest(act, scale * edges) or 1.0  # squares of act / unit neither overflow nor vanish
    left, right = edges[:-1], edges[1:]
    sums, sizes, outermost = np.zeros((3, 5))
    halved = [structure]
    before = np.full(5, math.nan)
    for halving in range(_MOST_HALVINGS):
        integrand = _integrand(act, scale, unit, left, right)  # (5, panels, nodes)
        half, far = (right - left) / 2, np.maximum(np.abs(left), np.abs(right))
        integrals = integrand @ _WEIGHTS * half
        size = sizes + np.abs(integrals).sum(axis=1)
        if not np.isfinite(size).all():
            break
        whole = np.array([math.sqrt(size[1]), size[1], size[2], size[1], size[1]])
        rough = np.abs(integrand @ _TOP).max(axis=-1) * half
        coarse = (rough > _RESOLVED * whole[:, None]).any(axis=0) & (half > 1e-14 * far)
        total = sums + integrals.sum(axis=1)
        enough = _SETTLED if len(left) < _MOST_PANELS else _NOISY
        if halving > 2 and (np.abs(total - before) <= enough * whole).all():
            coarse[:] = False  # what is left is the function's own rounding
        elif len(left) > _MOST_PANELS:
            break
        before = total
        sums += integrals[:, ~coarse].sum(axis=1)
        sizes += np.abs(integrals[:, ~coarse]).sum(axis=1)
        outermost += np.abs(integrals[:, ~coarse & (far >= reach)]).sum(axis=1)
        if not coarse.any():
            inside = bool((outermost <= _BEYOND * sizes).all())
            points = structure if len(left) > _MOST_PANELS else np.unique(np.concatenate(halved))
            return _named(sums, unit, points), inside
        middle = (left[coarse] + right[coarse]) / 2
        halved.append(scale * middle)
        left, right = np.concatenate([left[coarse], middle]), np.concatenate([middle, right[coarse]])
    raise _no_moment(act, scale)


def _largest(act: Activation, z: Array) -> float:
    with np.errstate(all="ignore"):
        return float(np.abs(act.f(z)).max())


def _named(sums: Array, unit: float, structure: Array) -> Means:
    mean, second, slope_second, pull, bend = sums.tolist()
    rms = math.sqrt(second)
    mean = 0.0 if abs(mean) < _ROUNDING * rms else mean
    elasticity, curvature = (pull / second, bend / second) if second else (0.0, 0.0)
    return Means(mean * unit, rms * unit, math.sqrt(slope_second), elasticity, curvature, structure)


def _integrand(act: Activation, scale: float, unit: float, left: Array, right: Array) -> Array:
    """(f, f², act'², z f f', f² He₄(z/scale)/4) · φ at the nodes of every panel, f = act / unit."""
    x = ((left + right) / 2)[:, None] + ((right - left) / 2)[:, None] * _X
    with np.errstate(all="ignore"):
        z = scale * x
        h = np.asarray(act.f(z), dtype=np.float64)
        slope = np.asarray(act.derivative(z, h), dtype=np.float64)
        h = h / unit
        density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        weighted = h * density
        square, pull = weighted * h, weighted * x * (slope * (scale / unit))
        bend = square * (x**4 - 6 * x * x + 3) / 4  # Price 1958: (d/dv)² E[g] = E[g He₄] / 4v²
        return np.stack([weighted, square, slope * slope * density, pull, bend])


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


def _settled(end: float) -> float:
    """An end of a flat region, 0 where it is next to 0: on one side of it lies all of a tiny z."""
    return 0.0 if abs(end) < _AT_ZERO else end


def _normal_share(a: float, b: float) -> float:
    """P(a < z/√2 < b), z ~ N(0, 1), without cancellation in the tails."""
    if a > 0:
        return (math.erfc(a) - math.erfc(b)) / 2
    if b < 0:
        return (math.erfc(-b) - math.erfc(-a)) / 2
    return (math.erf(b) - math.erf(a)) / 2
