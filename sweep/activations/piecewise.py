"""Activations with a kink: f, and f' from (z, h).

At a kink f' is the left limit, as in torch. The sum of a part above 0 and a part below is exact, since one of
them is 0, and several times faster than np.where.
"""

import numpy as np

from sweep.activations import narrow
from sweep.activations.chunks import in_float32
from sweep.base.arrays import Array

# The fixed point of mean 0 and variance 1: Klambauer et al. 2017.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def relu_slope(z: Array, h: Array) -> Array:
    """1 above 0, else 0."""
    return (z > 0).astype(z.dtype)


@in_float32(narrow.leaky_relu, 1)
def leaky_relu(z: Array, negative_slope: float) -> Array:
    """max(z, 0) + negative_slope · min(z, 0): Maas et al. 2013."""
    h = negative_slope * np.minimum(z, 0)
    h += np.maximum(z, 0)
    return h


def leaky_relu_slope(z: Array, h: Array, negative_slope: float) -> Array:
    """1 above 0, else negative_slope."""
    return _either(z, 1.0, np.full_like(z, negative_slope))


@in_float32(narrow.elu, 1)
def elu(z: Array, alpha: float) -> Array:
    """max(z, 0) + alpha · (exp(min(z, 0)) - 1): Clevert et al. 2016."""
    h = alpha * np.expm1(np.minimum(z, 0))
    h += np.maximum(z, 0)
    return h


@in_float32(lambda z, h, alpha, out: narrow.below_0(z, 1.0, alpha, 1.0, out), 0)
def elu_slope(z: Array, h: Array, alpha: float) -> Array:
    """1 above 0, else alpha · exp(z)."""
    return _either(z, 1.0, alpha * np.exp(np.minimum(z, 0)))


@in_float32(lambda z, out, t: narrow.selu(z, SELU_ALPHA, SELU_SCALE, out, t), 1)
def selu(z: Array) -> Array:
    """Elu of the alpha that keeps mean 0 and variance 1, times its scale: Klambauer et al. 2017."""
    h = elu(z, SELU_ALPHA)
    h *= SELU_SCALE
    return h


@in_float32(lambda z, h, out: narrow.below_0(z, SELU_SCALE, SELU_SCALE * SELU_ALPHA, 1.0, out), 0)
def selu_slope(z: Array, h: Array) -> Array:
    """The scale above 0, else scale · alpha · exp(z)."""
    return _either(z, SELU_SCALE, (SELU_SCALE * SELU_ALPHA) * np.exp(np.minimum(z, 0)))


@in_float32(narrow.celu, 1)
def celu(z: Array, alpha: float) -> Array:
    """max(z, 0) + alpha · (exp(min(z, 0) / alpha) - 1), smooth in its slope: Barron 2017."""
    h = alpha * np.expm1(np.minimum(z, 0) / alpha)
    h += np.maximum(z, 0)
    return h


@in_float32(lambda z, h, alpha, out: narrow.below_0(z, 1.0, 1.0, alpha, out), 0)
def celu_slope(z: Array, h: Array, alpha: float) -> Array:
    """1 above 0, else exp(z / alpha)."""
    return _either(z, 1.0, np.exp(np.minimum(z, 0) / alpha))


def squared_relu(z: Array) -> Array:
    """max(z, 0)²: So et al. 2021."""
    h = np.maximum(z, 0)
    h *= h
    return h


def squared_relu_slope(z: Array, h: Array) -> Array:
    """2 max(z, 0)."""
    return 2 * np.maximum(z, 0)


def relu6(z: Array) -> Array:
    """min(max(z, 0), 6): Krizhevsky 2010."""
    return np.clip(z, 0, 6)


def relu6_slope(z: Array, h: Array) -> Array:
    """1 inside (0, 6), else 0."""
    return ((z > 0) & (z < 6)).astype(z.dtype)


def hardsigmoid(z: Array) -> Array:
    """relu6(z + 3) / 6."""
    h = relu6(z + 3)
    h /= 6
    return h


def hardsigmoid_slope(z: Array, h: Array) -> Array:
    """1/6 inside (-3, 3), else 0."""
    slope: Array = (np.abs(z) < 3) * z.dtype.type(1 / 6)
    return slope


def hardswish(z: Array) -> Array:
    """z relu6(z + 3) / 6: Howard et al. 2019."""
    h = hardsigmoid(z)
    h *= np.maximum(z, -3)
    h += 0  # -0 is 0
    return h


def hardswish_slope(z: Array, h: Array) -> Array:
    """z/3 + 1/2 inside (-3, 3), 1 above, 0 below."""
    slope = np.clip(z, -3, 3)
    slope /= 3
    slope += 0.5
    slope[z <= -3] = 0
    slope[z >= 3] = 1
    return slope


def hardtanh(z: Array) -> Array:
    """min(max(z, -1), 1): z, clipped to [-1, 1]."""
    return np.clip(z, -1, 1)


def hardtanh_slope(z: Array, h: Array) -> Array:
    """1 inside (-1, 1), else 0."""
    return (np.abs(z) < 1).astype(z.dtype)


def softsign(z: Array) -> Array:
    """z / (1 + abs(z)): its second derivative jumps at 0."""
    h: Array = z / (1 + np.abs(z))
    return h


def softsign_slope(z: Array, h: Array) -> Array:
    """1 / (1 + abs(z))²."""
    root = 1 / (1 + np.abs(z))
    return root * root  # squared last: (1 + abs(z))² overflows float32 beyond 1e19


def _either(z: Array, above: float, below: Array) -> Array:
    """`above` where z > 0, else `below`, which is overwritten."""
    below *= z <= 0
    below += (z > 0) * z.dtype.type(above)
    return below
