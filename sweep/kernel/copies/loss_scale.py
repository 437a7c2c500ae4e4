"""The loss scale that a format asks for, of the gradients of the exact network that enter products."""

import math
from collections.abc import Sequence

import numpy as np

from sweep.activations.extended import WIDE
from sweep.base.arrays import Array
from sweep.kernel.copies.rounding import Rounding

_SAMPLES = 64  # of which sizes are counted
_SMALLEST = 0.01  # the share of entries that may be smaller than the smallest normal number
# Of a dtype: how its words are read, bits of the mantissa, values of an exponent, and that of 1.
_LAYOUT = {
    np.dtype(np.float32): (np.uint32, 23, 1 << 8, 127),
    np.dtype(np.float64): (np.uint64, 52, 1 << 11, 1023),
}


class Sizes:
    """The sizes of dL/dy of every product y = h W, of each depth that gradients are sent back from."""

    def __init__(self) -> None:
        self._exponents: list[Array] = []  # of each layer (gradients, seeds, values)
        self._counts: list[Array] = []
        self._largest: list[Array] = []  # (gradients, seeds) long double

    def add(self, gradient: Array, exponent: Array, log2: Sequence[float]) -> None:
        """dL/dy of a layer, mantissas (gradients, seeds, batch, width) and exponents (gradients, seeds).

        log2: of each gradient, how much larger it is, where an exact law says so.
        """
        whole = np.floor(log2).astype(np.int64)
        shape, exponent = gradient.shape[:2], exponent + whole[:, None]
        factor = np.exp2(np.asarray(log2) - whole)[:, None, None, None].astype(gradient.dtype)
        some = np.ascontiguousarray(gradient[:, :, :_SAMPLES] * factor)
        words, bits, values, one = _LAYOUT[gradient.dtype]
        network = values * np.arange(math.prod(shape)).reshape(*shape, 1, 1)
        biased = (some.view(words) >> words(bits)).astype(np.int64) & (values - 1)
        counts = np.bincount((biased + network).ravel(), minlength=values * math.prod(shape))
        counts = counts.reshape(*shape, values)
        counts[..., [0, -1]] = 0  # 0, or no number
        self._counts.append(counts)
        self._exponents.append(np.arange(values) - one + exponent[..., None])
        largest = np.maximum(gradient.max(axis=(2, 3)), -gradient.min(axis=(2, 3)))
        self._largest.append(np.ldexp(largest.astype(WIDE) * factor[..., 0, 0], exponent))

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return bool(self._counts)

    def loss_scale(self, start: int, rounding: Rounding) -> Array:
        """Of the gradients with this number, (seeds,); NaN where there is none."""
        there = [number for number, one in enumerate(self._counts) if len(one) > start]
        largest = np.max([self._largest[number][start] for number in there], axis=0)
        counts = np.concatenate([self._counts[number][start] for number in there], axis=1)
        exponents = np.concatenate([self._exponents[number][start] for number in there], axis=1)
        order = np.argsort(exponents, axis=1, kind="stable")
        below = np.cumsum(np.take_along_axis(counts, order, axis=1), axis=1)
        place = (below < _SMALLEST * below[:, -1:]).sum(axis=1)
        place = np.minimum(place, below.shape[1] - 1)
        at = np.take_along_axis(order, place[:, None], axis=1)
        size = np.take_along_axis(exponents, at, axis=1)[:, 0]
        power = math.frexp(rounding.form.normal)[1] - 1 - size
        fits = (below[:, -1] > 0) & (np.ldexp(largest, power) < rounding.form.overflow)
        scale: Array = np.where(fits & (power < 1024), np.ldexp(1.0, np.minimum(power, 1023)), np.nan)
        return scale
