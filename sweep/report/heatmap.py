"""Heatmaps of the final std: a panel per init × act, depth down, width across."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from sweep.report import style
from sweep.summary import (
    EXPLODED,
    FAILED,
    MARKS,
    PANEL,
    SATURATED,
    SYMMETRIC,
    VANISHED,
    acts,
    common,
    counted,
    number,
    over_seeds,
)
from sweep.verdict import DEFAULT

_DECADES = 2  # the colour's reach on either side of 1
_ROWS_PER_PAGE = 6
_COLUMNS_PER_PAGE = 6
_ROWS_PER_OVERVIEW = 24
_MEANING = {
    VANISHED: f"vanished: rms below {DEFAULT.vanishing:g} of the input's",
    EXPLODED: f"exploded: rms above {DEFAULT.exploding:g} × the input's",
    SATURATED: "saturated: most units pass no gradient",
    SYMMETRIC: "symmetric: all neurons do the same thing",
    FAILED: "failed",
}


def figures(cells: pd.DataFrame) -> dict[str, Figure]:
    """Heatmaps by file name, over several pages where there are many panels."""
    frame = over_seeds(cells)
    single = (
        frame.groupby(list(PANEL)).size().max() == 1
        and frame[["depth", "width"]].drop_duplicates().shape[0] == 1
    )
    caption = f"geometric mean over {counted(frame['seeds'])}, {common(cells)}"
    if single:
        caption += f", depth {frame['depth'].iloc[0]}, width {frame['width'].iloc[0]}"
        frame = frame.assign(row=(frame["init_label"] + " " + frame["setting"]).str.strip())
        names = list(dict.fromkeys(frame["row"]))
        shares = [names[r : r + _ROWS_PER_OVERVIEW] for r in range(0, len(names), _ROWS_PER_OVERVIEW)]
        return _numbered([_overview(frame[frame["row"].isin(share)], caption) for share in shares])
    rows = list(dict.fromkeys(zip(frame["init_label"], frame["setting"], strict=True)))
    columns = acts(frame)
    pages = [
        (rows[r : r + _ROWS_PER_PAGE], columns[c : c + _COLUMNS_PER_PAGE])
        for r in range(0, len(rows), _ROWS_PER_PAGE)
        for c in range(0, len(columns), _COLUMNS_PER_PAGE)
    ]
    return _numbered([_page(frame, *page, caption) for page in pages])


def _numbered(pages: list[Figure]) -> dict[str, Figure]:
    """'std', or 'std-1', 'std-2' …"""
    if len(pages) == 1:
        return {"std": pages[0]}
    return {f"std-{place}": page for place, page in enumerate(pages, start=1)}


def grids(panel: pd.DataFrame, index: str, columns: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a heatmap shows of a panel: log10 of the value (NaN where marked or missing), and its texts."""
    values = panel.pivot_table(index=index, columns=columns, values="value", sort=False, dropna=False)
    marks = panel.pivot(index=index, columns=columns, values="mark").reindex_like(values).fillna("")
    with np.errstate(all="ignore"):
        logs = np.log10(values.to_numpy()).clip(-_DECADES, _DECADES)
    colours = pd.DataFrame(logs, values.index, values.columns).mask(marks == FAILED)
    texts = values.map(lambda value: number(value, 3)) + marks.map(
        lambda mark: f"\n{MARKS[mark]}" if mark else ""
    )
    return colours, texts.mask(values.isna() & (marks == ""), "").mask(marks == FAILED, MARKS[FAILED])


def _page(frame: pd.DataFrame, rows: list[tuple[str, str]], columns: list[str], caption: str) -> Figure:
    by_row = frame.groupby(["init_label", "setting"])["depth"].nunique()
    heights = [0.46 * max(2, int(by_row[row])) + 0.5 for row in rows]
    by_column = frame.groupby("act_label")["width"].nunique()
    widths = [0.62 * max(3, int(by_column[column])) + 0.5 for column in columns]
    figure = Figure(figsize=(sum(widths) + 1.3, sum(heights) + 1.2), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False, height_ratios=heights, width_ratios=widths)
    for r, (init, setting) in enumerate(rows):
        for c, act in enumerate(columns):
            ax = axes[r, c]
            panel = frame[
                (frame["init_label"] == init) & (frame["setting"] == setting) & (frame["act_label"] == act)
            ]
            if panel.empty:
                ax.set_axis_off()
                continue
            panel = panel.sort_values(["depth", "width"])
            _draw(ax, *grids(panel, "depth", "width"))
            title = f"{init} × {act}" + (f"\n{setting}" if setting else "")
            ax.set_title(title)
            ax.set_ylabel("depth" if c == 0 else "")
            ax.set_xlabel("width" if r == len(rows) - 1 else "")
    return _finished(figure, axes, frame, caption)


def _overview(frame: pd.DataFrame, caption: str) -> Figure:
    """All panels at the one depth and width there is: init down, act across."""
    rows, columns = frame["row"].nunique(), frame["act_label"].nunique()
    figure = Figure(figsize=(1.0 * columns + 3.4, 0.5 * rows + 1.6), layout="constrained")
    ax = figure.subplots()
    _draw(ax, *grids(frame, "row", "act_label"))
    ax.set(xlabel="", ylabel="", title="")
    return _finished(figure, np.array([[ax]]), frame, caption)


def _draw(ax: Axes, colours: pd.DataFrame, texts: pd.DataFrame) -> None:
    sns.heatmap(
        colours,
        ax=ax,
        cmap=style.log_std_colours(),
        norm=_norm(),
        annot=texts,
        fmt="",
        annot_kws={"size": 7, "linespacing": 0.9},
        cbar=False,
        linewidths=0.8,
        linecolor="white",
    )
    for y, x in np.argwhere(colours.isna().to_numpy()):  # seaborn leaves these without their text
        ax.text(x + 0.5, y + 0.5, str(texts.iat[y, x]), ha="center", va="center", fontsize=9)
    ax.set_facecolor("#eceff1")
    ax.tick_params(length=0)
    ax.set_yticklabels(ax.get_yticklabels(), rotation=0)


def _finished(figure: Figure, axes: Any, frame: pd.DataFrame, caption: str) -> Figure:
    style.headline(figure, "Does the signal survive? std of the last layer")
    bar = figure.colorbar(
        ScalarMappable(_norm(), style.log_std_colours()),
        ax=axes,
        fraction=0.03,
        pad=0.02,
        aspect=24,
        extend="both",
    )
    bar.set_ticks([-2, -1, 0, 1, 2], labels=["0.01", "0.1", "1", "10", "100"])
    bar.outline.set_visible(False)
    used = [f"{MARKS[name]} {_MEANING[name]}" for name in _MEANING if (frame["mark"] == name).any()]
    style.caption(figure, *used, caption)
    return figure


def _norm() -> TwoSlopeNorm:
    return TwoSlopeNorm(0.0, -_DECADES, _DECADES)
