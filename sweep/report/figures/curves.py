"""Layer curves: any statistic from the input to the last layer, a line per init, a column per act."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweep.kernel.statistics.table import SIGNED
from sweep.report.figures import style
from sweep.report.frames.labels import acts, common, greatest, listed
from sweep.report.frames.measures import Measure, measure
from sweep.report.frames.seeds import by_layer
from sweep.report.frames.text import counted, spread

STANDARD = ("mean", "std")
THEORY: dict[str, Any] = {"color": "black", "lw": 0.6}  # its lines
_FLOOR, _CEILING = 1e-6, 1e3  # what lies beyond has vanished or exploded; the line leaves the frame
_LARGEST = 1e300  # that an axis can place
_TAME = 10.0  # a mean beyond is that of an exploding signal
_MOST_LINES = len(style.LINES)
_MOST_COLUMNS = 6


def figures(cells: pd.DataFrame, layers: pd.DataFrame, names: Sequence[str] = STANDARD) -> dict[str, Figure]:
    """The curves by file name, each init × act at its greatest depth and width.

    names: statistics of a layer, one row of panels each.
    """
    statistics = [measure(name) for name in names]
    curves = by_layer(cells, layers, statistics)
    columns = spread_names(acts(curves["act_label"]), _MOST_COLUMNS)
    lines = spread_names(curves["line"], _MOST_LINES)
    width, height = max(3.1 * len(columns) + 0.5, 4.6), 2.0 * len(names) + 0.6
    figure, top, body = style.with_legend(width, height, lines)
    axes = body.subplots(len(names), len(columns), squeeze=False, sharex=True)
    titles = style.titles(columns)
    drawn = curves[curves["line"].isin(lines) & curves["act_label"].isin(columns)]
    left = False
    for r, statistic in enumerate(statistics):
        for c, act in enumerate(columns):
            ax, panel = axes[r, c], drawn[drawn["act_label"] == act]
            draw(ax, panel, statistic, lines)
            # A mean is about 0 with one act and far from it with another: each has an axis of its own.
            set_limits(ax, panel if statistic.scale == SIGNED else drawn, statistic)
            left |= style.mark_exits(ax)
            ax.set_ylabel((statistic.label or statistic.name) if c == 0 else "")
            ax.tick_params(labelleft=c == 0 or statistic.scale == SIGNED)
            if r == 0:
                ax.set_title(titles[act])
    for ax in axes[-1]:
        ax.set_xlabel("layer")
    style.legend(top, axes.flat)
    style.headline(figure, "Layer by layer")
    geometric = [one.label or one.name for one in statistics if one.geometric]
    kind = "geometric mean" if len(geometric) == len(statistics) else "mean"
    also = f" (geometric for {', '.join(geometric)})" if geometric and kind == "mean" else ""
    lines_note = f"line: {kind} over {counted(curves['seeds'])}{also}, band: all seeds"
    predicted = any(is_predicted(curves, name) for name in names)
    lines_note += "; thin black: theory" if predicted else ""
    lines_note += f"; {style.EXITS}" if left else ""
    for left_out, what in (
        (curves["line"].nunique() - len(lines), "init"),
        (curves["act_label"].nunique() - len(columns), "act"),
    ):
        lines_note += f"; {left_out} more {what}{'s' if left_out > 1 else ''} left out" if left_out else ""
    style.caption(figure, lines_note, listed(greatest(curves), common(cells)))
    return {"layers": figure}


def spread_names(names: Iterable[str], most: int) -> list[str]:
    """The distinct names in order, at most `most` of them."""
    distinct = list(dict.fromkeys(names))
    return [distinct[i] for i in spread(range(len(distinct)), most)]


def is_predicted(curves: pd.DataFrame, name: str) -> bool:
    """Whether theory says anything of a statistic."""
    return f"theory:{name}" in curves and bool(curves[f"theory:{name}"].notna().any())


def draw(ax: Axes, panel: pd.DataFrame, statistic: Measure, lines: Sequence[str], first: int = 0) -> None:
    """The curves of one act, a line per name of `lines`, with the seeds' band and theory's thin line.

    first: how many of the looks are taken already.
    """
    for i, line in enumerate(lines, first):
        curve = panel[panel["line"] == line].sort_values("layer")
        if not curve.empty:
            colour, dashes = style.LINES[i % len(style.LINES)], style.DASHES[i % len(style.DASHES)]
            draw_curve(ax, curve, statistic, colour, dashes, line)
    ax.axhline(1 if statistic.geometric else 0, color=style.FAINT, lw=0.6, zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def draw_curve(
    ax: Axes, curve: pd.DataFrame, statistic: Measure, colour: str, dashes: Any, label: str
) -> None:
    """One curve, its seeds' band and its prediction; curve: its rows of `by_layer`, by layer.

    What is infinite leaves the frame above, what is 0 on a logarithmic axis below.
    """

    def drawable(part: str) -> "pd.Series[float]":
        return curve[f"{part}:{statistic.name}"].clip(-_LARGEST, _LARGEST)

    ax.plot(curve["layer"], drawable("value"), color=colour, ls=dashes, lw=1.6, label=label, zorder=2.5)
    ax.fill_between(curve["layer"], drawable("low"), drawable("high"), color=colour, alpha=0.18, lw=0)
    if is_predicted(curve, statistic.name):
        ax.plot(curve["layer"], drawable("theory"), zorder=2.2, **THEORY)


def set_limits(ax: Axes, curves: pd.DataFrame, statistic: Measure) -> None:
    """Limits that one exploded or vanished line does not set: it would flatten all others."""
    lows, highs = f"low:{statistic.name}", f"high:{statistic.name}"
    if statistic.geometric:
        low = max(_FLOOR, float(np.nan_to_num(curves[lows].min(), nan=_FLOOR)) / 2)
        high = min(_CEILING, float(np.nan_to_num(curves[highs].max(), nan=1.0)) * 2)
        style.logarithmic(ax)
        ax.set_ylim(low, max(high, low * 10))
    elif statistic.scale == SIGNED:
        ax.set_ylim(*_tame_limits(curves, curves[[lows, highs]]))
    else:
        ax.set_ylim(-0.05, 1.05)


def _tame_limits(curves: pd.DataFrame, bounds: pd.DataFrame) -> tuple[float, float]:
    tame = bounds.abs().max(axis=1).groupby([curves["line"], curves["act_label"]]).transform("max") < _TAME
    inside = bounds[tame].to_numpy() if tame.any() else np.array([-1.0, 1.0])
    low, high = min(inside.min(), -0.1), max(inside.max(), 0.1)
    return 1.1 * low, 1.1 * high
