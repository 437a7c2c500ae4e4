"""A block of one network, in long double."""

import numpy as np

from sweep.activations import extended
from sweep.activations.extended import WIDE
from sweep.base.arrays import Array
from sweep.base.blocks import AFTER, BATCH, BEFORE, INSIDE
from sweep.kernel.chains.chain import Chain
from sweep.kernel.layers.blocks.matrices import fans_of
from sweep.kernel.layers.blocks.norms import NOISE, wide_norm, wide_norm_back
from sweep.kernel.layers.wide import WideEntering, WideMatrix, WideReturned, WideSignal, narrow_slope

_NONE = np.empty(0, WIDE)


class WideBlock:
    """The `WideLayer` of a chain of blocks: `block`, line by line."""

    def __init__(self, chain: Chain, number: int, fans: tuple[int, int], seed: int) -> None:
        block = self._block = chain.block
        self._act, (inner, outer) = chain.act, fans_of(block, *fans)
        self._inner = WideMatrix(
            chain, number, inner, seed, block.number("w_scale"), free=block.norm == BATCH
        )
        self._outer = None
        if outer is not None:
            self._outer = WideMatrix(chain, number, outer, seed, block.number("v_scale"), out=True)
        self._biased = chain.scheme_of(number).weight_mean(*inner) != 0
        self._u = self._f = self._normed = self._inverse = _NONE

    def forward(self, below: WideSignal) -> WideSignal:
        block = self._block
        u, still = below.h, below.still
        if block.place == BEFORE:
            u, still = self._norm(u, still)
        if block.act_first:
            z, f, slope, still = self._applied(u, still)
            branch, still = self._inner.forward(f, still)
            u = f
        else:
            z, still = self._inner.forward(u, still)
            if block.place == INSIDE:
                z, still = self._norm(z, still)
            z, f, slope, still = self._applied(z, still)
            branch = f
        if self._outer is not None:
            branch, still = self._outer.forward(f, still)
        h, told = branch, _NONE
        if block.skipped:
            told = branch if block.act_first else f
            h = WIDE(block.number("alpha")) * branch
            if skip := block.number("skip"):
                h, still = WIDE(skip) * below.h + h, still & below.still
        if block.place == AFTER:
            h, still = self._norm(h, still)
        self._u, self._f = u, f
        return WideSignal(h, still, z, slope, told)

    def weights(self) -> list[tuple[Array, Array | None]]:
        return [one.narrow() for one in (self._inner, self._outer) if one is not None]

    def backward(
        self, below: WideSignal, above: WideSignal, delta: Array, entering: WideEntering | None = None
    ) -> WideReturned:
        block, out = self._block, None
        if block.place == AFTER:
            delta = self._norm_back(delta)
        branch = WIDE(block.number("alpha")) * delta if block.skipped else delta
        if self._outer is not None:
            out, branch = self._outer.backward(self._f, branch, entering)
        if not block.act_first:
            branch = branch * above.slope
        if block.place == INSIDE:
            branch = self._norm_back(branch)
        weights, branch = self._inner.backward(self._u, branch, entering)
        if block.act_first:
            branch = branch * above.slope
        if block.place == BEFORE:
            branch = self._norm_back(branch)
        if skip := block.number("skip"):
            branch = WIDE(skip) * delta + branch
        return WideReturned(weights, branch, out)

    def push(self, above: WideSignal, changes: Array) -> Array:
        block = self._block
        slope = narrow_slope(above.slope[: len(changes)], alone=not block.number("skip"))
        branch = self._push_norm(changes) if block.place == BEFORE else changes
        if block.act_first:
            branch = branch * slope
        branch = self._inner.push(branch)
        if block.place == INSIDE:
            branch = self._push_norm(branch)
        if not block.act_first:
            branch = branch * slope
        if self._outer is not None:
            branch = self._outer.push(branch)
        if block.skipped:
            branch = block.number("alpha") * branch
            if skip := block.number("skip"):  # else widths may differ
                branch = branch + skip * changes
        return self._push_norm(branch) if block.place == AFTER else branch

    def _push_norm(self, changes: Array) -> Array:
        """The derivative of a sample's norm is symmetric: it is what sends gradients back.

        A change of which only the rounding of float64 is left has none: that of a norm of two neurons.
        """
        kind, samples = self._block.norm, slice(len(changes))
        y, inverse = (values[samples, None].astype(np.float64) for values in (self._normed, self._inverse))
        ones = np.ones_like(inverse)
        pushed = wide_norm_back(kind, y, ones, changes)
        if self._biased:  # what rounding leaves of the mean would come out multiplied by theirs
            pushed = wide_norm_back(kind, y, ones, pushed)
        size, reach = (np.abs(values).max(axis=2, keepdims=True) for values in (pushed, changes))
        pushed[np.broadcast_to(size <= NOISE * np.finfo(np.float64).eps * reach, pushed.shape)] = 0
        pushed *= inverse
        return pushed

    def _applied(self, z: Array, still: Array) -> tuple[Array, Array, Array, Array]:
        f = extended.applied(self._act, z)
        slope = extended.slope(self._act, z, f)
        return z, f, slope, still | ((slope == 0).all(axis=0) & (f == f[0]).all(axis=0))

    def _norm(self, x: Array, still: Array) -> tuple[Array, Array]:
        self._normed, self._inverse = wide_norm(self._block.norm, x)
        if self._block.norm != BATCH:  # every neuron sees all of its sample
            still = np.broadcast_to(still.all(), still.shape)
        return self._normed, still

    def _norm_back(self, gradient: Array) -> Array:
        return wide_norm_back(self._block.norm, self._normed, self._inverse, gradient)
