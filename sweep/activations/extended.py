"""Activations in long double, which holds tails that float64 loses: exp(-1e4) is a number there.

Where long double is float64, what lies beyond its range stays 0. SciPy knows no long double; the error
function's tail is split into a factor that float64 holds and exp(-z²).
"""

import math
from collections.abc import Callable

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
    """The error function; 2 z / √π for a z too small for float64."""
    from scipy.special import erf as plain  # noqa: PLC0415

    if z.dtype.itemsize <= 8:
        out: Array = plain(z)
        return out
    near = np.clip(z, -1e-200, 1e-200) * (2 / math.sqrt(math.pi))
    return np.where(np.abs(z) < 1e-200, near, plain(z.astype(np.float64)))


def applied(act: Activation, z: Array) -> Array:
    """f(z); z and the result: long double."""
    return _widened(act.f, z)


def slope(act: Activation, z: Array, h: Array) -> Array:
    """f'(z), h = f(z), likewise."""
    return _widened(act.derivative, z, h)


def _widened(function: Callable[..., Array], *arrays: Array) -> Array:
    """The function's values in the arrays' dtype; one that knows only float64 is given that."""
    dtype = arrays[0].dtype
    try:
        values = function(*arrays)
        if values.dtype == dtype:
            return values
    except TypeError:
        pass
    return function(*(array.astype(np.float64) for array in arrays)).astype(dtype)
