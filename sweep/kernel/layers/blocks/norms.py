"""Norms, forward and back: of a sample over its neurons, or of a neuron over the batch.

    y = (x - m) / s,   m = mean x (0 for rms),   s² = mean (x - m)²
    dL/dx = (g - mean g - y mean(g y)) / s,   g = dL/dy, without the first mean for rms

No gain, no bias, no epsilon: the norm of nothing is 0, and so is its gradient. What varies by little more
than the rounding in it is not vouched for.
"""

from dataclasses import dataclass

import numpy as np

from sweep.activations.extended import WIDE
from sweep.base.arrays import Array
from sweep.base.blocks import BATCH, RMS
from sweep.kernel.layers import ranges
from sweep.kernel.layers.affine import UNSURE
from sweep.kernel.layers.ranges import RANGES
from sweep.kernel.layers.signal import Signal
from sweep.kernel.statistics.moments import column_sums_of, row_squares

_FAINT = 2.0**-100  # a sum of float32 squares below this may have lost some of them to underflow
# Of so few samples or neurons one may decide; unequal: a sample's size, in that of the one in the middle.
_FEW_SAMPLES, _FEW_NEURONS, _UNEQUAL = 8, 16, 16.0
NOISE = 64  # roundings: of fewer, what varies is 0


@dataclass(frozen=True)
class Normed:
    """A signal after a norm, and what its gradient needs.

    y: of mantissas near 1 and exponent 0. inverse: 1 / s in units of 2^-exponent, 0 where s is: (seeds,
    batch, 1) or (seeds, 1, width). doubt: (seeds,) bool.
    """

    kind: str
    y: Signal
    inverse: Array
    exponent: Array
    doubt: Array

    @classmethod
    def of(cls, kind: str, x: Signal) -> "Normed":
        """The norm of this kind of mantissa and exponent; x.rms says only which seeds have a signal."""
        mantissa, numbers = x.mantissa, RANGES[x.mantissa.dtype]
        axis = _axis(kind)
        centred, square = mantissa, 0.0
        if kind != RMS:
            first = mantissa.take([0], axis=axis)  # exactly 0 is left where all are the same
            centred = mantissa - first
            mean = _mean(centred, axis)
            centred -= mean.astype(mantissa.dtype)
            square = np.square(first + mean)
        variance = _squares(centred, axis) / mantissa.shape[axis]
        size = np.sqrt(variance)
        varies = size > 0
        unsure = size <= UNSURE * numbers.rounding * np.sqrt(variance + square)
        unsure |= size < numbers.smallest_sample
        inverse = varies / np.where(varies, size, 1.0)
        y = centred * inverse.astype(mantissa.dtype)
        rms = np.sqrt(row_squares(y).mean(axis=-1) / y.shape[-1])
        rms[~x.finite] = np.inf
        signal = Signal(y, np.zeros_like(x.exponent), rms)
        doubt = (unsure & varies).any(axis=(1, 2))
        if kind == BATCH and mantissa.dtype == np.float32:
            doubt |= _one_sided(mantissa)
        if not varies.all():  # what is there may vary by less than its rounding, or its squares be 0
            doubt |= (~varies & mantissa.any(axis=axis, keepdims=True)).any(axis=(1, 2))
        return cls(kind, signal, inverse, x.exponent, doubt)

    def back(self, gradient: Signal) -> tuple[Signal, Array]:
        """dL/dx of dL/dy, (gradients, seeds, batch, width), and what is in doubt, (gradients, seeds)."""
        axis, g, y = _axis(self.kind), gradient.mantissa, self.y.mantissa
        before = _rms(g * self.inverse.astype(g.dtype))
        passed = g - y * _mean(g * y, axis).astype(g.dtype)
        if self.kind != RMS:
            passed -= _mean(g, axis).astype(g.dtype)
        passed *= self.inverse.astype(g.dtype)
        rms = _rms(passed)
        doubt = (rms < UNSURE * RANGES[g.dtype].rounding * before) & (before > 0)
        doubt |= ranges.dropped(before, rms, np.ones(len(self.exponent), bool), g.dtype)
        exponent = gradient.exponent - self.exponent
        return Signal(passed, *ranges.recentre(passed, exponent, rms)), doubt


def wide_norm(kind: str, x: Array) -> tuple[Array, Array]:
    """The norm of one network in long double, (batch, width), and 1 / s, 0 where s is next to nothing."""
    axis = _axis(kind)
    largest = np.abs(x).max(axis=axis, keepdims=True)
    unit = np.where(largest > 0, largest, WIDE(1))
    x = x / unit  # squares of what is near 1 are numbers
    centred = x
    if kind != RMS:
        centred = x - x.take([0], axis=axis)
        centred = centred - centred.mean(axis=axis, keepdims=True)
    size = np.sqrt(np.square(centred).mean(axis=axis, keepdims=True))
    varies = size > NOISE * np.finfo(WIDE).eps * (kind != RMS)
    inverse = varies / np.where(varies, size, WIDE(1))
    return centred * inverse, inverse / unit


def wide_norm_back(kind: str, y: Array, inverse: Array, g: Array) -> Array:
    """dL/dx of dL/dy, both (…, batch, width); 0 where only the rounding of long doubles is left."""
    axis = _axis(kind)
    passed = g - y * (g * y).mean(axis=axis, keepdims=True)
    if kind != RMS:
        passed = passed - g.mean(axis=axis, keepdims=True)
    reach = np.abs(g).max(axis=axis, keepdims=True)
    passed[np.abs(passed) <= NOISE * np.finfo(WIDE).eps * reach] = 0
    passed *= inverse
    return np.asarray(passed)


def _axis(kind: str) -> int:
    """Along which an array (seeds, batch, width) is normalised; from the end, where gradients come first."""
    return -2 if kind == BATCH else -1


def _mean(values: Array, axis: int) -> Array:
    """The mean along an axis, kept: float64."""
    if axis == -1:
        sums: Array = np.matmul(values, np.ones((values.shape[-1], 1), values.dtype)).astype(np.float64)
    else:
        flat = values.reshape(-1, *values.shape[-2:])
        sums = column_sums_of(flat).reshape(*values.shape[:-2], 1, -1)
    sums /= values.shape[axis]
    return sums


def _squares(values: Array, axis: int) -> Array:
    """Sums of squares along an axis, kept: float64, accurate for every one that float64 holds."""
    if axis == -1:
        return np.asarray(row_squares(values)[..., None])
    sums = column_sums_of(np.square(values))
    if values.dtype == np.float32 and (faint := sums < _FAINT).any():
        columns = values.transpose(0, 2, 1)[faint].astype(np.float64)
        sums[faint] = np.vecdot(columns, columns)
    return np.asarray(sums[:, None])


def _one_sided(x: Array) -> Array:
    """Where a few samples may be nearly all of a neuron: (seeds,) bool.

    Then y has few digits of how the others differ, and the gradients of the few are what is left of numbers
    that cancel.
    """
    if x.shape[1] < _FEW_SAMPLES or x.shape[2] < _FEW_NEURONS:
        return np.ones(len(x), bool)
    samples = row_squares(x)
    return np.asarray(samples.max(axis=1) > _UNEQUAL**2 * np.median(samples, axis=1))


def _rms(values: Array) -> Array:
    rms: Array = np.sqrt(row_squares(values).mean(axis=-1) / values.shape[-1])
    return rms
