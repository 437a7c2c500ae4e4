"""The one core of all blocks: what each does forward, and how its gradient comes back.

    u = norm(h)                           where a norm comes before the branch, else h
    z = u W + b, f = act(z)               or f = act(u), y = f W + b, where act comes first
    y = f V                               where there is a V, else f
    h' = norm(s h + a y)                  where there is a skip, and where a norm comes after; else y

Signals keep exponents of their own, so that s h and a y may be of any sizes. What is not vouched for, in the
words of `ranges`, is computed again with more range.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.base.blocks import AFTER, BEFORE, INSIDE
from sweep.kernel.chains.chain import Chain
from sweep.kernel.layers import ranges
from sweep.kernel.layers.blocks.matrices import Weighted, fans_of
from sweep.kernel.layers.blocks.norms import Normed
from sweep.kernel.layers.blocks.wide import WideBlock
from sweep.kernel.layers.dense import CHUNK_BYTES, evenly
from sweep.kernel.layers.draws import Draws
from sweep.kernel.layers.layer import Crossed, Drawn, Entering, Kind, Returned, Size, Sizes
from sweep.kernel.layers.ranges import RANGES
from sweep.kernel.layers.signal import Delta, Measured, Signal, combined, settled
from sweep.kernel.passes import Passes, Sums
from sweep.kernel.statistics.correlation import (
    CORRELATED_NEURONS,
    COSINE_SAMPLES,
    neuron_corr,
    sample_cosine,
)
from sweep.kernel.statistics.moments import Moments, moments_of, row_squares
from sweep.kernel.statistics.table import STATISTICS, by_function

_APART = 60  # powers of two between the terms of a sum, from which on the smaller may be all of a sample


class BlockLayer:
    """The `Layer` of a chain of blocks."""

    def __init__(self, chain: Chain, number: int, draws: Draws, passes: Passes) -> None:
        self._act, self._block, self._passes, self._first = chain.act, chain.block, passes, number == 1
        self._inner = Weighted(chain, number, draws, passes)
        self._outer = Weighted(chain, number, draws, passes, out=True) if chain.block.out else None
        self._norm: Normed | None = None
        self._u: Signal | None = None  # what W was applied to
        self._f: Signal | None = None  # what V was applied to
        self._slope: Array | None = None
        self._lost = np.zeros(len(draws.seeds), bool)  # of which no gradient is defined

    def forward(self, below: Signal, h: Array, keep: bool, dtype: np.dtype[Any]) -> Crossed:
        block, act = self._block, self._act
        u, doubt = below, np.zeros(len(below.rms), bool)
        if block.place == BEFORE:
            u = self._normed(below, doubt)
        if block.act_first:
            f, sums, exponent = self._applied(self._in_units(u), None, keep, doubt)
            branch, unsure = self._inner.forward(f, of_inputs=False)
            u, told = f, branch
        else:
            into = None if block.place == INSIDE else act
            z, unsure = self._inner.forward(u, self._first and u is below, into)
            if block.place == INSIDE:
                z = self._normed(z, doubt)
                z = Signal(z.mantissa.copy() if keep else z.mantissa, z.exponent, z.rms)
            f, sums, exponent = self._applied(z, None if block.skipped else h, keep, doubt)
            branch = told = f
        doubt |= unsure
        if self._outer is not None:
            branch, unsure = self._outer.forward(f, of_inputs=False)
            doubt |= unsure
        above = branch
        if block.skipped:
            terms = self._added(below, block.number("alpha"), branch)
            above = combined(terms, out=h)
            doubt |= _hidden(terms, above)
        if block.place == AFTER:
            above = self._normed(above, doubt)
        if keep:
            self._u, self._f = u, f if self._outer is not None else None
        self._lost = ~(above.finite & f.finite)
        above = settled(above.mantissa, self._slope, above.exponent, np.where(self._lost, np.inf, above.rms))
        measured = self._measured(above, dtype, doubt)
        if block.skipped:
            measured["branch_corr"] = self._correlation(told, dtype, doubt)
        measured |= {"pre_rms": np.ldexp(sums.before.rms, exponent), **sums.flat.shares()}
        for name, values in measured.items():
            values[self._lost] = STATISTICS[name].lost
        without_slope = np.isnan(measured["flat"]) & above.finite
        return Crossed(above, measured, doubt & below.finite, without_slope)

    def weights(self) -> list[Drawn]:
        return [one.weights() for one in (self._inner, self._outer) if one is not None]

    def backward(self, delta: Delta, entering: Entering | None = None) -> Returned:
        block, above = self._block, delta.signal
        assert self._u is not None
        doubt = ~np.isfinite(above.rms) & ~self._lost
        if block.place == AFTER:
            above = self._back_through_norm(above, doubt)
        branch = above.times(block.number("alpha")) if block.skipped else above
        out: Array | None = None
        of_out: Sizes | None = None
        if self._outer is not None:
            assert self._f is not None
            sent = self._outer.backward(branch, self._f, entering)
            branch, out, of_out = sent.below, sent.weights, sent.of_weights
            doubt |= sent.doubt
        if not block.act_first:
            branch = self._back_through_act(branch, doubt)
        if block.place == INSIDE:
            branch = self._back_through_norm(branch, doubt)
        sent = self._inner.backward(branch, self._u, entering)
        branch, weights, of_weights = sent.below, sent.weights, sent.of_weights
        doubt |= sent.doubt
        if block.act_first:
            branch = self._back_through_act(branch, doubt)
        if block.place == BEFORE:
            branch = self._back_through_norm(branch, doubt)
        below = combined(self._added(above, 1.0, branch)) if block.skipped else branch
        doubt |= ~np.isfinite(below.rms)
        below.mantissa[:, self._lost] = np.nan
        for size in (*of_weights[:2], *(of_out or ())[:2]):
            size[:, self._lost] = np.nan
        samples = row_squares(below.mantissa) / below.mantissa.shape[3]
        rms = np.sqrt(samples.mean(axis=2))
        std, _ = moments_of(below.mantissa.reshape(-1, *below.mantissa.shape[2:]))
        of_delta = std.reshape(rms.shape), rms, below.exponent
        through = Delta(Signal(below.mantissa, below.exponent, rms), samples)
        return Returned(through, of_delta, of_weights, weights, doubt, of_out, out)

    def _added(self, skipped: Signal, alpha: float, branch: Signal) -> list[tuple[float, Signal]]:
        """The terms of a sum over the skip: where that is 0, widths may differ, and the branch is all."""
        skip = self._block.number("skip")
        return [(skip, skipped)] * (skip != 0) + [(alpha, branch)]

    def _normed(self, x: Signal, doubt: Array) -> Signal:
        """x after the norm, which is kept; adds to the doubt."""
        self._norm = Normed.of(self._block.norm, x)
        doubt |= self._norm.doubt
        return self._norm.y

    def _in_units(self, h: Signal) -> Signal:
        """A copy of h in the units of what goes into act."""
        with np.errstate(divide="ignore"):
            size = np.where(h.finite, h.exponent + np.log2(h.rms), -np.inf)
        exponent, held = ranges.units(size, self._act, RANGES[h.mantissa.dtype])
        scale = np.ldexp(1.0, np.where(held, h.exponent - exponent, 0)).astype(h.mantissa.dtype)
        return Signal(h.mantissa * scale[:, None, None], exponent, np.where(held, h.rms, np.nan))

    def _applied(self, z: Signal, out: Array | None, keep: bool, doubt: Array) -> tuple[Signal, Sums, Array]:
        """act(z), whose slope is kept, what was summed of it, and the exponent of z, which is overwritten.

        Adds to the doubt; a z of rms NaN is in doubt as it comes.
        """
        act, numbers, mantissa = self._act, RANGES[z.mantissa.dtype], z.mantissa
        f = np.empty_like(mantissa) if out is None else out
        self._slope = slope = np.empty_like(f) if keep else None
        sums = Sums.of(act, f.shape)
        seeds, batch, width = f.shape
        together = max(1, CHUNK_BYTES // (batch * width * f.itemsize))
        for start in range(0, seeds, together):
            some = slice(start, min(start + together, seeds))
            for rows in evenly(slice(0, batch), CHUNK_BYTES // ((some.stop - start) * width * f.itemsize)):
                to = None if slope is None else slope[some, rows]
                self._passes.forward(act, sums, some, mantissa[some, rows], None, f[some, rows], to)
        silent, exact, rms = z.rms == 0, ranges.exact(act, f.dtype), sums.after.rms
        zero = silent | ~f.any(axis=(1, 2)) if exact and not rms.all() else silent
        samples = np.sqrt(row_squares(f[:, :COSINE_SAMPLES]) / width)
        here = ranges.astray(f, z.exponent, self._inner.mixes, act, numbers) | np.isnan(z.rms)
        if not self._inner.mixes:
            here |= ranges.faint(f, numbers).any(axis=(1, 2))
        here |= ranges.outside(sums.before.rms, numbers) & ~silent
        here |= (ranges.outside(rms, numbers) | ranges.lost(samples, act, f.dtype)) & ~zero
        finite = np.isfinite(z.rms) | np.isnan(z.rms)
        doubt |= here & finite
        return settled(f, slope, z.exponent, np.where(finite, rms, np.inf)), sums, z.exponent

    def _measured(self, h: Signal, dtype: np.dtype[Any], doubt: Array) -> Measured:
        """The statistics of the new h."""
        moments = Moments(*h.mantissa.shape)
        moments.add(slice(None), h.mantissa)
        cosine, samples = sample_cosine(h.mantissa)
        correlation = self._correlation(h, dtype, doubt, moments.column_sums)
        doubt |= ranges.lost(samples, self._act, h.mantissa.dtype) & (moments.rms > 0)
        measured = {
            "mean": moments.mean, "std": moments.std(h.mantissa), "rms": moments.rms,
            "sample_cosine": cosine, "neuron_corr": correlation, **by_function(h.mantissa),
        }  # fmt: skip
        for name, values in measured.items():
            if power := STATISTICS[name].power:
                measured[name] = np.ldexp(values, power * h.exponent)
        return measured

    def _correlation(
        self, h: Signal, dtype: np.dtype[Any], doubt: Array, column_sums: Array | None = None
    ) -> Array:
        """`neuron_corr`; neurons that h holds too coarsely are in doubt."""
        exact = ranges.exact(self._act, h.mantissa.dtype)

        def again(network: int, coarse: Array) -> None:
            doubt[network] = True

        return neuron_corr(h.mantissa, dtype, column_sums, None, again, exact)

    def _back_through_norm(self, gradient: Signal, doubt: Array) -> Signal:
        assert self._norm is not None
        below, unsure = self._norm.back(gradient)
        doubt |= unsure
        return below

    def _back_through_act(self, gradient: Signal, doubt: Array) -> Signal:
        """dL/dz of dL/df, which is overwritten."""
        assert self._slope is not None
        mantissa, width = gradient.mantissa, gradient.mantissa.shape[3]
        arrived = row_squares(mantissa) / width
        passed = self._passes.through(mantissa, self._slope) / width
        doubt |= ranges.faded(arrived, passed, self._slope, self._act)
        return Signal(mantissa, *ranges.recentre(mantissa, gradient.exponent, np.sqrt(passed.mean(axis=2))))


def _hidden(terms: Sequence[tuple[float, Signal]], total: Signal) -> Array:
    """Where a sample or a neuron of a sum may be all of a term far smaller than the other: (seeds,) bool."""
    if len(terms) < 2:
        return np.zeros(len(total.rms), bool)
    there = [(signal.rms > 0) & (factor > 0) for factor, signal in terms]
    sizes = [signal.exponent + (math.log2(factor) if factor else 0.0) for factor, signal in terms]
    apart: Array = (np.abs(sizes[0] - sizes[1]) > _APART) & np.all(there, axis=0)
    if not apart.any():
        return apart
    size = np.abs(total.mantissa)
    faint = (size.max(axis=2) < RANGES[size.dtype].smallest_sample).any(axis=1)
    faint |= (size[..., :CORRELATED_NEURONS].max(axis=1) < RANGES[size.dtype].smallest_sample).any(axis=1)
    return np.asarray(apart & faint)


def _size_of(chain: Chain, fan_in: int, fan_out: int) -> Size:
    block = chain.block
    inner, outer = fans_of(block, fan_in, fan_out)
    weights = inner[0] * inner[1] + (outer[0] * outer[1] if outer else 0)
    arguments = fan_in if block.act_first else inner[1]
    kept = fan_out + arguments * (3 if block.out or block.act_first or block.place == INSIDE else 2)
    entries = arguments + fan_out  # of a sum or a norm
    return Size(weights, entries, kept + (fan_in if block.place == BEFORE else 0))


BLOCK = Kind("block", BlockLayer, WideBlock, homogeneous=False, size=_size_of)
