"""What a statistic may be, given a layer and copies of it that were moved by rounding.

By how much entries differ bounds, to first order, how much any statistic may: abs(Δrms),
abs(Δmean), abs(Δstd) ≤ norm(Δh)/√n, a cosine by the sum of its two vectors' relative errors. Bounds
on entries do not, as differences of a few statistics would, come out small by chance. GAIN times
that is allowed, for a kernel rounds more than once an entry (a sum of n terms: √n times at most,
n ≤ 64), beside the floor of the contract.
"""

from dataclasses import dataclass, replace

import numpy as np

from tests.exact import LONG

GAIN = 16
CHAOS = GAIN / 20  # from here on, 5 % of a rounded layer is rounding
# The contract's: relative, `mean` and std in units of the rms, correlations absolute.
FLOOR = {"float32": 1e-5, "float64": 1e-12}
SPREAD_FLOOR = {"float32": 1e-5, "float64": 1e-12}  # of neuron_corr
TIPS = 1.5  # within this factor of a threshold, rounding may decide
SAME = 1e-6
ANYTHING = 1e30  # a figure that may be so many times smaller may be 0
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
ANY = Allowed(np.nan, -np.inf, np.inf, null=True)


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
        """What the rms may be, what it is, and whether the copies agree on its order of magnitude.

        In chaos it is its logarithm that the copies say something about: three samples of its
        spread, whose largest is 30 times too small once in 30,000.
        """
        sizes = norm(values, (1, 2)) / np.sqrt(LONG(values[0].size))
        if sizes[0] == 0:
            return between(0, 0, GAIN * sizes.max(), lost=lost), sizes[0], True
        with np.errstate(divide="ignore"):
            apart = np.abs(np.log(sizes[1:] / sizes[0])).max()
        known = bool(error <= CHAOS or apart < np.log(1e3))
        factor = (1 + self.floor + error) * np.exp((30 if error > CHAOS else 3) * apart)
        least = sizes[0] / factor if factor < ANYTHING else LONG(0)
        return between(sizes[0], least, sizes[0] * factor, lost=lost), sizes[0], known

    def moments(self, values, lost=False):
        """mean, std, rms of (copies, rows, columns)."""
        error = self.error(values, (1, 2))
        allowed, rms, _ = self.size(values, error)
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
            "std": between(std, std - within, std + within, lost=lost and not std > LARGEST),
            "rms": replace(allowed, lost=lost and not rms > LARGEST),
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
        # What a user's function returns is a float64: a layer below that is zeros, whose neurons agree.
        ones = [LONG(1)] if agree[0] <= band[1] or size[0] < SMALLEST else []
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
