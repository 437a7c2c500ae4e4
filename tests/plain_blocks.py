"""Networks of blocks in the plain loop of tests/plain.py: their formulas, line by line, with copies beside.

Every product, act, norm and sum is rounded in the copies as the dtype under test would. Where a norm has
nothing but rounding to normalise, or a gradient is only what rounding leaves of it, the copies are of any
size, and so may the kernel's be: 0 in the one and rounding in the other are one answer.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sweep.base.blocks import AFTER, BATCH, BEFORE, INSIDE, RMS
from tests.bounds import CHAOS, LARGEST, NULL, Spread
from tests.exact import LONG
from tests.plain import COPIES, GAIN, MOVES, Network

NOISE = 64 * np.finfo(LONG).eps  # what varies by less, of what is normalised, is 0


@dataclass
class Crossed:
    """What one block has made of h: each (copies, batch, width), `norm` its result and 1 / size."""

    u: np.ndarray
    z: np.ndarray
    f: np.ndarray
    inner: tuple
    outer: tuple | None
    norm: tuple | None
    apart: np.ndarray


class BlockNetwork(Network):
    """One network of blocks; block: at its depth."""

    def __init__(self, block, *others):
        self.block = block
        super().__init__(*others)

    def _forward(self):
        block, kind = self.block, self.block.norm
        h = self._copies(self.x)
        self._record(0, h)
        self.figures[None, "branch_corr", 0] = NULL
        for layer, (fan_in, fan_out) in enumerate(pairwise(self.widths), start=1):
            between = block.expand * fan_in if block.out else fan_out
            of_w, of_v = block.number("w_scale"), block.number("v_scale")
            u, normed, outer = h, None, None
            if block.place == BEFORE:
                normed = self._norm(h)
                u = normed[0]
            if block.act_first:
                z, f = u, self._applied(u)
                inner = self._affine(layer, (fan_in, between), f, of_w)
                u, told = f, self._through(f, inner)
                branch = told
            else:
                inner = self._affine(layer, (fan_in, between), u, of_w, free=kind == BATCH)
                z = self._through(u, inner)
                if block.place == INSIDE:
                    normed = self._norm(z)
                    z = normed[0]
                branch = told = f = self._applied(z)
            if block.out:
                outer = self._affine(layer, (between, fan_out), f, of_v, out=True)
                branch = self._through(f, outer)
            above = branch
            if block.skipped:
                above = self._rounded(LONG(block.number("alpha")) * branch)
                if skip := block.number("skip"):
                    above = self._rounded(self._rounded(LONG(skip) * h) + above)
            if block.place == AFTER:
                normed = self._norm(above)
                above = normed[0]
            error = self.spread.error(z, (1, 2))
            crossed = Crossed(u, z, f, inner, outer, normed, self._apart(z, error))
            self.layers.append((h, crossed))
            if self.lost_at > layer and max(np.abs(x[0]).max() for x in (z, f, branch, above)) > LARGEST / 2:
                self.lost_at = layer
            self._record_block(layer, crossed, told, above, error)
            h = above
        self.top = h
        self._set_adrift()

    def crossed(self, layer):
        _, of = self.layers[layer - 1]
        return [(of.u, of.inner)] + ([] if of.outer is None else [(of.f, of.outer)])

    def _record_block(self, layer, crossed, told, above, error):
        """What the figures of a layer may be. A branch in chaos is none of a sum that it hardly moves."""
        lost = layer >= self.lost_at
        self.figures[None, "pre_rms", layer], _, known = self.spread.size(crossed.z, error, lost)
        if self.block.skipped:
            error = self.spread.error(above, (1, 2))
            known = self.spread.size(above, error)[2]
        self._judge(layer, error, known)
        self._record_flat(layer, crossed.z[0], crossed.apart, lost)
        self._record(layer, above)
        null = self.figures[None, "neuron_corr", layer].null
        of_branch = self.spread.neuron_corr(told, self.dtype, null) if self.block.skipped else NULL
        self.figures[None, "branch_corr", layer] = of_branch

    def _apart(self, z, error):
        """At least one rounding: those of an entry and of its norm's factor may cancel in every copy."""
        return np.maximum(super()._apart(z, error), GAIN * MOVES[self.dtype] * np.abs(z[0]))

    def _norm(self, x):
        """x after the norm, and 1 / its size, for every copy.

        A mean and a size are rounded once, and alike for all entries that they are of.
        """
        axis = 1 if self.block.norm == BATCH else 2
        largest = np.abs(x).max(axis=axis, keepdims=True)
        unit = np.where(largest > 0, largest, 1)
        centred = x / unit
        if self.block.norm != RMS:
            centred = centred - centred.take([0], axis=axis)
            centred = centred - self._rounded(centred.mean(axis=axis, keepdims=True))
        size = np.sqrt((centred * centred).mean(axis=axis, keepdims=True))
        varies = size > NOISE * (self.block.norm != RMS)
        inverse = self._rounded(np.where(varies, 1 / np.where(varies, size, 1), 0))
        return self._rounded(centred * inverse), inverse / unit

    def _norm_back(self, y, inverse, g):
        axis = 1 if self.block.norm == BATCH else 2
        passed = g - y * self._rounded((g * y).mean(axis=axis, keepdims=True))
        if self.block.norm != RMS:
            passed = passed - self._rounded(g.mean(axis=axis, keepdims=True))
        passed[np.abs(passed) <= NOISE * np.abs(g).max(axis=axis, keepdims=True)] = 0
        return self._rounded(passed * inverse)

    def send_back(self, start):
        """Add what the gradients of a loss at that depth may be."""
        block = self.block
        flips = [self._flipped(crossed.z, crossed.apart) for _, crossed in self.layers[:start]]
        extra = COPIES if any(flip is not None for flip in flips) else 0
        gains = np.concatenate([self.spread.gains, np.full(extra, LONG(2))])
        spread, lost = Spread(gains, self.spread.floor), self.lost_at <= start

        def widened(values):
            return np.concatenate([values, np.repeat(values[:1], extra, axis=0)]) if extra else values

        def through_act(gradient, crossed, flipped):
            slope = self._slopes(crossed.z, crossed.f)
            if extra:
                other = np.repeat(slope[:1], extra, axis=0) if flipped is None else flipped
                slope = np.concatenate([slope, other])
            return self._rounded(gradient * slope)

        delta = widened(self._copies(self.upstream(start)))
        entered = self.entered[start] = []
        self._put(start, start, spread.gradients(delta, "delta", False))
        settled = False  # copies that agree where the signal was chaos agree by chance
        for layer in range(start, 0, -1):
            (_, crossed), flipped = self.layers[layer - 1], flips[layer - 1]
            norm = tuple(map(widened, crossed.norm)) if crossed.norm else ()
            if block.place == AFTER:
                delta = self._norm_back(*norm, delta)
            arrived = delta
            branch = self._rounded(LONG(block.number("alpha")) * delta) if block.skipped else delta
            of_out = {"grad_out_std": NULL, "grad_out_rms": NULL}
            if crossed.outer is not None:
                entered.append(branch)
                out = widened(crossed.f).transpose(0, 2, 1) @ branch
                of_out = spread.gradients(out, "grad_out", lost)
                branch = self._crossed_back(branch, crossed.outer, widened)
            if not block.act_first:
                branch = through_act(branch, crossed, flipped)
            if block.place == INSIDE:
                branch = self._norm_back(*norm, branch)
            entered.append(branch)
            gradient = widened(crossed.u).transpose(0, 2, 1) @ branch
            self._put(start, layer, of_out | spread.gradients(gradient, "grad", lost), settled)
            branch = self._crossed_back(branch, crossed.inner, widened)
            if block.act_first:
                branch = through_act(branch, crossed, flipped)
            if block.place == BEFORE:
                branch = self._norm_back(*norm, branch)
            delta = branch
            if skip := block.number("skip"):
                delta = self._rounded(self._rounded(LONG(skip) * arrived) + branch)
            settled |= self.chaotic_at <= start and spread.error(delta, (1, 2)).max() < CHAOS
            self._put(start, layer - 1, spread.gradients(delta, "delta", lost), settled)
        self._put(start, 0, dict.fromkeys(("grad_std", "grad_rms", "grad_out_std", "grad_out_rms"), NULL))
