"""A frame of cells condensed for a table or a figure; what varies is shown, never averaged away.

The seed is the one axis that is averaged over.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.experiment.verdict import ORDER, WORDS
from sweep.report.frames import measures
from sweep.report.frames.labels import PANEL, common, labelled, numbered
from sweep.report.frames.measures import Measure
from sweep.report.frames.text import counted, number, spread

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 60  # of the table in the terminal
MARKS = {word.fate: word.mark for word in WORDS.values() if word.mark}


def over_seeds(cells: "pd.DataFrame", value: str = "std", apart: Collection[str] = ()) -> "pd.DataFrame":
    """One row per panel, depth and width: the mean of `value` over the seeds.

    apart: parameters that are axes of their own, as in 'init.std'; each is a column.
    Columns added: `value` (the geometric mean of what is positive, the majority of verdicts), `low`
    and `high` over the seeds, `factor` (exp of the standard deviation of the logarithm: 1 where all
    seeds agree; of a signed value its standard deviation), `seeds`, `failed` (how many seeds),
    `verdict` (the most frequent), `agree` (its share), `theory` and `mark` (a key of MARKS, or '').
    Raises RequestError for an unknown value.
    """
    measure = measures.measure(value, cells.columns)
    return condensed(labelled(cells, apart), [measure]).rename(columns=lambda name: name.partition(":")[0])


def condensed(
    frame: "pd.DataFrame", wanted: Sequence[Measure], apart: Collection[str] = ()
) -> "pd.DataFrame":
    """The rows of a labelled frame over the seeds, for several values at once.

    The columns are those of `over_seeds`, those of a value named 'value:std', 'low:std' …
    """
    keys = [*PANEL, *apart, "depth", "width"]
    frame = frame.assign(group=numbered(frame, keys))
    rows = frame.loc[~frame["group"].duplicated(), [*keys, "group"]].set_index("group")
    ok = frame["status"] == "ok"
    fine = frame if ok.all() else frame[ok]  # a million rows are not copied for nothing
    rows["seeds"] = fine.groupby("group")["seed"].nunique()
    rows["seeds"] = rows["seeds"].fillna(0).astype(int)
    rows["failed"] = (~ok).groupby(frame["group"]).sum()
    votes = fine.groupby(["group", "verdict"]).size().rename("votes").reset_index("verdict")
    votes["rank"] = votes["verdict"].map(ORDER.index)
    winner = votes.sort_values(["votes", "rank"], ascending=[False, True]).groupby("group").first()
    rows["verdict"] = winner["verdict"].reindex(rows.index).fillna("failed")
    rows["agree"] = winner["votes"] / rows["seeds"]
    rows["mark"] = rows["verdict"].map(lambda word: WORDS[word].fate)
    for measure in wanted:
        for column, values in _middles(fine, measure).items():
            rows[f"{column}:{measure.name}"] = values
        if measure.scale == measures.WORD:
            rows[f"value:{measure.name}"] = rows["verdict"]
    return rows.reset_index(drop=True)


def _middles(fine: "pd.DataFrame", measure: Measure) -> "dict[str, pd.Series[Any]]":
    import pandas as pd  # noqa: PLC0415

    if measure.scale == measures.WORD:
        return {}
    group, values = fine["group"], fine[measure.name].astype(float)
    with np.errstate(all="ignore"):
        scaled = (
            pd.Series(np.log(values.abs().replace(0, np.nan)), values.index) if measure.geometric else values
        )
        middle, spread = scaled.groupby(group).mean(), scaled.groupby(group).std(ddof=0)
        if measure.geometric:
            middle, spread = middle.map(np.exp), spread.map(np.exp)
            nothing = middle.isna() & (values == 0).groupby(group).any()  # no seed has anything left
            middle = middle.mask(nothing, 0.0)
    low, high = values.groupby(group).min(), values.groupby(group).max()
    found = {"value": middle, "low": low, "high": high, "factor": spread}
    prediction = f"{measures.THEORY}{measure.name}"
    if prediction in fine:
        found["theory"] = fine[prediction].astype(float).groupby(group).mean()
    return found


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
    frame = over_seeds(cells)
    frame = frame[frame["width"] == frame.groupby(list(PANEL))["width"].transform("max")]
    depths = spread(sorted(frame["depth"].unique()), most_depths)
    keys = ["init_label", "act_label"]
    keys += ["setting"] if frame["setting"].any() else []
    same_width = frame["width"].nunique() == 1
    keys += [] if same_width else ["width"]
    row = frame.groupby(keys, sort=False).ngroup()
    count = int(row.max()) + 1
    shown = frame[row.isin(spread(range(count), _MOST_ROWS))]
    rows = []
    for key, panel in shown.groupby(keys, sort=False):
        at = {row["depth"]: _cell_text(row, spreads) for _, row in panel.iterrows()}
        texts = tuple(at.get(depth, "") for depth in depths)
        assert isinstance(key, tuple)
        rows.append((tuple(str(name) for name in key), texts))
    widths = cells["width"].nunique()
    where = f"width {frame['width'].iloc[0]}" if same_width else "each row's greatest width"
    where += f" (of {widths} widths)" if same_width and widths > 1 else ""
    known = frame["depth"].nunique()
    where += f" and {len(depths)} of {known} depths" if len(depths) < known else ""
    marks = [f"{MARKS[name]} {name}" for name in MARKS if (frame["mark"] == name).any()]
    more = [f"({len(rows)} of {count:,} rows, evenly spread)"] if count > len(rows) else []
    return DepthTable(
        title=f"std of the last layer at {where}, geometric mean over {counted(frame['seeds'])}",
        caption="  ".join([common(cells), *marks, *more]),
        keys=tuple(key.removesuffix("_label") for key in keys),
        depths=tuple(int(depth) for depth in depths),
        rows=rows,
    )


def _cell_text(row: "pd.Series[Any]", spreads: bool) -> str:
    text = number(row["value"], 3)
    if spreads and row["seeds"] > 1 and np.isfinite(row["factor"]) and np.isfinite(row["value"]):
        text += f" ±{100 * (row['factor'] - 1):.0f}%"
    return text + MARKS.get(row["mark"], " ")
