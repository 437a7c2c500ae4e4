"""A copy of a network whose weights, inputs and every h that enters a product are rounded to a format.

It sees the draws of the exact network beside it, and is measured against that, layer by layer. The same G
comes back through its own rounded weights and own slopes. It is the same whoever is computed with it.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sweep.base.arrays import Array
from sweep.base.blocks import BATCH
from sweep.kernel.chains.chain import Chain, ChainStatistics
from sweep.kernel.copies.distance import distances
from sweep.kernel.copies.passage import Matrix, Passage
from sweep.kernel.copies.rounding import Counts, rounding
from sweep.kernel.layers.dense import products
from sweep.kernel.layers.draws import Draws
from sweep.kernel.layers.layer import Drawn
from sweep.kernel.layers.signal import Signal
from sweep.kernel.passes import Passes

_NEVER = np.iinfo(np.int64).max
Weights = Callable[[], Sequence[Drawn]]


class Copy:
    """The copy of a chain, for several seeds at once; fills in the statistics that a format adds."""

    def __init__(self, chain: Chain, statistics: ChainStatistics, draws: Draws, passes: Passes) -> None:
        assert chain.format is not None
        self._chain, self._statistics, self._draws, self._passes = chain, statistics, draws, passes
        self.rounding = rounding(chain.format)
        self._kept = max(chain.backward, default=0)
        self._parts: list[tuple[slice, slice, Passage]] = []
        self._weights: list[Weights] = []  # of the layers that are kept
        self._lost = np.full(len(draws.seeds), _NEVER)  # the first layer whose h follows an overflow

    def cross(self, number: int, weights: Weights, below: Signal, exact: Signal) -> None:
        """Cross a layer; below, exact: the exact network's h before and after it, of any size."""
        if number == 1:
            self._begin(np.ldexp(below.mantissa, below.exponent[:, None, None]))
        keep = number <= self._kept
        matrices, beyond = self._rounded(weights)
        self._lost[beyond] = np.minimum(self._lost[beyond], number)
        if keep:
            self._weights.append(weights)
        strays = np.full(exact.mantissa.shape[:2], np.nan)
        within, entering = (Counts.none(len(strays)) for _ in range(2))
        for seeds, rows, part in self._parts:
            passed = part.forward([matrix.of(seeds) for matrix in matrices], keep)
            strays[seeds, rows] = distances(exact.mantissa[seeds, rows], passed.h)
            within.add(seeds, passed.within)
            entering.add(seeds, passed.entering)
        lost = within.overflowed > 0
        self._lost[lost] = np.minimum(self._lost[lost], number)
        there = np.isfinite(strays)
        cosine = 1 - np.where(there, strays, 0).sum(axis=1) / there.sum(axis=1)
        self._record(number, cosine, within + entering)
        lost = entering.overflowed > 0
        self._lost[lost] = np.minimum(self._lost[lost], number + 1)
        if number == self._chain.depth and not self._kept:
            self._parts = []

    def send_back(self) -> None:
        """Send the gradients of every depth back, dropping the layers."""
        reached = len(self._weights)
        starts = [depth for depth in sorted(self._chain.backward, reverse=True) if depth <= reached]
        deltas: list[Array | None] = [None] * len(self._parts)
        for number in range(reached, 0, -1):
            weights = self._weights.pop()
            begun = [depth for depth in starts if depth >= number]
            if not begun:
                for _, _, part in self._parts:
                    part.drop()
                continue
            matrices, _ = self._rounded(weights)
            counts = Counts.none((len(begun), len(self._lost)))
            for place, (seeds, rows, part) in enumerate(self._parts):
                delta = self._with_upstream(number, begun, deltas[place], seeds, rows)
                deltas[place], found = part.backward([one.of(seeds) for one in matrices], delta)
                counts.add((slice(None), seeds), found)
            zeroed, overflowed = counts.shares
            for i, depth in enumerate(begun):
                columns, defined = self._statistics.backward[depth], self._lost > depth
                columns["delta_zeroed"][:, number] = np.where(defined, zeroed[i], np.nan)
                columns["delta_overflowed"][:, number] = np.where(defined, overflowed[i], np.nan)
        self._parts = []

    def _begin(self, x: Array) -> None:
        chain, inputs = self._chain, x.astype(np.float32, copy=False)
        entering = Counts.none(len(x))
        for seeds, rows in self._places(inputs):
            part = Passage(
                chain.block, chain.act, self._passes, self.rounding, inputs[seeds, rows], self._kept > 0
            )
            self._parts.append((seeds, rows, part))
            entering.add(seeds, part.entering)
        self._record(0, np.ones(len(x)), entering)
        self._lost[entering.overflowed > 0] = 1

    def _places(self, x: Array) -> Iterator[tuple[slice, slice]]:
        """What crosses together: (seeds, rows); under a norm over the batch all samples of a network."""
        if self._chain.block.norm == BATCH:
            return ((slice(i, i + 1), slice(None)) for i in range(len(x)))
        return products(x)

    def _rounded(self, weights: Weights) -> tuple[list[Matrix], Array]:
        """The rounded matrices of a layer, and which networks have weights beyond the format."""
        matrices, beyond = [], np.zeros(len(self._lost), bool)
        for drawn, bias in weights():
            near = np.empty(drawn.shape, np.float32)
            beyond |= self.rounding.into(drawn, near).overflowed > 0
            matrices.append(Matrix(near, bias))
        return matrices, beyond

    def _with_upstream(
        self, number: int, begun: Sequence[int], delta: Array | None, seeds: slice, rows: slice
    ) -> Array:
        """The gradients, and with them the one that begins at this layer, if any does."""
        if begun[-1] != number:
            assert delta is not None
            return delta
        upstream = self._draws.upstream(number)[None, seeds, rows].astype(np.float32, copy=False)
        return upstream if delta is None else np.concatenate([delta, upstream])

    def _record(self, number: int, cosine: Array, counts: Counts) -> None:
        columns, (zeroed, overflowed) = self._statistics.forward, counts.shares
        known = (self._lost > number) & (overflowed == 0)
        columns["round_cosine"][:, number] = np.where(known, cosine, np.nan)
        columns["zeroed"][:, number], columns["overflowed"][:, number] = zeroed, overflowed
