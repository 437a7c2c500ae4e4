"""How far copies in narrow number formats stray, layer by layer, and what the formats cannot hold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweep.experiment.axes import FORMATS
from sweep.report.figures import style
from sweep.report.figures.curves import is_predicted, spread_names
from sweep.report.frames.labels import acts, common, greatest, listed
from sweep.report.frames.measures import measure
from sweep.report.frames.seeds import by_layer
from sweep.report.frames.text import counted

STRAYED = "round_cosine"
LOST = {"zeroed": "-", "overflowed": "--", "delta_zeroed": ":"}  # shares -> look
SHOWN = (STRAYED, *LOST)
APART = ("format",)
_TOLD = {
    "zeroed": "of h that becomes 0", "overflowed": "of h beyond the format",
    "delta_zeroed": "of the gradient that becomes 0",
}  # fmt: skip
_LEAST = 1e-10  # of 1 - cosine: below, there is nothing to see
_MOST_COLUMNS = 5
_FAINT_SHARE = 1e-3  # a share that shows


def copied(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with a format."""
    return cells[cells["format"].notna()] if "format" in cells else cells.iloc[:0]


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """A column per init × act at its greatest depth and width, a colour per format; nothing without any."""
    cells = copied(cells)
    if cells.empty:
        return {}
    curves = by_layer(cells, layers, [measure(name) for name in SHOWN], apart=APART)
    curves = curves.assign(column=curves["line"] + " × " + curves["act_label"])
    known = acts(curves["act_label"])
    order = sorted(
        dict.fromkeys(zip(curves["column"], curves["act_label"], strict=True)),
        key=lambda pair: known.index(pair[1]),
    )
    columns = spread_names([column for column, _ in order], _MOST_COLUMNS)
    drawn = curves[curves["column"].isin(columns)]
    formats = {
        name: style.LINES[place] for place, name in enumerate(FORMATS) if (drawn["format"] == name).any()
    }
    shares = [name for name in LOST if _share(drawn, name) > _FAINT_SHARE]
    labels = [*formats, *(_TOLD[name] for name in shares)]
    figure, top, body = style.with_legend(max(2.7 * len(columns) + 0.6, 5.4), 4.6, labels)
    axes = body.subplots(2, len(columns), squeeze=False, sharex="col", sharey="row", height_ratios=(3, 2))
    titles = style.titles(columns, 30)
    for c, column in enumerate(columns):
        panel = drawn[drawn["column"] == column]
        _strayed(axes[0, c], panel, formats)
        _lost(axes[1, c], panel, formats, shares)
        axes[0, c].set_title(titles[column], fontsize=9)
        axes[1, c].set_xlabel("layer")
    style.logarithmic(axes[0, 0])
    strayed = 1 - drawn[f"value:{STRAYED}"]
    least = float(strayed[strayed > 0].min()) if (strayed > 0).any() else 1e-3
    axes[0, 0].set_ylim(max(_LEAST, least / 3), 3.0)
    axes[0, 0].set_ylabel("1 - cosine of h and its copy's")
    axes[1, 0].set(ylim=(-0.05, 1.05), ylabel="share lost")
    for name in shares:
        axes[0, 0].plot([], [], color=style.INK, ls=LOST[name], lw=1.4, label=_TOLD[name])
    style.legend(top, axes.flat)
    names = list(formats)
    style.headline(figure, f"What is left in {names[0] if len(names) == 1 else 'narrow number formats'}")
    style.caption(figure, *_caption(curves, drawn, columns, shares), listed(greatest(curves), common(cells)))
    return {"precision": figure}


def _caption(
    curves: pd.DataFrame, drawn: pd.DataFrame, columns: Sequence[str], shares: Sequence[str]
) -> list[str]:
    reading = (
        "above: 1 - cosine between h and the h of a copy whose weights, inputs and every h that enters a "
        "product are rounded to the format; 0.1 and more: imprecise; a line ends at the first overflow, "
        "and where nothing is left"
    )
    note = f"line: mean over {counted(curves['seeds'])}, band: all seeds"
    note += "; thin black: theory" if is_predicted(drawn, STRAYED) else ""
    note += (
        "; below: the share of entries that rounding loses"
        if shares
        else "; below: rounding loses no entries"
    )
    left_out = curves["column"].nunique() - len(columns)
    note += f"; {left_out} more init{'s' * (left_out > 1)} × act left out" if left_out else ""
    return [reading, note]


def _share(curves: pd.DataFrame, name: str) -> float:
    return float(np.nan_to_num(curves[f"high:{name}"].max()))


def _strayed(ax: Axes, panel: pd.DataFrame, formats: dict[str, str]) -> None:
    for name, colour in formats.items():
        curve = panel[(panel["format"] == name) & (panel["layer"] > 0)].sort_values("layer")
        low, value, high = (1 - curve[f"{part}:{STRAYED}"] for part in ("high", "value", "low"))
        ax.plot(curve["layer"], value, color=colour, lw=1.6, label=name, zorder=2.5)
        ax.fill_between(curve["layer"], low.clip(_LEAST / 10), high, color=colour, alpha=0.18, lw=0)
        if is_predicted(curve, STRAYED):
            ax.plot(curve["layer"], 1 - curve[f"theory:{STRAYED}"], color="black", lw=0.6, zorder=2.2)
    ax.axhline(0.1, color=style.FAINT, lw=0.6, zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], nbins=6))


def _lost(ax: Axes, panel: pd.DataFrame, formats: dict[str, str], shares: Sequence[str]) -> None:
    look: dict[str, Any] = {"lw": 1.4, "zorder": 2.5}
    for name, colour in formats.items():
        curve = panel[panel["format"] == name].sort_values("layer")
        for share in shares:
            ax.plot(curve["layer"], curve[f"value:{share}"], color=colour, ls=LOST[share], **look)
            if is_predicted(curve, share):
                ax.plot(curve["layer"], curve[f"theory:{share}"], color="black", lw=0.6, zorder=2.2)
    ax.axhline(0, color=style.FAINT, lw=0.6, zorder=0)
