"""Activations in long double, where tails go on that float64 has lost: exp(-1e4) is a number there.

On machines whose long double is a float64, what lies beyond its range is 0 as before. SciPy knows no
long double; the error function's tail is taken apart into a factor that float64 holds, and exp(-z²).
"""

import math

import numpy as np

from sweep.activations.activation import Activation
from sweep.base.arrays import Array

WIDE = np.longdouble


def ndtr(z: Array) -> Array:
    """Φ(z), the normal distribution, with its relative accuracy down to the dtype's smallest number."""
    from scipy.special import erfcx  # noqa: PLC0415
    from scipy.special import ndtr as plain  # noqa: PLC0415

    if z.dtype.itemsize <= 8:
        out: Array = plain(z)
        return out
    below = np.minimum(z, 0)
    tail = erfcx((-below / math.sqrt(2)).astype(np.float64)) / 2 * np.exp(-0.5 * below * below)
    both: Array = np.where(z < 0, tail, plain(z.astype(np.float64)))
    return both


def erf(z: Array) -> Array:
    """The error function; 2 z / √π for a z that float64 does not hold."""
    from scipy.special import erf as plain  # noqa: PLC0415

    if z.dtype.itemsize <= 8:
        out: Array = plain(z)
        return out
    near = np.clip(z, -1e-200, 1e-200) * (2 / math.sqrt(math.pi))
    both: Array = np.where(np.abs(z) < 1e-200, near, plain(z.astype(np.float64)))
    return both


def applied(act: Activation, z: Array) -> Array:
    """f(z) in long double; z: long double. A function that knows float64 alone is given that."""
    try:
        h = act.f(z)
        if h.dtype == z.dtype:
            return h
    except TypeError:
        pass
    return act.f(z.astype(np.float64)).astype(z.dtype)


def slope(act: Activation, z: Array, h: Array) -> Array:
    """f'(z) likewise, h = f(z)."""
    try:
        slope = act.derivative(z, h)
        if slope.dtype == z.dtype:
            return slope
    except TypeError:
        pass
    return act.derivative(z.astype(np.float64), h.astype(np.float64)).astype(z.dtype)
