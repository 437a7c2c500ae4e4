"""How alike inputs are, and how alike neurons, of several seeds at once."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel.layers.ranges import RANGES
from sweep.kernel.statistics.moments import CANCELS, column_sums_of

# (network, which of its first neurons: (neurons,) bool) -> those neurons, (batch, neurons), each right in
# relation to itself; None where they are as they were.
Again = Callable[[int, Array], Array | None]

COSINE_SAMPLES = 64
CORRELATED_NEURONS = 64
LEAST_CORRELATED = 4  # samples: over two Pearson's correlation is ±1, over three hardly less
# Columns whose std is below this share of their rms carry rounding, not signal.
_SPREAD_FLOOR = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
_SAME_COLUMN = 1e-6
_NO_SQUARE = 2.0**-500  # of which float64 has no square


def sample_cosine(h: Array) -> tuple[Array, Array]:
    """Mean cosine between the activations of distinct inputs, zero vectors skipped; and their rms.

    h: (seeds, batch, width); the first 64 samples count. The cosine: (seeds,), NaN if fewer
    than two are left. The rms: (seeds, samples), to a factor of √width where it has no square.
    """
    samples = h[:, :COSINE_SAMPLES].astype(np.float64)
    norms = np.sqrt(np.vecdot(samples, samples))  # (seeds, samples)
    there = norms > 0
    inverse = there / np.where(there, norms, 1.0)
    n = there.sum(axis=1)
    total = np.matmul(inverse[:, None], samples)[:, 0]  # the sum of the unit vectors
    pairs = np.where(n < 2, np.nan, n * (n - 1))
    cosine = (np.vecdot(total, total) - n) / pairs  # |Σu|² = n + Σ over ordered pairs
    faint = norms < _NO_SQUARE
    if faint.any():
        norms[faint] = np.abs(samples[faint]).max(axis=-1)
    return np.clip(cosine, -1.0, 1.0), norms / np.sqrt(h.shape[2])


def neuron_gram(h: Array) -> Array:
    """Products of the first 64 neurons, summed over the rows: (seeds, neurons, neurons) float64."""
    neurons = h[..., :CORRELATED_NEURONS]
    gram: Array = np.matmul(neurons.transpose(0, 2, 1), neurons).astype(np.float64)
    return gram


def neuron_corr(
    h: Array,
    dtype: np.dtype[Any],
    column_sums: Array | None = None,
    gram: Array | None = None,
    again: Again | None = None,
    exact: bool = False,
) -> Array:
    """Mean abs(Pearson correlation) between distinct neurons.

    h: (seeds, batch, width); the first 64 neurons count. dtype: the network's, h's or less.
    column_sums, gram: those of h, where they are known. again: asked for the neurons of a network that
    h holds too coarsely; exact: not where they are 0 throughout, since that is what they are.
    (seeds,): 1 where all neurons agree to 1e-6 relative; else pairs with a neuron that does not vary
    are left out, and NaN where none is left, or where the batch is of two or three, which say nothing.
    """
    seeds, batch, width = h.shape
    if width < 2:
        return np.full(seeds, np.nan)
    neurons = h[..., :CORRELATED_NEURONS]
    mean = column_sums_of(neurons) if column_sums is None else column_sums[:, : neurons.shape[2]]
    mean = mean / batch  # (seeds, neurons)
    gram = _covariance(neuron_gram(h) if gram is None else gram, mean, batch)
    variance = np.diagonal(gram, axis1=1, axis2=2)
    square = variance + mean**2
    coarse = square < RANGES[h.dtype].smallest ** 2
    if exact and coarse.any():
        coarse &= (neurons != 0).any(axis=1)
    finer = {i: again(i, coarse[i]) for i in np.flatnonzero(coarse.any(axis=1)).tolist()} if again else {}
    if batch < LEAST_CORRELATED:
        correlation = np.full(seeds, np.nan)
    else:
        doubtful = (variance < CANCELS * square).any(axis=1)
        if doubtful.any():
            some = neurons[doubtful] - mean[doubtful, None].astype(h.dtype)
            rest = column_sums_of(some) / batch  # rounding left a mean
            gram[doubtful] = _covariance(neuron_gram(some), rest, batch)
        correlation = _correlation(gram, square, dtype)
        for one, columns in finer.items():
            if columns is not None:
                correlation[one] = correlation_of(columns, dtype)
    # No neuron's largest entry exceeds its norm: only where that bound allows it is a closer look due.
    apart = np.abs(neurons[:, 0] - neurons[:, 0, :1]).max(axis=1)  # for the first sample
    for network in np.flatnonzero(apart <= _SAME_COLUMN * np.sqrt(batch * square.max(axis=1))):
        if agree(neurons[network]):
            correlation[network] = 1.0
    return correlation


def correlation_of(columns: Array, dtype: np.dtype[Any]) -> float:
    """The mean abs(Pearson correlation) of columns, (rows, columns), whose sizes may be far apart.

    Whether they agree is not asked.
    """
    if columns.shape[1] < 2 or len(columns) < LEAST_CORRELATED:
        return math.nan
    columns = in_float64(columns, axis=0)
    mean = columns.mean(axis=0)
    centred = columns - mean
    centred -= centred.mean(axis=0)
    gram = centred.T @ centred / len(columns)
    return float(_correlation(gram[None], (np.diag(gram) + mean**2)[None], dtype)[0])


def in_float64(values: Array, axis: int) -> Array:
    """Long doubles as float64, each line along `axis` divided by a power of two that brings it near 1."""
    largest = np.abs(values).max(axis=axis, keepdims=True)
    near_one: Array = np.ldexp(values, -np.frexp(largest)[1]).astype(np.float64)
    return near_one


def agree(neurons: Array) -> bool:
    """Whether all columns are the same to 1e-6 of the largest entry; neurons: (rows, columns)."""
    wide = neurons.astype(np.float64)
    return bool(np.abs(wide - wide[:, :1]).max() <= _SAME_COLUMN * np.abs(wide).max())


def _correlation(gram: Array, square: Array, dtype: np.dtype[Any]) -> Array:
    """The mean over pairs of neurons that vary; gram: of centred neurons, (seeds, neurons, neurons)."""
    variance = np.diagonal(gram, axis1=1, axis2=2)
    varies = variance > _SPREAD_FLOOR[dtype] ** 2 * square
    n = varies.sum(axis=1)
    inverse = varies / np.sqrt(np.where(varies, variance, 1.0))
    total = np.vecdot(np.matmul(np.abs(gram), inverse[..., None])[..., 0], inverse)  # n on the diagonal
    correlation: Array = (total - n) / np.where(n < 2, np.nan, n * (n - 1))
    return np.minimum(correlation, 1.0)


def _covariance(gram: Array, mean: Array, rows: int) -> Array:
    covariance = gram / rows
    covariance -= mean[:, :, None] * mean[:, None]
    return covariance
