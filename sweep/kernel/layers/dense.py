"""A dense layer: z = h W + b, h = act(z), forward and back, and what is measured of both.

One layer of one carrier, crossed by several seeds at once: arrays are (seeds, batch, width). A signal is
carried as mantissa · 2^exponent (`sweep.kernel.layers.ranges`), so products never meet a subnormal number and
statistics neither under- nor overflow before float64 itself does.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sweep.activations import Activation, extended
from sweep.activations.extended import WIDE
from sweep.base.arrays import Array
from sweep.base.errors import PrecisionError
from sweep.initializers import Scheme
from sweep.kernel import streams
from sweep.kernel.chain import Chain
from sweep.kernel.layers import ranges
from sweep.kernel.layers.affine import UNSURE, Affine, Product
from sweep.kernel.layers.draws import Draws
from sweep.kernel.layers.layer import Crossed, Kind, Returned
from sweep.kernel.layers.ranges import RANGES
from sweep.kernel.layers.signal import Delta, Measured, Signal, settled
from sweep.kernel.layers.wide import WideSignal, wide_product
from sweep.kernel.statistics.correlation import CORRELATED_NEURONS, neuron_corr, neuron_gram, sample_cosine
from sweep.kernel.statistics.flatness import Flat
from sweep.kernel.statistics.moments import Moments, moments_of, row_squares
from sweep.kernel.statistics.table import STATISTICS, by_function

_CHUNK_BYTES = 1 << 19  # a chunk and its temporaries stay in L2
_TALL = 1024  # rows that one product has where the batch is larger: BLAS packs Z again for each product


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
        gradient = self._draws.product_back(self._number, gradient)
        exponent = exponent + affine.scale_back(gradient, row_sums)
        squares = row_squares(gradient)
        std, rms = moments_of(
            gradient.reshape(-1, *gradient.shape[2:]), squares.reshape(-1, squares.shape[2]).sum(axis=1)
        )
        of_delta = std.reshape(shape), rms.reshape(shape), exponent
        doubt |= ranges.dropped(total, of_delta[1], (affine.std > 0) | bool(affine.mean), gradient.dtype)
        return Returned(
            Delta.recentred(gradient, exponent, of_delta[1], squares / fan_in),
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

    def refine(network: int, coarse: Array) -> Array | None:
        doubt[network] |= not affine.mixes  # a later layer may see such a neuron alone
        own = None if offset is None else offset[network]
        return _again(act, product, network, coarse, scale, own, int(exponent[network]), h[network])

    exact = ranges.exact(act, h.dtype)
    cosine, sample_rms = sample_cosine(h)
    measured = {
        "mean": after.mean, "std": after.std(h), "rms": after.rms, "pre_rms": before.rms, **flat.shares(),
        "sample_cosine": cosine,
        "neuron_corr": neuron_corr(h, dtype, after.column_sums, gram, refine, exact), **by_function(h),
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
    ends = np.ldexp(np.stack([z.min(axis=0), z.max(axis=0)]).astype(WIDE), exponent)
    if not values[:, coarse].any() and not extended.applied(act, ends).any():
        return None  # so far out that long double has lost them too
    neurons = values.astype(WIDE)
    neurons[:, coarse] = extended.applied(act, np.ldexp(z.astype(WIDE), exponent))
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


class WideDense:
    """The same layer of one network, in long double."""

    def __init__(self, chain: Chain, number: int, fans: tuple[int, int], seed: int) -> None:
        self._chain, self._number, self._fans, self._seed = chain, number, fans, seed
        self._weights = np.empty(0, WIDE)

    def forward(self, below: WideSignal) -> WideSignal:
        """Cross the layer; PrecisionError where a scheme has to fit what long double cannot tell apart."""
        act, bias = self._chain.act, self._bias()
        weights = self._weights = self._drawn(below, bias)
        z = wide_product(below.h, weights) + bias
        h = extended.applied(act, z)
        slope = extended.slope(act, z, h)
        still = ~((~below.still)[:, None] & (weights != 0)).any(axis=0)
        still |= (slope == 0).all(axis=0) & (h == h[0]).all(axis=0)
        return WideSignal(h, still, z, slope)

    def backward(self, below: WideSignal, above: WideSignal, delta: Array) -> tuple[Array, Array]:
        """dL/dW and dL/dh of the layer below, from dL/dh of this one."""
        delta = delta * above.slope
        return wide_product(below.h.T, delta), wide_product(delta, self._weights.T)

    def _bias(self) -> Array:
        """b: (fan_out,)."""
        std, base = self._chain.bias_std, self._chain.scheme.base
        if not std:
            return np.zeros(self._fans[1], WIDE)
        unit: Array = streams.biases([self._seed], base, self._number, *self._fans)[0]
        return WIDE(std) * unit

    def _drawn(self, below: WideSignal, bias: Array) -> Array:
        """W: (fan_in, fan_out)."""
        scheme, fans = self._chain.scheme, self._fans
        weights = np.full(fans, scheme.weight_mean(*fans), WIDE)
        if scheme.base is not None:
            unit = streams.weights([self._seed], scheme.base, self._number, *fans)[0].astype(WIDE)
            std = scheme.weight_std(*fans)
            if type(scheme).fit is not Scheme.fit:
                std = self._fitted(below, std, unit, bias)
            weights += WIDE(std) * unit
        return weights

    def _fitted(self, below: WideSignal, std: float, unit: Array, bias: Array) -> float:
        """The std of a scheme that looks at z; PrecisionError where z varies, but less than can be told."""
        through = wide_product(below.h, unit)
        varying = bias if len(bias) > 1 else WIDE(0)  # one neuron's is a constant of z

        def spread(std: float) -> Any:
            z = WIDE(std) * through + varying
            return (z - z[0, 0]).std()  # of equal numbers 0, not their rounding

        products = np.sqrt(np.square(wide_product(np.abs(below.h), np.abs(unit))).mean())
        if spread(std) <= UNSURE * np.finfo(WIDE).eps * WIDE(std) * products:
            if not below.still.all():
                raise PrecisionError(
                    f"layer {self._number}: its inputs differ by less than any precision here can tell, so "
                    "that no scale of its weights gives it unit variance; choose a smaller bias_std or "
                    "another init"
                )
            through = np.broadcast_to(through[:1], through.shape)
        return self._chain.scheme.fit(std, lambda std: float(spread(std)))


def _size(fan_in: int, fan_out: int) -> tuple[int, int]:
    return fan_in * fan_out, fan_out


DENSE = Kind("dense", Dense, WideDense, homogeneous=True, size=_size)
