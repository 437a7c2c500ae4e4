"""Layer curves: mean and std from the input to the last layer, a line per init, a column per act."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweep.report import style
from sweep.summary import PANEL, acts, common, counted, labelled, spread

_FLOOR, _CEILING = 1e-6, 1e3  # what lies beyond has vanished or exploded; the line leaves the frame
_TAME = 10.0  # a mean beyond is that of an exploding signal
_MOST_LINES = len(style.LINES)
_MOST_COLUMNS = 6


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """The curves by file name, each init × act at its greatest depth and width."""
    curves = by_layer(cells, layers)
    columns = spread_names(acts(curves), _MOST_COLUMNS)
    figure = Figure(figsize=(3.1 * len(columns) + 1.6, 4.6), layout="constrained")
    axes = figure.subplots(2, len(columns), squeeze=False, sharex=True, sharey="row")
    lines = spread_names(curves["line"], _MOST_LINES)
    for c, act in enumerate(columns):
        panel = curves[curves["act_label"] == act]
        for i, line in enumerate(lines):
            one = panel[panel["line"] == line]
            if not one.empty:
                _draw(axes[0, c], one, "mean", i, line)
                _draw(axes[1, c], one, "std", i, line)
        axes[0, c].set_title(act)
        axes[1, c].set_xlabel("layer")
        axes[0, c].axhline(0, color=style.FAINT, lw=0.6, zorder=0)
        axes[1, c].axhline(1, color=style.FAINT, lw=0.6, zorder=0)
    low, high = _limits(curves)
    axes[0, 0].set(ylabel="mean of h", ylim=_mean_limits(curves))
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes[1, 0].set(ylabel="std of h", yscale="log", ylim=(low, high))
    handles, labels = _legend(axes)
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8, handlelength=3)
    style.headline(figure, "Layer by layer")
    note = f"{_range('depth', curves)}, {_range('width', curves)}, {common(cells)}"
    lines_note = f"line: mean over {counted(curves['seeds'])} (of std the geometric one), band: all seeds"
    for left_out, what in (
        (curves["line"].nunique() - len(lines), "init"),
        (curves["act_label"].nunique() - len(columns), "act"),
    ):
        lines_note += f"; {left_out} more {what}{'s' if left_out > 1 else ''} left out" if left_out else ""
    style.caption(figure, note, lines_note)
    return {"layers": figure}


def by_layer(cells: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """One row per line and layer: middle, low and high of mean and std over the seeds."""
    keys = list(PANEL)
    chosen = largest(labelled(cells))
    merged = chosen[["cell_id", "seed", "depth", "width", *keys]].merge(
        layers[["cell_id", "layer", "mean", "std"]], on="cell_id"
    )
    merged["log_std"] = np.log(merged["std"].clip(1e-300, 1e300))
    curves = (
        merged.groupby([*keys, "depth", "width", "layer"], sort=False)
        .agg(
            mean=("mean", "mean"),
            mean_low=("mean", "min"),
            mean_high=("mean", "max"),
            std=("log_std", "mean"),
            std_low=("std", "min"),
            std_high=("std", "max"),
            seeds=("seed", "nunique"),
        )
        .reset_index()
    )
    curves["std"] = np.exp(curves["std"])
    curves["line"] = (curves["init_label"] + " " + curves["setting"]).str.strip()
    return curves


def largest(frame: pd.DataFrame) -> pd.DataFrame:
    """Of every panel the cells at its greatest depth, and of those at the greatest width."""
    for name in ("depth", "width"):
        frame = frame[frame[name] == frame.groupby(list(PANEL))[name].transform("max")]
    return frame


def spread_names(names: Iterable[str], most: int) -> list[str]:
    """The distinct names in order, at most `most` of them."""
    distinct = list(dict.fromkeys(names))
    return [distinct[i] for i in spread(range(len(distinct)), most)]


def _draw(ax: Axes, one: pd.DataFrame, name: str, index: int, label: str) -> None:
    one = one.sort_values("layer")
    colour = style.LINES[index]
    ax.plot(one["layer"], one[name], color=colour, ls=style.DASHES[index], lw=1.6, label=label)
    ax.fill_between(one["layer"], one[f"{name}_low"], one[f"{name}_high"], color=colour, alpha=0.18, lw=0)


def _limits(curves: pd.DataFrame) -> tuple[float, float]:
    low = max(_FLOOR, float(curves["std_low"].min()) / 2)
    high = min(_CEILING, float(curves["std_high"].max()) * 2)
    return low, max(high, low * 10)


def _mean_limits(curves: pd.DataFrame) -> tuple[float, float] | None:
    """None, or limits that an exploding mean does not set: it would flatten all other lines."""
    bounds = curves[["mean_low", "mean_high"]]
    tame = bounds.abs().max(axis=1).groupby([curves["line"], curves["act_label"]]).transform("max") < _TAME
    if tame.all():
        return None
    inside = bounds[tame].to_numpy() if tame.any() else np.array([-1.0, 1.0])
    low, high = min(inside.min(), -0.1), max(inside.max(), 0.1)
    return 1.1 * low, 1.1 * high


def _range(name: str, curves: pd.DataFrame) -> str:
    least, most = curves[name].min(), curves[name].max()
    return f"{name} {most}" if least == most else f"each at its greatest {name}, {least} to {most}"


def _legend(axes: "np.ndarray[tuple[int, int], np.dtype[np.object_]]") -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for ax in axes.ravel():
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
