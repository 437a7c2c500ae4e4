"""The question and its answer in words: which init survives with which act, how deep, and what else dies."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from sweep.experiment.outcomes.verdict import WORDS, Thresholds, meanings
from sweep.report.frames.labels import SETTINGS, acts, setting_text

if TYPE_CHECKING:
    import pandas as pd

UNMEASURED = "gradients were not measured"
MOST_NAMED = 6  # schemes of one act by name; the table has them all


@dataclass(frozen=True)
class Fate:
    """What becomes of one init with one act.

    depth: the greatest depth up to which it is healthy at every width, None if at none.
    word: what it dies of beyond, None if it survives. since: the layer where that begins. also: what else
    is said of it that this word does not imply, as in 'gradient-exploding' of what is saturated.
    """

    init: str
    depth: int | None
    word: str | None
    since: int | None
    also: str = ""

    @property
    def death(self) -> str:
        """What it dies of, in words: 'saturated from layer 1, gradient-exploding'."""
        since = f" from layer {self.since}" if self.since else ""
        return f"{self.word}{since}{', ' * bool(self.also)}{self.also}"


@dataclass(frozen=True)
class Answer:
    """The fates with one act: who survives, who does up to a depth, who does not."""

    act: str
    survivors: list[Fate]
    limited: list[Fate]
    casualties: list[Fate]

    @property
    def more(self) -> int:
        """How many are left where MOST_NAMED of each kind are named."""
        return sum(max(0, len(kind) - MOST_NAMED) for kind in (self.survivors, self.limited, self.casualties))


def answers(rows: "pd.DataFrame") -> list[Answer]:
    """An answer per act. rows: of `average_over_seeds`, with the layer of the verdict."""
    schemes: dict[str, dict[str, list[_Row]]] = {act: {} for act in acts(rows["act_label"])}
    names = scheme_names(rows)
    columns = (rows[name] for name in ("act_label", "depth", "verdict", "value:verdict_layer", "also"))
    for name, act, *row in zip(names, *columns, strict=True):
        schemes[act].setdefault(name, []).append(_Row(*row))
    by_act = []
    for act, rows_of in schemes.items():
        fates = [_fate(name, group) for name, group in rows_of.items()]
        survivors = [fate for fate in fates if fate.word is None]
        limited = sorted((f for f in fates if f.word and f.depth), key=lambda f: -(f.depth or 0))
        by_act.append(Answer(act, survivors, limited, [f for f in fates if f.word and not f.depth]))
    return by_act


class _Row(NamedTuple):
    depth: int
    verdict: str
    layer: float
    also: str


def scheme_names(rows: "pd.DataFrame") -> "pd.Series[str]":
    """Of every row its init and what else varies: 'xavier bias_std=0.1'."""
    return (rows["init_label"] + " " + _settings(rows)).str.strip()


def _settings(rows: "pd.DataFrame") -> list[str]:
    """What else varies, as text: 'bias_std=0.1'."""
    names = [name for name in SETTINGS if name in rows]
    columns = zip(rows["setting"].map(str), *(rows[name] for name in names), strict=True)
    return [" ".join(filter(None, [text, *map(setting_text, names, row)])) for text, *row in columns]


def _fate(name: str, rows: Sequence[_Row]) -> Fate:
    lost = min((row.depth for row in rows if row.verdict != "healthy"), default=None)
    if lost is None:
        return Fate(name, int(max(row.depth for row in rows)), None, None)
    below = [row.depth for row in rows if row.depth < lost]
    dead = [row for row in rows if row.depth == lost and row.verdict != "healthy"]
    word = Counter(row.verdict for row in dead).most_common(1)[0][0]
    layers = [row.layer for row in dead if row.verdict == word and not math.isnan(row.layer)]
    also = Counter(row.also for row in dead if row.verdict == word).most_common(1)[0][0]
    since = int(median(layers)) if layers else None
    return Fate(name, int(max(below)) if below else None, word, since, _news(word, also))


def _news(word: str, also: str) -> str:
    """Those of the other words that the first does not imply: what vanishes takes its gradient along."""
    if word == "symmetric":  # of copies nothing else matters
        return ""
    return ", ".join(other for other in also.split(", ") if other.removeprefix("gradient-") != word)


def counts(rows: "pd.DataFrame") -> str:
    """A sentence: how many networks there are, and what becomes of them, as far as that was measured."""
    words = Counter(rows["verdict"])
    healthy = words.pop("healthy", 0)
    alone = int(((rows["verdict"] == "healthy") & ~rows["measured"]).sum())  # their signal is all we know of
    total, both = len(rows), healthy - alone
    networks = "network keeps its" if total == 1 else "networks keep their"
    its = networks.rpartition(" ")[2]
    if alone and both:
        kept = f"{both:,} of {total:,} {networks} signal and {its} gradient"
        kept += f", {alone:,} {its} signal ({UNMEASURED})"
    elif alone:
        kept = f"{alone:,} of {total:,} {networks} signal; {UNMEASURED}"
    else:
        kept = f"{both:,} of {total:,} {networks} signal and {its} gradient"
    are = {word: "" if word == "failed" else "is " if n == 1 else "are " for word, n in words.items()}
    dead = ", ".join(f"{n:,} {are[word]}{word}" for word, n in words.most_common())
    return f"{kept}{'; ' * bool(dead)}{dead}."


def gradients_unmeasured(rows: "pd.DataFrame") -> str:
    """What 'healthy' does not say of these networks; '' where it says all."""
    healthy = rows.loc[rows["verdict"] == "healthy", "measured"]
    if healthy.all():
        return ""
    where = " in some of these networks" if healthy.any() else ""
    return f"healthy refers to the signal alone: {UNMEASURED}{where}"


def fate_of(
    word: str, layer: float, thresholds: Thresholds, depth: int, measured: bool, format: str | None = None
) -> str:
    """The verdict on one network as a sentence: what becomes of it, and from which layer on.

    layer: `verdict_layer`. measured: whether its gradients were. format: that of its copy.
    """
    if word == "healthy":
        what = "the signal and the gradient get" if measured else "the signal gets"
        through = f"{what} through {'all ' if depth > 1 else ''}{depth} layer{'s' if depth > 1 else ''}"
        return f"verdict: healthy: {through}{'' if measured else f'; {UNMEASURED}'}"
    begins = f" in {format}" if WORDS[word].of_format else ""
    if not math.isnan(layer):
        begins += f" from layer {layer:.0f} {'down to the input' if WORDS[word].backward else 'on'}"
    rule, told = meanings(thresholds)[word], WORDS[word].told
    return f"verdict: {word}{begins}: {f'{told} ({rule})' if told and told not in rule else rule}"
