"""The distributions of Z: zero mean, unit variance, float32."""

import math
from functools import lru_cache

import numpy as np

from sweep.base.arrays import Array
from sweep.initializers.normal import standard_normal
from sweep.initializers.scheme import Distribution, Weights

_REDRAW = 0.5  # a share inside the cuts above which redrawing is cheaper than the inverse CDF
_NARROW = 1e-6  # a distance of the cuts, in standard deviations, of which Φ leaves only a few numbers
_FLAT = 1e-12  # a slope of the density between them that makes no difference


def _unit_uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
    z = rng.random((fan_in, fan_out), dtype=np.float32)  # [0, 1)
    z -= np.float32(0.5)
    z *= np.float32(math.sqrt(12.0))  # a uniform of width a has variance a² / 12
    return z


def _haar_orthogonal(rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
    """Orthonormal columns (rows, where they are fewer), uniform over all such matrices.

    The signs of R's diagonal make Q unique, hence uniform: Mezzadri 2007, arXiv:math-ph/0609050.
    """
    tall, short = max(fan_in, fan_out), min(fan_in, fan_out)
    q, r = np.linalg.qr(standard_normal(rng, tall, short).astype(np.float64))
    q *= np.where(np.diag(r) < 0, -1.0, 1.0)
    q *= math.sqrt(tall)  # each of the `short` unit vectors spreads over `tall` entries
    return (q if fan_in >= fan_out else q.T).astype(np.float32)


def _eye(rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
    return np.eye(fan_in, fan_out, dtype=np.float32)


def _sparse_normal(rng: np.random.Generator, fan_in: int, fan_out: int, sparsity: float) -> Weights:
    z = standard_normal(rng, fan_in, fan_out)
    zeros = zeros_per_row(sparsity, fan_out)
    if zeros == fan_out:
        return np.zeros_like(z)
    kept = np.broadcast_to(np.arange(fan_out) >= zeros, z.shape)
    z *= rng.permuted(kept, axis=1)  # other places in every row
    z *= np.float32(1 / math.sqrt(1 - zeros / fan_out))
    return z


def zeros_per_row(sparsity: float, fan_out: int) -> int:
    """How many weights of one input unit are zero: rounded up, as torch.nn.init.sparse_ does."""
    return math.ceil(sparsity * fan_out)


def _truncated_normal(
    rng: np.random.Generator, fan_in: int, fan_out: int, low: float, high: float
) -> Weights:
    if high - low < _NARROW:
        return _narrow(rng, fan_in, fan_out, low, high)
    mean, std = truncated_moments(low, high)
    inside = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    shape = (fan_in, fan_out)
    t = _redrawn(rng, shape, low, high) if inside > _REDRAW else _inverse_cdf(rng, shape, low, high)
    return ((t - mean) / std).astype(np.float32)


def _narrow(rng: np.random.Generator, fan_in: int, fan_out: int, low: float, high: float) -> Weights:
    """Between cuts so close that the density there is exp(-low s), s the distance from the lower one."""
    if low + high > 0:  # as in `_inverse_cdf`
        return -_narrow(rng, fan_in, fan_out, -high, -low)
    k = low * (high - low)
    u = rng.random((fan_in, fan_out))
    s = u if abs(k) < _FLAT else np.log1p(u * np.expm1(-k)) / -k  # from 0 to 1
    mean, std = _moments_of_exponential(k)
    return ((s - mean) / std).astype(np.float32)


def _moments_of_exponential(k: float) -> tuple[float, float]:
    """Mean and std of s in [0, 1] of density ~ exp(-k s), by quadrature as `truncated_moments`."""
    s = (1 + _legendre()[0]) / 2
    return _moments(s, -k * s - max(0.0, -k))


def _redrawn(rng: np.random.Generator, shape: tuple[int, int], low: float, high: float) -> Array:
    low, high = max(low, -99.0), min(high, 99.0)  # no draw is farther out, and float32 holds these
    t = standard_normal(rng, *shape)
    flat = t.reshape(-1)
    outside = np.flatnonzero((flat < low) | (flat > high))
    while outside.size:
        again = standard_normal(rng, outside.size)
        flat[outside] = again
        outside = outside[(again < low) | (again > high)]
    return t


def _inverse_cdf(rng: np.random.Generator, shape: tuple[int, int], low: float, high: float) -> Array:
    from scipy.special import log_ndtr, ndtri_exp  # noqa: PLC0415  the other schemes need no SciPy

    if low + high > 0:  # the CDF resolves the lower tail to any depth, the upper one to 1e-16 only
        return -_inverse_cdf(rng, shape, -high, -low)
    ratio = math.exp(log_ndtr(low) - log_ndtr(high))  # Φ(low) / Φ(high)
    u = rng.random(shape)
    u *= 1 - ratio
    u += ratio  # Φ(t) / Φ(high), uniform
    with np.errstate(divide="ignore"):  # log 0 = -inf, which is clipped
        t = ndtri_exp(np.log(u) + log_ndtr(high))
    clipped: Array = np.clip(t, low, high)
    return clipped


@lru_cache(maxsize=4096)
def truncated_moments(low: float, high: float) -> tuple[float, float]:
    """Mean and std of N(0, 1) given low < z < high.

    By quadrature: where the bounds are close together or far out, the closed form cancels.
    """
    peak = min(max(0.0, low), high)
    reach = math.sqrt(peak * peak + 80)  # exp(-(reach² - peak²)/2) = 4e-18: nothing beyond it counts
    a, b = max(low, -reach), min(high, reach)
    centre, step = (a + b) / 2, (b - a) / 2 * _legendre()[0]
    shift, std = _moments(step, -((centre + step) ** 2 - peak**2) / 2, symmetric=low == -high)
    return centre + shift, std


def _moments(x: Array, log_density: Array, symmetric: bool = False) -> tuple[float, float]:
    """Mean (exactly 0 if `symmetric`) and std of x, given at Legendre's nodes."""
    weights = _legendre()[1] * np.exp(log_density)
    weights /= weights.sum()
    mean = 0.0 if symmetric else float(weights @ x)
    return mean, math.sqrt(float(weights @ (x - mean) ** 2))


@lru_cache(maxsize=1)
def _legendre() -> tuple[Array, Array]:
    """Nodes in [-1, 1], and weights."""
    return np.polynomial.legendre.leggauss(100)


NORMAL = Distribution("normal", standard_normal)
UNIFORM = Distribution("uniform", _unit_uniform)
ORTHOGONAL = Distribution("orthogonal", _haar_orthogonal)
# Ones on the diagonal, whether or not fan_in and fan_out agree: no variance, std only multiplies it.
EYE = Distribution("eye", _eye, random=False, mixes=False)


def truncated(low: float, high: float) -> Distribution:
    """N(0, 1) cut at `low` and `high`, then moved and scaled to zero mean and unit variance."""
    return Distribution("truncated_normal", _truncated_normal, (low, high))


def sparse(sparsity: float) -> Distribution:
    """N(0, 1) with a share of each row set to zero, then scaled to unit variance."""
    return Distribution("sparse", _sparse_normal, (sparsity,), mixes=False)


TRUNCATED = truncated(-2.0, 2.0)
