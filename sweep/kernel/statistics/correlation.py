"""How alike inputs are, and how alike neurons, for several seeds at once."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel.layers.ranges import RANGES
from sweep.kernel.statistics.moments import CANCELS, column_sums_of

# (network, which of its first neurons are held too coarsely: (neurons,) bool) -> its first neurons, (batch,
# neurons), with those computed again, each to its own relative accuracy; None if that finds nothing new.
Refine = Callable[[int, Array], Array | None]

COSINE_SAMPLES = 64
CORRELATED_NEURONS = 64
LEAST_CORRELATED = 4  # samples: over two, Pearson's correlation is ±1; over three, it is hardly less
# A column whose std is below this share of its rms holds rounding, not signal.
_SPREAD_FLOOR = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
_SAME_COLUMN = 1e-6  # columns that differ by less, relative to the largest entry, are one
_NO_SQUARE = 2.0**-500  # a norm below this comes of squares that float64 does not hold


def sample_cosine(h: Array) -> tuple[Array, Array]:
    """Mean cosine between the activations of distinct inputs, and the rms of each input's activations.

    h: (seeds, batch, width); the first 64 samples count. The cosine, (seeds,), skips samples that are 0, and
    is NaN where fewer than two are left. The rms, (seeds, samples), may be off by a factor of √width where
    squares underflow.
    """
    samples = h[:, :COSINE_SAMPLES].astype(np.float64)
    norms = np.sqrt(np.vecdot(samples, samples))  # (seeds, samples)
    nonzero = norms > 0
    inverse = nonzero / np.where(nonzero, norms, 1.0)
    n = nonzero.sum(axis=1)
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
    refine: Refine | None = None,
    exact: bool = False,
) -> Array:
    """Mean abs(Pearson correlation) between distinct neurons: (seeds,).

    h: (seeds, batch, width); the first 64 neurons count. dtype: the network's, no wider than h's.
    column_sums, gram: those of h, if known. refine: called for neurons that h holds too coarsely. exact:
    whether a neuron that is 0 throughout h is exactly 0.

    1 where all neurons agree to 1e-6 relative. Elsewhere, pairs with a neuron that does not vary are left
    out; NaN where no pair is left, or where the batch is of two or three, which say nothing.
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
    refined = {i: refine(i, coarse[i]) for i in np.flatnonzero(coarse.any(axis=1)).tolist()} if refine else {}
    if batch < LEAST_CORRELATED:
        correlation = np.full(seeds, np.nan)
    else:
        cancels = (variance < CANCELS * square).any(axis=1)
        if cancels.any():
            centred = neurons[cancels] - mean[cancels, None].astype(h.dtype)
            rest = column_sums_of(centred) / batch  # rounding left a mean
            gram[cancels] = _covariance(neuron_gram(centred), rest, batch)
        correlation = _correlation(gram, square, dtype)
        for i, columns in refined.items():
            if columns is not None:
                correlation[i] = correlation_of(columns, dtype)
    # No entry of a neuron exceeds its norm: where the first sample differs by more than that allows, there is
    # no need to compare the others.
    apart = np.abs(neurons[:, 0] - neurons[:, 0, :1]).max(axis=1)
    for network in np.flatnonzero(apart <= _SAME_COLUMN * np.sqrt(batch * square.max(axis=1))):
        if agree(neurons[network]):
            correlation[network] = 1.0
    return correlation


def correlation_of(columns: Array, dtype: np.dtype[Any]) -> float:
    """Mean abs(Pearson correlation) of columns of any sizes, (rows, columns), whether or not they agree."""
    if columns.shape[1] < 2 or len(columns) < LEAST_CORRELATED:
        return math.nan
    columns = in_float64(columns, axis=0)
    mean = columns.mean(axis=0)
    centred = columns - mean
    centred -= centred.mean(axis=0)
    gram = centred.T @ centred / len(columns)
    return float(_correlation(gram[None], (np.diag(gram) + mean**2)[None], dtype)[0])


def in_float64(values: Array, axis: int) -> Array:
    """Long doubles as float64, each line along `axis` divided by the power of two that brings it near 1."""
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
