"""How far a copy's h has strayed: 1 - the cosine with the exact h, to rounding even where that is 1e-8.

For two vectors a and b, 1 - cos = (|a - b|² - (|a| - |b|)²) / (2 |a| |b|): no difference of what is nearly 1.
"""

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel.layers.signal import Signal
from sweep.kernel.statistics.moments import row_squares

_CHUNK = 1 << 16  # entries that stay in L2
_FAR = 100.0  # a power of two that float32 multiplies by at once


def distances(exact: Signal, copied: Array, log2: float = 0.0) -> Array:
    """1 - cos of every sample, NaN where either is 0; copied: (seeds, rows, width) float32.

    log2: how much larger the copied network's weights make h; the difference is one of what is about equal.
    Returns (seeds, rows).
    """
    strayed = np.empty(copied.shape[:2])
    rows = max(1, _CHUNK // copied.shape[2])
    for network, own in enumerate(copied):
        power = -log2 - float(exact.exponent[network])
        for start in range(0, len(own), rows):
            some = slice(start, start + rows)
            near = _scaled(own[some], power)
            strayed[network, some] = _between(exact.mantissa[network, some], near)
    return strayed


def _scaled(values: Array, power: float) -> Array:
    """values · 2^power, of any power."""
    while power:
        step = max(-_FAR, min(_FAR, power))
        values, power = values * np.float32(2.0**step), power - step
    return values


def _between(wanted: Array, near: Array) -> Array:
    first, second = np.sqrt(row_squares(wanted)), np.sqrt(row_squares(near))
    apart = row_squares(wanted - near) - np.square(first - second)
    there = (first > 0) & (second > 0)
    strayed: Array = np.where(there, np.clip(apart / (2 * first * second), 0.0, 2.0), np.nan)
    return strayed
