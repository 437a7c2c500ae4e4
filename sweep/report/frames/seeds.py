"""A frame of cells condensed for a table or a figure; what varies is shown, never averaged away.

The seed is the one axis that is averaged over.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.experiment.ingredients.choices import KEY_OF
from sweep.experiment.outcomes.verdict import WORDS
from sweep.report.frames import measures
from sweep.report.frames.labels import PANEL, SETTINGS, add_labels, by_interest, common, group_index
from sweep.report.frames.measures import Measure
from sweep.report.frames.networks import are_networks, condensed, layers_condensed, parts_of
from sweep.report.frames.parameters import NONE
from sweep.report.frames.text import counted, number, short, spread

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 60  # of the table in the terminal
_VOTED = ("seeds", "failed", "verdict", "also", "measured", "agree")
MARKS = {name: word.mark for name, word in WORDS.items() if word.mark}


def over_seeds(cells: "pd.DataFrame", value: str = "std", apart: Collection[str] = ()) -> "pd.DataFrame":
    """One row per panel, depth and width: the mean of `value` over the seeds.

    apart: parameters that are axes of their own, as in 'init.std'; each is a column.
    Columns added: `value` (the mean: see `tally.Spread`; the majority of verdicts), `low`
    and `high` over the seeds, `factor` (exp of the standard deviation of the logarithm: 1 where all
    seeds agree; of a signed value its standard deviation), `seeds`, `failed` (how many seeds),
    `verdict` (the most frequent), `agree` (its share), `measured` (whether the gradient was), `theory` and
    `mark` (a key of MARKS, or '').
    Raises RequestError for an unknown value.
    """
    measure = measures.measure(value, [str(name).removeprefix("value:") for name in cells])
    frame = average_over_seeds(add_labels(cells, apart), [measure], apart)
    return frame.rename(columns=lambda name: name.partition(":")[0])


def average_over_seeds(
    frame: "pd.DataFrame", statistics: Sequence[Measure], apart: Collection[str] = ()
) -> "pd.DataFrame":
    """The rows of a labelled frame, of cells or of networks, over the seeds, for several values at once.

    The columns are those of `over_seeds`, those of a value named 'value:std', 'low:std' …
    """
    import pandas as pd  # noqa: PLC0415

    keys = [*PANEL, *apart, "depth", "width"]
    if not are_networks(frame):
        group = group_index(frame, keys)
        firsts = frame[keys].iloc[np.unique(group, return_index=True)[1]]
        found = pd.DataFrame(condensed(frame, group, statistics), firsts.index)
        frame = pd.concat([firsts, found], axis=1)  # at once: they are more than a hundred
    rows = parts_of(frame, statistics, (*keys, *_VOTED, "network")).reset_index(drop=True)
    return rows.assign(mark=rows["verdict"].where(rows["verdict"].isin(list(MARKS)), ""))


def by_layer(
    cells: "pd.DataFrame",
    layers: "pd.DataFrame",
    statistics: Sequence[Measure],
    *,
    whole: bool = False,
    apart: Sequence[str] = (),
) -> "pd.DataFrame":
    """One row per line and layer over the seeds, a `line` being an init and a setting.

    The columns are those of `average_over_seeds` without failures and verdicts. whole: of every depth
    and width, not of each panel's greatest alone. apart: settings that are columns of their own and no
    part of a line's name.
    """
    frame = add_labels(cells, apart)
    frame = frame if whole else by_interest(largest(frame, apart))
    keys = [*PANEL, *apart, "depth", "width", "layer"]
    if are_networks(layers):
        frame = frame[["network", *keys[:-1]]].merge(layers, on="network")
    else:
        names = [measure.name for measure in statistics]
        theory = [column for name in names if (column := f"{measures.THEORY}{name}") in layers]
        of_cells = frame[["cell_id", "seed", *keys[:-1]]]
        frame = of_cells.merge(layers[["cell_id", "layer", *names, *theory]], on="cell_id")
        group = group_index(frame, keys)
        firsts = frame[keys].iloc[np.unique(group, return_index=True)[1]]
        frame = firsts.assign(**layers_condensed(frame, group, statistics))
    rows = parts_of(frame, statistics, (*keys, "seeds")).reset_index(drop=True)
    return rows.assign(line=(rows["init_label"] + " " + rows["setting"]).str.strip())


def largest(frame: "pd.DataFrame", apart: Collection[str] = ()) -> "pd.DataFrame":
    """Of every panel the cells at its greatest depth, and of those at the greatest width.

    apart: settings that are columns of their own; each of their values has its greatest.
    """
    for name in ("depth", "width"):
        frame = frame[frame[name] == frame.groupby([*PANEL, *apart])[name].transform("max")]
    return frame


@dataclass(frozen=True)
class DepthTable:
    """Final std by panel and depth, as text."""

    title: str
    caption: str
    keys: tuple[str, ...]
    depths: tuple[int, ...]
    rows: list[tuple[tuple[str, ...], tuple[str, ...]]]


def by_depth(cells: "pd.DataFrame", most_depths: int, spreads: bool = True) -> DepthTable:
    """The final std of every panel at up to `most_depths` depths, at the panel's greatest width.

    spreads: with the spread over the seeds behind every value.
    """
    labelled = add_labels(cells)
    settings = [name for name in SETTINGS if labelled[name].nunique(dropna=False) > 1]
    frame = over_seeds(cells, apart=settings)
    panel = ["init_label", "act_label", *settings]
    frame = frame[frame["width"] == frame["width"].groupby(group_index(frame, panel)).transform("max")]
    depths = spread(sorted(frame["depth"].unique()), most_depths)
    same_width = frame["width"].nunique() == 1
    keys = [*panel, *([] if same_width else ["width"])]
    count = _count(frame, keys)
    shown, told = sampled(frame, keys, _MOST_ROWS)
    shown = shown[shown["depth"].isin(depths)]
    rows = []
    for _, own in shown.groupby(group_index(shown, keys), sort=False):
        at = {row["depth"]: _cell_text(row, spreads) for _, row in own.iterrows()}
        names = tuple(own[key].iloc[0] for key in keys)
        rows.append((tuple(map(_key_text, names)), tuple(at.get(depth, "") for depth in depths)))
    widths = cells["width"].nunique()
    where = f"width {frame['width'].iloc[0]}" if same_width else "each row's greatest width"
    where += f" (of {widths} widths)" if same_width and widths > 1 else ""
    known = frame["depth"].nunique()
    where += f" and {len(depths)} of {known} depths" if len(depths) < known else ""
    marks = [f"{MARKS[name]} {name}" for name in MARKS if (shown["mark"] == name).any()]
    more = [f"({len(rows)} of {count:,} rows: {told})"] if told else []
    return DepthTable(
        title=f"std of the last layer at {where}, geometric mean over {counted(frame['seeds'])}",
        caption="  ".join([common(cells), *marks, *more]),
        keys=tuple(KEY_OF.get(key, key.removesuffix("_label")) for key in keys),
        depths=tuple(int(depth) for depth in depths),
        rows=rows,
    )


def sampled(frame: "pd.DataFrame", keys: Sequence[str], most: int) -> "tuple[pd.DataFrame, str]":
    """At most so many rows of a table, and which: a few values of each axis, each with all of the others.

    So rows can be compared: two that differ in one axis alone are both there.
    """
    texts = {key: frame[key].map(_key_text) for key in keys}
    values = {key: list(dict.fromkeys(texts[key])) for key in keys}
    kept, shown = dict(values), frame
    while _count(shown, keys) > most:
        longest = max(keys, key=lambda key: len(kept[key]))
        length = len(kept[longest])
        kept[longest] = spread(values[longest], length - max(1, length // 16))
        shown = frame[np.all([texts[key].isin(kept[key]) for key in keys], axis=0)]
    fewer = [key for key in keys if len(kept[key]) < len(values[key])]
    named = (f"{len(kept[key])} of {len(values[key])} {key.removesuffix('_label')}s" for key in fewer)
    return shown, ", ".join(named)


def _count(frame: "pd.DataFrame", keys: Sequence[str]) -> int:
    return int(group_index(frame, keys).max(initial=-1)) + 1


def _key_text(value: Any) -> str:
    return NONE if value is None or (isinstance(value, float) and math.isnan(value)) else short(value)


def _cell_text(row: "pd.Series[Any]", spreads: bool) -> str:
    text = number(row["value"], 3)
    if spreads and row["seeds"] > 1 and np.isfinite(row["factor"]) and np.isfinite(row["value"]):
        text += f" ±{100 * (row['factor'] - 1):.0f}%"
    return text + MARKS.get(row["mark"], " ")
