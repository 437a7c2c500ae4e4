"""The passes in NumPy: one operation after another over a chunk that stays in L2."""

import math
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.initializers.normal import box_muller
from sweep.kernel.statistics.flatness import Flat
from sweep.kernel.statistics.moments import Moments, column_sums_of, row_squares


@dataclass(frozen=True)
class Sums:
    """What is summed while h is computed: of z and of h, and how much of the layer is flat."""

    before: Moments
    after: Moments
    flat: Flat

    @classmethod
    def of(cls, act: Activation, shape: tuple[int, int, int]) -> Self:
        """All 0; shape: of h, (seeds, batch, width)."""
        return cls(Moments(*shape), Moments(*shape), Flat(act, shape))


class Passes(Protocol):
    """A way to compute what is not a matrix product."""

    def forward(
        self,
        act: Activation,
        sums: Sums,
        seeds: slice,
        z: Array,
        offset: Array | None,
        h: Array,
        slope: Array | None,
    ) -> None:
        """Write act(z + offset) to h, act' to slope, and add to the sums of these seeds; overwrites z.

        z, h, slope: some rows of some seeds, (seeds, rows, width). offset: of a shape that fits z's.
        """

    def through(self, gradient: Array, slope: Array) -> Array:
        """Multiply dL/dh by act', in place; returns the sum of squares of every row.

        gradient: (gradients, seeds, batch, width). slope: (seeds, batch, width). Returns (gradients, seeds,
        batch) float64.
        """

    def back(self, product: Array, scale: Array, shift: Array | None) -> tuple[Array, Array]:
        """Scale and shift dL/dh in place; returns the sums of squares of its rows, and of its columns.

        product: (gradients, seeds, batch, width). scale: (seeds,) of the dtype. shift: (gradients, seeds,
        batch, 1). Returns float64: (gradients, seeds, batch) and (gradients, seeds, width).
        """

    def normals(self, words: NDArray[np.uint64], out: NDArray[np.float32]) -> None:
        """Write two draws of N(0, 1) from every word to `out`, (rows, 2 · words of each)."""


class Plain:
    """The passes in NumPy, of every dtype and activation."""

    def forward(
        self,
        act: Activation,
        sums: Sums,
        seeds: slice,
        z: Array,
        offset: Array | None,
        h: Array,
        slope: Array | None,
    ) -> None:
        """See `Passes`."""
        if offset is not None:
            z += offset
        reach = math.sqrt(sums.before.add_squares(seeds, z).max())
        act.into(z, h)
        sums.after.add(seeds, h)
        derivative = slope
        if slope is not None:
            act.slope_into(z, h, slope)
        elif sums.flat.needs_slope:
            derivative = act.derivative(z, h)
        sums.flat.add(seeds, z, derivative, reach)

    def through(self, gradient: Array, slope: Array) -> Array:
        """See `Passes`."""
        gradient *= slope
        return row_squares(gradient)

    def back(self, product: Array, scale: Array, shift: Array | None) -> tuple[Array, Array]:
        """See `Passes`."""
        product *= scale[:, None, None]
        if shift is not None:
            product += shift.astype(product.dtype)
        flat = product.reshape(-1, *product.shape[2:])
        return row_squares(product), column_sums_of(flat).reshape(*product.shape[:2], -1)

    def normals(self, words: NDArray[np.uint64], out: NDArray[np.float32]) -> None:
        """See `Passes`."""
        box_muller(words, out)


PLAIN = Plain()
