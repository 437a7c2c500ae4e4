"""How far a copy's h has strayed: 1 - the cosine with the exact h, to rounding even where that is 1e-8.

For two vectors a and b, 1 - cos = (|a - b|² - (|a| - |b|)²) / (2 |a| |b|): no difference of what is nearly 1.
"""

import math

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel.layers.signal import Signal
from sweep.kernel.statistics.moments import row_squares


def distances(exact: Signal, copied: Array, log2: float = 0.0) -> Array:
    """1 - cos of every sample, NaN where either is 0; copied: (seeds, rows, width) float32.

    log2: how much larger the copied network's weights make h; the difference is one of what is about equal.
    Returns (seeds, rows).
    """
    if log2 or exact.exponent.any():
        whole = math.floor(log2)
        copied = np.ldexp(
            copied * np.float32(2.0 ** (whole - log2)), -(exact.exponent + whole)[:, None, None]
        )
    first, second = row_squares(exact.mantissa), row_squares(copied)
    apart = row_squares(exact.mantissa - copied) - np.square(np.sqrt(first) - np.sqrt(second))
    strayed: Array = np.clip(apart / (2 * np.sqrt(first * second)), 0.0, 2.0)  # 0 / 0 is NaN
    return strayed
