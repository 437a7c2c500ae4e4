"""What one layer does to a signal of any size, and how much that varies: tables over log v.

z ~ N(0, v) gives f = act(z); a layer's mean of f² over n neurons is E[f²] times 1 + ξ, a mean of n
independent X = f² / E[f²]. With D(t) = E[exp(-t X/n)]^n - exp(-t)

    E[log(1 + ξ)] = -∫ D dt/t,   E[log²(1 + ξ)] = 2 ∫ log t · D dt/t - 2 γ E[log(1 + ξ)],

to first order in 1/n -o/2n and, the variance, o/n, o = Var f² / E[f²]² (docs/finite-width.md).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.base.errors import RequestError
from sweep.theory.gaussian.moments import Gaussian, Means, over_a_period, waves
from sweep.theory.gaussian.nodes import LOG_T, T, hermite_rows, log_moments, normal_grid

_STEP = 0.5  # of log v; with slopes known, cubics between these are right to 2e-4
_FAR = 40.0  # abs(log v) beyond which act is a power law
_DEGREE = 48  # of Hermite series; the rest of the even and of the odd part goes into two more terms
_BASE = np.linspace(-9.0, 9.0, 37)  # edges of panels, in standard deviations
_MOST_EDGES = 600
_RESOLVED = 1e-6
_PHASES, _HARMONICS = 512, 6
_WAVES = 1.0  # a scale, in periods of 2π, from which on a Hermite series is too short
_ANY_PHASE = 400.0  # a log v from which on any two inputs are at any two phases
_ROUNDING = 1e-12
_FAINT = 1e-5  # a share of layers whose log is below -80
_MANY = 8  # neurons; of a mean of so many E[exp(-t X)] has decayed after _DECAYED points
_DECAYED = int(np.searchsorted(LOG_T, 14.0))
_ORTHOGONAL = 1e-6  # a cosine below which none of its powers counts, nor is a subnormal number


@dataclass(frozen=True)
class Step:
    """By log v: log E[f²] and d log E[f²] / d log v, o = Var f² / E[f²]², E and Var of log(1 + ξ)."""

    log_map: Array
    elasticity: Array
    own: Array
    log_mean: Array
    log_variance: Array


class Fluctuations:
    """One activation seen by layers of one width."""

    def __init__(self, means_of: Gaussian, width: int) -> None:
        self.homogeneous = means_of.act.homogeneous
        self._means_of, self._width = means_of, width
        self._factors: dict[int, tuple[float, float]] = {}

    def at(self, log_v: Array) -> Step:
        """The fields at these log v, each of log_v's shape: cubics and lines between the tables' points.

        A homogeneous f has one row, as E[f²] is proportional to v and X does not depend on it. Raises
        RequestError where act has no moments.
        """
        if self.homogeneous:
            row, ones = self._rows(np.zeros(1, int)), np.ones_like(log_v)
            return Step(log_v + row[0, 0], ones, row[2, 0] * ones, row[3, 0] * ones, row[4, 0] * ones)
        inside = np.clip(log_v, -_FAR, _FAR)
        left = np.floor(inside / _STEP).astype(int)
        t = inside / _STEP - left
        a, b = self._rows(left), self._rows(left + 1)
        low, high = a[0] * (1 + 2 * t) + _STEP * a[1] * t, b[0] * (3 - 2 * t) - _STEP * b[1] * (1 - t)
        elasticity, own, mean, variance = a[1:] * (1 - t) + b[1:] * t
        log_map = low * (1 - t) ** 2 + high * t**2 + elasticity * (log_v - inside)
        return Step(log_map, elasticity, own, mean, variance)

    def pairs(self, log_v: Array, c: Array) -> tuple[Array, Array, Array, Array]:
        """o, (..., 1), and C, s, k of two inputs of correlation c, (..., C), at the table's nearest v.

        C = E[f_a f_b], s = Cov(f_a², f_b²) and k = Cov(f_a f_b, f_a²), where E[f²] = 1, by power series in c
        (Mehler), or by Fourier series for a periodic f. log_v: (...).
        """
        index = np.zeros(log_v.shape, int)
        if not self.homogeneous:
            index = np.round(np.clip(log_v, -_FAR, _FAR) / _STEP).astype(int)
        rows = [_row(self._means_of, i) for i in index.ravel().tolist()]
        own = np.array([row.own for row in rows]).reshape(*index.shape, 1)
        series = np.stack([row.series for row in rows]).reshape(*index.shape, _DEGREE + 2, 3)
        powers = np.empty((*c.shape, _DEGREE + 2))
        powers[..., 0] = 1.0
        powers[..., 1:] = np.where(np.abs(c) < _ORTHOGONAL, 0.0, c)[..., None]
        np.multiply.accumulate(powers, axis=-1, out=powers)
        moments = powers @ series
        for at, row in zip(np.ndindex(index.shape), rows, strict=True):
            if row.waves:
                own_v, true_v = float(index[at]) * _STEP, float(log_v[at])  # E[f²] is 1 at the row's own
                moments[at] = row.waves(true_v if true_v > _FAR else own_v, c[at])
        cosine, squares, cubes = np.moveaxis(moments, -1, 0)
        return own, cosine, squares - 1, cubes - cosine

    def _rows(self, index: Array) -> Array:
        """The fields of Step at grid points: (5, ...)."""
        points, inverse = np.unique(index, return_inverse=True)
        table = np.empty((5, len(points)))
        for k, i in enumerate(points.tolist()):
            row = _row(self._means_of, i)
            if i not in self._factors:
                self._factors[i] = row.factor(self._width)
            table[:, k] = row.log_map, row.elasticity, row.own, *self._factors[i]
        rows: Array = table[:, inverse.reshape(index.shape)]
        return rows


@lru_cache(maxsize=512)
def fluctuations(means_of: Gaussian, width: int) -> Fluctuations:
    """The tables of one activation and width, made once."""
    return Fluctuations(means_of, width)


class _Row:
    """One activation at one v."""

    def __init__(self, means_of: Gaussian, scale: float) -> None:
        means = means_of.at(scale)
        self.log_map = 2 * math.log(means.rms) if means.rms else -math.inf
        self.elasticity = means.elasticity
        many = means_of.act.period and scale > _WAVES * means_of.act.period / (2 * math.pi)
        self.waves = _Waves(means_of.act, means.rms) if many else None
        h, weights, hermite = _on_grid(means_of, means, scale)
        self._weights, self._squares = weights, h * h
        own = float(weights @ self._squares**2) - 1
        self.own = own if own > _ROUNDING else 0.0
        pairs = ((h, h), (self._squares, self._squares), (h, h * self._squares))
        self.series = np.stack([_series(hermite, weights, f, g) for f, g in pairs], axis=1)

    def factor(self, width: int) -> tuple[float, float]:
        """Mean and variance of the log of the mean of f² / E[f²] over `width` neurons, of layers not dead.

        E[exp(-t X)] of a mean of independent terms is a power.
        """
        weights = self._weights
        if self.own < _ROUNDING:
            return 0.0, 0.0
        points = T / width
        few = points if width < _MANY else points[:_DECAYED]
        transform = np.zeros_like(points)
        transform[: len(few)] = (np.exp(-np.outer(few, self._squares)) @ weights) ** width
        dead = float(weights[self._squares == 0].sum()) ** width
        if transform[-1] - dead > _FAINT:
            raise RequestError("a few layers keep next to nothing, and they make the spread over seeds")
        mean, variance = log_moments(np.maximum(transform - dead, 0.0) / (1 - dead))
        return float(mean), float(variance)


class _Waves:
    """E[f_a f_b], E[f_a² f_b²] and E[f_a³ f_b], E[f²] = 1, of a periodic f: by its Fourier series.

    E[exp(i ω (k u + l u'))] = exp(-ω² v (k² + l² + 2klc) / 2).
    """

    def __init__(self, act: Activation, rms: float) -> None:
        h = over_a_period(act, _PHASES)[0] / (rms or 1.0)
        k = np.fft.fftfreq(_PHASES, 1 / _PHASES)
        shift = np.exp(-1j * math.pi * k / _PHASES)  # the first point lies half a step from 0
        kept = np.abs(k) <= _HARMONICS
        first, second, third = (np.fft.fft(np.stack([h, h * h, h**3])) / _PHASES * shift)[:, kept]
        pairs = ((first, first), (second, second), (first, third))
        self._terms = np.stack([np.outer(a, b).real.ravel() for a, b in pairs], axis=1)
        rate = (2 * math.pi / (act.period or 1.0)) ** 2 / 2
        self._apart = rate * np.add.outer(k[kept], k[kept]).ravel() ** 2
        self._together = rate * 2 * np.outer(k[kept], k[kept]).ravel()

    def __call__(self, log_v: float, c: Array) -> Array:
        """All three at correlations c, (C,): (C, 3); log_v: that of `rms`, or any far out."""
        v = math.exp(min(log_v, _ANY_PHASE))
        moments: Array = np.exp(-v * (self._apart - self._together * (1 - c)[:, None])) @ self._terms
        return moments


@lru_cache(maxsize=10_000)
def _row(means_of: Gaussian, index: int) -> _Row:
    return _Row(means_of, math.exp(index * _STEP / 2))


def _on_grid(means_of: Gaussian, means: Means, scale: float) -> tuple[Array, Array, Array]:
    """f / rms on a grid that resolves it, the weights, and the weights times Hermite's polynomials.

    A grid resolves f where it gives E[f²] = 1, and E[f² (x² - 1)] / 2 for the slope by log v (Price 1958).
    Raises RequestError where no grid does, or where the slope is not known.
    """
    act = means_of.act
    if waves(act, scale):  # all phases are alike, and those of two inputs independent
        h, _ = over_a_period(act, _PHASES)
        weights = np.full(_PHASES, 1 / _PHASES)
        return h / (means.rms or 1.0), weights, np.stack([weights, *np.zeros((_DEGREE - 1, _PHASES))])
    structure = means.structure / scale
    for fine in (False, True):
        edges = _BASE
        if fine:
            edges = np.union1d(edges, np.concatenate([-structure, structure]))
            edges = edges[np.abs(edges) <= _BASE[-1]]
            if len(edges) > _MOST_EDGES:
                break
        x, weights, hermite = _grid(edges.tobytes())
        with np.errstate(all="ignore"):
            h = np.asarray(act.f(scale * x), dtype=np.float64) / (means.rms or 1.0)
        density = weights * h * h
        whole, slope = float(density.sum()), float(density @ (x * x - 1)) / 2
        if means.rms == 0 or (abs(whole - 1) < _RESOLVED and abs(slope - means.elasticity) < _RESOLVED):
            return h, weights, hermite
    raise RequestError(f"the spread of {act.formula or act.name} over seeds is not known at v = {scale**2:g}")


@lru_cache(maxsize=64)
def _grid(edges: bytes) -> tuple[Array, Array, Array]:
    """x and weights of N(0, 1), and He_k(x) / √k! times the weights: (K, x)."""
    x, weights = normal_grid(np.frombuffer(edges), 10)
    return x, weights, hermite_rows(x, np.ones_like(x), _DEGREE) * weights


def _series(hermite: Array, weights: Array, f: Array, g: Array) -> Array:
    """The coefficients of c^k in E[f(u) g(u')], u and u' of correlation c (Mehler); exact at c = ±1."""
    terms = (hermite @ f) * (hermite @ g)
    whole, mirrored = weights @ (f * g), weights @ (f * g[::-1])
    even, odd = (whole + mirrored) / 2 - terms[::2].sum(), (whole - mirrored) / 2 - terms[1::2].sum()
    return np.concatenate([terms, [even, odd]])
