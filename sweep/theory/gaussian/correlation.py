"""Two inputs at once: E over correlated pre-activations (u1, u2), the map that `sample_cosine` follows.

Cholesky form: u = m + s Y, where both inputs share m = √(v|c|) X and each has its own Y, s = √(v(1 - |c|)).
So E[f(u1) f(u2)] = E_X[g(m) g(±m)], g(m) = E_Y[f(m + s Y)], ± the sign of c. The inner mean resolves where
f bends; the outer one sees only g, which is f smoothed at the scale s.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sweep.activations import Activation, kinks_of
from sweep.base.arrays import Array
from sweep.theory.gaussian.moments import Gaussian, Means, over_a_period, waves
from sweep.theory.gaussian.nodes import hermite_rows

_NODES = 16
_REACH = 8.5  # φ(8.5) = 8e-17
_PANEL = 17 / 7  # finer ones change nothing above 1e-11
_X, _WEIGHTS = np.polynomial.legendre.leggauss(_NODES)
_BASE = np.linspace(-_REACH, _REACH, round(2 * _REACH / _PANEL) + 1)
_ROUNDING = 1e-14
_MOST_KINKS, _MOST_POINTS = 150, 500  # of a function that goes on oscillating: a plane of them takes minutes
_DEGREE = 128  # of Mehler's series, far quicker than a plane of nodes where it converges
_MISSING = 1e-11
_ENOUGH = 1e-8  # of a cosine that is one of several to be averaged
_PHASES = 512  # of a period
_FAR = 1e12  # a scale from which on bends next to 0 are rounding
_NEARER = 1e6  # a scale at which a power law is one, and easily integrated
_SAMPLED = 2.0 ** np.arange(-9, 4)  # of the scale
_ANY_PHASE = 1e100  # a scale with so many periods that more make no difference
_CHUNK = 200_000  # evaluations of the activation at a time


@dataclass(frozen=True)
class Pair:
    """Two pre-activations of one variance and correlation c, seen through an activation.

    cosine: E[f(u1) f(u2)] / E[f²], the sample_cosine. slopes: E[f'(u1) f'(u2)]. squares:
    Cov(f²(u1), f²(u2)) / E[f²]², how much the second moments of two inputs vary together.
    """

    cosine: float
    slopes: float
    squares: float


_UNKNOWN = Pair(math.nan, math.nan, math.nan)


@lru_cache(maxsize=100_000)
def pair(means_of: Gaussian, scale: float, c: float) -> Pair:
    """The pair (u1, u2), each N(0, scale²), with correlation c in [-1, 1], after the activation.

    NaN where it is not known: where c is NaN, or act oscillates hundreds of times within the scale.
    """
    if math.isnan(c):
        return _UNKNOWN
    if scale and (sides := _sides(means_of.act, scale)):
        return _homogeneous(*sides, c)
    means = means_of.at(scale)
    if means.rms == 0 or scale == 0:
        cosine, squares = (1.0, 0.0) if means.rms else (math.nan, math.nan)
        return Pair(cosine, means.slope_rms * means.slope_rms, squares)
    if waves(means_of.act, scale):
        return _of_waves(means_of, means, scale, c)
    shared, own = scale * math.sqrt(abs(c)), scale * math.sqrt(1 - abs(c))
    near = len(means.structure) - 2 * max(0.0, math.log2(scale))  # besides powers of two
    if min(shared, own) > 0 and (near > _MOST_KINKS or len(means.structure) > _MOST_POINTS):
        return _of_steps(means_of, means, scale, c) or _of_power(means_of, means, scale, c) or _UNKNOWN
    return _by_series(means_of, means, scale, c) or _by_quadrature(means_of, means, shared, own, c)


def _by_quadrature(means_of: Gaussian, means: Means, shared: float, own: float, c: float) -> Pair:
    x, weight = np.zeros(1), np.ones(1)
    if shared:
        points = _outer_points(means.structure, np.array(kinks_of(means_of.act)), shared, own)
        x, weight = _outer_nodes(points)
    g = _smoothed(means_of, means, shared * x, own)
    other = g if c >= 0 else g[:, ::-1]  # x lies symmetrically about 0
    product, slopes, squares = ((g * other) @ weight).tolist()
    return Pair(_or_zero(product), slopes * means.slope_rms * means.slope_rms, _or_zero(squares - 1))


def _of_waves(means_of: Gaussian, means: Means, scale: float, c: float) -> Pair:
    """At a scale of many periods: E[g(u1) g(u2)] by g's Fourier series, Σ g_k exp(i k ω u).

    Of E[exp(i ω (k u1 + l u2))] = exp(-(ω scale)² (k² + l² + 2klc) / 2) only l = ±k count.
    """
    h, slope = over_a_period(means_of.act, _PHASES)
    h = h / means.rms
    harmonics = np.fft.rfft(np.stack([h, slope, h * h])) / _PHASES  # (3, k)
    k = np.arange(harmonics.shape[1])
    harmonics = harmonics * np.exp(-1j * math.pi * k / _PHASES)  # the first point lies half a step from 0
    angle = k * (2 * math.pi / (means_of.act.period or 1.0)) * min(scale, _ANY_PHASE)
    near, far = np.exp(-(angle**2) * (1 - c)), np.exp(-(angle**2) * (1 + c))
    terms = np.abs(harmonics) ** 2 * near + (harmonics**2).real * far
    product, slopes, squares = (harmonics[:, 0].real ** 2 + 2 * terms[:, 1:].sum(axis=1)).tolist()
    return Pair(_or_zero(product), slopes, _or_zero(squares - 1))


def _of_steps(means_of: Gaussian, means: Means, scale: float, c: float) -> Pair | None:
    """At a scale so large that act is a step at 0, b below and a above; None where it is not.

    With θ the angle between the inputs, P(u1 u2 < 0) = θ/π, and f' is (a - b) times a delta function at 0.
    """
    sides = _levels(means_of.act, scale)
    if sides is None or abs(c) == 1:
        return None
    below, above, apart = sides[0] / means.rms, sides[1] / means.rms, math.acos(c) / math.pi
    whole, crossed = (above**2 + below**2) / 2, above * below
    product = whole * (1 - apart) + crossed * apart
    squares = (above**4 + below**4) / 2 * (1 - apart) + crossed**2 * apart
    slope = _slope_of_step(*sides, scale, c)
    return Pair(_or_zero(product / whole), slope * slope, _or_zero(squares / (whole * whole) - 1))


def _of_power(means_of: Gaussian, means: Means, scale: float, c: float) -> Pair | None:
    """At a scale so large that act is a power law, as z² is: that of a nearer scale; None where it is not."""
    z = np.stack([-_SAMPLED, _SAMPLED])
    with np.errstate(all="ignore"):
        far, near = (
            np.asarray(means_of.act.f(s * z), dtype=np.float64) / means_of.at(s).rms for s in (scale, _NEARER)
        )
        if scale < _FAR or not (np.abs(far - near) <= np.abs(near) / _FAR).all():
            return None
    found = pair(means_of, _NEARER, c)
    slope = means.slope_rms / (means_of.at(_NEARER).slope_rms or 1.0)
    return Pair(found.cosine, found.slopes * slope * slope, found.squares)


@lru_cache(maxsize=100_000)
def unequal_cosine(means_of: Gaussian, first: float, second: float, c: float) -> float:
    """E[f(u1) f(u2)] / √(E[f(u1)²] E[f(u2)²]), u1 ~ N(0, first²), u2 ~ N(0, second²), of correlation c.

    NaN where it is not known, as with `pair`.
    """
    one, other = means_of.at(first), means_of.at(second)
    if first == second or (means_of.act.homogeneous and min(first, second) > 0):
        return pair(means_of, first, c).cosine
    apart = max(first, second) * math.sqrt(1 - c * c)  # of that which varies most, given the other
    waving = waves(means_of.act, max(first, second))
    if math.isnan(c) or one.rms == 0 or other.rms == 0 or (waving and c and not waves(means_of.act, apart)):
        return math.nan
    if min(first, second) == 0 or c == 0 or waving:
        return _or_zero(one.mean / one.rms * (other.mean / other.rms))
    (a, lost), (b, missed) = (_coefficients(means_of, scale) for scale in (first, second))
    if max(lost, missed) < math.inf and math.sqrt(lost * missed) * abs(c) ** _DEGREE <= _ENOUGH:  # Mehler
        return _or_zero(float(c ** np.arange(_DEGREE) @ (a * b)))
    return _unequal_by_quadrature(means_of, ((one, first), (other, second)), c)


def _unequal_by_quadrature(means_of: Gaussian, both: Sequence[tuple[Means, float]], c: float) -> float:
    """The same; both: the means and the scale of each."""
    if max(len(means.structure) for means, _ in both) > _MOST_KINKS:
        return math.nan
    kinks, parts = np.array(kinks_of(means_of.act)), (math.sqrt(abs(c)), math.sqrt(1 - abs(c)))
    sides = [(means, scale * parts[0], scale * parts[1]) for means, scale in both]
    points = [_outer_points(means.structure, kinks, shared, own) for means, shared, own in sides]
    x, weight = _outer_nodes(np.concatenate(points))
    (g, *_), (h, *_) = (_smoothed(means_of, means, shared * x, own) for means, shared, own in sides)
    return _or_zero(float((g * (h if c >= 0 else h[::-1])) @ weight))


@lru_cache(maxsize=1024)
def _coefficients(means_of: Gaussian, scale: float) -> tuple[Array, float]:
    """a_k of Mehler's series of f/rms, (K,), and what is missing of Σ a_k² = 1; inf if nodes miss a kink."""
    means = means_of.at(scale)
    x, hermite = _hermite()
    h, _ = _normalised(means_of, means, scale * x)
    if abs(float(hermite[0] @ (h * h)) - 1) > _MISSING:  # a kink between them
        x, hermite = _hermite_between(means.structure / scale)
        h, _ = _normalised(means_of, means, scale * x)
    whole, a = float(hermite[0] @ (h * h)), hermite @ h
    return a, max(whole - float(a @ a), 0.0) if abs(whole - 1) <= _MISSING else math.inf


def _hermite_between(points: Array) -> tuple[Array, Array]:
    """As `_hermite`, on panels that end at these points too."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    edges = np.union1d(np.arange(-13.0, 14.0), points[np.abs(points) < 13])
    half = np.diff(edges)[:, None] / 2
    x = edges[:-1, None] + half * (1 + nodes)
    density = half * weights * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return x.ravel(), hermite_rows(x.ravel(), density.ravel(), _DEGREE)


def slope_of_pair(means_of: Gaussian, scale: float, c: float) -> float:
    """sqrt(abs(E[f'(u1) f'(u2)])), c in (-1, 1), also where its square is no number of float64."""
    levels = None if waves(means_of.act, scale) or means_of.act.homogeneous else _levels(means_of.act, scale)
    return _slope_of_step(*levels, scale, c) if levels else math.sqrt(abs(pair(means_of, scale, c).slopes))


def _levels(act: Activation, scale: float) -> tuple[float, float] | None:
    """(b, a) where act is b below 0 and a above it at this scale; None where it is not."""
    if scale < _FAR:
        return None
    z = scale * _SAMPLED
    with np.errstate(all="ignore"):
        h = np.asarray(act.f(np.stack([-z, z])), dtype=np.float64)
        level = bool((np.ptp(h, axis=1) <= np.abs(h).max() / _FAR).all())
    return (float(h[0, -1]), float(h[1, -1])) if level else None


def _slope_of_step(b: float, a: float, scale: float, c: float) -> float:
    return abs(a - b) / scale / math.sqrt(2 * math.pi * math.sqrt(1 - c * c))


def _by_series(means_of: Gaussian, means: Means, scale: float, c: float) -> Pair | None:
    """Mehler's series E[f(u1) f(u2)] = Σ a_k² c^k, a_k = E[f(u) He_k] / √k!; None where it is too long.

    By Parseval Σ a_k² = E[f²], which bounds the rest of the series: that times c^K. None, too, where the
    nodes miss the known E[f²] or E[f'²]: f has a kink between them.
    """
    x, hermite = _hermite()
    h, slope = _normalised(means_of, means, scale * x)
    columns = np.stack([h, slope, h * h], axis=1)
    whole = hermite[0] @ (columns * columns)
    known = np.array([1.0, means.slope_rms and means.slope_rms / means.slope_rms])  # 1, 0 or NaN
    if not ((np.abs(whole[:2] - known) <= _MISSING * known) | np.isnan(known)).all():
        return None
    squares = (hermite @ columns) ** 2  # (K, 3)
    missing = np.abs(whole - squares.sum(axis=0)) * abs(c) ** _DEGREE
    if not ((missing <= _MISSING * whole) | np.isnan(whole)).all():
        return None
    product, slopes, second = (c ** np.arange(_DEGREE) @ squares).tolist()
    return Pair(_or_zero(product), slopes * means.slope_rms * means.slope_rms, _or_zero(second - 1))


@lru_cache(maxsize=1)
def _hermite() -> tuple[Array, Array]:
    """x, and He_k(x) / √k! times the weights of E over X ~ N(0, 1): (K, x)."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    left = np.arange(-13.0, 13.0)[:, None]
    x = (left + (1 + nodes) / 2).ravel()
    density = np.tile(weights / 2, len(left)) * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return x, hermite_rows(x, density, _DEGREE)


def _or_zero(value: float) -> float:
    """Exactly 0 where it is only rounding: an odd activation keeps orthogonal inputs orthogonal."""
    return 0.0 if abs(value) < _ROUNDING else value


def _outer_points(structure: Array, kinks: Array, shared: float, own: float) -> Array:
    """Where panels of x are to end, on both sides of 0: to resolve f smoothed at the scale `own`."""
    points = structure
    if len(kinks) and own < 2:  # they still show: the panels shrink towards them
        steps = own * 2.0 ** np.arange(0, math.ceil(math.log2(2 / max(own, 1e-12))))
        points = np.concatenate([points, np.add.outer(kinks, np.concatenate([-steps, steps])).ravel()])
    points = points / shared
    return np.concatenate([points, -points])


def _outer_nodes(points: Array) -> tuple[Array, Array]:
    """x and the weights of E over X ~ N(0, 1), on panels that end at these points."""
    edges = np.union1d(_BASE, points[np.abs(points) < _REACH])
    half = np.diff(edges) / 2
    kept = half > 1e-15
    x, weight = _nodes(edges[:-1][kept], half[kept])
    return x.ravel(), weight.ravel()


def _nodes(left: Array, half: Array) -> tuple[Array, Array]:
    """x and the weights of E over X ~ N(0, 1), on panels from `left`, 2 · half wide: (panels, nodes)."""
    half = half[:, None]
    x = left[:, None] + half * (1 + _X)
    return x, half * _WEIGHTS * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _smoothed(means_of: Gaussian, means: Means, m: Array, own: float) -> Array:
    """E_Y of f/rms, f'/slope_rms and f²/rms² at z = m + own · Y: (3, len(m))."""
    if own == 0:
        h, slope = _normalised(means_of, means, m)
        return np.stack([h, slope, h * h])
    out = np.empty((3, len(m)))
    rows = max(1, _CHUNK // (_NODES * (len(_BASE) + len(means.structure))))
    for start in range(0, len(m), rows):
        centres = m[start : start + rows]
        points = (means.structure[None, :] - centres[:, None]) / own
        base = np.broadcast_to(_BASE, (len(centres), len(_BASE)))
        edges = np.sort(np.concatenate([base, points.clip(-_REACH, _REACH)], axis=1), axis=1)
        half = np.diff(edges, axis=1) / 2
        row, panel = np.nonzero(half > 1e-15)
        y, weight = _nodes(edges[row, panel], half[row, panel])
        h, slope = _normalised(means_of, means, centres[row][:, None] + own * y)  # (panels, nodes)
        first = np.searchsorted(row, np.arange(len(centres)))
        weighted = h * weight
        for k, (a, b) in enumerate(((h, weight), (slope, weight), (h, weighted))):
            by_panel = np.einsum("pn,pn->p", a, b)
            out[k, start : start + rows] = np.add.reduceat(by_panel, first)
    return out


def _normalised(means_of: Gaussian, means: Means, z: Array) -> tuple[Array, Array]:
    """f/rms and f'/slope_rms at z."""
    act = means_of.act
    with np.errstate(all="ignore"):
        h = np.asarray(act.f(z), dtype=np.float64)
        slope = np.asarray(act.derivative(z, h), dtype=np.float64)
        return h / means.rms, slope / (means.slope_rms or 1.0)


def _sides(act: Activation, scale: float) -> tuple[float, float] | None:
    """(b, a) where act is b min(z, 0) + a max(z, 0) at this scale; None where it is not."""
    if act.homogeneous:
        ones = np.array([-1.0, 1.0])
        b, a = act.derivative(ones, act.f(ones)).tolist()
        return b, a
    if scale < _FAR:
        return None
    z = scale * _SAMPLED
    with np.errstate(all="ignore"):
        h = np.asarray(act.f(np.stack([-z, z])), dtype=np.float64)
        b, a = h[0, -1] / -z[-1], h[1, -1] / z[-1]
        missed = np.abs(h - np.stack([-b * z, a * z])) / scale
        linear = bool((missed <= max(abs(a), abs(b)) / _FAR).all()) and 0 < max(abs(a), abs(b)) < math.inf
    return (b, a) if linear else None


def _homogeneous(b: float, a: float, c: float) -> Pair:
    """b min(z, 0) + a max(z, 0), the form of every homogeneous activation: arc-cosine kernels.

    Cho and Saul 2009, degrees 0, 1 and 2. With θ the angle between the inputs, E[u1⁺ⁿ u2⁺ⁿ] = J_n(θ) / 2π,
    and the same at π - θ for one positive and one negative part.
    """
    theta = math.acos(max(-1.0, min(1.0, c)))
    j0, j1, j2 = _arc_cosine(theta)
    k0, k1, k2 = _arc_cosine(math.pi - theta)
    q = (a * a + b * b) / 2
    if q == 0:
        return Pair(math.nan, 0.0, math.nan)
    # Both positive, both negative; one positive and one negative: f's signs multiply, u's moduli do.
    product = ((a * a + b * b) * j1 - 2 * a * b * k1) / (2 * math.pi)
    slopes = ((a * a + b * b) * j0 + 2 * a * b * k0) / (2 * math.pi)
    squares = ((a**4 + b**4) * j2 + 2 * a * a * b * b * k2) / (2 * math.pi)
    return Pair(_or_zero(product / q), slopes, _or_zero(squares / (q * q) - 1))


def _arc_cosine(theta: float) -> tuple[float, float, float]:
    """J_0, J_1 and J_2 of Cho and Saul 2009."""
    sine, cosine, rest = math.sin(theta), math.cos(theta), math.pi - theta
    return rest, sine + rest * cosine, 3 * sine * cosine + rest * (1 + 2 * cosine * cosine)
