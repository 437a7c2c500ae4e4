"""What the layers of a stack have in common: their draws, each made once, and memory."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.initializers import Distribution
from sweep.kernel import streams
from sweep.kernel.layers.affine import Product


class Draws:
    """base: the distribution of every Z, None where all of W is in its mean. dtype: of the arrays.

    shared: whether several carriers meet the inputs, so that x Z_1 is worth keeping.
    """

    def __init__(
        self,
        base: Distribution | None,
        seeds: Sequence[int],
        batch: int,
        widths: Sequence[int],
        dtype: np.dtype[Any],
    ) -> None:
        self.seeds, self.shared = seeds, False
        self._base, self._batch, self._widths, self._dtype = base, batch, widths, dtype
        self._units: dict[int, Array | None] = {}  # layer -> Z: (seeds, fan_in, fan_out)
        self._first: Array | None = None  # x Z_1
        self._upstreams: dict[int, Array] = {}  # width -> G
        self._buffer = np.empty(0, dtype)
        self._forgotten: Array | None = None  # memory that the next h may be written to

    def fans(self, number: int) -> tuple[int, int]:
        """fan_in and fan_out of a layer."""
        return self._widths[number - 1], self._widths[number]

    def inputs(self) -> Array:
        """x: (seeds, batch, width)."""
        return streams.inputs(self.seeds, self._batch, self._widths[0]).astype(self._dtype, copy=False)

    def biases(self, number: int) -> Array:
        """Of unit std: (seeds, fan_out)."""
        return streams.biases(self.seeds, self._base, number, *self.fans(number))

    def upstream(self, number: int) -> Array:
        """G of the networks that end with this layer: (seeds, batch, width), the same for every chain."""
        width = self._widths[number]
        if width not in self._upstreams:
            drawn = streams.upstream_gradient(self.seeds, self._batch, width)
            self._upstreams[width] = drawn.astype(self._dtype, copy=False)
        return self._upstreams[width]

    def product(self, number: int, below: Array) -> Product:
        """below Z_number, to be scaled; below: (seeds, batch, fan_in)."""
        unit = self._unit(number)
        if number == 1 and self.shared and self._first is None and unit is not None:
            self._first = np.matmul(below, unit)
        first = self._first if number == 1 else None
        return Product(below, unit, first, self.fans(number)[1], self._scratch)

    def sent_back(self, number: int, gradient: Array) -> Array:
        """dL/dz Z^T: (gradients, seeds, batch, fan_in), from dL/dz."""
        unit, (fan_in, fan_out) = self._unit(number), self.fans(number)
        if unit is None:
            return np.zeros((*gradient.shape[:3], fan_in), self._dtype)
        gradients, seeds, batch, _ = gradient.shape
        if seeds == 1:
            tall: Array = gradient.reshape(gradients * batch, fan_out) @ unit[0].T
            return tall.reshape(gradients, 1, batch, fan_in)
        product: Array = np.matmul(gradient, unit.transpose(0, 2, 1))
        return product

    def forget(self, number: int) -> None:
        """Nobody will cross this layer again."""
        self._units.pop(number, None)
        self._first = None

    def spare(self, number: int) -> Array:
        """An array to write the h of a layer to: (seeds, batch, width)."""
        shape = len(self.seeds), self._batch, self._widths[number]
        spare, self._forgotten = self._forgotten, None
        return spare if spare is not None and spare.shape == shape else np.empty(shape, self._dtype)

    def give_back(self, h: Array) -> None:
        """Nobody looks at this h again."""
        self._forgotten = h

    def _scratch(self, shape: tuple[int, ...]) -> Array:
        """An array to be forgotten before the next is asked for: new memory would cost page faults."""
        size = math.prod(shape)
        if size > self._buffer.size:
            self._buffer = np.empty(size, self._dtype)
        return self._buffer[:size].reshape(shape)

    def _unit(self, number: int) -> Array | None:
        if number not in self._units:
            unit = None
            if self._base is not None:
                drawn = streams.weights(self.seeds, self._base, number, *self.fans(number))
                unit = drawn.astype(self._dtype, copy=False)
            self._units[number] = unit
        return self._units[number]
