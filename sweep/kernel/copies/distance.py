"""How far a copy's h has strayed: 1 - the cosine with the exact h, to rounding even where that is 1e-8.

For two vectors a and b of one length, 1 - cos = |a - b|² / (2 |a|²): no difference of what is nearly 1. Their
own lengths are of no account.
"""

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel.statistics.moments import row_squares

_CHUNK = 1 << 16  # entries that stay in L2


def distances(exact: Array, copied: Array) -> Array:
    """1 - cos of every sample, NaN where either is 0 or not finite: (seeds, rows).

    exact, copied: (seeds, rows, width), the copied float32; each row of any size.
    """
    strayed = np.empty(copied.shape[:2])
    rows = max(1, _CHUNK // copied.shape[2])
    for network, own in enumerate(copied):
        for start in range(0, len(own), rows):
            some = slice(start, start + rows)
            strayed[network, some] = _between(exact[network, some], own[some])
    return strayed


def _between(wanted: Array, near: Array) -> Array:
    wanted, near = _of_size_one(wanted), _of_size_one(near)
    first, second = row_squares(wanted), row_squares(near)
    there = (first > 0) & (second > 0)
    with np.errstate(all="ignore"):
        near *= np.where(there, np.sqrt(first / second), 0).astype(near.dtype)[:, None]
        strayed = row_squares(wanted - near) / (2 * first)
    return np.asarray(np.where(there, np.clip(strayed, 0.0, 2.0), np.nan))


def _of_size_one(rows: Array) -> Array:
    """Each row times a power of two that brings its largest entry near 1, as far as one number can."""
    largest = np.maximum(rows.max(axis=1), -rows.min(axis=1))
    limit = -np.finfo(rows.dtype).minexp
    power = np.clip(-np.frexp(largest)[1], -limit, limit)
    scaled: Array = rows * np.ldexp(np.ones((), rows.dtype), power)[:, None]
    return scaled
