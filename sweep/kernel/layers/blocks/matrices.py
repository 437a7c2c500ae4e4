"""A matrix of a block, W with its biases or V: y = h W + b, in mantissas and exponents."""

from dataclasses import dataclass

import numpy as np

from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.base.blocks import BATCH, Block
from sweep.kernel.chains.chain import Chain
from sweep.kernel.layers import ranges
from sweep.kernel.layers.affine import Affine
from sweep.kernel.layers.draws import Draws, Matrix
from sweep.kernel.layers.layer import Drawn, Entering, Sizes
from sweep.kernel.layers.ranges import RANGES
from sweep.kernel.layers.signal import Signal
from sweep.kernel.passes import Passes
from sweep.kernel.statistics.moments import moments_of, row_squares


def fans_of(block: Block, fan_in: int, fan_out: int) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """fan_in and fan_out of W, and of V where there is one, in a layer of these."""
    if not block.out:
        return (fan_in, fan_out), None
    between = block.expand * fan_in
    return (fan_in, between), (between, fan_out)


@dataclass(frozen=True)
class Sent:
    """What a matrix sends back of dL/dy: dL/dh, mantissas of dL/dW and their sizes, and what is in doubt."""

    below: Signal
    weights: Array
    of_weights: Sizes
    doubt: Array


class Weighted:
    """One matrix of a layer, crossed by several seeds at once; out: whether it is V."""

    def __init__(self, chain: Chain, number: int, draws: Draws, passes: Passes, out: bool = False) -> None:
        self._number, self._draws, self._passes = number, draws, passes
        self._scheme, block = chain.scheme_of(number), chain.block
        inner, outer = fans_of(block, *draws.fans(number))
        fans = outer if out and outer else inner
        self._matrix = Matrix(self._scheme.base, *fans, out)
        self._factor = block.number("v_scale" if out else "w_scale")
        biased = not out and block.norm != BATCH  # a norm over the batch takes a bias off
        self._centres = self._scheme.centres and biased
        bias, std = None, chain.bias_std_of(number, *fans) if biased else 0.0
        if std:
            bias = std * draws.biases(number, self._matrix, chain.bias_of(number)).astype(np.float64)
        self._affine = Affine.of(self._scheme, *fans, len(draws.seeds), bias)

    @property
    def mixes(self) -> bool:
        """Whether every neuron is known to see all of the layer below."""
        return self._affine.mixes

    def forward(self, below: Signal, of_inputs: bool, act: Activation | None = None) -> tuple[Signal, Array]:
        """y, in memory that the next product overwrites, and the seeds for which it is in doubt.

        of_inputs: whether h is x. act: what y goes into, whose units it then has; else its rms is near 1.
        """
        numbers = RANGES[below.mantissa.dtype]
        product = self._draws.product(self._number, self._matrix, below.mantissa, of_inputs)
        affine, doubt = self._affine.fitted(self._scheme, below, product, self._centres)
        affine = self._affine = affine.times(self._factor, self._centres)
        size = affine.size(below)
        if act is None:
            exponent = np.where(np.isfinite(size), np.round(size), 0).astype(np.int64)
            held = size < np.inf
        else:
            exponent, held = ranges.units(size, act, numbers)
        there = held & below.finite & (below.rms > 0)
        shift = np.where(there, below.exponent - exponent, 0)
        scale = np.ldexp(np.where(there, affine.std, 0.0), shift).astype(below.mantissa.dtype)
        y = product(slice(None), slice(None), scale)
        offset = affine.offset(below, exponent)
        if offset is not None:
            y += offset.astype(y.dtype)
        samples = row_squares(y) / y.shape[2]
        silent = size == -np.inf
        if affine.bias is not None and ranges.fades(affine.bias_size - exponent, numbers):
            doubt |= (samples < numbers.smallest_sample**2).any(axis=1) & ~silent
        rms = np.where(below.finite, np.sqrt(samples.mean(axis=1)), np.inf)
        doubt |= ~held | (ranges.outside(rms, numbers) & ~silent)
        return Signal(y, exponent, np.where(silent & below.finite, 0.0, rms)), doubt & below.finite

    def weights(self) -> Drawn:
        """As `Layer.weights`."""
        return self._draws.weights(self._number, self._matrix, self._affine)

    def backward(self, gradient: Signal, h: Signal, entering: Entering | None = None) -> Sent:
        """What goes on from dL/dy, (gradients, seeds, batch, fan_out); h: what was crossed."""
        if entering:
            entering(gradient.mantissa, gradient.exponent)
        affine, matrix, total, dtype = self._affine, self._matrix, gradient.rms, gradient.mantissa.dtype
        shape = gradient.mantissa.shape[:2]
        weights: Array = np.matmul(h.mantissa.transpose(0, 2, 1), gradient.mantissa)
        std, rms = moments_of(weights.reshape(-1, matrix.fan_in, matrix.fan_out))
        of_weights = std.reshape(shape), rms.reshape(shape), h.exponent + gradient.exponent
        doubt = ranges.dropped(total, of_weights[1], h.rms > 0, dtype)
        row_sums = gradient.mantissa.sum(axis=3, dtype=np.float64)[..., None] if affine.mean else None
        back = self._draws.product_back(self._number, matrix, gradient.mantissa)
        further, scale, shift = affine.back(row_sums, dtype)
        squares, _ = self._passes.back(back, scale, shift)
        size = np.sqrt(squares.mean(axis=2) / matrix.fan_in)
        doubt |= ranges.dropped(total, size, (affine.std > 0) | bool(affine.mean), dtype)
        below = Signal(back, *ranges.recentre(back, gradient.exponent + further, size))
        return Sent(below, weights, of_weights, doubt)
