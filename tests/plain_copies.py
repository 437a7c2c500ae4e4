"""A rounded copy beside a network of the plain loop: its own formulas, float64, rounding by ml_dtypes.

Members of it run side by side. The first is exact; in the others every result is moved by what float32 may be
wrong by, so that an entry next to a tie goes the other way in some of them. Where none does, all round alike
and counts are exact; where some do, how far the members part says what a figure may be.
"""

import math
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from sweep.base.blocks import AFTER, BATCH, BEFORE, INSIDE, PLAIN, RMS
from tests.bounds import ANY, NULL, Allowed
from tests.exact import LONG
from tests.plain import COPIES
from tests.plain_scales import loss_scale

MEMBERS = 7
ROUNDING = 2.0**-24
OF_ACT = 2.0**-19  # how far f and f' of float32 may be wrong
NUMERICAL = 1e-5  # of a slope that is a difference
LARGEST = float(np.finfo(np.float32).max)
TINY = 2.0**-126  # below it float32 has few digits left, and some functions none
FAR = 3.0  # how much further than the members a kernel may stray
FEW = 3  # entries that may round otherwise where an earlier one has
DTYPES = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}
COSINES, SCALES = "round_cosine", "loss_scale"
OF_COPY = (COSINES, "zeroed", "overflowed")
NO_COPY = dict.fromkeys(OF_COPY, NULL)


@dataclass
class Counts:
    """Of each member, entries that were not 0, became 0, became none.

    unsure: of how many the members disagree, whether they became 0, were not 0, became none.
    """

    something: np.ndarray
    zeroed: np.ndarray
    overflowed: np.ndarray
    entries: int
    unsure: tuple[int, int, int]

    def __add__(self, other):
        return Counts(
            self.something + other.something, self.zeroed + other.zeroed, self.overflowed + other.overflowed,
            self.entries + other.entries,
            tuple(a + b for a, b in zip(self.unsure, other.unsure, strict=True)),
        )  # fmt: skip


def zeroed(counts, flipped):
    """What the share that became 0 may be: as in the members, and where some round otherwise, a few more."""
    few = 2 * counts.unsure[1] + FEW * flipped
    null = bool(counts.something.min() <= few)
    if counts.something.max() == 0:
        return ANY if few else NULL
    return _share(counts.zeroed, counts.something, few + 2 * counts.unsure[0], flipped, null)


def overflowed(counts, flipped):
    """The same of the share beyond the format."""
    whole = np.full(MEMBERS, counts.entries)
    return _share(counts.overflowed, whole, 2 * counts.unsure[2] + FEW * flipped, flipped, null=False)


def _share(part, whole, few, flipped, null):
    there = whole > 0
    of = part[there] / whole[there]
    within = few / whole[there].min() + FAR * flipped * np.ptp(of) + 1e-12
    return Allowed(float(of[0]), float(of.min() - within), float(of.max() + within), null)


class Copy:
    """The copy of a network in a format; adds to the network's figures."""

    def __init__(self, network, name):
        self.network, self.dtype, self.name = network, DTYPES[name], name
        self.block, self.act = getattr(network, "block", PLAIN), network.act
        self.rng = np.random.default_rng(0)
        self.flipped = False
        self.lost = np.full(MEMBERS, np.inf)  # the first layer whose h follows an overflow
        self.broken_at = np.inf  # the first one with sums that float32 cannot hold
        self.layer = 0
        self.kept = []
        with np.errstate(all="ignore"):
            self._forward()

    def _forward(self):
        network, figures = self.network, self.network.figures
        h = np.repeat(network.x.astype(float)[None], MEMBERS, axis=0)
        u, first, entering = self._enter(h)
        self._record(0, np.zeros(MEMBERS), None, entering)
        self.lost[entering.overflowed > 0] = 1
        for layer in range(1, len(network.widths)):
            self.layer = layer
            weights = [self._weights(*of) for of in network.matrices(layer)]
            for near, _ in weights:
                self._lose(~np.isfinite(near).all(axis=(1, 2)), layer)
            h, of_layer, within = self._cross(h, u, weights)
            self.kept.append((weights, first, of_layer))
            u, first, entering = self._enter(h)
            counts = entering
            if within is not None:
                self._lose(within.overflowed > 0, layer)
                counts = within + entering
            self._record(layer, *self._strayed(network.signal(layer), h), counts)
            self._lose(entering.overflowed > 0, layer + 1)
        for layer in range(network.adrift_at, len(network.widths)):
            figures |= {(None, name, layer): ANY for name in OF_COPY}

    def _lose(self, which, layer):
        self.lost[which] = np.minimum(self.lost[which], layer)

    def _moved(self, values, error):
        """The members moved by twice an error of float32: one up, one down, the others at random."""
        signs = self.rng.choice([-2.0, 2.0], values.shape)
        signs[0], signs[1], signs[2] = 0, 2 * np.sign(values[1]), -2 * np.sign(values[2])
        with_error = np.where(np.isfinite(error), values + error * signs, values)
        return with_error.astype(np.float32).astype(float)

    def _round(self, values):
        """The members in the format, and `Counts`."""
        narrow = values.astype(np.float32).astype(self.dtype)
        near = narrow.astype(np.float32).astype(float)
        gone, beyond, something = (near == 0) & (values != 0), ~np.isfinite(near), values != 0
        self.flipped |= not np.array_equal(near, np.broadcast_to(near[:1], near.shape), equal_nan=True)

        either = (values > 0).any(axis=0) & (values < 0).any(axis=0)  # or 0

        def unsure(mask, more=False):
            return int(((mask != mask[:1]).any(axis=0) | more).sum())

        counts = Counts(
            *(mask.sum(axis=(1, 2)) for mask in (something, gone, beyond)),
            values[0].size, (unsure(gone), unsure(something, either), unsure(beyond)),
        )  # fmt: skip
        return near, counts

    def _weights(self, weights, bias, sizes):
        """W of the members, rounded, and b; sizes: of the terms whose sum a weight is."""
        near, _ = self._round(self._moved(self._each(weights), ROUNDING * self._each(sizes)))
        return near, self._each(bias).astype(np.float32).astype(float)

    def _each(self, copies):
        """The copies of the network, for the members: the exact one for the first."""
        values = np.asarray(copies, float)
        return values[np.arange(MEMBERS) % min(len(values), COPIES + 1)]

    def _product(self, h, weights, bias=0.0):
        terms = np.abs(h) @ np.abs(weights) + np.abs(bias)
        if np.isfinite(h).all() and np.isfinite(weights).all() and terms.max() > LARGEST / 2:
            self.broken_at = min(self.broken_at, self.layer)
        return self._moved(h @ weights + bias, ROUNDING * (4 + math.sqrt(h.shape[2])) * terms)

    def _applied(self, z):
        """act(z) and act'(z)."""
        z = z.astype(LONG)
        f, slope = self.act.f(z).astype(float), self.act.slope(z).astype(float)
        of_f, of_slope = self.act.errors(z) if self.act.errors else (0 * z, 0 * z)
        error = self._faint(slope) + 4 * ROUNDING * of_slope.astype(float)
        if self.act.numerical:
            error += NUMERICAL * (np.abs(slope) + np.abs(f) / np.maximum(np.abs(z.astype(float)), TINY))
        of_f = self._faint(f) + 4 * ROUNDING * of_f.astype(float)
        return self._moved(f, of_f), self._moved(slope, error)

    def _faint(self, values):
        return OF_ACT * np.abs(values) + TINY * ((values != 0) & (np.abs(values) < TINY))

    def _normed(self, x):
        """x after the norm, and what its way back needs."""
        axis = 1 if self.block.norm == BATCH else 2
        largest = np.abs(x).max(axis=axis, keepdims=True)
        unit = np.where(largest > 0, largest, 1)
        centred = x / unit
        if self.block.norm != RMS:
            centred = centred - centred.take([0], axis=axis)
            centred = centred - centred.mean(axis=axis, keepdims=True)
        size = np.sqrt((centred * centred).mean(axis=axis, keepdims=True))
        inverse = np.where(size > 0, 1 / np.where(size > 0, size, 1), 0)
        y = self._moved(centred * inverse, 8 * ROUNDING * (inverse + np.abs(centred * inverse)))
        return y, (y, inverse / unit)

    def _norm_back(self, g, y, inverse):
        axis = 1 if self.block.norm == BATCH else 2
        means = (g * y).mean(axis=axis, keepdims=True)
        terms = np.abs(g) + np.abs(y) * np.abs(g * y).mean(axis=axis, keepdims=True)
        passed = g - y * means
        if self.block.norm != RMS:
            passed = passed - g.mean(axis=axis, keepdims=True)
            terms = terms + np.abs(g).mean(axis=axis, keepdims=True)
        return self._moved(passed * inverse, 8 * ROUNDING * terms * inverse)

    def _enter(self, h):
        norm = slope = None
        if self.block.place == BEFORE:
            h, norm = self._normed(h)
        if self.block.act_first:
            h, slope = self._applied(h)
        near, counts = self._round(h)
        return near, (norm, slope), counts

    def _cross(self, below, u, weights):
        block, within, slope, inside, after = self.block, None, None, None, None
        y = self._product(u, *weights[0])
        if block.place == INSIDE:
            y, inside = self._normed(y)
        if not block.act_first:
            y, slope = self._applied(y)
        if block.out:
            y, within = self._round(y)
            y = self._product(y, weights[1][0])
        h = self._skipped(below, y) if block.skipped else y
        if block.place == AFTER:
            h, after = self._normed(h)
        return h, (slope, inside, after), within

    def _skipped(self, straight, branch):
        skip, alpha = (float(np.float32(self.block.number(name))) for name in ("skip", "alpha"))
        if not skip:
            return self._moved(alpha * branch, ROUNDING * np.abs(alpha * branch))
        terms = np.abs(skip * straight) + np.abs(alpha * branch)
        return self._moved(skip * straight + alpha * branch, 2 * ROUNDING * terms)

    def _strayed(self, exact, copied):
        """√(2 (1 - cos)) of every member, the mean over samples, and what rounding of h adds to it."""
        rows = [_unit(exact), _unit(copied.astype(LONG))]
        apart = ((rows[0][:1] - rows[1]) ** 2).sum(axis=2)  # (members, batch)
        there = np.isfinite(apart)
        count = there.sum(axis=1)
        mean = np.where(there, apart, 0).sum(axis=1) / np.where(count > 0, count, np.nan)
        error = self.network.spread.error(exact, 2)
        doubt = np.sqrt(np.mean(np.minimum(error[there[0]], 2) ** 2)) if there[0].any() else 0.0
        return np.sqrt(mean).astype(float), float(doubt)

    def _record(self, layer, strayed, doubt, counts):
        figures, lost = self.network.figures, layer >= min(self.network.lost_at, self.broken_at)
        of = {
            "zeroed": zeroed(counts, self.flipped),
            "overflowed": overflowed(counts, self.flipped),
            COSINES: self._cosine(strayed, doubt, (self.lost > layer) & (counts.overflowed == 0)),
        }
        if lost or (self.lost <= layer).any():  # what follows an overflow is inf or NaN, in any order
            of |= dict.fromkeys(of, ANY)
        if (self.lost <= layer).all() and not lost:
            of[COSINES] = NULL
        figures |= {(None, name, layer): allowed for name, allowed in of.items()}

    def _cosine(self, strayed, doubt, known):
        there = known & np.isfinite(strayed)
        if not there.any():
            return NULL
        if doubt is None:
            return Allowed(1.0, 1.0, 1.0, null=not there.all())
        found, first = strayed[there], strayed[there][0]
        within = FAR * np.abs(found - first).max() + 1e-2 * first + 1e-6 + doubt
        least, most = max(first - within, 0.0), first + within
        return Allowed(1 - first**2 / 2, 1 - most**2 / 2 - 1e-14, 1 - least**2 / 2 + 1e-14, not there.all())

    def send_back(self, start):
        """Add what the figures of the gradients of a loss at that depth may be."""
        network, figures = self.network, self.network.figures
        names = ("delta_zeroed", "delta_overflowed")
        figures |= {(start, name, layer): NULL for name in names for layer in range(start + 1)}
        figures[start, SCALES, start] = loss_scale(network, self.name, network.entered[start])
        known = self.lost > start
        if not known.any() and start < network.adrift_at:
            return
        delta = np.repeat(network.upstream(start).astype(float)[None], MEMBERS, axis=0)
        any_of_it = start >= min(network.adrift_at, network.lost_at, self.broken_at)
        flipped = self.flipped
        with np.errstate(all="ignore"):
            for layer in range(start, 0, -1):
                self.layer = layer
                delta, counts = self._back(delta, *self.kept[layer - 1])
                of = zeroed(counts, self.flipped), overflowed(counts, self.flipped)
                for name, one in zip(names, of, strict=True):
                    null = one.null or not known.all()
                    figures[start, name, layer] = (
                        ANY if any_of_it else Allowed(one.exact, one.low, one.high, null)
                    )
                any_of_it |= (counts.overflowed > 0).any()
        self.flipped = flipped

    def _back(self, delta, weights, first, of_layer):
        block, (slope, inside, after), (before, first_slope) = self.block, of_layer, first
        if after:
            delta = self._norm_back(delta, *after)
        branch, counts = delta, None
        if block.skipped:
            alpha = float(np.float32(block.number("alpha")))
            branch = self._moved(alpha * delta, ROUNDING * np.abs(alpha * delta))
        if block.out:
            branch, counts = self._round(branch)
            branch = self._product(branch, weights[1][0].transpose(0, 2, 1))
        if slope is not None:
            branch = self._moved(branch * slope, ROUNDING * np.abs(branch * slope))
        if inside:
            branch = self._norm_back(branch, *inside)
        branch, further = self._round(branch)
        branch = self._product(branch, weights[0][0].transpose(0, 2, 1))
        if first_slope is not None:
            branch = self._moved(branch * first_slope, ROUNDING * np.abs(branch * first_slope))
        if before:
            branch = self._norm_back(branch, *before)
        if skip := float(np.float32(block.number("skip"))):
            terms = np.abs(skip * delta) + np.abs(branch)
            branch = self._moved(skip * delta + branch, 2 * ROUNDING * terms)
        return branch, further if counts is None else counts + further


def _unit(rows):
    """Every row of length 1; NaN of zeros."""
    largest = np.abs(rows).max(axis=-1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, np.nan)
    return scaled / np.sqrt((scaled**2).sum(axis=-1, keepdims=True))
