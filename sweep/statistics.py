"""What is measured of one layer; every sum is accumulated in float64, whatever the array's dtype."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

COSINE_SAMPLES = 64
CORRELATED_NEURONS = 64
# Columns whose std is below this share of their rms carry rounding, not signal.
_SPREAD_FLOOR = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
_SAME_COLUMN = 1e-6


class Moments:
    """Mean and squared deviations of a stream of chunks, merged without cancellation.

    Chan, Golub and LeVeque 1979: each chunk is centred on its own mean before it is squared.
    """

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, chunk: Array) -> None:
        """Take in a chunk of any shape; it is not changed."""
        values = chunk.astype(np.float64).ravel()
        n = values.size
        mean = float(values.sum()) / n
        values -= mean
        squares = float(values.dot(values))
        total = self._count + n
        step = mean - self._mean
        self._mean += step * n / total
        self._squares += squares + step * step * (self._count * n / total)
        self._count = total

    @property
    def mean(self) -> float:
        return self._mean

    @property
    def std(self) -> float:
        """Population standard deviation (ddof 0)."""
        return math.sqrt(self._squares / self._count)

    @property
    def rms(self) -> float:
        return math.sqrt(self._squares / self._count + self._mean * self._mean)


def sample_cosine(h: Array) -> float:
    """Mean cosine between the activations of distinct inputs, zero vectors skipped.

    h: (batch, width); the first 64 samples count. NaN if fewer than two are left.
    """
    samples = h[:COSINE_SAMPLES].astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", samples, samples))
    units = samples[norms > 0] / norms[norms > 0, None]
    n = len(units)
    if n < 2:
        return math.nan
    total = units.sum(axis=0)
    return (float(total @ total) - n) / (n * (n - 1))  # |Σu|² = n + Σ over ordered pairs


def neuron_corr(h: Array) -> float:
    """Mean abs(Pearson correlation) between distinct neurons.

    h: (batch, width); the first 64 neurons count. 1 if all of them agree to 1e-6 relative;
    pairs with a neuron that does not vary are left out; NaN if none is left.
    """
    neurons = h[:, :CORRELATED_NEURONS].astype(np.float64)
    if neurons.shape[1] < 2:
        return math.nan
    if np.abs(neurons - neurons[:, :1]).max() <= _SAME_COLUMN * np.abs(neurons).max():
        return 1.0
    mean_square = np.einsum("ij,ij->j", neurons, neurons)
    neurons -= neurons.mean(axis=0)
    centred_square = np.einsum("ij,ij->j", neurons, neurons)
    floor = _SPREAD_FLOOR[h.dtype]
    varies = centred_square > floor * floor * mean_square
    n = int(varies.sum())
    if n < 2:
        return math.nan
    neurons = neurons[:, varies] / np.sqrt(centred_square[varies])
    correlation = np.abs(neurons.T @ neurons)  # (n, n), ones on the diagonal
    return float((correlation.sum() - np.trace(correlation)) / (n * (n - 1)))
