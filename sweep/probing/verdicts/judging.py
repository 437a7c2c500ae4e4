"""From rows to a word, and the module where it begins; words and thresholds are the program's own."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from sweep.base.arrays import Array
from sweep.experiment.outcomes.verdict import DEFAULT, WORDS
from sweep.probing.chains.chain import Link
from sweep.probing.passing import Pass
from sweep.probing.watching import kinds
from sweep.probing.watching.known import Matrix
from sweep.probing.watching.rows import Row

_SQUASHED = ("sigmoid", "hardsigmoid")  # as outputs they are shares, all near a half at first
_LEAST_NORMED = 0.1  # rms of a norm's output, and the inverse of the most: beyond, the norm is at fault
_BY_CHANCE = 4.0  # standard deviations of a share of so many neurons: between layers, less may be chance


@dataclass(frozen=True)
class Finding:
    """A verdict.

    module: where it begins; '' for the input, or where nothing is wrong. row: that call. link: the number of
    its layer in the chain, None where it is not known by one. cut: whether a gradient is missing, not small.
    twice: whether it is a softmax of a softmax, which leaves little of a gradient whatever the numbers here.
    """

    verdict: str
    module: str = ""
    row: Row | None = None
    link: int | None = None
    cut: bool = False
    twice: bool = False


def judged(passed: Pass, links: list[Link]) -> list[Finding]:
    """Every word that fits, in the order of the program's table: the first is the verdict."""
    measured = _Measured(passed, links)
    looks = (_LOOKS[word] for word in WORDS if word in _LOOKS)
    first = [found for look in looks if (found := next(look(measured), None))]
    return [_placed(found, links) for found in first] or [Finding("healthy")]


def _placed(found: Finding, links: list[Link]) -> Finding:
    """A finding with a name for where it begins, also where the model is one call alone; and a layer.

    Of a call beside the chain that is the last layer which begins before it, of none in particular the last.
    """
    if found.row is not None and found.link != 0 and not found.module:
        found = replace(found, module=found.row.kind)
    if found.link is None:
        node = found.row.node if found.row is not None else None
        before = [n for n, link in enumerate(links) if node is None or (link.opener.node or 0) <= node]
        found = replace(found, link=max(before, default=0))
    return found


class _Measured:
    """The rows, and the chain as arrays: (links,) by name."""

    def __init__(self, passed: Pass, links: list[Link]) -> None:
        self.watch, self.links, self.passed = passed.watch, links, passed
        names = ("rms", "flat", "sample_cosine")
        of = {name: np.array([link.values.get(name, math.nan) for link in links]) for name in names}
        wide = np.array([link.final.width > 1 for link in links])
        of["sample_cosine"] = np.where(wide, of["sample_cosine"], math.nan)
        self._meant = _meant(passed, links)
        # At first a softmax finds all classes about as likely, whatever its inputs: that is no fault.
        softened = passed.output.node in passed.watch.probabilities and len(links) > 1
        of["delta_std"] = self._gradients(links[-2].final if softened else passed.output)
        of["rms"] = of["rms"] / self._units()
        if softened:
            of["rms"][-1] = of["sample_cosine"][-1] = math.nan
        elif links[-1].act and links[-1].act.kind.lower() in _SQUASHED:
            of["sample_cosine"][-1] = math.nan
        self.of = of

    def _gradients(self, end: Row) -> Array:
        """delta by layer in units of that at the end, each of all entries together: layers differ in size.

        By rms: of a loss that is a sum or a mean all gradients at the end are one, and their std is 0. At the
        input, in units of its own size too where that is nearer to 1: a norm makes up for any. A mean over
        places leaves each its share of one gradient, and as a whole less by the root of their number: up to
        that, what is lost there is no loss, for all places have the same, and weights sum over them.
        """
        upstream = end.get("delta_rms") * math.sqrt(end.entries) if end.entries else math.nan
        found: list[float] = []
        for link in self.links:
            delta = link.final.get("delta_rms")
            lost = math.isnan(delta) and self.passed.has_gradients
            found.append(0.0 if lost else delta * math.sqrt(link.final.entries) / (upstream or math.nan))
        for number in np.flatnonzero(self._meant > 1):
            before, after = found[number - 1 : number + 1]
            thinner = min(after / before, math.sqrt(self._meant[number])) if before > 0 else 1.0
            found[:number] = [max(one, min(1.0, one * thinner)) for one in found[:number]]
        first, size = found[0], self.links[0].final.get("rms")
        if first > 0 and size > 0:
            found[0] = min((first, first * size), key=lambda one: abs(math.log(one)))
        return np.array(found)

    def _units(self) -> Array:
        """What rms is judged by: the input's, or that of a norm, which sets it whatever the input's is."""
        unit = self.links[0].final.get("rms") or 1.0
        units = []
        for link in self.links:
            norms = [row for row in (link.opener, *link.followers) if row.role == kinds.NORM]
            if norms and _LEAST_NORMED <= norms[-1].get("rms") <= 1 / _LEAST_NORMED:
                unit = norms[-1].get("rms")
            units.append(unit)
        return np.array(units)

    def holds(self, word: str) -> Array:
        """Where in the chain a word holds: (links,) bool."""
        rule = WORDS[word].rule
        assert rule is not None
        with np.errstate(invalid="ignore"):
            held: Array = rule({name: values[None] for name, values in self.of.items()}, DEFAULT, math.nan)[0]
        return held

    def grows_at(self, number: int, down: bool) -> Row:
        """The call within a layer that does most to its size."""
        rows = [row for row in self.links[number].rows if row.role in (kinds.WEIGHT, kinds.NORM, kinds.ACT)]
        if self.links[number].is_block:
            return self.links[number].last
        ratios = [
            (row.get("rms") / row.get("pre_rms") if row.get("pre_rms") else math.nan, row) for row in rows
        ]
        known = [(ratio, row) for ratio, row in ratios if not math.isnan(ratio)]
        if not known:
            return self.links[number].opener
        ratio, row = (min if down else max)(known, key=lambda one: one[0])
        opener = self.links[number].opener
        own = opener.get("rms") / (opener.get("pre_rms") or math.nan)
        return opener if own == ratio or (0.3 < own / ratio < 3) else row

    @property
    def collapsed(self) -> int | None:
        """The layer from which on all inputs look alike, to the end; None where they do not."""
        cosines = self.of["sample_cosine"]
        known = np.flatnonzero(~np.isnan(cosines))
        holds = self.holds("collapsed")
        # A mean over places that differ brings inputs that differ closer, which is no fault: those are alike
        # that were so before it, or would be had it left them as far apart.
        for number in known[1:]:
            apart = (1 - cosines[number]) * np.prod(self._meant[: number + 1])
            holds[number] &= bool(holds[number - 1] or apart < 1 - DEFAULT.collapsed)
        if not len(known) or not holds[known[-1]]:
            return None
        return int(known[_since(holds[known], len(known) - 1)])

    def size(self, word: str, down: bool) -> Iterator[Finding]:
        """Where rms is out of range to the end, or at the end of any block, for a norm may hide it later.

        Or to where all inputs look alike: of a signal that is lost only biases are left.
        """
        holds = self.holds(word)
        holds[0] = False
        last = {np.flatnonzero(~np.isnan(self.of["rms"]))[-1], (self.collapsed or 0) - 1}
        for end in (n for n, link in enumerate(self.links) if holds[n] and (link.is_block or n in last)):
            number = _since(holds, end)
            row = self.grows_at(number, down)
            yield Finding(word, row.module or self.links[number].module, row, number)


def _symmetric(m: _Measured) -> Iterator[Finding]:
    weighted = [row for row in m.watch.rows if row.role == kinds.WEIGHT]
    for number, row in enumerate(weighted):
        counts = row.get("rms") > 0 or (number == 0 and not _starts_closed(m, row))
        if row.copies and counts:
            yield Finding("symmetric", row.module, row, _link_of(m, row))


def _exploding(m: _Measured) -> Iterator[Finding]:
    for row in [*m.watch.rows, m.passed.output]:
        if row.get("rms") == math.inf:
            yield Finding("exploding", _named(m, row), row, _link_of(m, row))
    yield from m.size("exploding", down=False)


def _vanishing(m: _Measured) -> Iterator[Finding]:
    for row in m.watch.rows:
        # A branch that begins as 0 and learns is a way to begin.
        begins = row.get("rms") == 0 and row.get("pre_rms") != 0
        if begins and row.role != kinds.LOOKUP and not _starts_closed(m, row):
            yield Finding("vanishing", _named(m, row), row, _link_of(m, row))
    yield from m.size("vanishing", down=True)


def _saturated(m: _Measured) -> Iterator[Finding]:
    acts = [row for row in m.watch.rows if row.role == kinds.ACT]
    for row in acts:
        chance = _BY_CHANCE * math.sqrt(row.share * (1 - row.share) / row.width) if row is not acts[-1] else 0
        if row.get("flat") > row.share + max(DEFAULT.saturated * (1 - row.share), chance):
            yield Finding("saturated", _named(m, row), row, _link_of(m, row))


def _collapsed(m: _Measured) -> Iterator[Finding]:
    number = m.collapsed
    if number is not None:
        link = m.links[number]
        yield Finding("collapsed", link.module if number else "", link.final, number)


def _gradient(word: str, m: _Measured) -> Iterator[Finding]:
    if not m.passed.has_gradients:
        return
    if word == "gradient-vanishing":
        for row in reversed(m.watch.rows):  # as gradients travel
            if row.weight in m.passed.trainable and not row.get("grad_rms") > 0 and _matters(m, row):
                yield Finding(word, row.module, row, _link_of(m, row), cut=True)
    holds = m.holds(word)
    if holds[0]:
        number = 0
        while number + 1 < len(holds) and holds[number + 1]:
            number += 1
        link = m.links[number] if number else m.links[min(1, len(m.links) - 1)]
        row = link.last
        yield Finding(word, row.module or link.module, row, number, cut=m.of["delta_std"][number] == 0)
        return
    if word == "gradient-vanishing":
        for module in m.watch.softmaxes_twice:
            yield Finding(word, module, twice=True)


_LOOKS: dict[str, Callable[[_Measured], Iterator[Finding]]] = {
    "symmetric": _symmetric,
    "exploding": _exploding,
    "vanishing": _vanishing,
    "saturated": _saturated,
    "collapsed": _collapsed,
    "gradient-vanishing": lambda m: _gradient("gradient-vanishing", m),
    "gradient-exploding": lambda m: _gradient("gradient-exploding", m),
}


def _meant(passed: Pass, links: list[Link]) -> Array:
    """Over how many places a mean was taken between one layer and the next: (links,), 1 where over none.

    As the sizes tell, where a matrix or the outputs come of a layer with more entries than they take.
    """
    meant = np.ones(len(links))
    for number, (before, link) in enumerate(pairwise(links), 1):
        row, final = link.opener, link.final
        taken = (
            row.known.fan_in if isinstance(row.known, Matrix) else final.width if row is passed.output else 0
        )
        early, late = before.final.node, row.node
        if taken and early is not None and late is not None and passed.watch.flow.leads_to(early, late):
            places = row.entries / max(1, row.width)  # of all samples
            meant[number] = max(1.0, before.final.entries / (places * taken))
    return meant


def _since(holds: Array, end: int) -> int:
    """The first of the unbroken run of layers that ends there."""
    while end and holds[end - 1]:
        end -= 1
    return end


def _link_of(m: _Measured, row: Row) -> int | None:
    return next((n for n, link in enumerate(m.links) if any(one is row for one in link.rows)), None)


def _named(m: _Measured, row: Row) -> str:
    """The module of a call; of an activation that of the weights that feed it, which are what to change."""
    if row.role == kinds.ACT and row.below is not None:
        weighted = {one.node: one for one in m.watch.rows if one.role == kinds.WEIGHT}
        node = m.watch.flow.straight_to(row.below, weighted)
        if node is not None:
            return weighted[node].module
    return row.module


def _starts_closed(m: _Measured, row: Row) -> bool:
    """Whether a row of zeros is one of a branch, and learns."""
    number = _link_of(m, row)
    return number is not None and m.links[number].is_block and row.get("grad_rms") > 0


def _matters(m: _Measured, row: Row) -> bool:
    """Whether the loss is made of what a weight without a gradient makes, and no branch is merely closed."""
    if row.node is None or m.passed.end is None or not m.watch.flow.leads_to(row.node, m.passed.end):
        return False
    if math.isnan(row.get("grad_rms")):
        return True
    number = _link_of(m, row)
    if number is None:
        return True
    link = m.links[number]
    scaled = link.is_block and link.opener.branch_rms == 0  # by a number of its own that begins as 0
    if scaled and any(f".{name}".startswith(f".{link.opener.module}") for name in m.passed.opening):
        return False
    return not any(one.get("rms") == 0 and _starts_closed(m, one) for one in link.inside)
