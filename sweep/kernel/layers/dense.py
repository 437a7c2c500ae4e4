"""A dense layer: z = h W + b, h = act(z), forward and back, and what is measured of both.

One layer of one carrier, crossed by several seeds at once: arrays are (seeds, batch, width). A signal is
carried as mantissa · 2^exponent (`sweep.kernel.ranges`), so products never meet a subnormal number and
statistics neither under- nor overflow before float64 itself does.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.activations import Activation, extended
from sweep.base.arrays import Array
from sweep.kernel import ranges
from sweep.kernel.chain import Chain
from sweep.kernel.layers.affine import Affine, Product
from sweep.kernel.layers.draws import Draws
from sweep.kernel.layers.signal import Delta, Measured, Signal, settled
from sweep.kernel.ranges import RANGES
from sweep.kernel.statistics.correlation import CORRELATED_NEURONS, neuron_corr, neuron_gram, sample_cosine
from sweep.kernel.statistics.flatness import Flat
from sweep.kernel.statistics.moments import Moments, moments_of, row_squares
from sweep.kernel.statistics.table import STATISTICS, by_function

_CHUNK_BYTES = 1 << 19  # a chunk and its temporaries stay in L2
_TALL = 1024  # rows that one product has where the batch is larger: BLAS packs Z again for each product


@dataclass(frozen=True)
class Crossed:
    """What came of a layer: the signal, and what is measured of it by name, (seeds,) each.

    doubt: for which seeds neither is vouched for; without_slope: whose act'(z) nobody knows. (seeds,) bool.
    """

    signal: Signal
    measured: Measured
    doubt: Array
    without_slope: Array


Sizes = tuple[Array, Array, Array]  # std and rms of mantissas, and their exponents: (gradients, seeds) each


@dataclass(frozen=True)
class Returned:
    """What came of gradients that were sent back through a layer.

    delta: dL/dh of the layer below. weights: the mantissas of dL/dW, (gradients, seeds, fan_in, fan_out).
    of_delta, of_weights: the sizes of both. doubt: which are not vouched for, (gradients, seeds) bool.
    """

    delta: Delta
    of_delta: Sizes
    of_weights: Sizes
    weights: Array
    doubt: Array


class Dense:
    """One such layer, which keeps what the way back needs where it is asked to."""

    def __init__(self, chain: Chain, number: int, draws: Draws) -> None:
        self._chain, self._number, self._draws = chain, number, draws
        fans, seeds = draws.fans(number), len(draws.seeds)
        bias = chain.bias_std * draws.biases(number).astype(np.float64) if chain.bias_std else None
        self._affine = Affine.of(chain.scheme, *fans, seeds, bias)
        self._below: Signal | None = None
        self._slope: Array | None = None

    def forward(self, below: Signal, h: Array, keep: bool, dtype: np.dtype[Any]) -> Crossed:
        """Cross the layer; writes the new mantissa into `h`.

        keep: whether gradients will be sent back. dtype: the network's, h's or less.
        """
        product = self._draws.product(self._number, below.mantissa)
        self._affine, unsure = self._affine.fitted(self._chain.scheme, below, product)
        slope = np.empty_like(h) if keep else None
        crossed = _forward(self._affine, self._chain.act, below, product, h, slope, dtype)
        crossed.doubt[unsure] = True
        if keep:
            self._below, self._slope = below, slope
        return crossed

    def backward(self, delta: Delta) -> Returned:
        """dL/dW and dL/dh of the layer below, from dL/dh of this one, whose mantissas are used up."""
        assert self._below is not None
        assert self._slope is not None
        affine, slope, gradient = self._affine, self._slope, delta.signal.mantissa
        fan_in, fan_out = self._draws.fans(self._number)
        lost = None if affine.mixes else (gradient != 0) & (slope != 0)
        gradient *= slope  # dL/dz
        passed = row_squares(gradient) / fan_out
        doubt = ranges.faded(delta.samples, passed, slope, self._chain.act)
        if lost is not None:  # what is small may be all that is left of a neuron further down
            lost &= np.abs(gradient) < RANGES[gradient.dtype].smallest_sample
            doubt |= lost.any(axis=(2, 3))
        total = np.sqrt(passed.mean(axis=2))
        exponent, _ = ranges.recentre(gradient, delta.signal.exponent, total)
        weights: Array = np.matmul(self._below.mantissa.transpose(0, 2, 1), gradient)
        std, rms = moments_of(weights.reshape(-1, fan_in, fan_out))
        shape = gradient.shape[:2]
        of_weights = std.reshape(shape), rms.reshape(shape), self._below.exponent + exponent

        row_sums = gradient.sum(axis=3, dtype=np.float64)[..., None] if affine.mean else None
        gradient = self._draws.sent_back(self._number, gradient)
        exponent = exponent + affine.scale_back(gradient, row_sums)
        squares = row_squares(gradient)
        std, rms = moments_of(
            gradient.reshape(-1, *gradient.shape[2:]), squares.reshape(-1, squares.shape[2]).sum(axis=1)
        )
        of_delta = std.reshape(shape), rms.reshape(shape), exponent
        doubt |= ranges.dropped(total, of_delta[1], (affine.std > 0) | bool(affine.mean), gradient.dtype)
        return Returned(
            Delta.settled(gradient, exponent, of_delta[1], squares / fan_in),
            of_delta,
            of_weights,
            weights,
            doubt,
        )


def _forward(
    affine: Affine,
    act: Activation,
    below: Signal,
    product: Product,
    h: Array,
    slope: Array | None,
    dtype: np.dtype[Any],
) -> Crossed:
    """Cross the layer; writes the new mantissa into `h` and act'(z) into `slope`."""
    seeds, _, fan_out = h.shape
    numbers, size = RANGES[h.dtype], affine.size(below)
    exponent, held = ranges.units(size, act, numbers)
    there = held & below.finite & (below.rms > 0)  # of zeros and weights beyond the dtype the product is 0
    unit_std = np.ldexp(np.where(there, affine.std, 0.0), np.where(there, below.exponent - exponent, 0))
    scale = unit_std.astype(h.dtype)
    offset = affine.offset(below, exponent)
    if offset is not None:
        offset = np.broadcast_to(offset.astype(h.dtype), (seeds, *offset.shape[1:]))
    before, after, flat = Moments(*h.shape), Moments(*h.shape), Flat(act, h.shape)
    gram = np.zeros((seeds, *2 * (min(fan_out, CORRELATED_NEURONS),)))
    bias_fades = affine.bias is not None and ranges.fades(affine.bias_size - exponent, numbers)
    doubt = ~held
    for some, tall in _products(h):
        whole = product(some, tall, scale)
        for rows in _evenly(tall, _CHUNK_BYTES // (len(whole) * fan_out * h.itemsize)):
            z, out = whole[:, rows.start - tall.start : rows.stop - tall.start], h[some, rows]
            if offset is not None:
                z += offset[some] if offset.shape[1] == 1 else offset[some, rows]
                if bias_fades:  # it is all of z where a sample or a column of the weights is 0
                    doubt[some] |= np.abs(z).min(axis=(1, 2)) < numbers.smallest_sample
            reach = math.sqrt(before.add_squares(some, z).max())
            act.into(z, out)
            after.add(some, out)
            derivative = None
            if slope is not None or flat.needs_slope:
                derivative = act.derivative(z, out)
                if slope is not None:
                    slope[some, rows] = derivative
            flat.add(some, z, derivative, reach)
        gram[some] += neuron_gram(h[some, tall])  # while they are in the cache

    def again(network: int, coarse: Array) -> Array | None:
        doubt[network] |= not affine.mixes  # a later layer may see such a neuron alone
        own = None if offset is None else offset[network]
        return _again(act, product, network, coarse, scale, own, int(exponent[network]), h[network])

    exact = ranges.exact(act, h.dtype)
    cosine, sample_rms = sample_cosine(h)
    measured = {
        "mean": after.mean, "std": after.std(h), "rms": after.rms, "pre_rms": before.rms, **flat.shares(),
        "sample_cosine": cosine,
        "neuron_corr": neuron_corr(h, dtype, after.column_sums, gram, again, exact), **by_function(h),
    }  # fmt: skip
    silent = size == -np.inf  # z is 0
    nothing = silent | ~h.any(axis=(1, 2)) if exact and not after.rms.all() else silent
    doubt |= ranges.astray(h, exponent, affine.mixes, act, numbers)
    if not affine.mixes:  # whatever is small a later layer may see alone
        doubt |= ranges.faint(h, numbers).any(axis=(1, 2))
    doubt |= ranges.outside(before.rms, numbers) & ~silent
    doubt |= (ranges.outside(after.rms, numbers) | ranges.lost(sample_rms, act, h.dtype)) & ~nothing
    doubt &= below.finite
    for name, values in measured.items():
        if power := STATISTICS[name].power:
            measured[name] = np.ldexp(values, power * exponent)
    signal = settled(h, slope, exponent, np.where(below.finite, after.rms, np.inf))
    _lose(measured, ~signal.finite)
    return Crossed(signal, measured, doubt, np.isnan(measured["flat"]) & signal.finite)


def _lose(measured: Measured, lost: Array) -> None:
    """What is known of a layer whose h is not finite; lost: (seeds,) bool."""
    for name, values in measured.items() if lost.any() else ():
        values[lost] = STATISTICS[name].lost


def _again(
    act: Activation,
    product: Product,
    network: int,
    coarse: Array,
    scale: Array,
    offset: Array | None,
    exponent: int,
    h: Array,
) -> Array | None:
    """The first neurons of a network, those that h (batch, width) holds too coarsely from their z again."""
    values = h[:, : len(coarse)]
    z = product.columns(network, coarse, scale)
    if offset is not None:
        z = z + (offset if offset.shape[1] == 1 else offset[:, : len(coarse)][:, coarse])
    ends = np.ldexp(np.stack([z.min(axis=0), z.max(axis=0)]).astype(extended.WIDE), exponent)
    if not values[:, coarse].any() and not extended.applied(act, ends).any():
        return None  # so far out that long double has lost them too
    neurons = values.astype(extended.WIDE)
    neurons[:, coarse] = extended.applied(act, np.ldexp(z.astype(extended.WIDE), exponent))
    return neurons


def _products(h: Array) -> Iterator[tuple[slice, slice]]:
    """What is multiplied at once, (seeds, rows): one network, or several where they make one chunk."""
    seeds, batch, width = h.shape
    together = max(1, _CHUNK_BYTES // (batch * width * h.itemsize))
    for start in range(0, seeds, together):
        for rows in _evenly(slice(0, batch), _TALL):
            yield slice(start, min(start + together, seeds)), rows


def _evenly(rows: slice, most: int) -> Iterator[slice]:
    """The rows in parts of about the same size, `most` or fewer of them."""
    count = rows.stop - rows.start
    parts = -(-count // max(1, most))
    for i in range(parts):
        yield slice(rows.start + i * count // parts, rows.start + (i + 1) * count // parts)
