"""The signal between two layers: mantissas with an exponent for each network."""

import math
from dataclasses import dataclass

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel import ranges

HISTOGRAM_BINS = 30


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


def histogram(signal: Signal, bounds: tuple[float, float], log2_factor: float = 0.0) -> Array:
    """Counts of h · 2^log2_factor in equal bins between the bounds: (networks, 30) int64.

    The end bins hold what lies outside. 0 is a bound of a bin.
    """
    low, high = bounds
    per_unit = HISTOGRAM_BINS / (high - low)
    whole = math.floor(log2_factor)
    factor = per_unit * 2.0 ** (log2_factor - whole)
    h = np.ldexp(signal.mantissa.astype(np.float64), (signal.exponent + whole)[:, None, None])
    # Floor before the shift, which would round the tiniest negative numbers to the other side of 0; and
    # what is -0 was less than 0 before it underflowed.
    floor = np.floor(h * factor) - ((h == 0) & np.signbit(h))
    bins = np.clip(floor - low * per_unit, 0, HISTOGRAM_BINS - 1).astype(np.int64)
    return np.stack([np.bincount(own.ravel(), minlength=HISTOGRAM_BINS) for own in bins])


def settled(h: Array, slope: Array | None, exponent: Array, rms: Array) -> Signal:
    """The signal of what `forward` wrote: comfortable mantissas, and nothing where h is not finite."""
    lost = ~np.isfinite(rms)
    if lost.any():
        h[lost], exponent = 0, np.where(lost, 0, exponent)
        rms = np.where(lost, np.inf, rms)
        if slope is not None:
            slope[lost] = np.nan  # no gradient is defined through a layer that diverged
    return Signal(h, *ranges.recentre(h, exponent, rms))
