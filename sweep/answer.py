"""The question and its answer in words: which init survives with which act, how deep, and what else dies."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.labels import SETTINGS, acts, short

if TYPE_CHECKING:
    import pandas as pd

_MOST_NAMED = 6  # schemes of one act by name; the table has them all


@dataclass(frozen=True)
class Fate:
    """What becomes of one init with one act.

    depth: the greatest depth up to which it is healthy at every width, None if at none.
    word: what it dies of beyond, None if it survives. since: the layer where that begins.
    """

    init: str
    depth: int | None
    word: str | None
    since: int | None


@dataclass(frozen=True)
class Answer:
    """The fates with one act: who survives, who does up to a depth, who does not."""

    act: str
    survivors: list[Fate]
    limited: list[Fate]
    casualties: list[Fate]
    more: int


def answers(rows: "pd.DataFrame") -> list[Answer]:
    """An answer per act. rows: of `condensed`, with the layer of the verdict."""
    found = []
    named = rows.assign(scheme=(rows["init_label"] + " " + _settings(rows)).str.strip())
    for act in acts(rows):
        own = named[named["act_label"] == act]
        fates = [_fate(str(name), group) for name, group in own.groupby("scheme", sort=False)]
        groups = (
            [fate for fate in fates if fate.word is None],
            sorted((f for f in fates if f.word and f.depth), key=lambda f: -(f.depth or 0)),
            [fate for fate in fates if fate.word and not fate.depth],
        )
        more = sum(max(0, len(group) - _MOST_NAMED) for group in groups)
        survivors, limited, casualties = (group[:_MOST_NAMED] for group in groups)
        found.append(Answer(act, survivors, limited, casualties, more))
    return found


def _settings(rows: "pd.DataFrame") -> "pd.Series[str]":
    """What else varies, as text: 'bias_std=0.1'."""
    texts = rows["setting"].map(str)
    for name in SETTINGS:
        if name in rows:
            texts += rows[name].map(lambda value, name=name: f" {name}={short(value)}")
    return texts.str.strip()


def _fate(name: str, group: "pd.DataFrame") -> Fate:
    healthy = (group["verdict"] == "healthy").groupby(group["depth"]).all().sort_index()
    lost = healthy.index[~healthy]
    if not len(lost):
        return Fate(name, int(healthy.index[-1]), None, None)
    below = healthy.index[healthy.index < lost[0]]
    dead = group[(group["verdict"] != "healthy") & (group["depth"] == lost[0])]
    word = Counter(dead["verdict"]).most_common(1)[0][0]
    layer = dead.loc[dead["verdict"] == word, "value:verdict_layer"].median()
    since = None if math.isnan(layer) else int(layer)
    return Fate(name, int(below[-1]) if len(below) else None, word, since)


def counts(rows: "pd.DataFrame") -> str:
    """One sentence: how many networks there are, and what becomes of them."""
    found = Counter(rows["verdict"])
    healthy = found.pop("healthy", 0)
    rest = ", ".join(f"{count} {word}" for word, count in found.most_common())
    total = len(rows)
    networks = "network" if total == 1 else "networks"
    return (
        f"{healthy:,} of {total:,} {networks} keep their signal and their gradient{'; ' * bool(rest)}{rest}."
    )
