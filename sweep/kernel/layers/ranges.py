"""The range of a dtype: how large the entries of an array may be, and which networks it cannot hold.

A signal is mantissa · 2^exponent, with one exponent for each network. One invariant bounds whatever is
formed of mantissas: their rms lies within 2^±comfort. By Cauchy and Schwarz the squares of a product of two
of them, summed over everything, then stay below

    2^(4 comfort) · batch² · fan_in · fan_out  <  the dtype's largest number,

and those that matter above its smallest normal one. A pre-activation, which is only squared, may lie
within 2^±edge. Beyond, where act(c z) = c act(z), z is taken to the edge and the exponent carries the rest.

No layer mixes samples, and one that is lost among larger ones may be all that is left further on. So a
sample below `smallest_sample` is not vouched for, nor is a layer below `smallest`. A neuron that is too small
is only measured again: where weights mix neurons, no later layer sees it alone. What is not vouched for is
computed again with more range, in float64, then in long double.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.activations import CUSTOM, Activation, limits
from sweep.activations.activation import MANY_UNITS
from sweep.base.arrays import Array


@dataclass(frozen=True)
class Range:
    """What an array of one dtype can hold.

    comfort, edge: bounds of abs(log2 rms). smallest: an rms whose squares are still normal numbers;
    smallest_sample: one whose entries are. rounding: half the distance from 1 to the next number.
    """

    comfort: int
    edge: int
    smallest: float
    smallest_sample: float
    rounding: float


# float32: 4 · 12 ≤ 127 - 79, for batch² · fan_in · fan_out < 2^79; edge: 2 · 40, with 16 for a chunk's sum
# and 30 for its largest entry. float64 likewise.
RANGES = {
    np.dtype(np.float32): Range(12, 40, 2.0**-50, 2.0**-95, 2.0**-24),
    np.dtype(np.float64): Range(120, 400, 2.0**-460, 2.0**-500, 2.0**-53),
}


_PHASE = 16  # bits of a turn of a periodic act that are left below the rounding of z
_ALL_LOST = 48  # log2 of turns of which long double knows no more: any phase is as good as another


def units(size: Array, act: Activation, numbers: Range) -> tuple[Array, Array]:
    """The exponent of the power of two in units of which z is computed, and whether act(z) is then held.

    size: log2 of the rms that z may have, -inf where z is 0. All (seeds,).
    """
    exponent = np.zeros(len(size), np.int64)
    large, small = size > numbers.edge, (size < -numbers.edge) & (size > -np.inf)
    held = ~(large | small)
    if act.period:
        turns = size - np.log2(act.period)
        held &= (turns < -np.log2(numbers.rounding) - _PHASE) | (turns > _ALL_LOST)
    if held.all():
        return exponent, held
    near, far = limits(act)
    rounded = np.round(np.where(held, 0.0, size)).astype(np.int64)
    if near:
        exponent[small], held = rounded[small] + numbers.edge, held | small
    if far < np.inf:
        exponent[large], held = rounded[large] - numbers.edge, held | large
    return exponent, held


def astray(h: Array, exponent: Array, mixes: bool, act: Activation, numbers: Range) -> Array:
    """Where act(c z) = c act(z), by which a large z was taken to the edge, is off by more than rounding.

    It is off by a constant at most, as where elu is -1. Every sample must be far above that, or be 0; so must
    every entry, if weights do not mix neurons. h: (seeds, batch, width). Returns (seeds,) bool.
    """
    doubt = exponent > 0
    error = limits(act)[1] if doubt.any() else 0.0
    if not error:
        return np.zeros_like(doubt)
    for i in np.flatnonzero(doubt):
        rms = np.sqrt(np.vecdot(h[i], h[i]) / h.shape[2]) if mixes else np.abs(h[i])
        small = rms < error / numbers.rounding
        if act.name != CUSTOM:  # a user's act may be 0 at the edge and not where z lies
            small &= rms > 0
        doubt[i] = small.any() or not rms.any()
    return doubt


def outside(rms: Array, numbers: Range) -> Array:
    """Where the squares of entries of this rms are not normal numbers: (seeds,) bool."""
    return ~((rms > numbers.smallest) & (rms < 1 / numbers.smallest))


def fades(bias_size: Array, numbers: Range) -> bool:
    """Whether biases may be too small for the dtype; bias_size: log2 of the largest, (seeds,)."""
    return bool(bias_size.min() < np.log2(numbers.smallest))


def exact(act: Activation, dtype: np.dtype[Any]) -> bool:
    """Whether a 0 of act or act' is one, not a tail that underflowed; a user's act has float64 at best."""
    return act.piecewise_linear or (act.name == CUSTOM and dtype == np.float64)


def faint(values: Array, numbers: Range) -> Array:
    """Which entries are not 0, but too small to be vouched for."""
    return np.asarray((np.abs(values) < numbers.smallest_sample) & (values != 0))


def lost(sample_rms: Array, act: Activation, dtype: np.dtype[Any]) -> Array:
    """Where a sample is too small to be vouched for: (seeds,) bool; sample_rms: (seeds, samples)."""
    small = sample_rms < RANGES[dtype].smallest_sample
    if exact(act, dtype):
        small &= sample_rms > 0
    return np.asarray(small.any(axis=1))


def faded(arrived: Array, passed: Array, slope: Array, act: Activation) -> Array:
    """Where act' lets so little of a sample's gradient through that the rest is not vouched for.

    arrived, passed: mean squares of dL/dh and of dL/dz of each sample, (gradients, seeds, batch).
    slope: act'(z), (seeds, batch, width). Returns (gradients, seeds) bool.
    """
    small = (passed < RANGES[slope.dtype].smallest_sample ** 2) & (arrived > 0)
    if exact(act, slope.dtype) and small.any():
        small &= slope.any(axis=2)
    doubt = small.any(axis=2) | ~np.isfinite(passed).all(axis=2)
    if slope.dtype == np.float32 and slope.shape[2] >= MANY_UNITS:
        doubt |= passed.mean(axis=2) < act.rough_slope**2 * arrived.mean(axis=2)
    return np.asarray(doubt)


def dropped(before: Array, after: Array, weights: Array, dtype: np.dtype[Any]) -> Array:
    """Where a gradient leaves the dtype's range as it passes the weights: (gradients, seeds) bool.

    before, after: its rms, (gradients, seeds). weights: (seeds,) bool, whether any is not 0.
    """
    smallest = RANGES[dtype].smallest
    return ((after < smallest) & (before > 0) & weights) | ~(after < 1 / smallest)


def recentre(mantissa: Array, exponent: Array, rms: Array) -> tuple[Array, Array]:
    """Bring mantissas beyond comfort to an rms of 1 or less, in place; returns the new exponents and rms."""
    with np.errstate(divide="ignore"):
        uncomfortable = np.abs(np.log2(rms)) > RANGES[mantissa.dtype].comfort
    uncomfortable &= np.isfinite(rms) & (rms > 0)
    if not uncomfortable.any():
        return exponent, rms
    shift = np.where(uncomfortable, np.frexp(rms)[1], 0)
    for index in zip(*np.nonzero(uncomfortable), strict=True):
        mantissa[index] *= mantissa.dtype.type(2.0 ** -float(shift[index]))
    return exponent + shift, np.ldexp(rms, -shift)
