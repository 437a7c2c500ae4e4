"""What passes between layers, forward and back: mantissas, and an exponent for each network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel.layers import ranges
from sweep.kernel.statistics.correlation import neuron_corr, sample_cosine
from sweep.kernel.statistics.moments import Moments, row_squares
from sweep.kernel.statistics.table import by_function

Measured = dict[str, Array]  # name -> (seeds,)
HISTOGRAM_BINS = 30
_NOTHING = np.iinfo(np.int64).min  # the exponent of what is 0


@dataclass(frozen=True)
class Signal:
    """h of one layer, or dL/dh: mantissa · 2^exponent.

    mantissa: (seeds, batch, width). exponent: (seeds,), whole numbers. rms: (seeds,), the mantissa's; inf
    from the first layer whose h is not finite, where the mantissa is 0. dL/dh has an axis of gradients first.
    """

    mantissa: Array
    exponent: Array
    rms: Array

    @property
    def finite(self) -> Array:
        """Which seeds still have a signal: (seeds,) bool."""
        return np.isfinite(self.rms)

    def plus(self, other: "Signal") -> "Signal":
        """The sum of two signals of one shape, whatever their exponents."""
        return combined([(1.0, self), (1.0, other)])

    def times(self, factor: float) -> "Signal":
        """The signal times a number."""
        return combined([(factor, self)])


def combined(terms: Sequence[tuple[float, Signal]], out: Array | None = None) -> Signal:
    """The sum of signals of one shape, each times a number, whatever their exponents; out: is written to."""
    shares: list[float] = []
    exponents: list[Array] = []
    for factor, signal in terms:
        share, exponent = math.frexp(factor)
        shares.append(share)
        exponents.append(signal.exponent + exponent)
    there = [(signal.rms > 0) & (share != 0) for share, (_, signal) in zip(shares, terms, strict=True)]
    known = [np.where(own, one, _NOTHING) for own, one in zip(there, exponents, strict=True)]
    top: Array = np.max(known, axis=0)
    top[top == _NOTHING] = 0
    mantissa: Array | None = None
    for share, own_exponent, own, (_, signal) in zip(shares, exponents, there, terms, strict=True):
        scale = np.where(own, np.ldexp(share, np.where(own, own_exponent - top, 0)), 0.0)
        scale = scale.astype(signal.mantissa.dtype)[..., None, None]
        if mantissa is None:
            mantissa = np.multiply(signal.mantissa, scale, out=out)
        else:
            mantissa += signal.mantissa * scale
    assert mantissa is not None
    rms = np.sqrt(row_squares(mantissa).mean(axis=-1) / mantissa.shape[-1])
    rms[~np.all([signal.finite for _, signal in terms], axis=0)] = np.inf
    mantissa[np.isinf(rms)] = 0
    return Signal(mantissa, *ranges.recentre(mantissa, top, rms))


@dataclass(frozen=True)
class Delta:
    """dL/dh of one layer, for every depth that gradients are sent back from.

    signal: (gradients, seeds, batch, width). samples: the mean square of each sample's mantissa,
    (gradients, seeds, batch).
    """

    signal: Signal
    samples: Array

    @classmethod
    def recentred(cls, mantissa: Array, exponent: Array, rms: Array, samples: Array) -> "Delta":
        """With mantissas brought back into comfort, in place."""
        signal = Signal(mantissa, *ranges.recentre(mantissa, exponent, rms))
        if signal.exponent is not exponent:
            samples = np.ldexp(samples, 2 * (exponent - signal.exponent)[..., None])
        return cls(signal, samples)

    @classmethod
    def of_upstream(cls, upstream: Array) -> "Delta":
        """The gradient that begins with G, (seeds, batch, width), which is copied."""
        samples = row_squares(upstream[None]) / upstream.shape[2]
        exponent = np.zeros((1, len(upstream)), np.int64)
        return cls(Signal(upstream[None].copy(), exponent, np.sqrt(samples.mean(axis=2))), samples)

    def joined(self, other: "Delta") -> "Delta":
        """These gradients, followed by the other's."""
        a, b = self.signal, other.signal
        signal = Signal(
            np.concatenate([a.mantissa, b.mantissa]),
            np.concatenate([a.exponent, b.exponent]),
            np.concatenate([a.rms, b.rms]),
        )
        return Delta(signal, np.concatenate([self.samples, other.samples]))


def histogram(signal: Signal, bounds: tuple[float, float], log2_factor: float = 0.0) -> Array:
    """Counts of h · 2^log2_factor in equal bins between the bounds: (seeds, 30) int64.

    The end bins hold what lies outside. 0 is an edge between two bins.
    """
    low, high = bounds
    per_unit = HISTOGRAM_BINS / (high - low)
    whole = math.floor(log2_factor)
    factor = per_unit * 2.0 ** (log2_factor - whole)
    h = np.ldexp(signal.mantissa.astype(np.float64), (signal.exponent + whole)[:, None, None])
    # Floor before the shift, which would round the tiniest negative numbers up to 0. And -0 is a negative
    # number that underflowed.
    floor = np.floor(h * factor) - ((h == 0) & np.signbit(h))
    bins = np.clip(floor - low * per_unit, 0, HISTOGRAM_BINS - 1).astype(np.int64)
    return np.stack([np.bincount(network.ravel(), minlength=HISTOGRAM_BINS) for network in bins])


def settled(h: Array, slope: Array | None, exponent: Array, rms: Array) -> Signal:
    """The signal of a new h: its mantissas brought back into comfort, and 0 where h is not finite."""
    lost = ~np.isfinite(rms)
    if lost.any():
        h[lost], exponent = 0, np.where(lost, 0, exponent)
        rms = np.where(lost, np.inf, rms)
        if slope is not None:
            slope[lost] = np.nan  # no gradient is defined through a layer that diverged
    return Signal(h, *ranges.recentre(h, exponent, rms))


def measure_inputs(x: Array, dtype: np.dtype[Any]) -> tuple[Signal, Measured]:
    """Layer 0, the batch itself; x: (seeds, batch, width). dtype: the network's, no wider than x's."""
    moments = Moments(*x.shape)
    moments.add(slice(None), x)
    measured = {
        "mean": moments.mean, "std": moments.std(x), "rms": moments.rms,
        "sample_cosine": sample_cosine(x)[0], "neuron_corr": neuron_corr(x, dtype), **by_function(x),
    }  # fmt: skip
    exponent, rms = ranges.recentre(x, np.zeros(len(x), np.int64), moments.rms)
    return Signal(x, exponent, rms), measured
