"""Whether float32 can hold a layer: its largest entry must round neither to inf nor to 0.

rms ≤ largest ≤ rms · √entries says so of nearly every layer, without a look at its entries.
"""

import math
from typing import Any

import numpy as np

from sweep.base.arrays import Array

_OVERFLOW = 2.0**128 - 2.0**103  # this and all above round to inf, what is below to the largest number
_UNDERFLOW = 2.0**-150  # this and all below round to 0, what is above to the smallest number
_ROUNDING = 1.001  # how far a measured rms may be off


def cannot_hold(largest: Any, log2: float = 0.0) -> bool:
    """Whether float32 could not hold a layer whose largest absolute entry is largest · 2^log2; 0 it holds."""
    if not largest > 0:
        return bool(np.isnan(largest))
    size = float(np.log2(largest)) + log2
    return size >= math.log2(_OVERFLOW) or size <= math.log2(_UNDERFLOW)


def bounds(rms: Array, entries: Array | int) -> tuple[Array, Array]:
    """Where that must be so of layers of this rms, and where it may be.

    rms: inf or NaN where h is not finite. entries: of each layer, or a bound. Both of one shape, or a number.
    An rms of 0 says nothing: it may be that of entries whose squares float64 cannot hold.
    """
    lost, most = ~np.isfinite(rms), rms * np.sqrt(entries)
    must = lost | (rms > _OVERFLOW * _ROUNDING) | ((most < _UNDERFLOW / _ROUNDING) & (rms > 0))
    may = (most > _OVERFLOW / _ROUNDING) | (rms < _UNDERFLOW * _ROUNDING)
    return must, must | may


def first(unheld: Array) -> Array:
    """The first layer of each network that is marked, NaN where none is; unheld: (networks, layers) bool."""
    return np.where(unheld.any(axis=1), unheld.argmax(axis=1), math.nan)


def known_first(rms: Array, entries: Array | int) -> Array:
    """The same as far as rms tells: NaN where there is none, or it is not known; rms: (networks, layers)."""
    must, may = bounds(rms, entries)
    number = first(may)
    surely = np.isnan(number) | must[np.arange(len(must)), np.nan_to_num(number).astype(int)]
    return np.where(surely, number, math.nan)
