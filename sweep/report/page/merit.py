"""What comes first in the cards: what survives, and of that the schemes that keep a signal level."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from sweep import activations, theory
from sweep.base.errors import SweepError
from sweep.experiment.ingredients.families import at_depth
from sweep.report.frames import fates
from sweep.report.frames.fates import Answer, Fate
from sweep.report.frames.labels import PANEL, SETTINGS, add_labels

_DECIMALS = 6  # of abs(log chi1): below lies rounding
_MOST_RANKED = 2 * fates.MOST_NAMED  # schemes of one act that theory is asked about: it takes its time
_Key = tuple[str, str]  # an init, with what else varies, and an act


def cards(rows: pd.DataFrame, cells: pd.DataFrame) -> list[Answer]:
    """The answer by activation: first those with which something survives, the schemes of each best first.

    rows: of `data.networks`; cells: those it was made of.
    """
    level, specs = _levels(rows), _specs(rows, cells)
    answers = [
        replace(one, survivors=_ranked(one.act, one.survivors, level, specs)) for one in fates.answers(rows)
    ]
    return sorted(answers, key=lambda one: (not one.survivors, not one.limited))


def _ranked(
    act: str, survivors: Sequence[Fate], level: Mapping[_Key, float], specs: Mapping[_Key, tuple[Any, ...]]
) -> list[Fate]:
    """By how far chi1 is from 1 where the signal settles, which theory knows, else by what was measured.

    Of many only those that were measured to be most level are put in theory's order.
    """
    by_level = sorted(survivors, key=lambda fate: level[fate.init, act])
    best = sorted(by_level[:_MOST_RANKED], key=lambda fate: _imbalance(*specs[fate.init, act]))
    return best + by_level[_MOST_RANKED:]


def _levels(rows: pd.DataFrame) -> dict[_Key, float]:
    """How far from 1 the signal and the gradient are at the greatest depth, in e-folds to one decimal."""
    deepest = rows[rows["depth"] == rows.groupby(["init_label", "act_label"])["depth"].transform("max")]
    keys = zip(fates.scheme_names(deepest), deepest["act_label"], strict=True)
    sizes = zip(deepest["value:rms"], deepest["value:delta_std_first"], strict=True)
    levels = dict.fromkeys(zip(fates.scheme_names(rows), rows["act_label"], strict=True), 0.0)
    for key, ends in zip(keys, sizes, strict=True):
        levels[key] = max(levels[key], round(_distance(ends), 1))
    return levels


def _distance(sizes: Sequence[float]) -> float:
    """How far the worst is from 1, in e-folds; of those that were measured."""
    known = [size for size in sizes if not math.isnan(size)]
    return max((abs(math.log(size)) if 0 < size < math.inf else math.inf for size in known), default=math.inf)


def _specs(rows: pd.DataFrame, cells: pd.DataFrame) -> dict[_Key, tuple[Any, ...]]:
    """The act, its parameters, sigma_w and bias_std of each, at its greatest width."""
    apart = [name for name in SETTINGS if name in rows]
    asked = ["act", "act_params", "depth", "sigma_w", "bias_std"]
    labelled = add_labels(cells, apart)
    own = labelled["last_init"].notna()  # then sigma_w, which is that of the last layer, says little
    labelled = labelled.assign(sigma_w=labelled["sigma_w"].mask(own))
    kinds = labelled[list(dict.fromkeys([*PANEL, *apart, *asked, "width"]))]
    kinds = kinds.drop_duplicates().sort_values(["width", "depth"])
    keys = zip(fates.scheme_names(kinds[[*PANEL, *apart]]), kinds["act_label"], strict=True)
    return dict(zip(keys, kinds[asked].itertuples(index=False, name=None), strict=True))


def _imbalance(act: str, act_params: str, depth: int, sigma_w: float | None, bias_std: float | None) -> float:
    """abs(log chi1) at the fixed point; inf where theory has no word."""
    if sigma_w is None or bias_std is None or not sigma_w > 0 or not bias_std >= 0:
        return math.inf
    try:
        its = at_depth(activations.stored(act, act_params), depth)
        chi1 = theory.fixed_point(its, sigma_w, bias_std).chi1
    except SweepError:
        return math.inf
    return round(abs(math.log(chi1)), _DECIMALS) if 0 < chi1 < math.inf else math.inf
