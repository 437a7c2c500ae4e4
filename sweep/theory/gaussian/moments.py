"""Gaussian means of one activation at any variance: E[act], E[act²], E[act'²] and what follows.

By Gauss and Legendre on panels that no kink falls into, halved where the integrand is not resolved, for a
user's function may have undeclared kinks. Scales are standard deviations, not variances, so that 1e-200 and
1e+200 are numbers like any other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np

from sweep import activations
from sweep.activations import FLAT_SLOPE, Activation, flat_within, slope_unknown, structure_of
from sweep.base.arrays import Array
from sweep.base.errors import RequestError, SweepError

Act = str | Activation | Callable[..., Array]

_NODES = 24
_REACHES = (13.0, 38.0)  # φ(13) = 8e-38; beyond 38 it underflows
_PANEL = 2.0  # in units of the standard deviation
# A panel is resolved when its highest Legendre coefficients are this small a share of the whole. The rule is
# exact to twice their degree, so it then misses only the square of that of a smooth integrand.
_RESOLVED = 1e-10
_SETTLED = 1e-10  # or when halving the others changes the whole by no more than this share
_NOISY = 1e-3  # or, at the very end, by this: a function in float32, and its slopes
_MOST_HALVINGS = 48
_MOST_PANELS = 10_000
_FEW_PANELS = 1000  # of a function without a slope, where more find no more
_MOST_KEPT = 20_000  # scales of one activation
_ROUNDING = 1e-15
_LARGEST = 1020.0  # log2 of the largest bend: four times as much is still a float64
_AT_ZERO = 2.0**-56  # how far from 0 the search for a kink at 0 may end
_PHASES = 512  # of a period; the mean over them is exact for half as many harmonics
_CLOSE, _LINEAR = 1e-3, 1e-8  # std / rms below which rms² - mean² cancels, and below which act is a line
_POWERS, _MARGIN = (290, 139, 88, 62), 14  # of 10: scales that a power of degree 1, 2, 3, 4 holds, and more
_BEYOND = 1e-12  # the outermost panels' share up to which nothing lies beyond them


@dataclass(frozen=True)
class Means:
    """What one activation does to z ~ N(0, scale²).

    std: sqrt(Var act). rms: sqrt(E[act²]). slope_rms: sqrt(E[act'²]). elasticity: d log E[act²] / d log v =
    E[z act act'] / E[act²], v = scale². curvature: v² (d/dv)² E[act²] / E[act²]. structure: points z
    between which act is smooth at this scale. Where act' is not known the slope_rms, elasticity and
    curvature are NaN.
    """

    mean: float
    std: float
    rms: float
    slope_rms: float
    elasticity: float
    curvature: float
    structure: Array


class Gaussian:
    """The Gaussian means of one activation, each computed once."""

    def __init__(self, act: Activation) -> None:
        self.act = act
        self._means: dict[float, Means] = {}
        self._flat: dict[int, list[tuple[float, float]]] = {}

    @cached_property
    def scales(self) -> tuple[float, float]:
        """The least and the largest scale at which act is evaluated; beyond it is a power law."""
        for power in _POWERS:
            z = 10.0 ** (power + _MARGIN) * np.array([-1.0, 1.0])
            try:
                with np.errstate(all="ignore"):
                    h = np.asarray(self.act.f(z), np.float64)
            except SweepError:  # a user's function that is not defined everywhere
                break
            if np.isfinite(h).all():
                return 10.0**-power, 10.0**power
        return 10.0 ** -_POWERS[0], 10.0 ** _POWERS[0]

    def without_slope(self) -> str | None:
        """Why E[act'²] is not known, in one line; None where it is, at unit variance."""
        if not math.isnan(self.at(1.0).slope_rms):
            return None
        everywhere = f"the slope of {self.act.formula} is not known everywhere; give act.derivative"
        return slope_unknown(self.act) or everywhere

    def at(self, scale: float) -> Means:
        """The means at z ~ N(0, scale²). Raises RequestError where they do not exist."""
        if scale == 0:
            (h,), (slope,) = self._at_zero()
            return Means(h, 0.0, abs(h), abs(slope), 0.0, 0.0, np.zeros(0))
        if self.act.homogeneous:
            unit = self._at(1.0)
            mean, std, rms = unit.mean * scale, unit.std * scale, unit.rms * scale
            return Means(mean, std, rms, unit.slope_rms, 1.0, 0.0, unit.structure)
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
        if math.isnan(self.at(scale).slope_rms):
            return math.nan
        if scale == 0:
            return float(abs(self._at_zero()[1][0]) < FLAT_SLOPE)
        if waves(self.act, scale):
            reach = self.act.period or 1.0  # all phases are alike
            return sum(b - a for a, b in flat_within(self.act, reach, structure_of(self.act))) / (2 * reach)
        octave = max(4, math.ceil(math.log2(_REACHES[0] * scale)))
        if octave not in self._flat:
            found = flat_within(self.act, 2.0**octave, structure_of(self.act))
            self._flat[octave] = [(_settled(a), _settled(b)) for a, b in found]
        root = math.sqrt(2) * scale
        return sum(_normal_share(a / root, b / root) for a, b in self._flat[octave])

    def _at_zero(self) -> tuple[list[float], list[float]]:
        """act and act' at 0 itself, which need not be the limit of small scales."""
        z = np.zeros(1)
        with np.errstate(all="ignore"):
            h = np.asarray(self.act.f(z), dtype=np.float64)
            return h.tolist(), np.asarray(self.act.derivative(z, h), dtype=np.float64).tolist()


@dataclass(frozen=True)
class _Same:
    """An activation compared by identity: two closures of one source are two functions."""

    identity: int
    act: Activation = field(compare=False)


@lru_cache(maxsize=64)
def _gaussian(same: _Same) -> Gaussian:
    return Gaussian(same.act)


def gaussian(act: Act) -> Gaussian:
    """The Gaussian means of a name, an activation, or a function."""
    resolved = activations.resolved(act, {})
    return _gaussian(_Same(id(resolved), resolved))


def waves(act: Activation, scale: float) -> bool:
    """Whether z ~ N(0, scale²) has every phase of act alike, to exp(-2 (2π)²) = 5e-35 or better."""
    return act.period is not None and scale > 2 * act.period


def over_a_period(act: Activation, points: int) -> tuple[Array, Array]:
    """act and act' at `points` points of one period."""
    z = (np.arange(points) + 0.5) * ((act.period or 0.0) / points)
    h = act.f(z)
    return h, act.derivative(z, h)


def _of_waves(act: Activation) -> Means:
    h, slope = over_a_period(act, _PHASES)
    sums = np.array([h.mean(), (h * h).mean(), (slope * slope).mean(), 0.0, 0.0])
    return _named(sums, np.abs(h).mean(), 1.0, 1.0, np.zeros(0))


def _means(act: Activation, scale: float) -> Means:
    if waves(act, scale):
        return _of_waves(act)
    sloped = slope_unknown(act) is None
    for reach in _REACHES:
        result, inside = _integrated(act, scale, reach, sloped)
        if inside:
            narrow = result.std < _CLOSE * result.rms
            return replace(result, std=_narrow_std(act, scale, reach, result, sloped)) if narrow else result
    raise _no_moment(act, scale)


def _narrow_std(act: Activation, scale: float, reach: float, means: Means, sloped: bool) -> float:
    """sqrt(Var act) where act hardly varies: of act less its mean, or by its slopes if that is rounding."""
    if means.std == 0 and not means.slope_rms:
        return 0.0
    linear = _std_by_slopes(act, scale) if sloped else 0.0
    if linear and linear < _LINEAR * means.rms:
        return linear
    apart = replace(
        act, f=lambda z: act.f(z) - means.mean, derivative=lambda z, h: act.derivative(z, h + means.mean)
    )
    return _integrated(apart, scale, reach, sloped)[0].std


def _std_by_slopes(act: Activation, scale: float) -> float:
    """sqrt(Var act) of act(0) + a max(z, 0) + b min(z, 0), which act is next to 0."""
    z = scale * np.array([-1.0, 1.0])
    with np.errstate(all="ignore"):
        b, a = np.asarray(act.derivative(z, act.f(z)), dtype=np.float64).tolist()
    variance = (a * a + b * b) / 2 - (a - b) ** 2 / (2 * math.pi)
    return scale * math.sqrt(variance) if variance > 0 else 0.0


def _integrated(act: Activation, scale: float, reach: float, sloped: bool) -> tuple[Means, bool]:
    """The means over abs(z) < reach · scale, and whether they miss next to nothing.

    sloped: whether act' is known throughout; if not, what needs it is NaN.
    """
    structure = _structure(act, scale, reach)
    edges = np.union1d(np.linspace(-reach, reach, 2 * math.ceil(reach / _PANEL) + 1), structure / scale)
    left, right = edges[:-1], edges[1:]
    points = np.concatenate([edges, _nodes(left, right).ravel()])
    unit, steep = _largest(act, scale * points)  # squares of act / unit neither overflow nor vanish
    sums, sizes, outermost = np.zeros((3, 5))
    halved = [structure]
    before, most = np.full(5, math.nan), _MOST_PANELS if sloped else _FEW_PANELS
    for halving in range(_MOST_HALVINGS):
        integrand = _integrand(act, scale, unit, steep, left, right)  # (5, panels, nodes)
        if not sloped:
            integrand[2:] = 0.0
        elif np.isnan(integrand[2]).any():
            return _integrated(act, scale, reach, sloped=False)
        half, far = (right - left) / 2, np.maximum(np.abs(left), np.abs(right))
        integrals = integrand @ _WEIGHTS * half
        size = sizes + np.abs(integrals).sum(axis=1)
        if not np.isfinite(size).all():
            break
        whole = np.array([math.sqrt(size[1]), size[1], size[2], size[1], size[1]])
        rough = np.abs(integrand @ _TOP).max(axis=-1) * half
        coarse = (rough > _RESOLVED * whole[:, None]).any(axis=0) & (half > 1e-14 * far)
        total = sums + integrals.sum(axis=1)
        enough = _SETTLED if len(left) < most else _NOISY
        if halving > 2 and (np.abs(total - before) <= enough * whole).all():
            coarse[:] = False  # only the function's own rounding is left
        elif len(left) > most:
            break
        before = total
        sums += integrals[:, ~coarse].sum(axis=1)
        sizes += np.abs(integrals[:, ~coarse]).sum(axis=1)
        outermost += np.abs(integrals[:, ~coarse & (far >= reach)]).sum(axis=1)
        if not coarse.any():
            inside = bool((outermost <= _BEYOND * sizes).all())
            points = structure if len(left) > most else np.unique(np.concatenate(halved))
            means = _named(sums, sizes[0], unit, steep, points)
            if not sloped:
                means = replace(means, slope_rms=math.nan, elasticity=math.nan, curvature=math.nan)
            return means, inside
        middle = (left[coarse] + right[coarse]) / 2
        halved.append(scale * middle)
        left, right = np.concatenate([left[coarse], middle]), np.concatenate([middle, right[coarse]])
    raise _no_moment(act, scale)


def _largest(act: Activation, z: Array) -> tuple[float, float]:
    """The largest finite abs(act) and abs(act') at z; 1 where all are 0."""
    with np.errstate(all="ignore"):
        h = act.f(z)
        sizes = np.abs(np.stack([h, act.derivative(z, h)]).astype(np.float64))
    unit, steep = np.where(np.isfinite(sizes), sizes, 0.0).max(axis=1).tolist()
    return unit or 1.0, steep or 1.0


def _named(sums: Array, size: float, unit: float, steep: float, structure: Array) -> Means:
    """Means by name, of the five integrals of `_integrand`; size: of the mean's, signs apart."""
    mean, second, slope_second, pull, bend = sums.tolist()
    rms = math.sqrt(second)
    mean = 0.0 if abs(mean) < _ROUNDING * size else mean
    std = math.sqrt(max(rms - mean, 0.0)) * math.sqrt(max(rms + mean, 0.0))
    elasticity, curvature = (pull / second, bend / second) if second else (0.0, 0.0)
    slope_rms = math.sqrt(slope_second) * steep
    return Means(mean * unit, std * unit, rms * unit, slope_rms, elasticity, curvature, structure)


def _integrand(act: Activation, scale: float, unit: float, steep: float, left: Array, right: Array) -> Array:
    """(f, f², f'², z f f', f² He₄(z/scale)/4) · φ at the nodes of every panel: (5, panels, nodes).

    f = act / unit; but f'² is (act' / steep)².
    """
    x = _nodes(left, right)
    with np.errstate(all="ignore"):
        z = scale * x
        h = np.asarray(act.f(z), dtype=np.float64)
        slope = np.asarray(act.derivative(z, h), dtype=np.float64)
        h = h / unit
        density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        weighted = h * density
        square, pull = weighted * h, weighted * x * (slope * (scale / unit))
        bend = square * (x**4 - 6 * x * x + 3) / 4  # Price 1958: (d/dv)² E[g] = E[g He₄] / 4v²
        slope = slope / steep
        return np.stack([weighted, square, slope * slope * density, pull, bend])


def _nodes(left: Array, right: Array) -> Array:
    """The nodes of Gauss and Legendre on every panel: (panels, nodes)."""
    nodes: Array = ((left + right) / 2)[:, None] + ((right - left) / 2)[:, None] * _X
    return nodes


def _structure(act: Activation, scale: float, reach: float) -> Array:
    """The kinks and, near 0, points as close as activations bend, where the density alone needs fewer."""
    bends = 2.0 ** np.arange(1, min(max(1.0, math.log2(scale) + 2), _LARGEST))
    points = np.concatenate([-bends, bends, [0.0] if scale > 1 else [], structure_of(act)])
    return np.unique(points[np.abs(points) < reach * scale])


def _no_moment(act: Activation, scale: float) -> SweepError:
    way_out = slope_unknown(act) or "choose an activation with finite moments, or a smaller variance"
    return RequestError(
        f"act {act.formula or act.name}: E[act(z)²] or E[act'(z)²] does not converge for "
        f"z ~ N(0, {scale:g}²): {way_out}"
    )


_X, _WEIGHTS = np.polynomial.legendre.leggauss(_NODES)
# A function's three highest Legendre coefficients on a panel, from its values at the nodes.
_TOP = np.stack(
    [
        _WEIGHTS * np.polynomial.legendre.Legendre.basis(k)(_X) * (2 * k + 1) / 2
        for k in (_NODES - 1, _NODES - 2, _NODES - 3)
    ],
    axis=1,
)


def _settled(end: float) -> float:
    """An end of a flat region; 0 where it is next to 0, so that a tiny z lies on the right side of it."""
    return 0.0 if abs(end) < _AT_ZERO else end


def _normal_share(a: float, b: float) -> float:
    """P(a < z/√2 < b), z ~ N(0, 1), without cancellation in the tails."""
    if a > 0:
        return (math.erfc(a) - math.erfc(b)) / 2
    if b < 0:
        return (math.erfc(-b) - math.erfc(-a)) / 2
    return (math.erf(b) - math.erf(a)) / 2
