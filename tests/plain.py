"""The plain loop in long double, on the kernel's draws: what every figure may be, chaos allowed for.

Beside the network run copies of it in which every input, weight, bias, z, h, slope and gradient is
moved by one rounding of the dtype under test. By how much entries then differ bounds, to first
order, how much any statistic may: abs(Δrms), abs(Δmean), abs(Δstd) ≤ norm(Δh)/√n, a cosine by the
sum of its two vectors' relative errors. GAIN times that is allowed, for a kernel rounds more than
once an entry (a sum of n terms: √n times at most, n ≤ 64), beside the floor of the contract. Bounds on
entries do not, as differences of a few statistics would, come out small by chance.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from sweep import draws
from sweep.initializers import Scheme
from tests.exact import FLAT_SLOPE, LONG

COPIES = 3
GAIN = 16
CHAOS = GAIN / 20  # from here on, 5 % of a rounded layer is rounding
# The contract's: relative, `mean` and std in units of the rms, correlations absolute.
FLOOR = {"float32": 1e-5, "float64": 1e-12}
SPREAD_FLOOR = {"float32": 1e-5, "float64": 1e-12}  # of neuron_corr
TIPS = 1.5  # within this factor of a threshold, rounding may decide
SAME = 1e-6
# By what copies are moved; a numerical slope may be wrong by 1e-6 in all.
MOVES = {"float32": LONG(2) ** -24, "float64": LONG(2) ** -53, "numerical": LONG(1e-6) / GAIN}
SMALLEST, LARGEST = LONG(2.3e-308), LONG(np.finfo(np.float64).max)
TINY, HUGE = LONG("1e-4800"), LONG("1e4900")  # of squares, whose smaller terms then do not count
FEW = 3  # samples of which a correlation says nothing
FIRST = 64  # samples of a cosine, neurons of a correlation


@dataclass(frozen=True)
class Allowed:
    """What a figure may be: low to high, null where `null`; null or infinite where `lost`."""

    exact: float
    low: float
    high: float
    null: bool = False
    lost: bool = False

    def holds(self, figure):
        if np.isnan(figure):
            return self.null or self.lost
        return bool(self.low <= figure <= self.high or (self.lost and np.isinf(figure)))


NULL = Allowed(np.nan, np.inf, -np.inf, null=True)


def between(exact, low, high, **more):
    """Allowed from low to high as a float64 holds it: what is below SMALLEST may be 0."""
    with np.errstate(over="ignore"):
        ends = float(low - SMALLEST), float(high + SMALLEST)
        return Allowed(float(exact), *ends, **more)


def norm(values, axis):
    """Euclidean norm with nothing squared that long double could not hold."""
    squares = (values * values).sum(axis=axis)
    if squares.size == 0 or (squares.min() > TINY and squares.max() < HUGE):
        return np.sqrt(squares)
    size = np.abs(values).max(axis=axis, keepdims=True)
    size[size == 0] = 1
    return np.sqrt(((values / size) ** 2).sum(axis=axis)) * size.squeeze(axis)


def ratio(over, under):
    """over / under, 0 where both are 0."""
    return np.divide(over, under, out=np.where(over > 0, LONG(np.inf), LONG(0)), where=under > 0)


@lru_cache
def _moves(name):
    """Factors 1 ± a rounding, signs at random: any stretch of them will do."""
    return 1 + MOVES[name] * np.random.default_rng(0).choice([-1, 1], 1 << 17).astype(LONG)


@dataclass
class Spread:
    """The network and its copies. gains: by how much a copy's difference is multiplied, (copies,)."""

    gains: np.ndarray
    floor: float

    def error(self, values, axis):
        """The largest relative error of the vectors along `axis`, values[0] being exact."""
        apart = norm(values[1:] - values[:1], axis)
        gains = self.gains.reshape(-1, *[1] * (apart.ndim - 1))
        return (gains * ratio(apart, norm(values[:1], axis))).max(axis=0)

    def size(self, values, error, lost=False):
        """What the rms may be, and what it is.

        In chaos it is its logarithm that the copies say something about: three samples of its
        spread, whose largest is 30 times too small once in 30,000.
        """
        sizes = norm(values, (1, 2)) / np.sqrt(LONG(values[0].size))
        if sizes[0] == 0:
            return between(0, 0, GAIN * sizes.max(), lost=lost), sizes[0]
        with np.errstate(divide="ignore"):
            apart = np.abs(np.log(sizes[1:] / sizes[0])).max()
        factor = (1 + self.floor + error) * np.exp((30 if error > CHAOS else 3) * apart)
        return between(sizes[0], sizes[0] / factor, sizes[0] * factor, lost=lost), sizes[0]

    def moments(self, values, lost=False):
        """mean, std, rms of (copies, rows, columns)."""
        error = self.error(values, (1, 2))
        allowed, rms = self.size(values, error)
        largest = np.abs(values[0]).max() or LONG(1)
        unit = values[0] / largest
        mean = unit.mean()
        std = np.sqrt(((unit - mean) ** 2).mean())
        within = (self.floor + error) * (rms or np.abs(values).max())
        if error > CHAOS:
            within = max(within, LONG(allowed.high))
        mean, std = mean * largest, std * largest
        return {
            "mean": between(mean, mean - within, mean + within, lost=lost),
            "std": between(std, std - within, std + within, lost=lost and bool(std <= LARGEST)),
            "rms": replace(allowed, lost=lost and bool(rms <= LARGEST)),
        }

    def sample_cosine(self, h, null):
        """Of (copies, batch, width): rows too small for a float64 may count or not."""
        rows = h[:, :FIRST]
        norms, errors = norm(rows[0], 1), self.error(rows, 2)
        units = rows[0] / np.where(norms > 0, norms, 1)[:, None]
        found, tolerance = [], LONG(0)
        for some in (norms > 0, norms > SMALLEST, (norms > 0) & (errors < 1)):
            n = int(some.sum())
            if n < 2:
                found.append(np.nan)
                continue
            total = units[some].sum(axis=0)
            found.append((total @ total - n) / (n * (n - 1)))
            tolerance = max(tolerance, 2 * np.minimum(errors[some], 2).mean())
        return self.correlation(found, tolerance, null)

    def neuron_corr(self, h, dtype, null):
        """Of (copies, batch, width)."""
        columns = h[:, :, :FIRST]
        if columns.shape[2] < 2:
            return NULL
        size = np.abs(columns).max(axis=(1, 2))
        apart = np.abs(columns - columns[:, :, :1]).max(axis=(1, 2))
        agree, doubt = ratio(apart, size), self.error(columns, (1, 2))
        band = SAME / TIPS - min(doubt, 1) * SAME, SAME * TIPS + (doubt if doubt > SAME else 0)
        if agree[0] <= band[0]:
            return Allowed(1.0, 1.0 - self.floor, 1.0, null=null)
        ones = [LONG(1)] if agree[0] <= band[1] else []
        if h.shape[1] <= FEW:
            return self.correlation([*ones, np.nan], LONG(0), null)
        scale = np.abs(columns[0]).max(axis=0)
        unit = columns / np.where(scale > 0, scale, 1)
        centred = unit - unit.mean(axis=1, keepdims=True)
        spreads, errors = norm(centred[0], 0), self.error(centred, 1)
        share = ratio(spreads, norm(unit[0], 0))
        noise = (self.gains[:, None] * norm(centred[1:] - centred[:1], 1)).max(axis=0)
        most = ratio(spreads + noise, norm(unit[0], 0))
        least = share * (1 - np.minimum(errors, 1))
        floor, there = SPREAD_FLOOR[dtype], spreads * scale > SMALLEST
        directions = centred[0] / np.where(spreads > 0, spreads, 1)
        sizes = np.abs(directions.T @ directions)
        found, tolerance = list(ones), LONG(0)
        sets = (share > floor, least > floor * TIPS, most * TIPS > floor)
        for some in (*sets, sets[0] & there):
            n = int(some.sum())
            if n < 2:
                found.append(np.nan)
                continue
            pairs = sizes[np.ix_(some, some)]
            found.append((pairs.sum() - np.trace(pairs)) / (n * (n - 1)))
            tolerance = max(tolerance, 2 * np.minimum(errors[some], 1).mean())
        return self.correlation(found, tolerance, null)

    def correlation(self, found, tolerance, null):
        numbers = [value for value in found if not np.isnan(value)]
        null = null or len(numbers) < len(found)
        if not numbers:
            return NULL
        within = self.floor + tolerance
        low, high = max(-1.0, min(numbers) - within), min(1.0, max(numbers) + within)
        return Allowed(float(numbers[0]), float(low), float(high), null=null)

    def gradients(self, values, kind, lost):
        """std and rms of dL/dh or dL/dW."""
        of = self.moments(values)
        return {f"{kind}_{name}": replace(of[name], lost=lost) for name in ("std", "rms")}


class Network:
    """One network of a stack.

    figures: what each may be, by (depth that the gradient starts from or None, name, layer).
    """

    def __init__(self, scheme, act, bias_std, widths, seed, batch, dtype, rng):
        self.scheme, self.act, self.bias_std, self.widths = scheme, act, bias_std, widths
        self.seed, self.batch, self.dtype, self.rng = seed, batch, dtype, rng
        floor = FLOOR[dtype] * (np.sqrt(max(widths)) if dtype == "float64" else 1)
        self.spread = Spread(np.full(COPIES, LONG(GAIN)), floor)
        self.figures, self.layers, self.lost_at = {}, [], len(widths)
        self._forward()

    def _rounded(self, values):
        """The copies moved by a rounding, in place."""
        moved = values[1 : COPIES + 1]
        moved *= self._signs(moved.shape, self.dtype)
        return values

    def _signs(self, shape, scale):
        pool, size = _moves(scale), math.prod(shape)
        start = int(self.rng.integers(0, max(1, len(pool) - size)))
        some = pool[start : start + size] if size <= len(pool) else np.resize(pool, size)
        return some.reshape(shape)

    def _copies(self, values):
        return self._rounded(np.repeat(np.asarray(values, LONG)[None], COPIES + 1, axis=0))

    def _forward(self):
        h = self._copies(draws.inputs(self.seed, self.batch, self.widths[0]))
        self._record(0, h)
        for layer, fans in enumerate(pairwise(self.widths), start=1):
            affine = self._affine(layer, fans, h)
            unit, std, mean, bias = affine
            z = self._rounded(self._sum(h @ unit, std, h.sum(axis=2, keepdims=True), mean, bias))
            above = self._rounded(self.act.f(z))
            apart = GAIN * np.abs(z[1:] - z[:1]).max(axis=0)
            error = self.spread.error(z, (1, 2))
            if error > CHAOS:
                apart = np.maximum(apart, 100 * np.abs(z[0]).max())
            if self.act.numerical:
                apart += 1e-5 * np.abs(z[0])
            self.layers.append((h, z, above, affine, apart))
            h = above
            if self.lost_at > layer and np.abs(h[0]).max() > LARGEST / 2:
                self.lost_at = layer
            lost = layer >= self.lost_at
            self.figures[None, "pre_rms", layer] = self.spread.size(z, error, lost)[0]
            self._record_flat(layer, z[0], apart, lost)
            self._record(layer, h)

    def _affine(self, layer, fans, h):
        scheme, base = self.scheme, self.scheme.base
        mean = self._copies(np.full((1, 1), scheme.weight_mean(*fans)))
        drawn = draws.weights(self.seed, base, layer, *fans) if base else np.zeros(fans)
        unit = self._copies(drawn)
        bias = self._copies(
            LONG(self.bias_std) * draws.biases(self.seed, base, layer, *fans).astype(LONG)[None]
        )
        started = scheme.weight_std(*fans)
        stds = [started] * (COPIES + 1)
        for copy in range(COPIES + 1) if type(scheme).fit is not Scheme.fit else ():
            product = h[copy] @ unit[copy]

            def variance(std, product=product, own=bias[copy]):
                z = std * product + own
                size = np.abs(z).max() or LONG(1)
                return float((z / size).var() * size * size)

            stds[copy] = scheme.fit(started, variance)
        return unit, self._rounded(np.array(stds, LONG)[:, None, None]), mean, bias

    def _sum(self, product, std, sums, mean, bias=None):
        """std · product + mean · sums + bias, each of them rounded."""
        out = self._rounded(product * std)
        if mean.any():
            out = out + self._rounded(sums * mean)
        return out if bias is None else out + bias

    def _record(self, layer, h):
        lost = layer >= self.lost_at
        of = self.spread.moments(h, lost)
        rms = of["rms"].exact
        null = lost or not SMALLEST < rms < LARGEST
        of["sample_cosine"] = self.spread.sample_cosine(h, null)
        of["neuron_corr"] = self.spread.neuron_corr(h, self.dtype, null)
        if layer == 0:
            of |= {"pre_rms": NULL, "flat": NULL, "dead": NULL}
        for name, allowed in of.items():
            self.figures[None, name, layer] = allowed

    def _record_flat(self, layer, z, apart, lost):
        """Entries whose slope rounding may carry across the threshold may count or not."""
        slope = np.abs(self.act.slope(z))
        flat = slope < FLAT_SLOPE
        unsure = np.abs(slope / FLAT_SLOPE - 1) < (1e-4 if self.dtype == "float32" else 1e-10)
        if self.act.ripples:
            unsure |= np.abs(slope - FLAT_SLOPE) <= apart
        else:
            for edge in self.act.edges:
                unsure |= (np.abs(z - edge) <= apart) & (apart > 0)
        surely, maybe = flat & ~unsure, flat | unsure
        tiny = 1e-12
        for name, share in {"flat": np.mean, "dead": lambda mask: mask.all(axis=0).mean()}.items():
            exact, low, high = (float(share(mask)) for mask in (flat, surely, maybe))
            self.figures[None, name, layer] = Allowed(exact, low - tiny, high + tiny, lost=lost)

    def send_back(self, start):
        """Add what the gradients of a loss at that depth may be."""
        flips = [self._flipped(*self.layers[layer - 1]) for layer in range(1, start + 1)]
        extra = COPIES if any(flip is not None for flip in flips) else 0
        gains = np.concatenate([self.spread.gains, np.full(extra, LONG(2))])
        spread, lost = Spread(gains, self.spread.floor), self.lost_at <= start

        def widened(values):
            return np.concatenate([values, np.repeat(values[:1], extra, axis=0)]) if extra else values

        delta = widened(self._copies(draws.upstream_gradient(self.seed, self.batch, self.widths[start])))
        self._put(start, start, spread.gradients(delta, "delta", False))
        for layer in range(start, 0, -1):
            below, z, above, (unit, std, mean, _), _ = self.layers[layer - 1]
            slope = self._slopes(z, above)
            if extra:
                flipped = flips[layer - 1]
                flipped = np.repeat(slope[:1], extra, axis=0) if flipped is None else flipped
                slope = np.concatenate([slope, flipped])
            delta = self._rounded(delta * slope)
            gradient = widened(below).transpose(0, 2, 1) @ delta
            self._put(start, layer, spread.gradients(gradient, "grad", lost))
            crossed = delta @ widened(unit).transpose(0, 2, 1)
            delta = self._rounded(
                self._sum(crossed, widened(std), delta.sum(axis=2, keepdims=True), widened(mean))
            )
            self._put(start, layer - 1, spread.gradients(delta, "delta", lost))
        self._put(start, 0, {"grad_std": NULL, "grad_rms": NULL})

    def _put(self, start, layer, allowed):
        for name, one in allowed.items():
            self.figures[start, name, layer] = one

    def _slopes(self, z, above):
        slope = self._rounded(self.act.slope(z))
        if self.act.numerical:  # an error of f moves a difference quotient by its share of f / z
            scale = np.abs(slope) + ratio(np.abs(above), np.abs(z))
            slope[1:] += (self._signs(slope[1:].shape, "numerical") - 1) * scale[1:]
        return slope

    def _flipped(self, below, z, above, affine, apart):
        """Slopes with the entries that rounding may carry across a kink: all left, all right, at random."""
        near = np.zeros(z[0].shape, bool)
        for kink in self.act.kinks:
            near |= (np.abs(z[0] - kink) <= apart) & (apart > 0)
        if not near.any():
            return None
        own, left, right = (self.act.slope(v) for v in (z[0], z[0] - apart, z[0] + apart))
        either = np.where(self.rng.integers(0, 2, near.shape) > 0, left, right)
        return np.stack([np.where(near, side, own) for side in (left, right, either)])
