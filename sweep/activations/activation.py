"""What an activation is: f, f', where f is not smooth, and whether f is homogeneous."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sweep.activations.chunks import takes_out
from sweep.base.arrays import Array

# abs(f') below this passes no gradient to speak of: for tanh, exactly abs(h) > 0.99.
FLAT_SLOPE = 1 - 0.99**2

MANY_UNITS = 64  # units: in a layer of so many, some have more slope than a tail


@dataclass(frozen=True)
class Activation:
    """An elementwise activation, float32 and float64 alike; compared by value.

    f: z -> h.
    derivative: (z, h) -> f'(z), h = f(z), from whichever is cheaper.
    kinks: the points where f is not smooth, even if only a higher derivative jumps.
    homogeneous: f(c z) = c f(z) for every c > 0.
    piecewise_linear: f is straight between its kinks and nowhere nearly flat, so that an f or f' of 0 is 0,
        not a tail too small for the dtype.
    rough_slope: in layers of MANY_UNITS units or more, float32's f' loses its relative accuracy below this.
    oscillates: f' crosses FLAT_SLOPE at more places than can be listed, or at unknown ones.
    formula: f(z) in one line, with the values of the parameters.
    parameters: (name, value) of each.
    revision: raised with every correction of f or f'; part of the identity of its cells.
    period: f(z + period) = f(z), where there is one.
    unit: of z, in which f bends as fast as the others do.
    """

    name: str
    f: Callable[[Array], Array]
    derivative: Callable[[Array, Array], Array]
    kinks: tuple[float, ...] = ()
    homogeneous: bool = False
    piecewise_linear: bool = False
    rough_slope: float = 0.0
    oscillates: bool = False
    formula: str = ""
    parameters: tuple[tuple[str, Any], ...] = field(default=(), compare=False)  # f has them too
    revision: int = 1
    period: float | None = None
    unit: float = 1.0

    def __call__(self, z: ArrayLike) -> Array:
        """f(z), for anything that NumPy can make an array of."""
        z = np.asarray(z)
        return self.f(z if z.dtype.kind == "f" else z.astype(np.float64))

    def into(self, z: Array, out: Array) -> None:
        """Write f(z) into `out`, without a temporary where f can."""
        _write(self.f, (z,), out)

    def slope_into(self, z: Array, h: Array, out: Array) -> None:
        """Write f'(z) into `out` likewise."""
        _write(self.derivative, (z, h), out)


@dataclass(frozen=True)
class Given:
    """`function` with its last arguments given; unlike functools.partial, compared by value."""

    function: Callable[..., Array]
    arguments: tuple[Any, ...]

    def __call__(self, *arrays: Array, **out: Array) -> Array:
        return self.function(*arrays, *self.arguments, **out)

    @property
    def takes_out(self) -> bool:
        """Whether it takes `out=`."""
        return takes_out(self.function)


def _write(function: Callable[..., Array], arrays: tuple[Array, ...], out: Array) -> None:
    if takes_out(function):
        function(*arrays, out=out)
    else:
        out[...] = function(*arrays)


@lru_cache(maxsize=256)
def flat_share(act: Activation) -> float:
    """Share of z ~ N(0, 1) with abs(f'(z)) < FLAT_SLOPE: the `flat` of a healthy layer; NaN if unknown."""
    # Midpoints of 160,000 cells on [-8, 8]: no kink at 0 falls on one, error below 1e-4.
    z = (np.arange(160_000) + 0.5) / 10_000 - 8
    weight = np.exp(-z * z / 2)
    slope = act.derivative(z, act.f(z))
    if np.isnan(slope).any():
        return math.nan
    return float(weight[np.abs(slope) < FLAT_SLOPE].sum() / weight.sum())
