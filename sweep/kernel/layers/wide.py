"""Layers of one network in long double, whose numbers need no exponents of their own.

Where a long double is only a float64, what lies beyond that is inf or 0.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sweep.activations.extended import WIDE
from sweep.base.arrays import Array

_MOST_PRODUCTS = 10_000_000  # of long doubles, at about a nanosecond each
_NONE = np.empty(0, WIDE)


@dataclass(frozen=True)
class WideSignal:
    """h of one network, (batch, width), with z and slope = act'(z), which are empty for the inputs.

    still: (width,) bool, the neurons that are certainly the same for every sample.
    """

    h: Array
    still: Array
    z: Array = field(default_factory=lambda: _NONE)
    slope: Array = field(default_factory=lambda: _NONE)


class WideLayer(Protocol):
    """One layer of one network."""

    def forward(self, below: WideSignal) -> WideSignal:
        """Cross the layer; PrecisionError where a scheme has to fit a spread that long double cannot tell."""

    def backward(self, below: WideSignal, above: WideSignal, delta: Array) -> tuple[Array, Array]:
        """dL/dW, and dL/dh of the layer below, from dL/dh of this one."""


def wide_product(a: Array, b: Array) -> Array:
    """a b: (n, k) (k, m) -> (n, m); a large one in float64, its rows and columns scaled by powers of two."""
    if a.size * b.shape[1] <= _MOST_PRODUCTS:
        return a @ b
    rows, columns = (np.frexp(np.abs(m).max(axis=axis, keepdims=True))[1] for m, axis in ((a, 1), (b, 0)))
    narrow = np.ldexp(a, -rows).astype(np.float64) @ np.ldexp(b, -columns).astype(np.float64)
    product: Array = np.ldexp(narrow.astype(WIDE), rows + columns)
    return product
