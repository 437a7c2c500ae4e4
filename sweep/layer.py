"""One layer of one network: from the product with Z to h, act'(z) and what is measured of them.

A signal is carried as mantissa · 2^exponent. While its size suits the network's dtype the
exponent is 0; where a signal has vanished or exploded the exponent moves instead of the
mantissa, so products never meet a subnormal number and statistics neither under- nor overflow
before float64 itself does.
"""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.activations import FLAT_SLOPE, Activation
from sweep.initializers import Scheme
from sweep.statistics import Moments, neuron_corr, sample_cosine

Array = NDArray[Any]

HISTOGRAM_BINS = 30
HISTOGRAM_RANGE = (-1.0, 1.0)  # what lies outside is counted in the end bins

_CHUNK = 1 << 16  # entries per chunk of rows: the temporaries of an activation then stay in L2
# What is known of a layer from the one on whose h is not finite.
DIVERGED = {"std": math.inf, "rms": math.inf}

# abs(log2 rms) up to which a mantissa is left alone. dL/dW is a product of two mantissas, and
# its square must stay a normal float64: 4 · 200 < 1022.
_COMFORT = {np.dtype(np.float32): 30, np.dtype(np.float64): 200}


@dataclass(frozen=True)
class Signal:
    """h of one layer of one network: mantissa · 2^exponent.

    mantissa: (batch, width). rms: the mantissa's.
    """

    mantissa: Array
    exponent: int
    rms: float


@dataclass(frozen=True)
class Affine:
    """z = std · (h Z) + mean · (row sums of h) + bias, for one network and one layer.

    bias: (fan_out,) or None.
    """

    fan_in: int
    std: float
    mean: float
    bias: Array | None

    @classmethod
    def of(cls, scheme: Scheme, fan_in: int, fan_out: int, bias_std: float, unit_bias: Array) -> "Affine":
        bias = bias_std * unit_bias.astype(np.float64) if bias_std else None
        std, mean = scheme.weight_std(fan_in, fan_out), scheme.weight_mean(fan_in, fan_out)
        return cls(fan_in, std, mean, bias)

    def size(self, below: Signal) -> float:
        """log2 of the rms that z may have, the bias apart; -inf where z is 0."""
        size = below.rms * math.hypot(self.std * math.sqrt(self.fan_in), self.mean * self.fan_in)
        return below.exponent + math.log2(size) if size else -math.inf

    def fitted(self, scheme: Scheme, below: Signal, product: Array) -> "Affine":
        """The same with the std of a scheme that looks at the data."""

        def variance(std: float) -> float:
            moments = Moments()
            offset = self.offset(below, 0)
            for rows in _chunks_of_rows(product):
                z = product[rows].astype(np.float64) * np.ldexp(std, below.exponent)
                moments.add(z if offset is None else z + offset[rows if len(offset) > 1 else slice(None)])
            return moments.std**2

        return dataclasses.replace(self, std=scheme.fit(self.std, variance))

    def offset(self, below: Signal, exponent: int) -> Array | None:
        """What is added to std · (h Z), in units of 2^exponent: (batch or 1, fan_out or 1) float64."""
        offset = None
        if self.mean:
            row_sums = below.mantissa.sum(axis=1, dtype=np.float64)[:, None]  # (batch, 1)
            offset = row_sums * np.ldexp(self.mean, below.exponent - exponent)
        if self.bias is not None:
            bias = np.ldexp(self.bias, -exponent)[None]  # (1, fan_out)
            offset = bias if offset is None else offset + bias
        return offset


def forward(
    affine: Affine, act: Activation, below: Signal, product: Array, h: Array, slope: Array | None
) -> tuple[Signal, dict[str, float]] | None:
    """Cross the layer in the network's own dtype; None if the numbers do not fit it.

    product: (batch, fan_out), the mantissa below times Z; it may be `h` itself.
    Writes the new mantissa into `h` and act'(z) into `slope`.
    """
    size, comfort = affine.size(below), _COMFORT[h.dtype]
    exponent = 0
    if act.homogeneous and affine.bias is None:  # act(2^k z) = 2^k act(z): any exponent will do
        exponent = round(size) if comfort < abs(size) < math.inf else 0
    elif size > comfort or (size < -comfort and affine.bias is None and size > -math.inf):
        return None
    std = h.dtype.type(np.ldexp(affine.std, below.exponent - exponent))
    offset = affine.offset(below, exponent)
    if offset is not None:
        offset = np.broadcast_to(offset.astype(h.dtype), (len(h), offset.shape[1]))
    before, after, flat = Moments(), Moments(), _Flat()
    for rows in _chunks_of_rows(h):
        z = product[rows] * std
        if offset is not None:
            z += offset[rows]
        out = act.f(z)
        derivative = act.derivative(z, out)
        before.add(z)
        after.add(out)
        flat.add(derivative)
        h[rows] = out
        if slope is not None:
            slope[rows] = derivative
    if not math.isfinite(after.rms):
        return None
    measured = _measured(before, exponent, after, exponent, flat, h)
    return recentre(h, exponent, after.rms), measured


def forward_wide(
    affine: Affine, act: Activation, below: Signal, product: Array, h: Array, slope: Array | None
) -> tuple[Signal, dict[str, float]] | None:
    """Cross the layer as `forward` does, in float64; None if h is not finite there either."""
    z = product.astype(np.float64) * np.ldexp(affine.std, below.exponent)
    offset = affine.offset(below, 0)
    if offset is not None:
        z += offset
    out = act.f(z)
    derivative = act.derivative(z, out)
    if not np.isfinite(out).all():
        return None
    before_exponent, exponent = _exponent(z), _exponent(out)
    before, after, flat = Moments(), Moments(), _Flat()
    before.add(np.ldexp(z, -before_exponent))
    h[:] = out = np.ldexp(out, -exponent)
    after.add(out)
    flat.add(derivative)
    if slope is not None:
        slope[:] = derivative
    return Signal(h, exponent, after.rms), _measured(before, before_exponent, after, exponent, flat, h)


def backward(affine: Affine, product: Array, delta: Array) -> int:
    """Turn `product` = dL/dz Z^T into dL/dh of the layer below, in place, up to 2^(the returned exponent).

    delta: (batch, fan_out), dL/dz.
    """
    shift = math.frexp(max(abs(affine.mean), affine.std))[1]
    product *= product.dtype.type(math.ldexp(affine.std, -shift))
    if affine.mean:
        row_sums = delta.sum(axis=1, dtype=np.float64)[:, None] * math.ldexp(affine.mean, -shift)
        product += row_sums.astype(product.dtype)
    return shift


def measure_inputs(x: Array) -> tuple[Signal, dict[str, float]]:
    """Layer 0: the batch itself."""
    moments = moments_of(x)
    return Signal(x, 0, moments.rms), _scaled(moments, 0) | _alikeness(x)


def moments_of(values: Array) -> Moments:
    """The moments of all entries of a two-dimensional array."""
    moments = Moments()
    for rows in _chunks_of_rows(values):
        moments.add(values[rows])
    return moments


def recentre(mantissa: Array, exponent: int, rms: float) -> Signal:
    """The signal with a mantissa of comfortable size; changes `mantissa` in place where it must."""
    if rms and abs(math.log2(rms)) > _COMFORT[mantissa.dtype]:
        shift = math.frexp(rms)[1]
        np.ldexp(mantissa, -shift, out=mantissa)
        return Signal(mantissa, exponent + shift, math.ldexp(rms, -shift))
    return Signal(mantissa, exponent, rms)


def scale(value: float, exponent: int) -> float:
    """value · 2^exponent, inf where float64 does not hold it."""
    return float(np.ldexp(value, exponent))


def histogram(signal: Signal) -> Array:
    """Counts of h in the bins of HISTOGRAM_RANGE: (30,) int64."""
    low, high = HISTOGRAM_RANGE
    per_unit = HISTOGRAM_BINS / (high - low)
    h = np.ldexp(signal.mantissa.astype(np.float64), signal.exponent)
    # Floor before the shift, which would round the tiniest negative numbers to the other side of 0.
    bins = np.clip(np.floor(h * per_unit) - low * per_unit, 0, HISTOGRAM_BINS - 1).astype(np.int64)
    return np.bincount(bins.ravel(), minlength=HISTOGRAM_BINS)


class _Flat:
    """Counts the entries without slope, and the neurons that have none for any sample."""

    def __init__(self) -> None:
        self._flat, self._entries = 0, 0
        self._dead: Array | None = None

    def add(self, derivative: Array) -> None:
        mask = np.abs(derivative) < FLAT_SLOPE
        self._flat += int(np.count_nonzero(mask))
        self._entries += mask.size
        column: Array = np.all(mask, axis=0)
        self._dead = column if self._dead is None else self._dead & column

    def shares(self) -> dict[str, float]:
        assert self._dead is not None
        return {"flat": self._flat / self._entries, "dead": float(self._dead.mean())}


def _measured(
    before: Moments, before_exponent: int, after: Moments, exponent: int, flat: _Flat, h: Array
) -> dict[str, float]:
    pre_rms = {"pre_rms": scale(before.rms, before_exponent)}
    return _scaled(after, exponent) | pre_rms | flat.shares() | _alikeness(h)


def _scaled(moments: Moments, exponent: int) -> dict[str, float]:
    return {name: scale(getattr(moments, name), exponent) for name in ("mean", "std", "rms")}


def _alikeness(h: Array) -> dict[str, float]:
    return {"sample_cosine": sample_cosine(h), "neuron_corr": neuron_corr(h)}


def _exponent(values: Array) -> int:
    """The power of two that brings the largest entry to [0.5, 1)."""
    largest = float(np.abs(values).max())
    return math.frexp(largest)[1] if math.isfinite(largest) else 0


def _chunks_of_rows(values: Array) -> Iterator[slice]:
    rows, width = values.shape
    step = max(1, _CHUNK // width)
    return (slice(start, start + step) for start in range(0, rows, step))
