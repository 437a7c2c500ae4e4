"""The range of numbers: how large an array may be, and which networks it can no longer hold.

A signal is mantissa · 2^exponent, one exponent for a network. One invariant bounds whatever is
formed of mantissas. Their rms lies within 2^±comfort, so that by Cauchy and Schwarz the squares of
a product of two of them, summed over everything, stay below

    2^(4 comfort) · batch² · fan_in · fan_out  <  the dtype's largest number,

and the squares of what is worth counting above its smallest normal one. A pre-activation, which is
only squared, may lie within 2^±edge. Beyond, where act(c z) = c act(z), z is taken to that edge and
the exponent carries the rest.

Rows are what a network keeps apart: no layer mixes two samples, and one that is lost among larger
ones may be all that is left further on. So a row smaller than `smallest` is not vouched for, nor is
a layer; a column is measured again by itself, for no later layer sees it alone. What is not vouched
for is computed again with more range: in float64, then in long double.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.activations import CUSTOM, Activation, limits
from sweep.activations.activation import WIDE
from sweep.base.arrays import Array


@dataclass(frozen=True)
class Range:
    """What an array of one dtype may hold.

    comfort, edge: of abs(log2 rms). smallest: an rms whose squares are normal numbers still, and
    smallest_sample one whose entries are. rounding: half the distance from 1 to the next number.
    """

    comfort: int
    edge: int
    smallest: float
    smallest_sample: float
    rounding: float


# float32: 4 · 12 < 127 - 79, and batch² · fan_in · fan_out < 2^79; edge: 2 · 40 + 16 for a chunk's sum,
# and 30 for its largest entry. float64 alike.
RANGES = {
    np.dtype(np.float32): Range(12, 40, 2.0**-50, 2.0**-95, 2.0**-24),
    np.dtype(np.float64): Range(120, 400, 2.0**-460, 2.0**-500, 2.0**-53),
}


def units(size: Array, act: Activation, numbers: Range) -> tuple[Array, Array]:
    """In units of which power of two z is computed, and whether the dtype then holds act(z).

    size: log2 of the rms that z may have, (seeds,); -inf where it is 0. Both (seeds,).
    """
    exponent = np.zeros(len(size), np.int64)
    large, small = size > numbers.edge, (size < -numbers.edge) & (size > -np.inf)
    held = ~(large | small)
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
    """Where the law that took a large z to the edge does not hold to rounding for what came out.

    The law is off by a constant at most, as where elu is -1: every sample must be far above it, or be
    0; and every entry, where weights do not mix what they are given. h: (seeds, batch, width).
    Returns (seeds,) bool.
    """
    found = exponent > 0
    error = limits(act)[1] if found.any() else 0.0
    if error:
        for i in np.flatnonzero(found):
            rms = np.sqrt(np.vecdot(h[i], h[i]) / h.shape[2]) if mixes else np.abs(h[i])
            small = rms < error / numbers.rounding
            if act.name != CUSTOM:  # whose 0 may be a piece that ends where z was not taken to
                small &= rms > 0
            found[i] = small.any() or not rms.any()
    else:
        found[:] = False
    return found


def outside(rms: Array, numbers: Range) -> Array:
    """Whether squares of what has this rms are not normal numbers; (seeds,) bool."""
    return ~((rms > numbers.smallest) & (rms < 1 / numbers.smallest))


def fades(bias_size: Array, numbers: Range) -> bool:
    """Whether a bias may be too small for the dtype; bias_size: log2 of the largest, (seeds,)."""
    return bool(bias_size.min() < np.log2(numbers.smallest))


def exact(act: Activation, dtype: np.dtype[Any]) -> bool:
    """Whether an act(z) or act'(z) of 0 is 0, not a tail: of a user's function float64 is all there is."""
    return act.piecewise_linear or (act.name == CUSTOM and dtype == np.float64)


def faint(values: Array, numbers: Range) -> Array:
    """Which entries are there, but are smaller than what is vouched for."""
    return np.asarray((np.abs(values) < numbers.smallest_sample) & (values != 0))


def lost(sample_rms: Array, act: Activation, dtype: np.dtype[Any]) -> Array:
    """Whether a sample is smaller than what is vouched for; sample_rms: (seeds, samples)."""
    small = sample_rms < RANGES[dtype].smallest_sample
    if exact(act, dtype):
        small &= sample_rms > 0
    return np.asarray(small.any(axis=1))


def faded(arrived: Array, passed: Array, slope: Array, act: Activation) -> Array:
    """Whether act' let so little of a sample's gradient through that what is left is not vouched for.

    arrived, passed: mean squares of dL/dh and of dL/dz of every sample, (gradients, seeds, batch).
    slope: act'(z), (seeds, batch, width). Returns (gradients, seeds) bool.
    """
    least = (passed < RANGES[slope.dtype].smallest_sample ** 2) & (arrived > 0)
    if exact(act, slope.dtype) and least.any():
        least &= slope.any(axis=2)
    doubt = least.any(axis=2) | ~np.isfinite(passed).all(axis=2)
    if slope.dtype == np.float32 and slope.shape[2] >= WIDE:
        doubt |= passed.mean(axis=2) < act.rough_slope**2 * arrived.mean(axis=2)
    return np.asarray(doubt)


def dropped(before: Array, after: Array, weights: Array, dtype: np.dtype[Any]) -> Array:
    """Whether a gradient left the dtype's range on its way through the weights.

    before, after: rms, (gradients, seeds). weights: which networks have any that are not 0.
    """
    smallest = RANGES[dtype].smallest
    return ((after < smallest) & (before > 0) & weights) | ~(after < 1 / smallest)


def recentre(mantissa: Array, exponent: Array, rms: Array) -> tuple[Array, Array]:
    """Exponents and rms once mantissas beyond comfort are changed, in place, to an rms of 1 or less."""
    with np.errstate(divide="ignore"):
        uncomfortable = np.abs(np.log2(rms)) > RANGES[mantissa.dtype].comfort
    uncomfortable &= np.isfinite(rms) & (rms > 0)
    if not uncomfortable.any():
        return exponent, rms
    shift = np.where(uncomfortable, np.frexp(rms)[1], 0)
    for index in zip(*np.nonzero(uncomfortable), strict=True):
        mantissa[index] *= mantissa.dtype.type(2.0 ** -float(shift[index]))
    return exponent + shift, np.ldexp(rms, -shift)
