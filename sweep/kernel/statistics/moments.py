"""Mean, std and rms of several seeds at once; arrays are (seeds, batch, width).

BLAS sums a chunk in the array's own dtype, and float64 adds up the chunks. Where a variance would be the
difference of two nearly equal sums, the values are centred first.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from sweep.base.arrays import Array

CANCELS = 0.1  # a variance below this share of the mean square is not taken as a difference of two sums
_CHUNK = 1 << 16  # entries that BLAS sums in the array's own dtype
_SHORT = 64  # entries of a row that is not worth a call of BLAS, which would take five times as long
_CENTRES = 256  # entries among which one near the mean is looked for
_FAINT = 2.0**-100  # a sum of float32 squares below this may have lost some of them to underflow


class Moments:
    """Mean, std and rms of every network, summed over chunks that come in any order.

    seeds: how many networks. rows, columns: the shape of each.
    """

    def __init__(self, seeds: int, rows: int, columns: int) -> None:
        self._entries = rows * columns
        self.column_sums, self._squares = np.zeros((seeds, columns)), np.zeros(seeds)

    def add(self, seeds: slice, chunk: Array, squares: Array | None = None) -> None:
        """Add entries of some seeds, (seeds, rows, columns); squares: their sums of squares, if known."""
        self.column_sums[seeds] += column_sums_of(chunk)
        if squares is None:
            self.add_squares(seeds, chunk)
        else:
            self._squares[seeds] += squares

    def add_squares(self, seeds: slice, chunk: Array) -> Array:
        """Add entries to the rms alone; returns their sums of squares, (seeds,)."""
        flat = chunk.reshape(len(chunk), -1)
        squares = np.zeros(len(chunk))
        for start in range(0, flat.shape[1], _CHUNK):
            part = flat[:, start : start + _CHUNK]
            squares += np.vecdot(part, part)
        self._squares[seeds] += squares
        return squares

    def add_sums(self, seeds: slice, squares: Array, column_sums: Array | None = None) -> None:
        """Add sums that are known: of squares, (seeds,), and of columns, (seeds, columns)."""
        self._squares[seeds] += squares
        if column_sums is not None:
            self.column_sums[seeds] += column_sums

    @property
    def mean(self) -> Array:
        mean: Array = self.column_sums.sum(axis=1) / self._entries
        return mean

    @property
    def rms(self) -> Array:
        return np.sqrt(self._squares / self._entries)

    def std(self, values: Array) -> Array:
        """Population standard deviation (ddof 0); values: everything that was added, (seeds, …)."""
        mean_square = self._squares / self._entries
        mean = self.mean
        variance = mean_square - mean**2
        for network in np.flatnonzero(variance < CANCELS * mean_square):
            variance[network] = _centred_variance(values[network], mean[network])
        std: Array = np.sqrt(variance)
        return std


def moments_of(
    values: Array, squares: Array | None = None, column_sums: Array | None = None
) -> tuple[Array, Array]:
    """Std and rms of each network's entries, (seeds, rows, columns); the sums: as in `Moments`, if known."""
    moments = Moments(*values.shape)
    if squares is None or column_sums is None:
        moments.add(slice(None), values, squares)
    else:
        moments.add_sums(slice(None), squares, column_sums)
    return moments.std(values), moments.rms


def column_sums_of(values: Array) -> Array:
    """Sums over the rows: (seeds, columns) float64."""
    sums: Array = np.matmul(_ones(values.shape[1], values.dtype), values).astype(np.float64)
    return sums


def row_squares(values: Array) -> Array:
    """Sums of squares over the last axis, float64, accurate for every row whose squares float64 holds."""
    if values.shape[-1] > _SHORT:
        sums: Array = np.vecdot(values, values)
    else:
        sums = np.matmul(np.square(values), _ones(values.shape[-1], values.dtype))
    squares = sums.astype(np.float64)
    if values.dtype == np.float32:
        faint = squares < _FAINT
        if faint.any():
            rows = values[faint].astype(np.float64)
            squares[faint] = np.vecdot(rows, rows)
    return squares


def _centred_variance(values: Array, mean: float) -> float:
    """The variance of one network, summed about an entry near its mean.

    That entry lies within the spread, as the mean rounded to the dtype may not. What is left of the mean is
    taken off at the end.
    """
    flat = values.reshape(-1)
    centre = flat[np.abs(flat[:_CENTRES] - mean).argmin()]
    total = squares = 0.0
    for start in range(0, len(flat), _CHUNK):
        centred = flat[start : start + _CHUNK] - centre
        total += float(centred.sum(dtype=np.float64))
        squares += float(centred.dot(centred))
    mean = total / len(flat)
    return max(0.0, squares / len(flat) - mean * mean)


@lru_cache(maxsize=64)
def _ones(count: int, dtype: np.dtype[Any]) -> Array:
    ones = np.ones(count, dtype)
    ones.setflags(write=False)
    return ones
