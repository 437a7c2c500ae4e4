"""A rounded copy as the plain loop has it: a format as a list of its numbers, products in float32."""

from fractions import Fraction
from functools import lru_cache

import numpy as np

from sweep.kernel.draws import streams
from tests import reference

# Bits of the exponent and of the mantissa, the bias, the code of the largest number, what lies beyond.
LAYOUTS = {
    "float16": (5, 10, 15, 0x7BFF, np.inf),
    "bfloat16": (8, 7, 127, 0x7F7F, np.inf),
    "float8_e4m3fn": (4, 3, 7, 0x7E, np.nan),
    "float8_e5m2": (5, 2, 15, 0x7B, np.inf),
}


@lru_cache
def numbers(name):
    """What the format has from 0 on, by code, and the number that would come next: exact float64s."""
    _, bits, bias, largest, _ = LAYOUTS[name]
    found = []
    for code in range(largest + 2):
        exponent, mantissa = divmod(code, 1 << bits)
        value = Fraction(mantissa + (exponent > 0) * (1 << bits), 1 << bits)
        found.append(float(value * Fraction(2) ** (max(exponent, 1) - bias)))
    return np.array(found)


def rounded(name, x):
    """The nearest number of the format, of a tie the one with an even code."""
    there, beyond = numbers(name), LAYOUTS[name][-1]
    size = np.abs(np.asarray(x, float))
    above = np.clip(np.searchsorted(there, size), 1, len(there) - 1)
    low, high = there[above - 1], there[above]
    up = (size - low > high - size) | ((size - low == high - size) & (above % 2 == 0))
    code = np.where(size > there[-1], len(there) - 1, np.where(up, above, above - 1))
    near = np.copysign(np.where(code == len(there) - 1, beyond, there[code]), x)
    return np.where(np.isnan(x), np.nan, near)


class Copy:
    """A network of one width and its copy, forward and back; lists by layer of what a format adds."""

    @np.errstate(all="ignore")
    def __init__(self, scheme, act, block, width, depth, seed, batch, bias_std, name):
        self.act, self.block, self.name = act, block, name
        self.zeroed, self.overflowed, self.cosine = [], [], [1.0]
        self.delta_zeroed, self.delta_overflowed = [np.nan] * (depth + 1), [np.nan] * (depth + 1)
        exact = reference.propagate_blocks(scheme, act, block, width, depth, seed, batch, bias_std)
        h, kept = streams.inputs([seed], batch, width)[0], []
        u, first = self.entering(h)
        self.zeroed, self.overflowed = [], []
        ahead = self.round(u)
        self.note(ahead)
        weights_of = reference.blocks_of(scheme, block, width, depth, seed, bias_std)
        for (w, b, v), wanted in zip(weights_of, exact.h[1:], strict=True):
            rounded_w = rounded(name, np.float32(w)).astype(np.float32)
            rounded_v = None if v is None else rounded(name, np.float32(v)).astype(np.float32)
            h, of_layer, counts = self.forward(h, ahead[0], rounded_w, np.float32(b), rounded_v)
            kept.append((rounded_w, rounded_v, first, of_layer))
            u, first = self.entering(h)
            ahead = self.round(u)
            self.note(ahead, *counts)
            sizes = np.linalg.norm(wanted, axis=1) * np.linalg.norm(h.astype(float), axis=1)
            cosines = (wanted * h).sum(axis=1)[sizes > 0] / sizes[sizes > 0]
            self.cosine.append(float(cosines.mean()) if len(cosines) else np.nan)
        delta = streams.upstream_gradient([seed], batch, width)[0]
        for number in range(depth, 0, -1):
            delta, counts = self.back(delta, *kept[number - 1])
            zero, beyond, something, entries = np.sum([one[1:] for one in counts], axis=0)
            self.delta_zeroed[number], self.delta_overflowed[number] = (
                zero / something,
                beyond / entries,
            )

    def round(self, values):
        near = rounded(self.name, values).astype(np.float32)
        lost = ((near == 0) & (values != 0)).sum()
        return near, lost, (~np.isfinite(near)).sum(), (values != 0).sum(), values.size

    def note(self, *counts):
        zero, beyond, something, entries = np.sum([one[1:] for one in counts], axis=0)
        self.zeroed.append(zero / something)
        self.overflowed.append(beyond / entries)

    def applied(self, z):
        f = np.asarray(self.act.f(z.astype(float)))
        return f.astype(np.float32), self.act.derivative(z.astype(float), f).astype(np.float32)

    def normed(self, x):
        y, scale = reference.norm(self.block.norm, x)
        return y.astype(np.float32), scale.astype(np.float32)

    def entering(self, h):
        norm, slope = None, None
        if self.block.place == "before":
            h, _ = norm = self.normed(h)
        if self.block.act_first:
            h, slope = self.applied(h)
        return h, (norm, slope)

    def forward(self, below, u, w, b, v):
        block, counts, slope, inside, after = self.block, [], None, None, None
        y = u @ w + b
        if block.place == "inside":
            y, _ = inside = self.normed(y)
        if not block.act_first:
            y, slope = self.applied(y)
        if v is not None:
            counts = [self.round(y)]
            y = counts[0][0] @ v
        h = y
        if block.skipped:
            h = np.float32(block.number("skip")) * below + np.float32(block.number("alpha")) * y
        if block.place == "after":
            h, _ = after = self.normed(h)
        return h, (slope, inside, after), counts

    def back(self, delta, w, v, first, of_layer):
        block, counts, (slope, inside, after), (before, first_slope) = self.block, [], of_layer, first
        if after:
            delta = reference.norm_back(block.norm, *after, delta).astype(np.float32)
        branch = np.float32(block.number("alpha")) * delta if block.skipped else delta
        if v is not None:
            counts.append(self.round(branch))
            branch = counts[-1][0] @ v.T
        if slope is not None:
            branch = branch * slope
        if inside:
            branch = reference.norm_back(block.norm, *inside, branch).astype(np.float32)
        counts.append(self.round(branch))
        branch = counts[-1][0] @ w.T
        if first_slope is not None:
            branch = branch * first_slope
        if before:
            branch = reference.norm_back(block.norm, *before, branch).astype(np.float32)
        return (np.float32(block.number("skip")) * delta + branch if block.skipped else branch), counts
