"""One layer of several networks, forward and back, in plain arithmetic and in memory that is used again.

Arrays are (networks, batch, width). Each network's products are its own: its numbers depend on no neighbour.
What has faded beyond the dtype's comfort is 0, for its products would be subnormal numbers, which are slow.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.base.blocks import AFTER, BATCH, BEFORE, INSIDE, RMS, Block
from sweep.kernel.training.weights import Weights

# (a parameter, its gradient, which may be overwritten): what is done with both.
Take = Callable[[Array, Array], None]
Fit = Callable[[Weights, Array, bool], None]
_FAINT = {np.dtype(np.float32): 2.0**-60, np.dtype(np.float64): 2.0**-500}  # squares are normal numbers


class Memory:
    """Arrays by name, each handed out again as often as it is asked for."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """The array of that name, of any contents."""
        size, held = math.prod(shape), self._arrays.get(name)
        if held is None or held.size < size or held.dtype != dtype:
            held = self._arrays[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)


class Crossing:
    """A layer; number: counts layers; shared: memory for what no layer keeps."""

    def __init__(self, block: Block, act: Activation, number: int = 0, shared: Memory | None = None) -> None:
        self._block, self._act = block, act
        self._sends = f"below {number % 2}"  # what comes from above lies in the other one
        self._own, self._shared = Memory(), Memory() if shared is None else shared
        self._entered = self._applied = self._slope = np.empty(0)
        self._norm = _Norm(block.norm, self._own)

    def forward(self, weights: Weights, h: Array, fit: Fit | None = None) -> Array:
        """h of this layer, kept until the next call; fit: is shown what W, and what V, is applied to."""
        block = self._block
        entered = self._norm.forward(h) if block.place == BEFORE else h
        if block.act_first:
            entered = self._applied = self._activated(entered)
        self._entered = entered
        if fit is not None:
            fit(weights, entered, False)
        z = self._product("z", entered, weights.inner)
        if weights.bias is not None:
            z += weights.bias
        if block.place == INSIDE:
            z = self._norm.forward(z)
        branch = z if block.act_first else self._activated(z)
        self._applied = branch
        if weights.outer is not None:
            if fit is not None:
                fit(weights, branch, True)
            branch = self._product("branch", branch, weights.outer)
        if not block.skipped:
            return branch
        above = self._own.array("above", h.shape, h.dtype)
        np.multiply(branch, branch.dtype.type(block.number("alpha")), out=above)
        above += h if block.number("skip") == 1 else block.number("skip") * h
        return self._norm.forward(above) if block.place == AFTER else above

    def backward(self, weights: Weights, delta: Array, take: Take, down: bool = True) -> Array:
        """dL/dh of the layer below, from that of this one, which is overwritten.

        take: is given every parameter with its gradient, once it is needed no more. down: whether there is
        one below that is asked for; else what is returned says nothing.
        """
        block = self._block
        if block.place == AFTER:
            delta = self._norm.backward(delta)
        branch = delta
        if block.skipped:
            branch = self._shared.array("sent", delta.shape, delta.dtype)
            np.multiply(delta, delta.dtype.type(block.number("alpha")), out=branch)
        if weights.outer is not None:
            branch = self._through(weights.outer, branch, self._applied, take, "through")
        if not block.act_first:
            branch *= self._slope
        if block.place == INSIDE:
            branch = self._norm.backward(branch)
        if weights.bias is not None:
            ones = np.ones((1, branch.shape[1]), branch.dtype)
            take(weights.bias, np.matmul(ones, branch))
        branch = self._through(weights.inner, branch, self._entered, take, self._sends, down)
        if not down:
            return branch
        if block.act_first:
            branch *= self._slope
        if block.place == BEFORE:
            branch = self._norm.backward(branch)
        if block.skipped:
            branch += delta if block.number("skip") == 1 else block.number("skip") * delta
        return branch if block.norm else flushed(branch)

    def _activated(self, z: Array) -> Array:
        f, self._slope = (self._own.array(name, z.shape, z.dtype) for name in ("f", "slope"))
        self._act.into(z, f)
        self._act.slope_into(z, f, self._slope)
        return f if self._block.norm else flushed(f)

    def _product(self, name: str, h: Array, matrix: Array) -> Array:
        shape = (*h.shape[:2], matrix.shape[2])
        product: Array = np.matmul(h, matrix, out=self._shared.array(name, shape, h.dtype))
        return product

    def _through(
        self, matrix: Array, delta: Array, h: Array, take: Take, name: str, needed: bool = True
    ) -> Array:
        """What a matrix sends back; h: what it was applied to."""
        below = delta
        if needed:
            shape = (*delta.shape[:2], matrix.shape[1])
            below = self._shared.array(name, shape, delta.dtype)
            np.matmul(delta, matrix.transpose(0, 2, 1), out=below)
        gradient = self._shared.array("gradient", matrix.shape, matrix.dtype)
        take(matrix, np.matmul(h.transpose(0, 2, 1), delta, out=gradient))
        return below


class _Norm:
    """y = (x - m) / s: of a sample, or of a neuron over the batch, as `kernel.layers.blocks.norms` has it."""

    def __init__(self, kind: str, memory: Memory) -> None:
        self._kind, self._memory = kind, memory
        self._axis = -2 if kind == BATCH else -1
        self._y = self._inverse = np.empty(0)

    def forward(self, x: Array) -> Array:
        """y, kept until the next call."""
        y = self._memory.array("normed", x.shape, x.dtype)
        if self._kind == RMS:
            y[...] = x
        else:
            first = x.take([0], axis=self._axis)  # exactly 0 is left where all are the same
            np.subtract(x, first, out=y)
            y -= y.mean(axis=self._axis, keepdims=True)
        size = np.sqrt(np.square(y).mean(axis=self._axis, keepdims=True))
        self._inverse = np.where(size > 0, 1 / np.where(size > 0, size, 1), 0).astype(x.dtype)
        y *= self._inverse
        self._y = y
        return y

    def backward(self, gradient: Array) -> Array:
        """dL/dx of dL/dy, which is overwritten."""
        along = (gradient * self._y).mean(axis=self._axis, keepdims=True)
        if self._kind != RMS:
            gradient -= gradient.mean(axis=self._axis, keepdims=True)
        gradient -= self._y * along
        gradient *= self._inverse
        return gradient


def flushed(values: Array) -> Array:
    """The same with 0 for the networks of which next to nothing is left, in place."""
    least = _FAINT[values.dtype]
    if (np.abs(values[:, 0]).max(axis=-1) < least).any():  # seldom: one sample says so
        faint = np.abs(values).max(axis=(1, 2)) < least
        values[faint] = 0
    return values
