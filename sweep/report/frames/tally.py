"""What seeds have in common, group by group, of rows that come some at a time: means, spreads, verdicts.

Every array is by row or by group; a group is a number, and nothing is kept of a row but its seed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.experiment.outcomes.verdict import ORDER
from sweep.report.frames.measures import THEORY, WORD, Measure

_Reals = NDArray[np.float64]
_HEALTHY = ORDER.index("healthy")


class Groups:
    """The groups of some rows: which there are, and their rows one group after another.

    group: (rows,), negative where a row is of none.
    """

    def __init__(self, group: NDArray[np.int64]) -> None:
        order = np.argsort(group, kind="stable")
        order = order[np.searchsorted(group[order], 0) :]
        placed = group[order]
        self.starts = np.flatnonzero(np.diff(placed, prepend=-1))
        self.present = placed[self.starts]
        self.sizes = np.diff(self.starts, append=len(order))
        in_order = len(order) == len(group) and bool((np.diff(order) == 1).all())
        self._order = None if in_order else order

    def __len__(self) -> int:
        return len(self.starts)

    def ordered(self, values: NDArray[Any]) -> NDArray[Any]:
        """The rows' values, one group after another."""
        return values if self._order is None else values[self._order]

    def count(self, flags: NDArray[np.bool_]) -> NDArray[np.int64]:
        """By group how many rows there are for which that is true; flags: ordered."""
        counts: NDArray[np.int64] = np.add.reduceat(flags, self.starts, dtype=np.int64)
        return counts

    def moments(self, values: _Reals) -> tuple[NDArray[np.int64], _Reals, _Reals]:
        """By group the number of ordered values that are not NaN, their mean and their standard deviation.

        Of values of any size: their squares are of about 1.
        """
        known = ~np.isnan(values)
        count = self.count(known)
        values = np.where(known, values, 0.0)
        unit = _unit(np.maximum.reduceat(np.abs(values), self.starts))
        values = values / np.repeat(unit, self.sizes)
        mean = np.add.reduceat(values, self.starts) / count
        values = np.where(known, values - np.repeat(mean, self.sizes), 0.0)
        deviation = np.sqrt(np.add.reduceat(values * values, self.starts) / count)
        return count, mean * unit, deviation * unit


def _unit(largest: _Reals) -> _Reals:
    """A power of two about as large as each, which rounds nothing."""
    exponents = np.frexp(np.nan_to_num(largest))[1]  # beside inf all that is finite is nothing
    unit: _Reals = np.ldexp(1.0, np.clip(exponents - 1, -1022, None))
    return unit


class Spread:
    """Mean, standard deviation, least and greatest of one value by group.

    geometric: of logarithms; the mean is that of the seeds that have anything left, inf where one is
    infinite, 0 where none has anything left.
    """

    def __init__(self, geometric: bool) -> None:
        self._geometric = geometric
        self._count = np.zeros(0, np.int64)
        self._mean, self._deviation, self._low, self._high = np.full((4, 0), np.nan)
        self._zero = np.zeros(0, bool)

    def add(self, groups: Groups, values: NDArray[Any]) -> None:
        """More rows of some groups; values: by row, not ordered."""
        values = groups.ordered(values).astype(float)
        here = groups.present
        self._grow(int(here.max(initial=-1)) + 1)
        with np.errstate(all="ignore"):
            self._low[here] = np.fmin(self._low[here], np.fmin.reduceat(values, groups.starts))
            self._high[here] = np.fmax(self._high[here], np.fmax.reduceat(values, groups.starts))
            if self._geometric:
                nothing = values == 0
                self._zero[here] |= np.logical_or.reduceat(nothing, groups.starts)
                values = np.log(np.where(nothing, np.nan, np.abs(values)))
            self._merge(here, *groups.moments(values))

    def _merge(
        self, here: NDArray[np.int64], count: NDArray[np.int64], mean: _Reals, deviation: _Reals
    ) -> None:
        """Chan, Golub and LeVeque's sum of two samples, in units of the largest number in it."""
        before, first, spread = self._count[here], self._mean[here], self._deviation[here]
        total = before + count
        share = count / total
        apart = mean - first
        together = np.where(
            np.isfinite(apart), first + apart * share, first * (before / total) + mean * share
        )
        unit = _unit(np.fmax(np.fmax(np.abs(first), np.abs(mean)), np.fmax(spread, deviation)))
        between = (mean / unit - first / unit) ** 2 * share * (1 - share)
        within = (spread / unit) ** 2 * (1 - share) + (deviation / unit) ** 2 * share
        both = unit * np.sqrt(within + between)
        new, none = before == 0, count == 0
        self._mean[here] = np.where(new, mean, np.where(none, first, together))
        self._deviation[here] = np.where(new, deviation, np.where(none, spread, both))
        self._count[here] = total

    def _grow(self, size: int) -> None:
        more = size - len(self._count)
        if more > 0:
            more = max(more, len(self._count) // 2)
            self._count, self._zero = (
                np.append(a, np.zeros(more, a.dtype)) for a in (self._count, self._zero)
            )
            self._mean, self._deviation, self._low, self._high = (
                np.append(a, np.full(more, np.nan))
                for a in (self._mean, self._deviation, self._low, self._high)
            )

    def parts(self, size: int) -> dict[str, Any]:
        """By group, of so many: 'value', 'low', 'high' and 'factor', as tables have them."""
        self._grow(size)
        middle, deviation = self._mean[:size], self._deviation[:size]
        if self._geometric:
            with np.errstate(all="ignore"):
                middle, deviation = np.exp(middle), np.exp(deviation)
            middle = np.where(np.isnan(middle) & self._zero[:size], 0.0, middle)
        return {"value": middle, "low": self._low[:size], "high": self._high[:size], "factor": deviation}

    def known(self, size: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """By group: how many values are numbers, or have a logarithm, and whether one is 0."""
        self._grow(size)
        return self._count[:size], self._zero[:size]


class Spreads:
    """The spreads of several statistics, each with its prediction where there is one."""

    def __init__(self, measures: Sequence[Measure]) -> None:
        self._measures = [one for one in measures if one.scale != WORD]
        self._spreads = {one.name: Spread(one.geometric) for one in self._measures}
        self._theories: dict[str, Spread] = {}

    def add(self, groups: Groups, columns: Mapping[str, NDArray[Any]]) -> None:
        """More rows of some groups; columns: by row, those of the statistics and of what is predicted."""
        if not len(groups):
            return
        for name, spread in self._spreads.items():
            if np.isnan(columns[name]).all():  # as of trainings in a study without any
                continue
            spread.add(groups, columns[name])
            if (prediction := f"{THEORY}{name}") in columns:
                self._theories.setdefault(name, Spread(False)).add(groups, columns[prediction])

    def columns(self, size: int) -> dict[str, NDArray[Any]]:
        """By group, of so many: 'value:std', 'low:std', 'high:std', 'factor:std', 'theory:std' …"""
        found: dict[str, NDArray[Any]] = {}
        for name, spread in self._spreads.items():
            found |= {f"{part}:{name}": values for part, values in spread.parts(size).items()}
            if name in self._theories:
                found[f"theory:{name}"] = self._theories[name].parts(size)["value"]
        return found

    def of(self, name: str) -> Spread:
        """The spread of one statistic."""
        return self._spreads[name]


class Votes:
    """Seeds, failures and verdicts by group."""

    def __init__(self) -> None:
        self._seeds: list[tuple[NDArray[Any], NDArray[Any]]] = []  # group and seed of what was computed
        self._texts: dict[str, int] = {}
        self._also: list[NDArray[np.int64]] = []  # (4, …): group, verdict, text and how many, as they came
        self._votes = np.zeros((0, len(ORDER)), np.int64)
        self._failed, self._measured = np.zeros(0, np.int64), np.zeros(0, bool)

    def add(
        self,
        group: NDArray[np.int64],
        ok: NDArray[np.bool_],
        seed: NDArray[Any],
        verdict: NDArray[np.int64],
        measured: NDArray[np.bool_],
        verdicts: tuple[NDArray[np.int64], Sequence[str]] | None,
    ) -> None:
        """More rows of some groups, by row. verdict: its place in ORDER.

        verdicts: the index of all words of a row, as one text, and the texts; -1 where they are not known.
        """
        size, words = int(group.max(initial=-1)) + 1, len(ORDER)
        self._grow(size)
        self._failed[:size] += np.bincount(group[~ok], minlength=size)
        own, voted = group[ok], verdict[ok]
        votes = np.bincount(own * words + voted, minlength=size * words).reshape(size, words)
        self._votes[:size] += votes
        self._measured[:size] |= np.bincount(own[measured[ok]], minlength=size) > 0
        self._seeds.append((own.astype(np.int32), seed[ok]))
        if verdicts is not None:
            codes, texts = verdicts
            more = [self._texts.setdefault(text.partition(", ")[2], len(self._texts)) for text in texts]
            number = np.array([*more, -1])[codes]
            dead = ok & (verdict != _HEALTHY) & (number >= 0)
            said, first, count = _counted(group[dead] * words + verdict[dead], number[dead])
            self._also.append(
                np.stack([said[0] // words, said[0] % words, said[1], count])[:, np.argsort(first)]
            )

    def _grow(self, size: int) -> None:
        if (more := size - len(self._failed)) > 0:
            self._votes = np.pad(self._votes, ((0, more), (0, 0)))
            self._failed, self._measured = np.pad(self._failed, (0, more)), np.pad(self._measured, (0, more))

    def columns(self, size: int) -> dict[str, NDArray[Any]]:
        """By group: 'seeds', 'failed', 'verdict' (the most frequent), 'also', 'measured', 'agree'.

        And 'computed', how many were, and 'unhealthy', how many of these are not healthy.
        """
        self._grow(size)
        votes = self._votes[:size]
        cells = votes.sum(axis=1)
        groups, seeds_of = (np.concatenate([np.empty(0, np.int32), *each]) for each in self._pairs())
        (own, _), _, _ = _counted(groups.astype(np.int64), np.unique(seeds_of, return_inverse=True)[1])
        seeds = np.bincount(own, minlength=size)
        winner = votes.argmax(axis=1)  # the first in the order of words where several are as frequent
        with np.errstate(all="ignore"):
            agree = votes[np.arange(size), winner] / seeds
        winner = np.where(cells > 0, winner, ORDER.index("failed"))
        return {
            "seeds": seeds,
            "failed": self._failed[:size],
            "verdict": np.array(ORDER, object)[winner],
            "also": self._most_said(winner),
            "measured": self._measured[:size],
            "agree": agree,
            "computed": cells,
            "unhealthy": cells - votes[:, _HEALTHY],
        }

    def _pairs(self) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
        return [own for own, _ in self._seeds], [seed for _, seed in self._seeds]

    def _most_said(self, verdict: NDArray[np.int64]) -> NDArray[Any]:
        """By group what else is said of most cells of its verdict: 'gradient-exploding'; '' if nothing."""
        told = np.full(len(verdict), "", object)
        if not self._also:
            return told
        group, word, text, count = np.concatenate(self._also, axis=1)
        own = verdict[group] == word
        (group, text), first, total = _counted(group[own], text[own], count[own])
        best = np.lexsort([first, -total, group])
        groups, at = np.unique(group[best], return_index=True)
        told[groups] = np.array([*self._texts, ""], object)[text[best][at]]
        return told


def _counted(
    first: NDArray[np.int64], second: NDArray[np.int64], weights: NDArray[np.int64] | None = None
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64], NDArray[np.int64]]:
    """The distinct pairs of numbers from 0 on, where each appears first, and how often."""
    size = int(second.max(initial=0)) + 1
    keys, at, inverse = np.unique(first * size + second, return_index=True, return_inverse=True)
    counts = np.bincount(inverse, weights, minlength=len(keys)).astype(np.int64)
    return (keys // size, keys % size), at, counts
