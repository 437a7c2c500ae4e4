"""Number formats, and what rounding to one does."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sweep.base.arrays import Array


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: bits of the mantissa, smallest normal number, largest number."""

    bits: int
    normal: float
    largest: float

    @property
    def smallest(self) -> float:
        """The smallest subnormal number; up to half of it rounds to 0."""
        return self.normal * 2.0**-self.bits

    @property
    def overflow(self) -> float:
        """What lies beyond rounds to no finite number: the largest and half the last spacing."""
        return self.largest + float(self._spacing(np.array(self.largest))) / 2

    @property
    def noise(self) -> float:
        """E[(R(h) - h)²] / E[h²] of normal numbers, their logarithms spread evenly.

        Spacing²/12 over h², averaged over an octave.
        """
        return 4.0**-self.bits * 3 / (8 * math.log(2)) / 12

    def rounded(self, h: Array) -> Array:
        """R(h), the nearest number of the format, ties to even; infinite beyond the largest."""
        spacing = self._spacing(h)
        with np.errstate(over="ignore"):
            near = np.rint(h / spacing) * spacing
        return np.where(np.abs(near) > self.largest, np.copysign(np.inf, h), near)

    def _spacing(self, h: Array) -> Array:
        exponent = np.frexp(np.maximum(np.abs(h), self.normal))[1] - 1
        spacing: Array = np.ldexp(1.0, exponent - self.bits)
        return spacing


FORMATS: Mapping[str, Format] = {
    "float16": Format(10, 2.0**-14, 65504.0),
    "bfloat16": Format(7, 2.0**-126, (2 - 2.0**-7) * 2.0**127),
    "float8_e4m3fn": Format(3, 2.0**-6, 448.0),  # what would be infinite is NaN
    "float8_e5m2": Format(2, 2.0**-14, 57344.0),
}
