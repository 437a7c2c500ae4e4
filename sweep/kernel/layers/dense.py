"""A dense layer: z = h W + b, h = act(z), forward and back, and what is measured on both ways.

Several seeds cross it at once: arrays are (seeds, batch, width). A signal is mantissa · 2^exponent
(`sweep.kernel.layers.ranges`), so that products never meet a subnormal number, and statistics neither under-
nor overflow before float64 itself does.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from sweep.activations import Activation, extended
from sweep.activations.extended import WIDE
from sweep.base.arrays import Array
from sweep.kernel.chains.chain import Chain
from sweep.kernel.layers import ranges
from sweep.kernel.layers.affine import Affine, Product
from sweep.kernel.layers.draws import Draws, Matrix
from sweep.kernel.layers.layer import Crossed, Drawn, Entering, Kind, Returned, Size
from sweep.kernel.layers.ranges import RANGES
from sweep.kernel.layers.signal import Delta, Signal, settled
from sweep.kernel.layers.wide import WideEntering, WideMatrix, WideReturned, WideSignal, narrow_slope
from sweep.kernel.passes import Passes, Sums
from sweep.kernel.statistics.correlation import CORRELATED_NEURONS, neuron_corr, neuron_gram, sample_cosine
from sweep.kernel.statistics.moments import moments_of
from sweep.kernel.statistics.table import STATISTICS, by_function

CHUNK_BYTES = 1 << 19  # a chunk and its temporaries stay in L2
_TALL = 1024  # rows of a product, at most: the more, the fewer times BLAS packs Z


class Dense:
    """The `Layer` of a dense chain."""

    def __init__(self, chain: Chain, number: int, draws: Draws, passes: Passes) -> None:
        self._chain, self._number, self._draws, self._passes = chain, number, draws, passes
        fans, seeds = draws.fans(number), len(draws.seeds)
        self._scheme, bias_std = chain.scheme_of(number), chain.bias_std_of(number, *fans)
        self._matrix = Matrix(self._scheme.base, *fans)
        bias = None
        if bias_std:
            unit = draws.biases(number, self._matrix, chain.bias_of(number))
            bias = bias_std * unit.astype(np.float64)
        self._affine = Affine.of(self._scheme, *fans, seeds, bias)
        self._below: Signal | None = None
        self._slope: Array | None = None

    def forward(self, below: Signal, h: Array, keep: bool, dtype: np.dtype[Any]) -> Crossed:
        product = self._draws.product(self._number, self._matrix, below.mantissa, of_inputs=True)
        self._affine, unsure = self._affine.fitted(self._scheme, below, product, self._scheme.centres)
        slope = np.empty_like(h) if keep else None
        if keep:
            self._below, self._slope = below, slope
        crossing = _Crossing(self._affine, self._chain.act, below, product, h, slope, self._passes)
        return crossing.cross(unsure, dtype)

    def weights(self) -> list[Drawn]:
        return [self._draws.weights(self._number, self._matrix, self._affine)]

    def backward(self, delta: Delta, entering: Entering | None = None) -> Returned:
        assert self._below is not None
        assert self._slope is not None
        affine, slope, gradient = self._affine, self._slope, delta.signal.mantissa
        fan_in, fan_out = self._draws.fans(self._number)
        faint = None if affine.mixes else (gradient != 0) & (slope != 0)
        passed = self._passes.through(gradient, slope) / fan_out  # dL/dz
        doubt = ranges.faded(delta.samples, passed, slope, self._chain.act)
        if faint is not None:  # a small entry may be all that is left of a neuron further down
            faint &= np.abs(gradient) < RANGES[gradient.dtype].smallest_sample
            doubt |= faint.any(axis=(2, 3))
        total = np.sqrt(passed.mean(axis=2))
        exponent, _ = ranges.recentre(gradient, delta.signal.exponent, total)
        if entering:
            entering(gradient, exponent)
        weights: Array = np.matmul(self._below.mantissa.transpose(0, 2, 1), gradient)
        std, rms = moments_of(weights.reshape(-1, fan_in, fan_out))
        shape = gradient.shape[:2]
        of_weights = std.reshape(shape), rms.reshape(shape), self._below.exponent + exponent
        # Of all samples those with a gradient may be the ones of which next to nothing has come up.
        doubt |= ranges.dropped(total, of_weights[1], self._below.rms > 0, gradient.dtype)

        row_sums = gradient.sum(axis=3, dtype=np.float64)[..., None] if affine.mean else None
        gradient = self._draws.product_back(self._number, self._matrix, gradient)
        further, scale, shift = affine.back(row_sums, gradient.dtype)
        exponent = exponent + further
        squares, sums = self._passes.back(gradient, scale, shift)
        std, rms = moments_of(
            gradient.reshape(-1, *gradient.shape[2:]),
            squares.reshape(-1, squares.shape[2]).sum(axis=1),
            sums.reshape(-1, fan_in),
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


class _Crossing:
    """One way forward through a layer, in chunks; z is in units of 2^exponent, (seeds,).

    h and slope: written to, the latter with act'(z). doubt: (seeds,) bool, what is not vouched for so far.
    """

    def __init__(
        self,
        affine: Affine,
        act: Activation,
        below: Signal,
        product: Product,
        h: Array,
        slope: Array | None,
        passes: Passes,
    ) -> None:
        self.affine, self.act, self.below, self.product = affine, act, below, product
        self.passes = passes
        self.h, self.slope, self.range = h, slope, RANGES[h.dtype]
        size = affine.size(below)
        self.silent = size == -np.inf  # z is 0
        self.exponent, held = ranges.units(size, act, self.range)
        self.doubt = ~held
        # Beyond the dtype, or of zeros, the product is taken as 0.
        multiplied = held & below.finite & (below.rms > 0)
        shift = np.where(multiplied, below.exponent - self.exponent, 0)
        self.scale = np.ldexp(np.where(multiplied, affine.std, 0.0), shift).astype(h.dtype)
        self.offset = affine.offset(below, self.exponent)
        if self.offset is not None:
            self.offset = np.broadcast_to(self.offset.astype(h.dtype), (len(h), *self.offset.shape[1:]))

    def cross(self, unsure: Array, dtype: np.dtype[Any]) -> Crossed:
        """unsure: the seeds whose std is, (seeds,) bool. dtype: the network's, no wider than h's."""
        h, act, finite = self.h, self.act, self.below.finite
        sums = Sums.of(act, h.shape)
        gram = self._pass(sums)
        before, after, flat = sums.before, sums.after, sums.flat
        cosine, sample_rms = sample_cosine(h)
        exact = ranges.exact(act, h.dtype)
        correlation = neuron_corr(h, dtype, after.column_sums, gram, self._refine, exact)
        measured = {
            "mean": after.mean, "std": after.std(h), "rms": after.rms, "pre_rms": before.rms, **flat.shares(),
            "sample_cosine": cosine, "neuron_corr": correlation, **by_function(h),
        }  # fmt: skip
        self._judge(before.rms, after.rms, sample_rms, exact)
        for name, values in measured.items():
            if power := STATISTICS[name].power:
                measured[name] = np.ldexp(values, power * self.exponent)
        signal = settled(h, self.slope, self.exponent, np.where(finite, after.rms, np.inf))
        if not signal.finite.all():
            for name, values in measured.items():
                values[~signal.finite] = STATISTICS[name].lost
        without_slope = np.isnan(measured["flat"]) & signal.finite
        return Crossed(signal, measured, (self.doubt & finite) | unsure, without_slope)

    def _pass(self, sums: Sums) -> Array:
        """Compute h, and the sums of z before act and of h after it; returns `neuron_gram` of h."""
        h, slope, affine, fan_out = self.h, self.slope, self.affine, self.h.shape[2]
        bias_fades = affine.bias is not None and ranges.fades(affine.bias_size - self.exponent, self.range)
        gram = np.zeros((len(h), *2 * (min(fan_out, CORRELATED_NEURONS),)))
        for seeds, tall in products(h):
            whole = self.product(seeds, tall, self.scale)
            for rows in evenly(tall, CHUNK_BYTES // (len(whole) * fan_out * h.itemsize)):
                z, offset = whole[:, rows.start - tall.start : rows.stop - tall.start], self.offset
                if offset is not None:
                    offset = offset[seeds] if offset.shape[1] == 1 else offset[seeds, rows]
                    if bias_fades:  # the bias is all of z where a sample or a column of the weights is 0
                        z += offset
                        offset, smallest = None, np.abs(z).min(axis=(1, 2))
                        self.doubt[seeds] |= smallest < self.range.smallest_sample
                to = None if slope is None else slope[seeds, rows]
                self.passes.forward(self.act, sums, seeds, z, offset, h[seeds, rows], to)
            gram[seeds] += neuron_gram(h[seeds, tall])  # while they are in the cache
        return gram

    def _refine(self, network: int, coarse: Array) -> Array | None:
        """`correlation.Refine`: the coarse neurons from their z again, in long double."""
        self.doubt[network] |= not self.affine.mixes  # a later layer may see such a neuron alone
        neurons, exponent = self.h[network][:, : len(coarse)], int(self.exponent[network])
        z = self.product.columns(network, coarse, self.scale)
        if self.offset is not None:
            offset = self.offset[network]
            z = z + (offset if offset.shape[1] == 1 else offset[:, : len(coarse)][:, coarse])
        ends = np.ldexp(np.stack([z.min(axis=0), z.max(axis=0)]).astype(WIDE), exponent)
        if not neurons[:, coarse].any() and not extended.applied(self.act, ends).any():
            return None  # so far out that long double has lost them too
        refined: Array = neurons.astype(WIDE)
        refined[:, coarse] = extended.applied(self.act, np.ldexp(z.astype(WIDE), exponent))
        return refined

    def _judge(self, pre_rms: Array, rms: Array, sample_rms: Array, exact: bool) -> None:
        """Doubt what is too small or too large for the dtype, but not what is truly 0."""
        h, act, numbers = self.h, self.act, self.range
        zero = self.silent | ~h.any(axis=(1, 2)) if exact and not rms.all() else self.silent
        self.doubt |= ranges.astray(h, self.exponent, self.affine.mixes, act, numbers)
        if not self.affine.mixes:  # a later layer may see whatever is small alone
            self.doubt |= ranges.faint(h, numbers).any(axis=(1, 2))
        self.doubt |= ranges.outside(pre_rms, numbers) & ~self.silent
        self.doubt |= (ranges.outside(rms, numbers) | ranges.lost(sample_rms, act, h.dtype)) & ~zero


def products(h: Array) -> Iterator[tuple[slice, slice]]:
    """What one product takes, (seeds, rows): one network, or as many as make one chunk."""
    seeds, batch, width = h.shape
    together = max(1, CHUNK_BYTES // (batch * width * h.itemsize))
    for start in range(0, seeds, together):
        for rows in evenly(slice(0, batch), _TALL):
            yield slice(start, min(start + together, seeds)), rows


def evenly(rows: slice, most: int) -> Iterator[slice]:
    """The rows in parts of about the same size, at most `most` rows each."""
    count = rows.stop - rows.start
    parts = -(-count // max(1, most))
    for i in range(parts):
        yield slice(rows.start + i * count // parts, rows.start + (i + 1) * count // parts)


class WideDense:
    """The same layer of one network, in long double."""

    def __init__(self, chain: Chain, number: int, fans: tuple[int, int], seed: int) -> None:
        self._act = chain.act
        self._matrix = WideMatrix(chain, number, fans, seed)

    def forward(self, below: WideSignal) -> WideSignal:
        z, still = self._matrix.forward(below.h, below.still)
        h = extended.applied(self._act, z)
        slope = extended.slope(self._act, z, h)
        still |= (slope == 0).all(axis=0) & (h == h[0]).all(axis=0)
        return WideSignal(h, still, z, slope)

    def weights(self) -> list[tuple[Array, Array | None]]:
        return [self._matrix.narrow()]

    def backward(
        self, below: WideSignal, above: WideSignal, delta: Array, entering: WideEntering | None = None
    ) -> WideReturned:
        return WideReturned(*self._matrix.backward(below.h, delta * above.slope, entering))

    def push(self, above: WideSignal, changes: Array) -> Array:
        pushed = self._matrix.push(changes)
        pushed *= narrow_slope(above.slope[: len(changes)], alone=True)
        return pushed


def _size(_: Chain, fan_in: int, fan_out: int) -> Size:
    return Size(fan_in * fan_out, fan_out, 2 * fan_out)


DENSE = Kind("dense", Dense, WideDense, homogeneous=True, size=_size)
