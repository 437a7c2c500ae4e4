"""What comes first in the cards: what survives, and of that the schemes that keep a signal level."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from sweep import activations, theory
from sweep.base.errors import SweepError
from sweep.report.frames import fates
from sweep.report.frames.fates import Answer
from sweep.report.frames.labels import PANEL, SETTINGS, add_labels

_DECIMALS = 6  # of abs(log chi1): below lies rounding
Merit = Callable[[str, str], tuple[float, float]]


def cards(rows: pd.DataFrame, cells: pd.DataFrame) -> list[Answer]:
    """The answer by activation: first those with which something survives, the schemes of each best first.

    rows: of `data.networks`; cells: those it was made of.
    """
    answers = fates.answers(rows, _merit(rows, cells))
    return sorted(answers, key=lambda one: (not one.survivors, not one.limited))


def _merit(rows: pd.DataFrame, cells: pd.DataFrame) -> Merit:
    """Of an init and an act: how far chi1 is from 1 where the signal settles, inf where theory has no word;
    then how far from 1 the signal and the gradient were measured at the end, in e-folds to one decimal.
    """
    apart = [name for name in SETTINGS if name in rows]
    columns = dict.fromkeys([*PANEL, *apart, "act", "act_params", "sigma_w", "bias_std"])
    kinds = add_labels(cells, apart)[list(columns)].drop_duplicates()
    names = fates.scheme_names(kinds[[*PANEL, *apart]])
    specs = kinds[["act", "act_params", "sigma_w", "bias_std"]].itertuples(index=False, name=None)
    of: dict[tuple[str, str], list[Any]] = {}
    for key, spec in zip(zip(names, kinds["act_label"], strict=True), specs, strict=True):
        of.setdefault(key, []).append(spec)
    level = _levels(rows)

    def merit(init: str, act: str) -> tuple[float, float]:
        return max(_imbalance(*spec) for spec in of[init, act]), level[init, act]

    return merit


def _levels(rows: pd.DataFrame) -> dict[tuple[str, str], float]:
    deepest = rows[rows["depth"] == rows.groupby(["init_label", "act_label"])["depth"].transform("max")]
    names = fates.scheme_names(deepest)
    sizes = zip(deepest["value:rms"], deepest["value:delta_std_first"], strict=True)
    levels: dict[tuple[str, str], float] = {}
    for key, ends in zip(zip(names, deepest["act_label"], strict=True), sizes, strict=True):
        levels[key] = max(levels.get(key, 0.0), round(_distance(ends), 1))
    return levels


def _distance(sizes: Sequence[float]) -> float:
    """How far the worst is from 1, in e-folds; of those that were measured."""
    known = [size for size in sizes if not math.isnan(size)]
    return max((abs(math.log(size)) if 0 < size < math.inf else math.inf for size in known), default=math.inf)


def _imbalance(act: str, act_params: str, sigma_w: float | None, bias_std: float | None) -> float:
    """abs(log chi1) at the fixed point; inf where theory has no word."""
    if sigma_w is None or bias_std is None or not sigma_w > 0 or not bias_std >= 0:
        return math.inf
    try:
        chi1 = theory.fixed_point(activations.stored(act, act_params), sigma_w, bias_std).chi1
    except SweepError:
        return math.inf
    return round(abs(math.log(chi1)), _DECIMALS) if 0 < chi1 < math.inf else math.inf
