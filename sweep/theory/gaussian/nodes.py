"""Laws of one number as a few weighted points, the nodes of Gauss quadrature.

k of them have the law's first 2k - 1 moments, whatever its spread and its peaks: enough for the mean of any
smooth function. No random numbers.
"""

import math
from functools import lru_cache

import numpy as np

from sweep.base.arrays import Array

_TINY = 1e-7  # a spread below which a law is a point
_LEAST = 1e-6  # the size below which a Lanczos vector is rounding
# log t at the points of a trapezoid rule over log t: the integrands are analytic with poles at ± iπ/2, so
# a step of 0.35 misses exp(-π² / 0.35) = 6e-13 of them.
LOG_T = np.linspace(-28.0, 80.05, 309)
T = np.exp(LOG_T)
_STEP = LOG_T[1] - LOG_T[0]
_DECAYED = np.exp(-T)


@lru_cache(maxsize=32)
def hermite(k: int) -> tuple[Array, Array]:
    """k points and weights of N(0, 1)."""
    x, weights = np.polynomial.hermite_e.hermegauss(k)
    return x, weights / weights.sum()


def hermite_rows(x: Array, first: Array, count: int) -> Array:
    """first · He_k(x) / √k! for k below `count`: (count, len(x)). He_k = x He_(k-1) - (k - 1) He_(k-2)."""
    rows = [first, x * first]
    for k in range(2, count):
        rows.append((x * rows[-1] - math.sqrt(k - 1) * rows[-2]) / math.sqrt(k))
    return np.stack(rows)


def log_gamma(k: int, shape: float) -> tuple[Array, Array]:
    """k points and weights of log X, X a gamma variable of this shape and mean 1."""
    i = np.arange(k)
    beside = np.sqrt(i[1:] * (i[1:] - 1 + shape))
    jacobi = np.diag(2 * i + shape) + np.diag(beside, 1) + np.diag(beside, -1)
    x, vectors = np.linalg.eigh(jacobi)
    return np.log(x / shape), vectors[0] ** 2


def gauss(x: Array, weights: Array, k: int) -> tuple[Array, Array]:
    """k ascending points and weights of the laws x, weights (..., N): Golub and Welsch 1969.

    Of a law of fewer than k points the others have weight 0.
    """
    weights = weights / weights.sum(axis=-1, keepdims=True)
    centre = (weights * x).sum(axis=-1, keepdims=True)
    spread = np.sqrt((weights * (x - centre) ** 2).sum(axis=-1, keepdims=True))
    spread = np.where(spread < _TINY, 0.0, spread)
    u = (x - centre) / np.where(spread == 0, 1.0, spread)
    vector = np.sqrt(weights)
    basis = vector[..., None, :]
    jacobi = np.zeros((*x.shape[:-1], k, k))
    for i in range(k):  # Lanczos, each vector orthogonal to all before
        image = u * vector
        jacobi[..., i, i] = (image * vector).sum(axis=-1)
        if i == k - 1:
            break
        image = image - ((basis @ image[..., None]).swapaxes(-1, -2) @ basis)[..., 0, :]
        size = np.sqrt((image * image).sum(axis=-1))
        size = np.where(size < _LEAST, 0.0, size)
        jacobi[..., i, i + 1] = jacobi[..., i + 1, i] = size
        vector = image / np.where(size == 0, 1.0, size)[..., None]
        basis = np.concatenate([basis, vector[..., None, :]], axis=-2)
    points, vectors = np.linalg.eigh(jacobi)
    return centre + spread * points, vectors[..., 0, :] ** 2


def shares(old: Array, new: Array) -> Array:
    """The shares of old points in each new one: (new, old), rows adding up to 1; both ascending, by weights.

    A new point takes over the old ones between the same quantiles.
    """
    before, after = (np.concatenate([[0.0], np.cumsum(weights) / weights.sum()]) for weights in (old, new))
    above = np.minimum(before[1:], after[1:, None])
    taken = np.maximum(above - np.maximum(before[:-1], after[:-1, None]), 0.0)
    return np.asarray(taken / np.maximum(taken.sum(axis=1, keepdims=True), np.finfo(float).tiny))


def regression(x: Array, weights: Array, values: Array, at: Array) -> Array:
    """E[values | x] at other points, as a quadratic in x fitted under the laws x, weights (..., N)."""
    centre = (weights * x).sum(axis=-1, keepdims=True)
    spread = np.sqrt((weights * (x - centre) ** 2).sum(axis=-1, keepdims=True)) + _TINY
    u, v = (x - centre) / spread, (at - centre) / spread
    powers, powers_at = np.stack([u**0, u, u * u], axis=-2), np.stack([v**0, v, v * v], axis=-2)
    weighted = powers * weights[..., None, :]
    gram = weighted @ powers.swapaxes(-1, -2) + 1e-9 * np.eye(3)
    fitted = np.linalg.solve(gram, weighted @ values[..., None])
    result = (powers_at.swapaxes(-1, -2) @ fitted)[..., 0]
    low, high = values.min(axis=-1, keepdims=True), values.max(axis=-1, keepdims=True)
    return np.asarray(np.clip(result, low, high))


def skewed(mean: Array, std: Array) -> tuple[Array, Array]:
    """Points and weights, (..., 3), of X with this mean and std and E[exp X] = 1, which sets its skewness."""
    std = np.maximum(std, _TINY)
    skewness = np.clip(-6 * (mean + std * std / 2) / std**3, -2.0, 2.0)  # by the series of cumulants
    x, weights = _three_points(skewness)
    missed = np.log((weights * np.exp(std[..., None] * x)).sum(axis=-1)) + mean
    x, weights = _three_points(np.clip(skewness - 6 * missed / std**3, -3.0, 3.0))  # a step of Newton's
    return mean[..., None] + std[..., None] * x, weights


def _three_points(skewness: Array) -> tuple[Array, Array]:
    """Points and weights of mean 0, variance 1, this skewness and the kurtosis of a gamma law with it."""
    jacobi = np.zeros((*skewness.shape, 3, 3))
    jacobi[..., 0, 1] = jacobi[..., 1, 0] = 1.0
    jacobi[..., 1, 1] = skewness
    jacobi[..., 1, 2] = jacobi[..., 2, 1] = np.sqrt(2 + skewness**2 / 2)
    jacobi[..., 2, 2] = 1.5 * skewness
    x, vectors = np.linalg.eigh(jacobi)
    return x, vectors[..., 0, :] ** 2


def log_moments(transform: Array) -> tuple[Array, Array]:
    """Mean and variance of log X, X > 0, from E[exp(-t X)] at the points LOG_T along the last axis.

    Γ(s) E[X^-s] = ∫ t^(s-1) E[exp(-t X)] dt, less the same for X = 1, to second order in s.
    """
    excess = transform - _DECAYED
    mean = -excess.sum(axis=-1) * _STEP
    second = 2 * ((excess * LOG_T).sum(axis=-1) * _STEP - np.euler_gamma * mean)
    return mean, np.maximum(second - mean * mean, 0.0)


def log_mean_moments(x: Array, weights: Array, count: int) -> tuple[Array, Array]:
    """Mean and variance of log (mean of exp X over `count` independent X), X by x, weights (..., N)."""
    top = x.max(axis=-1, keepdims=True)
    decayed = np.exp(-np.exp(x - top)[..., None] * (T / count))
    mean, variance = log_moments((decayed * weights[..., None]).sum(axis=-2) ** count)
    return mean + top[..., 0], variance


def log_mean_exp(x: Array, weights: Array) -> Array:
    """log E[exp X] of the laws x, weights (..., N)."""
    top = x.max(axis=-1, keepdims=True)
    mean: Array = np.log((np.exp(x - top) * weights).sum(axis=-1)) + top[..., 0]
    return mean


def normal_grid(edges: Array, nodes: int) -> tuple[Array, Array]:
    """x and weights of E over N(0, 1), on panels between these edges."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    half = np.diff(edges)[:, None] / 2
    x = (edges[:-1, None] + half * (1 + points)).ravel()
    density = (half * weights).ravel() * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return x, density / density.sum()
