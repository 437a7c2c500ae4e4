"""One layer of a chain: from the signal below to h, act'(z) and what is measured of them.

A chain is one (scheme, act, bias) crossed by the networks of several seeds; arrays are
(networks, batch, width). A signal is carried as mantissa · 2^exponent (`sweep.kernel.ranges`), so products
never meet a subnormal number and statistics neither under- nor overflow before float64 itself does.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from sweep.activations import Activation, extended
from sweep.base.arrays import Array
from sweep.initializers import Scheme
from sweep.kernel import ranges
from sweep.kernel.layers.signal import Signal, settled
from sweep.kernel.ranges import RANGES
from sweep.kernel.statistics.correlation import CORRELATED_NEURONS, neuron_corr, neuron_gram, sample_cosine
from sweep.kernel.statistics.flatness import Flat
from sweep.kernel.statistics.moments import Moments
from sweep.kernel.statistics.table import STATISTICS, by_function

Measured = dict[str, Array]  # name -> (networks,)


class Product(Protocol):
    """h (scale Z) of a layer. scale: (all networks,) of the dtype."""

    def __call__(self, networks: slice, rows: slice, scale: Array) -> Array:
        """Of some networks and rows, the caller's until the next: (networks, rows, fan_out)."""

    def columns(self, network: int, chosen: Array, scale: Array) -> Array:
        """Of one network and some of its first neurons: (batch, neurons). chosen: (at most fan_out,) bool."""


_UNSURE = 1e4  # roundings of h: of a spread so small they are more than 1e-4
_CHUNK_BYTES = 1 << 19  # a chunk and its temporaries stay in L2
_TALL = 1024  # rows that one product has where the batch is larger: BLAS packs Z again for each product
ALL = slice(None)


@dataclass(frozen=True)
class Affine:
    """z = std · (h Z) + mean · (row sums of h) + bias.

    std: (networks,). bias: (networks, fan_out) float64 or None. mixes: as of a distribution.
    """

    fan_in: int
    std: Array
    mean: float
    bias: Array | None
    mixes: bool

    @classmethod
    def of(cls, scheme: Scheme, fan_in: int, fan_out: int, networks: int, bias: Array | None) -> "Affine":
        std, mean = scheme.weight_std(fan_in, fan_out), scheme.weight_mean(fan_in, fan_out)
        mixes = scheme.base is None or scheme.base.mixes
        return cls(fan_in, np.full(networks, std, np.float64), mean, bias, mixes)

    def size(self, below: Signal) -> Array:
        """log2 of the rms that z may have; -inf where z is 0."""
        fan_in = math.log2(self.fan_in)  # in logarithms: sums of weights of 1e308 are beyond a number
        weights = np.maximum(np.log2(self.std) + fan_in / 2, np.log2(np.abs(self.mean)) + fan_in)
        size: Array = below.exponent + np.log2(below.rms) + weights
        if self.bias is not None:
            size = np.maximum(size, self.bias_size)
        return np.where(below.finite, size, -np.inf)

    @property
    def bias_size(self) -> Array:
        """log2 of the largest bias: (networks,)."""
        assert self.bias is not None
        size: Array = np.log2(np.abs(self.bias).max(axis=1))
        return size

    def fitted(self, scheme: Scheme, below: Signal, product: Product) -> tuple["Affine", Array]:
        """The same with the std of a scheme that looks at the data; and of which networks that is not sure.

        (networks,) bool: where what varies of z is little more than the rounding of h.
        """
        unsure = np.zeros(len(self.std), bool)
        if type(scheme).fit is Scheme.fit:
            return self, unsure
        std, rounding = self.std.copy(), RANGES[below.mantissa.dtype].rounding
        varies = self.bias is not None and self.bias.shape[1] > 1  # one neuron's is a constant of z
        offset = (self if varies else replace(self, bias=None)).offset(below, 0)
        ones = np.ones_like(self.std, below.mantissa.dtype)
        for i in np.flatnonzero(below.finite):
            unit = product(slice(int(i), int(i) + 1), ALL, ones)[0].astype(np.float64)
            unit *= np.ldexp(1.0, below.exponent[i])
            own = 0.0 if offset is None else offset[i]
            z = std[i] * unit + own
            unsure[i] = z.any() and z.std() <= _UNSURE * rounding * np.sqrt(np.square(z).mean())
            std[i] = scheme.fit(std[i], partial(_variance, unit, own))
        return replace(self, std=std), unsure

    def offset(self, below: Signal, exponent: Array | int) -> Array | None:
        """What is added to std · (h Z), in units of 2^exponent: (networks, batch or 1, fan_out or 1)."""
        offset = None
        if self.mean:
            row_sums = below.mantissa.sum(axis=2, dtype=np.float64)[..., None]  # (networks, batch, 1)
            offset = row_sums * np.ldexp(self.mean, below.exponent - exponent)[:, None, None]
        if self.bias is not None:
            bias = np.ldexp(self.bias.T, -exponent).T[:, None]  # (networks, 1, fan_out)
            offset = bias if offset is None else offset + bias
        return offset


def forward(
    affine: Affine,
    act: Activation,
    below: Signal,
    product: Product,
    h: Array,
    slope: Array | None,
    dtype: np.dtype[Any],
) -> tuple[Signal, Measured, Array]:
    """Cross the layer; writes the new mantissa into `h` and act'(z) into `slope`.

    dtype: the network's, h's or less. Returns the signal, what is measured of it, and for which networks
    neither is vouched for: (networks,) bool.
    """
    networks, _, fan_out = h.shape
    numbers, size = RANGES[h.dtype], affine.size(below)
    exponent, held = ranges.units(size, act, numbers)
    there = held & below.finite & (below.rms > 0)  # of zeros and weights beyond the dtype the product is 0
    unit_std = np.ldexp(np.where(there, affine.std, 0.0), np.where(there, below.exponent - exponent, 0))
    scale = unit_std.astype(h.dtype)
    offset = affine.offset(below, exponent)
    if offset is not None:
        offset = np.broadcast_to(offset.astype(h.dtype), (networks, *offset.shape[1:]))
    before, after, flat = Moments(*h.shape), Moments(*h.shape), Flat(act, h.shape)
    gram = np.zeros((networks, *2 * (min(fan_out, CORRELATED_NEURONS),)))
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
    return signal, measured, doubt


def _lose(measured: Measured, lost: Array) -> None:
    """What is known of a layer whose h is not finite; lost: (networks,) bool."""
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


def backward(affine: Affine, product: Array, row_sums: Array | None) -> Array:
    """Turn `product` = dL/dz Z^T into dL/dh of the layer below, in place, up to 2^(the returned exponents).

    product: (gradients, networks, batch, fan_in). row_sums: those of dL/dz, where the weights have a mean.
    """
    shift = np.frexp(np.maximum(abs(affine.mean), affine.std))[1]
    product *= np.ldexp(affine.std, -shift).astype(product.dtype)[:, None, None]
    if row_sums is not None:
        product += (row_sums * np.ldexp(affine.mean, -shift)[:, None, None]).astype(product.dtype)
    return shift


def measure_inputs(x: Array, dtype: np.dtype[Any]) -> tuple[Signal, Measured]:
    """Layer 0: the batch itself; x: (networks, batch, width). dtype: the network's, x's or less."""
    moments = Moments(*x.shape)
    moments.add(ALL, x)
    measured = {
        "mean": moments.mean, "std": moments.std(x), "rms": moments.rms,
        "sample_cosine": sample_cosine(x)[0], "neuron_corr": neuron_corr(x, dtype), **by_function(x),
    }  # fmt: skip
    return Signal(x, np.zeros(len(x), np.int64), moments.rms), measured


def _variance(unit: Array, offset: Array | float, std: float) -> float:
    return float((std * unit + offset).var())


def _products(h: Array) -> Iterator[tuple[slice, slice]]:
    """What is multiplied at once, (networks, rows): one network, or several where they make one chunk."""
    networks, batch, width = h.shape
    together = max(1, _CHUNK_BYTES // (batch * width * h.itemsize))
    for start in range(0, networks, together):
        for rows in _evenly(slice(0, batch), _TALL):
            yield slice(start, min(start + together, networks)), rows


def _evenly(rows: slice, most: int) -> Iterator[slice]:
    """The rows in parts of about the same size, `most` or fewer of them."""
    count = rows.stop - rows.start
    parts = -(-count // max(1, most))
    for i in range(parts):
        yield slice(rows.start + i * count // parts, rows.start + (i + 1) * count // parts)
