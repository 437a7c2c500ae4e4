"""One layer of a chain: from the signal below to h, act'(z) and what is measured of them.

A chain is one (scheme, act, bias) crossed by the networks of several seeds; arrays are
(networks, batch, width). A signal is carried as mantissa · 2^exponent: while its size suits the
dtype the exponent is 0; where it has vanished or exploded the exponent moves instead of the
mantissa, so products never meet a subnormal number and statistics neither under- nor overflow
before float64 itself does.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.activations import Activation, limits
from sweep.initializers import Scheme
from sweep.saturation import Flat
from sweep.statistics import CORRELATED_NEURONS, Moments, neuron_corr, neuron_gram, sample_cosine

Array = NDArray[Any]
# The product h (scale Z) of some networks and rows, the caller's until the next: (slice, slice, scale:
# (all networks,) of the dtype) -> (networks, rows, fan_out).
Product = Callable[[slice, slice, Array], Array]
Measured = dict[str, Array]  # name -> (networks,)

HISTOGRAM_BINS = 30

_CHUNK_BYTES = 1 << 19  # a chunk and its temporaries stay in L2
_TALL = 1024  # rows that one product has where the batch is larger: BLAS packs Z again for each product
ALL = slice(None)

# abs(log2 rms) up to which a mantissa is left alone. dL/dW is a product of two mantissas, and
# its square must stay a normal float64: 4 · 200 < 1022.
COMFORT = {np.dtype(np.float32): 30, np.dtype(np.float64): 200}


@dataclass(frozen=True)
class Signal:
    """h of one layer: mantissa · 2^exponent.

    mantissa: (networks, batch, width). exponent: (networks,) whole. rms: (networks,), the mantissa's;
    inf from the layer on whose h is not finite, the mantissa then being 0.
    """

    mantissa: Array
    exponent: Array
    rms: Array

    @property
    def finite(self) -> Array:
        """Which networks still have a signal: (networks,) bool."""
        return np.isfinite(self.rms)


@dataclass(frozen=True)
class Affine:
    """z = std · (h Z) + mean · (row sums of h) + bias.

    std: (networks,). bias: (networks, fan_out) float64 or None.
    """

    fan_in: int
    std: Array
    mean: float
    bias: Array | None

    @classmethod
    def of(cls, scheme: Scheme, fan_in: int, fan_out: int, networks: int, bias: Array | None) -> "Affine":
        std, mean = scheme.weight_std(fan_in, fan_out), scheme.weight_mean(fan_in, fan_out)
        return cls(fan_in, np.full(networks, std, np.float64), mean, bias)

    def size(self, below: Signal) -> Array:
        """log2 of the rms that z may have, the bias apart; -inf where z is 0."""
        weights = np.hypot(self.std * math.sqrt(self.fan_in), self.mean * self.fan_in)
        size: Array = below.exponent + np.log2(below.rms) + np.log2(weights)
        return size

    def fitted(self, scheme: Scheme, below: Signal, product: Product) -> "Affine":
        """The same with the std of a scheme that looks at the data."""
        if type(scheme).fit is Scheme.fit:
            return self
        std = self.std.copy()
        offset, ones = self.offset(below, 0), np.ones_like(self.std, below.mantissa.dtype)
        for i in np.flatnonzero(below.finite):
            unit = product(slice(i, i + 1), ALL, ones)[0].astype(np.float64)
            unit *= math.ldexp(1.0, int(below.exponent[i]))
            own = 0.0 if offset is None else offset[i]
            std[i] = scheme.fit(std[i], partial(_variance, unit, own))
        return replace(self, std=std)

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
    affine: Affine, act: Activation, below: Signal, product: Product, h: Array, slope: Array | None
) -> tuple[Signal, Measured]:
    """Cross the layer; writes the new mantissa into `h` and act'(z) into `slope`."""
    networks, _, fan_out = h.shape
    exponent, fits = _exponents(affine, act, below, COMFORT[h.dtype])
    unit_std = np.ldexp(np.where(fits, affine.std, 0.0), np.where(fits, below.exponent - exponent, 0))
    scale = unit_std.astype(h.dtype)
    offset = affine.offset(below, exponent)
    if offset is not None:
        offset = np.broadcast_to(offset.astype(h.dtype), (networks, *offset.shape[1:]))
    before, after, flat = Moments(*h.shape), Moments(*h.shape), Flat(act, h.shape)
    gram = np.zeros((networks, *2 * (min(fan_out, CORRELATED_NEURONS),)))
    for some, tall in _products(h):
        whole = product(some, tall, scale)
        for rows in _evenly(tall, _CHUNK_BYTES // (len(whole) * fan_out * h.itemsize)):
            z, out = whole[:, rows.start - tall.start : rows.stop - tall.start], h[some, rows]
            if offset is not None:
                z += offset[some] if offset.shape[1] == 1 else offset[some, rows]
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
    measured = {
        "mean": after.mean, "std": after.std(h), "rms": after.rms, "pre_rms": before.rms, **flat.shares(),
    }  # fmt: skip
    z_exponent, rms = exponent.copy(), after.rms
    misfits = np.flatnonzero(below.finite & ~(fits & np.isfinite(rms))).tolist()
    for i in misfits:
        one = slice(i, i + 1)
        wide = _forward_wide(affine, act, below, product, i, h[one], None if slope is None else slope[one])
        z_exponent[i], exponent[i], own = wide
        rms[i] = own["rms"]
        for name, value in own.items():
            measured[name][i] = value
    signal = _settled(h, slope, exponent, np.where(below.finite, rms, np.inf))
    for name in ("mean", "std", "rms"):
        measured[name] = np.ldexp(measured[name], exponent)
    measured["pre_rms"] = np.ldexp(measured["pre_rms"], z_exponent)
    known = not misfits and signal.exponent is exponent  # of h as it is still
    corr = neuron_corr(h, after.column_sums, gram) if known else neuron_corr(h)
    measured |= {"sample_cosine": sample_cosine(h), "neuron_corr": corr}
    lost = ~np.isfinite(signal.rms)
    if lost.any():
        for name, values in measured.items():
            values[lost] = np.inf if name in {"std", "rms"} else np.nan
    return signal, measured


def backward(affine: Affine, product: Array, row_sums: Array | None) -> Array:
    """Turn `product` = dL/dz Z^T into dL/dh of the layer below, in place, up to 2^(the returned exponents).

    product: (gradients, networks, batch, fan_in). row_sums: those of dL/dz, where the weights have a mean.
    """
    shift = np.frexp(np.maximum(abs(affine.mean), affine.std))[1]
    product *= np.ldexp(affine.std, -shift).astype(product.dtype)[:, None, None]
    if row_sums is not None:
        product += (row_sums * np.ldexp(affine.mean, -shift)[:, None, None]).astype(product.dtype)
    return shift


def measure_inputs(x: Array) -> tuple[Signal, Measured]:
    """Layer 0: the batch itself; x: (networks, batch, width)."""
    moments = Moments(*x.shape)
    moments.add(ALL, x)
    measured = {
        "mean": moments.mean, "std": moments.std(x), "rms": moments.rms,
        "sample_cosine": sample_cosine(x), "neuron_corr": neuron_corr(x),
    }  # fmt: skip
    return Signal(x, np.zeros(len(x), np.int64), moments.rms), measured


def recentre(mantissa: Array, exponent: Array, rms: Array) -> tuple[Array, Array]:
    """Exponents and rms once mantissas of uncomfortable size are changed, in place, to one of rms 1."""
    uncomfortable = np.abs(np.log2(rms)) > COMFORT[mantissa.dtype]
    uncomfortable &= np.isfinite(rms) & (rms > 0)
    if not uncomfortable.any():
        return exponent, rms
    shift = np.where(uncomfortable, np.frexp(rms)[1], 0)
    for index in zip(*np.nonzero(uncomfortable), strict=True):
        for part in (shift[index] // 2, -(-shift[index] // 2)):  # the dtype holds half of any shift
            mantissa[index] *= 2.0 ** float(-part)
    return exponent + shift, np.ldexp(rms, -shift)


def histogram(signal: Signal, bounds: tuple[float, float], log2_factor: float = 0.0) -> Array:
    """Counts of h · 2^log2_factor in equal bins between the bounds: (networks, 30) int64.

    The end bins hold what lies outside. 0 is a bound of a bin.
    """
    low, high = bounds
    per_unit = HISTOGRAM_BINS / (high - low)
    whole = math.floor(log2_factor)
    factor = per_unit * 2.0 ** (log2_factor - whole)
    h = np.ldexp(signal.mantissa.astype(np.float64), (signal.exponent + whole)[:, None, None])
    # Floor before the shift, which would round the tiniest negative numbers to the other side of 0.
    bins = np.clip(np.floor(h * factor) - low * per_unit, 0, HISTOGRAM_BINS - 1).astype(np.int64)
    return np.stack([np.bincount(own.ravel(), minlength=HISTOGRAM_BINS) for own in bins])


def _exponents(affine: Affine, act: Activation, below: Signal, comfort: int) -> tuple[Array, Array]:
    """In units of which power of two z is computed, and whether the dtype holds what comes out.

    Far out, where act is f(c z) = c f(z) to the last bit, a large or small z need not be seen in
    full: it is taken to the edge of comfort, and the exponent carries the rest.
    """
    size = affine.size(below)
    exponent = np.zeros(len(size), np.int64)
    fits = below.finite.copy()
    large = fits & (size > comfort)
    small = fits & (size < -comfort) & (size > -np.inf)
    if affine.bias is not None:
        small &= False  # z is the bias
    if not (large.any() or small.any()):
        return exponent, fits
    linear_at_zero, linear_far_out = limits(act)
    rounded = np.round(np.where(large | small, size, 0.0)).astype(np.int64)
    exponent[large] = rounded[large] - comfort
    exponent[small] = rounded[small] + comfort
    if not linear_far_out:
        exponent[large], fits = 0, fits & ~large
    if not linear_at_zero:
        exponent[small], fits = 0, fits & ~small
    return exponent, fits


def _forward_wide(
    affine: Affine, act: Activation, below: Signal, product: Product, i: int, h: Array, slope: Array | None
) -> tuple[int, int, dict[str, float]]:
    """Cross the layer in float64 with network `i`: the exponents of z and of h, and what is measured.

    h, slope: (1, batch, fan_out).
    """
    z = product(slice(i, i + 1), ALL, np.ones(len(below.mantissa), h.dtype)).astype(np.float64)
    z *= np.ldexp(affine.std[i], below.exponent[i])
    offset = affine.offset(below, 0)
    if offset is not None:
        z += offset[i]
    out = act.f(z)
    derivative = act.derivative(z, out)
    flat = Flat(act, h.shape)
    flat.add(ALL, z, derivative, math.inf)
    before_exponent, exponent = _exponent(z), _exponent(out)
    before, after = Moments(*z.shape), Moments(*z.shape)
    before.add(ALL, np.ldexp(z, -before_exponent))
    out = np.ldexp(out, -exponent)
    after.add(ALL, out)
    h[:] = out
    if slope is not None:
        slope[:] = derivative
    measured = {"mean": after.mean, "std": after.std(out), "rms": after.rms, "pre_rms": before.rms}
    return before_exponent, exponent, {name: float(v[0]) for name, v in (measured | flat.shares()).items()}


def _settled(h: Array, slope: Array | None, exponent: Array, rms: Array) -> Signal:
    """The signal of what `forward` wrote: comfortable mantissas, and nothing where h is not finite."""
    lost = ~np.isfinite(rms)
    if lost.any():
        h[lost], exponent = 0, np.where(lost, 0, exponent)
        rms = np.where(lost, np.inf, rms)
        if slope is not None:
            slope[lost] = np.nan  # no gradient is defined through a layer that diverged
    return Signal(h, *recentre(h, exponent, rms))


def _variance(unit: Array, offset: Array | float, std: float) -> float:
    return float((std * unit + offset).var())


def _exponent(values: Array) -> int:
    """The power of two that brings the largest entry to [0.5, 1)."""
    largest = float(np.abs(values).max())
    return math.frexp(largest)[1] if math.isfinite(largest) else 0


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
