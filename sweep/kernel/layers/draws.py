"""What the layers of a stack share: draws, each made once, and memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.base.inputs import Inputs
from sweep.initializers import Distribution
from sweep.initializers.normal import Write
from sweep.kernel.draws import streams
from sweep.kernel.inputs.drawn import inputs_of
from sweep.kernel.layers.affine import Affine, Product


@dataclass(frozen=True)
class Matrix:
    """What the draws of one matrix of a layer depend on.

    base: the distribution of its weights; None where they are constant. out: whether it is V of a block.
    """

    base: Distribution | None
    fan_in: int
    fan_out: int
    out: bool = False


class Draws:
    """The draws of a stack.

    dtype: of the arrays. inputs: which kind of x. shared: whether several carriers start from the inputs, so
    that x Z_1 is worth keeping. write: makes normal weights of words.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        batch: int,
        widths: Sequence[int],
        dtype: np.dtype[Any],
        inputs: Inputs,
        write: Write | None = None,
    ) -> None:
        self._write, self._inputs = write, inputs
        self.seeds, self.shared = seeds, False
        self._batch, self._widths, self._dtype = batch, widths, dtype
        self._z_units: dict[int, dict[Matrix, Array]] = {}  # by layer, Z: (seeds, fan_in, fan_out)
        self._first: dict[Matrix, Array] = {}  # x Z_1
        self._upstreams: dict[int, Array] = {}  # width -> G
        self._buffer = np.empty(0, dtype)
        self._forgotten: Array | None = None  # a discarded h, to be written over by the next

    def fans(self, number: int) -> tuple[int, int]:
        """fan_in and fan_out of a layer."""
        return self._widths[number - 1], self._widths[number]

    def inputs(self) -> Array:
        """x: (seeds, batch, width)."""
        x = inputs_of(self._inputs, self.seeds, self._batch, self._widths[0])
        return x.astype(self._dtype, copy=False)

    def biases(self, number: int, matrix: Matrix, of: Distribution) -> Array:
        """Biases of unit std from a distribution: (seeds, fan_out)."""
        return streams.biases(self.seeds, matrix.base, number, matrix.fan_in, matrix.fan_out, of)

    def upstream(self, number: int) -> Array:
        """G of the networks that end with this layer: (seeds, batch, width), one for all chains."""
        width = self._widths[number]
        if width not in self._upstreams:
            drawn = streams.upstream_gradient(self.seeds, self._batch, width)
            self._upstreams[width] = drawn.astype(self._dtype, copy=False)
        return self._upstreams[width]

    def product(self, number: int, matrix: Matrix, below: Array, of_inputs: bool) -> Product:
        """below · Z_number, yet to be scaled; below: (seeds, batch, fan_in); of_inputs: whether it is x."""
        z_unit, first = self._z_unit(number, matrix), None
        if number == 1 and self.shared and of_inputs and z_unit is not None:
            if matrix not in self._first:
                self._first[matrix] = np.matmul(below, z_unit)
            first = self._first[matrix]
        return Product(below, z_unit, first, matrix.fan_out, self._scratch)

    def weights(self, number: int, matrix: Matrix, affine: Affine) -> tuple[Array, Array | None]:
        """W and b of a layer, as `Affine.drawn` has them."""
        return affine.drawn(self._z_unit(number, matrix), matrix.fan_out)

    def product_back(self, number: int, matrix: Matrix, gradient: Array) -> Array:
        """dL/dz · Z^T, yet to be scaled: (gradients, seeds, batch, fan_in); gradient: dL/dz."""
        z_unit, fan_in, fan_out = self._z_unit(number, matrix), matrix.fan_in, matrix.fan_out
        if z_unit is None:
            return np.zeros((*gradient.shape[:3], fan_in), self._dtype)
        gradients, seeds, batch, _ = gradient.shape
        if seeds == 1:
            tall: Array = gradient.reshape(gradients * batch, fan_out) @ z_unit[0].T
            return tall.reshape(gradients, 1, batch, fan_in)
        product: Array = np.matmul(gradient, z_unit.transpose(0, 2, 1))
        return product

    def forget(self, number: int) -> None:
        """Free the draws of a layer that every chain has crossed."""
        self._z_units.pop(number, None)
        self._first.clear()

    def spare(self, number: int) -> Array:
        """An array for the h of a layer: (seeds, batch, width)."""
        shape = len(self.seeds), self._batch, self._widths[number]
        spare, self._forgotten = self._forgotten, None
        return spare if spare is not None and spare.shape == shape else np.empty(shape, self._dtype)

    def give_back(self, h: Array) -> None:
        """Take back the memory of an h that is needed no more."""
        self._forgotten = h

    def _scratch(self, shape: tuple[int, ...]) -> Array:
        """An array to use until the next call, which gives out the same memory: fresh pages cost faults."""
        size = math.prod(shape)
        if size > self._buffer.size:
            self._buffer = np.empty(size, self._dtype)
        return self._buffer[:size].reshape(shape)

    def _z_unit(self, number: int, matrix: Matrix) -> Array | None:
        if matrix.base is None:
            return None
        known = self._z_units.setdefault(number, {})
        if matrix not in known:
            fans = matrix.fan_in, matrix.fan_out
            drawn = streams.weights(self.seeds, matrix.base, number, *fans, self._write, matrix.out)
            known[matrix] = drawn.astype(self._dtype, copy=False)
        return known[matrix]
