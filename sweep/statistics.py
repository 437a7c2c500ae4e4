"""What is measured of one layer, for several networks at once.

Arrays are (networks, batch, width). Within a chunk BLAS sums in the array's dtype, from chunk to
chunk float64 does; where a difference would cancel, the values are centred first.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

COSINE_SAMPLES = 64
CORRELATED_NEURONS = 64
# Columns whose std is below this share of their rms carry rounding, not signal.
_SPREAD_FLOOR = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
_SAME_COLUMN = 1e-6
# Below this share of the mean square, the variance is not taken as a difference of two sums.
_CANCELS = 0.1
_CHUNK = 1 << 16


class Moments:
    """Mean, std and rms of every network, from chunks that need not come one network after another.

    networks: how many; entries: of each.
    """

    def __init__(self, networks: int, entries: int) -> None:
        self._entries = entries
        self._sums, self._squares = np.zeros(networks), np.zeros(networks)

    def add(self, networks: slice, chunk: Array) -> None:
        """Take in some entries of some networks: (networks, rows, columns)."""
        columns = np.matmul(_ones(chunk.shape[1], chunk.dtype), chunk)  # their sums: (networks, columns)
        self._sums[networks] += columns.sum(axis=1, dtype=np.float64)
        self.add_squares(networks, chunk)

    def add_squares(self, networks: slice, chunk: Array) -> None:
        """The same where only the rms is wanted."""
        flat = chunk.reshape(len(chunk), -1)
        for start in range(0, flat.shape[1], _CHUNK):
            part = flat[:, start : start + _CHUNK]
            self._squares[networks] += np.vecdot(part, part)

    @property
    def mean(self) -> Array:
        return self._sums / self._entries

    @property
    def rms(self) -> Array:
        return np.sqrt(self._squares / self._entries)

    def std(self, values: Array) -> Array:
        """Population standard deviation (ddof 0); values: everything that was added, (networks, …)."""
        mean_square = self._squares / self._entries
        variance = mean_square - self.mean**2
        for network in np.flatnonzero(variance < _CANCELS * mean_square):
            variance[network] = _centred_variance(values[network])
        std: Array = np.sqrt(variance)
        return std


def moments_of(values: Array) -> tuple[Array, Array]:
    """Std and rms of each network's entries; values: (networks, rows, columns)."""
    networks, rows, columns = values.shape
    moments = Moments(networks, rows * columns)
    moments.add(slice(None), values)
    return moments.std(values), moments.rms


def sample_cosine(h: Array) -> Array:
    """Mean cosine between the activations of distinct inputs, zero vectors skipped.

    h: (networks, batch, width); the first 64 samples count. (networks,), NaN if fewer than two are left.
    """
    samples = h[:, :COSINE_SAMPLES].astype(np.float64)
    norms = np.sqrt(np.vecdot(samples, samples))  # (networks, samples)
    there = norms > 0
    inverse = there / np.where(there, norms, 1.0)
    n = there.sum(axis=1)
    total = np.matmul(inverse[:, None], samples)[:, 0]  # the sum of the unit vectors
    pairs = np.where(n < 2, np.nan, n * (n - 1))
    cosine: Array = (np.vecdot(total, total) - n) / pairs  # |Σu|² = n + Σ over ordered pairs
    return cosine


def neuron_corr(h: Array) -> Array:
    """Mean abs(Pearson correlation) between distinct neurons.

    h: (networks, batch, width); the first 64 neurons count. (networks,): 1 where all of them agree
    to 1e-6 relative; pairs with a neuron that does not vary are left out; NaN where none is left.
    """
    networks, batch, width = h.shape
    if width < 2:
        return np.full(networks, np.nan)
    neurons = h[..., :CORRELATED_NEURONS]
    mean = np.matmul(_ones(batch, h.dtype), neurons).astype(np.float64) / batch  # (networks, neurons)
    gram = _covariance(neurons, mean)
    variance = np.diagonal(gram, axis1=1, axis2=2)
    square = variance + mean**2
    doubtful = (variance < _CANCELS * square).any(axis=1)
    if doubtful.any():
        some = neurons[doubtful] - mean[doubtful, None].astype(h.dtype)
        rest = np.matmul(_ones(batch, h.dtype), some).astype(np.float64) / batch  # rounding left it
        gram[doubtful] = _covariance(some, rest)
    floor = _SPREAD_FLOOR[h.dtype]
    varies = variance > floor * floor * square
    n = varies.sum(axis=1)
    inverse = varies / np.sqrt(np.where(varies, variance, 1.0))
    total = np.vecdot(np.matmul(np.abs(gram), inverse[..., None])[..., 0], inverse)  # n on the diagonal
    correlation: Array = (total - n) / np.where(n < 2, np.nan, n * (n - 1))
    # No neuron's largest entry exceeds its norm: only where that bound allows it is a closer look due.
    apart = np.abs(neurons[:, 0] - neurons[:, 0, :1]).max(axis=1)  # for the first sample
    for network in np.flatnonzero(apart <= _SAME_COLUMN * np.sqrt(batch * square.max(axis=1))):
        if _agree(neurons[network]):
            correlation[network] = 1.0
    return correlation


def _covariance(values: Array, mean: Array) -> Array:
    """(networks, neurons, neurons) float64 of values (networks, batch, neurons)."""
    gram: Array = np.matmul(values.transpose(0, 2, 1), values).astype(np.float64)
    gram /= values.shape[1]
    gram -= mean[:, :, None] * mean[:, None]
    return gram


def _agree(neurons: Array) -> bool:
    wide = neurons.astype(np.float64)
    return bool(np.abs(wide - wide[:, :1]).max() <= _SAME_COLUMN * np.abs(wide).max())


def _centred_variance(values: Array) -> float:
    """About the first entry, which lies within the spread, then about the mean."""
    flat = values.reshape(-1)
    total = squares = 0.0
    for start in range(0, len(flat), _CHUNK):
        centred = flat[start : start + _CHUNK] - flat[0]
        total += float(centred.sum(dtype=np.float64))
        squares += float(centred.dot(centred))
    mean = total / len(flat)
    return max(0.0, squares / len(flat) - mean * mean)


@lru_cache(maxsize=64)
def _ones(count: int, dtype: np.dtype[Any]) -> Array:
    ones = np.ones(count, dtype)
    ones.setflags(write=False)
    return ones
