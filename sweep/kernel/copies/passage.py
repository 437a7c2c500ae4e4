"""How a rounded copy crosses a layer of any block, forward and back: float32, at its real magnitudes.

What enters a product is rounded: h of the layer below, after a norm or act that comes first; act(z) before V;
and on the way back dL/dy of y = h W. Biases, sums over a skip, norms and z are not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.base.blocks import AFTER, BATCH, BEFORE, INSIDE, Block
from sweep.kernel.copies.rounding import Counts, Rounding
from sweep.kernel.layers.blocks.norms import Normed
from sweep.kernel.layers.dense import CHUNK_BYTES, evenly
from sweep.kernel.layers.signal import Signal
from sweep.kernel.passes import PLAIN, Passes, Sums

_SMALL = 2.0**-40  # a matrix of no larger entries is multiplied in units of its own: subnormals are slow
# Beyond these squares of float32, and 1 / size, are no numbers: a norm is that of numbers near 1 instead.
_LARGE, _FAINT = 2.0**50, 2.0**-100


@dataclass(frozen=True)
class Matrix:
    """A rounded matrix, (seeds, fan_in, fan_out), with its biases, (seeds, 1, fan_out), if it has any."""

    weights: Array
    bias: Array | None

    def of(self, seeds: slice) -> "Matrix":
        """That of some networks."""
        return Matrix(self.weights[seeds], None if self.bias is None else self.bias[seeds])


@dataclass(frozen=True)
class _Norm:
    """A norm of numbers that were divided by 2^power: of each sample, or each neuron over the batch."""

    of: Normed
    power: Array

    def back(self, gradient: Array) -> Array:
        """dL/dx of dL/dy: (gradients, seeds, rows, width)."""
        shape = gradient.shape[:2]
        lifted, low = _lifted(gradient)
        back = self.of.back(Signal(lifted, np.zeros(shape, np.int64), np.ones(shape)))[0]
        power = back.exponent - low
        if not (power.any() or self.power.any()):
            return back.mantissa
        lowered: Array = np.ldexp(back.mantissa, power[..., None, None] - self.power)
        return lowered


@dataclass(frozen=True)
class Kept:
    """What the way back through a layer needs: slopes, and norms, where there are any."""

    first_slope: Array | None = None
    before: _Norm | None = None
    slope: Array | None = None
    inside: _Norm | None = None
    after: _Norm | None = None


@dataclass(frozen=True)
class Passed:
    """h of a layer, (seeds, rows, width); what was rounded within it, and of it for the next product."""

    h: Array
    within: Counts
    entering: Counts


class Passage:
    """Some samples of some networks on their way; x: (seeds, rows, width) float32."""

    def __init__(
        self, block: Block, act: Activation, passes: Passes, rounding: Rounding, x: Array, keep: bool
    ) -> None:
        self._block, self._act, self._passes, self._rounding = block, act, passes, rounding
        self._first: Kept = Kept()
        self._kept: list[Kept] = []
        self._h = x if block.skipped else x[:0]
        self.entering = self._enter(x, keep)

    def forward(self, matrices: Sequence[Matrix], keep: bool) -> Passed:
        """Cross a layer; matrices: W, and V where there is one. keep: whether gradients will be sent back."""
        block, first = self._block, self._first
        inner, *outer = matrices
        slope = inside = after = None
        within = Counts.none(len(self._rounded))
        branch = _product(self._rounded, inner.weights)
        if block.act_first:
            branch = branch if inner.bias is None else branch + inner.bias
        else:
            bias = inner.bias
            if block.place == INSIDE:
                branch, inside = self._normed(branch if bias is None else branch + bias)
                bias = None
            branch, slope = self._applied(branch, bias, keep)
        if outer:
            rounded, within = self._round(branch)
            branch = _product(rounded, outer[0].weights)
        h = branch
        if block.skipped:
            h = np.float32(block.number("alpha")) * branch
            if skip := block.number("skip"):
                h += np.float32(skip) * self._h
        if block.place == AFTER:
            h, after = self._normed(h)
        if keep:
            self._kept.append(Kept(first.first_slope, first.before, slope, inside, after))
        self._h = h if block.skipped else h[:0]
        self.entering = self._enter(h, keep)
        return Passed(h, within, self.entering)

    def backward(self, matrices: Sequence[Matrix], delta: Array) -> tuple[Array, Counts]:
        """dL/dh of the layer below, and the counts of what was rounded, of the last layer that was kept.

        delta: dL/dh of that layer, (gradients, seeds, rows, width).
        """
        block, kept = self._block, self._kept.pop()
        inner, *outer = matrices
        counts = Counts.none(delta.shape[:2])
        above = delta if kept.after is None else kept.after.back(delta)
        branch = np.float32(block.number("alpha")) * above if block.skipped else above
        if outer:
            rounded, counts = self._round(branch)
            branch = _product_back(rounded, outer[0].weights)
        if kept.slope is not None:
            branch = branch * kept.slope
        if kept.inside is not None:
            branch = kept.inside.back(branch)
        rounded, further = self._round(branch)
        branch = _product_back(rounded, inner.weights)
        if kept.first_slope is not None:
            branch *= kept.first_slope
        if kept.before is not None:
            branch = kept.before.back(branch)
        if skip := block.number("skip"):
            branch += np.float32(skip) * above
        return branch, counts + further

    def drop(self) -> None:
        """Forget the last layer that was kept."""
        self._kept.pop()

    def _enter(self, h: Array, keep: bool) -> Counts:
        """Round what enters the next product."""
        before = slope = None
        if self._block.place == BEFORE:
            h, before = self._normed(h)
        if self._block.act_first:
            h, slope = self._applied(h.copy(), None, keep)
        self._first = Kept(slope, before)
        self._rounded, counts = self._round(h)
        return counts

    def _round(self, values: Array) -> tuple[Array, Counts]:
        rounded = np.empty(values.shape, np.float32)
        return rounded, self._rounding.into(np.ascontiguousarray(values), rounded)

    def _normed(self, x: Array) -> tuple[Array, _Norm]:
        axis = -2 if self._block.norm == BATCH else -1
        largest = np.maximum(x.max(axis=axis, keepdims=True), -x.min(axis=axis, keepdims=True))
        far = (largest > _LARGE) & np.isfinite(largest) | (largest < _FAINT) & (largest > 0)
        power = np.where(far, np.frexp(largest)[1], 0)
        ones = np.ones(len(x))
        near = np.ldexp(x, -power) if far.any() else x
        normed = Normed.of(self._block.norm, Signal(near, np.zeros(len(x), np.int64), ones))
        return normed.y.mantissa, _Norm(normed, power)

    def _applied(self, z: Array, bias: Array | None, keep: bool) -> tuple[Array, Array | None]:
        """act(z + bias), and act'; z is overwritten."""
        f = np.empty_like(z)
        slope = np.empty_like(z) if keep else None
        sums, (seeds, rows, width) = Sums.of(self._act, z.shape), z.shape
        for some in evenly(slice(0, rows), CHUNK_BYTES // (seeds * width * z.itemsize)):
            to, every = None if slope is None else slope[:, some], slice(None)
            self._passes.forward(self._act, sums, every, z[:, some], bias, f[:, some], to)
            if to is not None and self._act.rough_slope and self._passes is PLAIN:
                # What a format turns to 0 counts by its own size. One unit a row: slopes as they are there.
                to[...] = self._act.derivative(z[:, some, :, None], f[:, some, :, None])[..., 0]
        return f, slope


def _product(h: Array, weights: Array) -> Array:
    (a, low), (b, lower) = _lifted(h), _lifted(weights)
    return _lowered(np.matmul(a, b), low + lower)


def _product_back(gradient: Array, weights: Array) -> Array:
    """dL/dh of dL/dy: (gradients, seeds, rows, fan_out) and (seeds, fan_in, fan_out)."""
    gradients, seeds, rows, fan_out = gradient.shape
    (a, low), (b, lower) = _lifted(gradient), _lifted(weights)
    if seeds == 1:
        tall = a.reshape(gradients * rows, fan_out) @ b[0].T
        return _lowered(tall.reshape(gradients, 1, rows, -1), low + lower)
    return _lowered(np.matmul(a, b.transpose(0, 2, 1)), low + lower)


def _lifted(values: Array) -> tuple[Array, Array]:
    """Small entries times 2^(whole numbers) that bring the largest near 1, and the numbers, 0 elsewhere."""
    largest = np.maximum(values.max(axis=(-2, -1)), -values.min(axis=(-2, -1)))
    small = (largest < _SMALL) & (largest > 0)
    power = np.where(small, -np.frexp(largest)[1], 0)
    return (np.ldexp(values, power[..., None, None]) if small.any() else values), power


def _lowered(values: Array, power: Array) -> Array:
    return np.ldexp(values, -power[..., None, None]) if power.any() else values
