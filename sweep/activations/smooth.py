"""Smooth activations: f, and f' from (z, h).

Safe and accurate far out, in float32, float64 and long double: no exponent is ever positive, so nothing
overflows, and a tail keeps its relative accuracy until it underflows to 0. What is written here is for the
wider dtypes where `narrow` has another formula for float32.
"""

import math
from collections.abc import Callable

import numpy as np

from sweep.activations import extended, narrow
from sweep.activations.activation import MANY_UNITS
from sweep.activations.chunks import in_float32
from sweep.activations.narrow import FAR as _FAR  # clipping here avoids 0 · inf
from sweep.activations.narrow import GELU_CUBIC as _GELU_CUBIC
from sweep.activations.narrow import GELU_SLOPE as _GELU_SLOPE
from sweep.base.arrays import Array

ROUGH = 2.0**-13  # below this, float32's 1 - h² is off by 5e-4 of itself or more


def identity_slope(z: Array, h: Array) -> Array:
    """1."""
    return np.ones_like(z)


def tanh_slope(z: Array, h: Array) -> Array:
    """1 - tanh(z)²; in wide float32 layers 1 - h², whose accuracy is only absolute."""
    if z.dtype != np.float32 or z.shape[-1:] < (MANY_UNITS,):
        return _squared_sech(z)
    slope: Array = 1 - h * h
    return slope


def _squared_sech(z: Array) -> Array:
    """1 / cosh(z)², with full relative accuracy."""
    w = np.abs(z)
    w *= -2
    np.exp(w, out=w)
    squared: Array = 1 + w
    squared *= squared
    w *= 4
    np.divide(w, squared, out=squared)
    return squared


@in_float32(narrow.sigmoid, 1)
def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z))."""
    p, q = _odds(z)
    q += p
    p /= q
    return p


@in_float32(narrow.sigmoid_slope, 1)
def sigmoid_slope(z: Array, h: Array) -> Array:
    """σ(z) σ(-z)."""
    return _sigmoid_with_slope(z)[1]


@in_float32(narrow.silu, 2)
def silu(z: Array) -> Array:
    """z σ(z): Elfwing et al. 2018; Ramachandran et al. 2017 (swish)."""
    return _gated(z, sigmoid(z))


@in_float32(narrow.silu_slope, 2)
def silu_slope(z: Array, h: Array) -> Array:
    """σ(z) + z σ'(z)."""
    gate, slope = _sigmoid_with_slope(z)
    slope *= np.clip(z, -_FAR, _FAR)
    slope += gate
    return slope


@in_float32(narrow.mish, 2)
def mish(z: Array) -> Array:
    """z tanh(softplus(z)): Misra 2019."""
    gate, rest = _mish_gate(*_odds(z))
    rest += gate
    gate /= rest
    return _gated(z, gate)


@in_float32(narrow.mish_slope, 3)
def mish_slope(z: Array, h: Array) -> Array:
    """With t = tanh(softplus(z)): t + z (1 - t²) σ(z)."""
    p, q = _odds(z)
    gate, rest = _mish_gate(p, q)
    q += p
    p /= q  # σ(z)
    q = gate + rest
    gate /= q  # t
    rest /= q  # 1 - t
    p *= rest
    p *= 1 + gate
    p *= np.clip(z, -_FAR, _FAR)
    p += gate
    return p


def scaled(z: Array, f: Callable[[Array], Array], beta: float) -> Array:
    """f(beta z) / beta."""
    h = f(beta * z)
    h /= beta
    return h


def scaled_slope(z: Array, h: Array, slope: Callable[[Array, Array], Array], beta: float) -> Array:
    """Its slope, f'(beta z)."""
    return slope(beta * z, beta * h)


def sine(z: Array, omega: float) -> Array:
    """sin(omega z): Sitzmann et al. 2020."""
    return np.sin(omega * z)


def sine_slope(z: Array, h: Array, omega: float) -> Array:
    """omega cos(omega z)."""
    slope: Array = omega * np.cos(omega * z)
    return slope


@in_float32(narrow.softplus, 2)
def softplus(z: Array) -> Array:
    """log(1 + exp(z))."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


@in_float32(narrow.softplus_slope, 1)
def softplus_slope(z: Array, h: Array) -> Array:
    """σ(z) = 1 - exp(-h)."""
    return -np.expm1(-h)


@in_float32(narrow.gelu, 2)
def gelu(z: Array) -> Array:
    """z Φ(z): Hendrycks and Gimpel 2016."""
    return _gated(z, extended.ndtr(z))


@in_float32(narrow.gelu_slope, 2)
def gelu_slope(z: Array, h: Array) -> Array:
    """Φ(z) + z φ(z); Φ = h / z is far cheaper than the error function."""
    z = np.clip(z, -_FAR, _FAR)
    gate = np.full_like(z, 0.5)
    np.divide(np.minimum(h, _FAR), z, out=gate, where=np.abs(z) > 1e-30)  # Φ(0) = 1/2
    return gate + z * np.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi))


@in_float32(narrow.gelu_tanh, 2)
def gelu_tanh(z: Array) -> Array:
    """z (1 + tanh(√(2/π) (z + 0.044715 z³))) / 2, that is z σ(2 √(2/π) (z + 0.044715 z³))."""
    u, _ = _gelu_argument(np.clip(z, -_FAR, _FAR))
    return _gated(z, sigmoid(u))


@in_float32(narrow.gelu_tanh_slope, 2)
def gelu_tanh_slope(z: Array, h: Array) -> Array:
    """σ(u) + z σ'(u) u', u = 2 √(2/π) (z + 0.044715 z³)."""
    z = np.clip(z, -_FAR, _FAR)
    u, inner = _gelu_argument(z)
    gate, slope = _sigmoid_with_slope(u)
    slope *= z
    slope *= inner
    slope += gate
    return slope


@in_float32(narrow.erf, 2)
def erf(z: Array) -> Array:
    """The error function."""
    return extended.erf(z)


@in_float32(narrow.erf_slope, 0)
def erf_slope(z: Array, h: Array) -> Array:
    """2 exp(-z²) / √π."""
    z = np.clip(z, -_FAR, _FAR)
    slope: Array = np.exp(-z * z) * (2 / math.sqrt(math.pi))
    return slope


def sin_slope(z: Array, h: Array) -> Array:
    """cos z."""
    return np.cos(z)


def _odds(z: Array) -> tuple[Array, Array]:
    """(p, q) with exp(z) = p / q, neither above 1: σ(z) = p / (p + q)."""
    return np.exp(np.minimum(z, 0)), np.exp(-np.maximum(z, 0))


def _sigmoid_with_slope(z: Array) -> tuple[Array, Array]:
    """σ(z) and σ'(z) = σ(z) σ(-z)."""
    p, q = _odds(z)
    total = p + q
    p /= total
    q /= total
    q *= p
    return p, q


def _mish_gate(p: Array, q: Array) -> tuple[Array, Array]:
    """(a, b) with tanh(log(1 + w)) = (w² + 2w) / (w² + 2w + 2) = a / (a + b), w = p / q."""
    a = 2 * q
    b = a * q
    a += p
    a *= p
    return a, b


def _gelu_argument(z: Array) -> tuple[Array, Array]:
    """u = 2 √(2/π) (z + 0.044715 z³) and u'."""
    u = z * z
    u *= _GELU_SLOPE * _GELU_CUBIC
    slope = 3 * u
    slope += _GELU_SLOPE
    u += _GELU_SLOPE
    u *= z
    return u, slope


def _gated(z: Array, gate: Array) -> Array:
    """z · gate, and 0 at -inf; overwrites `gate`."""
    gate *= np.maximum(z, -_FAR)
    return gate
