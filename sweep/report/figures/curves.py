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
from sweep.report.frames.labels import PANEL, acts, common, labelled, numbered
from sweep.report.frames.measures import THEORY, Measure, measure
from sweep.report.frames.text import counted, spread

STANDARD = ("mean", "std")
_FLOOR, _CEILING = 1e-6, 1e3  # what lies beyond has vanished or exploded; the line leaves the frame
_TAME = 10.0  # a mean beyond is that of an exploding signal
_MOST_LINES = len(style.LINES)
_MOST_COLUMNS = 6


def figures(cells: pd.DataFrame, layers: pd.DataFrame, names: Sequence[str] = STANDARD) -> dict[str, Figure]:
    """The curves by file name, each init × act at its greatest depth and width.

    names: statistics of a layer, one row of panels each.
    """
    wanted = [measure(name) for name in names]
    curves = by_layer(cells, layers, wanted)
    columns = spread_names(acts(curves), _MOST_COLUMNS)
    lines = spread_names(curves["line"], _MOST_LINES)
    figure = Figure(figsize=(3.1 * len(columns) + 1.6, 2.0 * len(names) + 0.6), layout="constrained")
    axes = figure.subplots(len(names), len(columns), squeeze=False, sharex=True, sharey="row")
    for r, one in enumerate(wanted):
        for c, act in enumerate(columns):
            panel = curves[curves["act_label"] == act]
            draw(axes[r, c], panel, one, lines)
            axes[r, c].set_ylabel((one.label or one.name) if c == 0 else "")
            if r == 0:
                axes[r, c].set_title(style.clipped(act))
        limits(axes[r, 0], curves, one)
    for ax in axes[-1]:
        ax.set_xlabel("layer")
    handles, names_shown = _legend(axes)
    predicted = any(f"{THEORY}{name}" in curves and curves[f"{THEORY}{name}"].notna().any() for name in names)
    figure.legend(
        handles,
        [style.clipped(name) for name in names_shown],
        loc="outside right upper",
        frameon=False,
        fontsize=8,
        handlelength=3,
    )
    style.headline(figure, "Layer by layer")
    note = f"{_range('depth', curves)}, {_range('width', curves)}, {common(cells)}"
    lines_note = f"line: mean over {counted(curves['seeds'])} (of what is positive the geometric one), "
    lines_note += "band: all seeds" + ("; thin black: theory" if predicted else "")
    for left_out, what in (
        (curves["line"].nunique() - len(lines), "init"),
        (curves["act_label"].nunique() - len(columns), "act"),
    ):
        lines_note += f"; {left_out} more {what}{'s' if left_out > 1 else ''} left out" if left_out else ""
    style.caption(figure, lines_note, note)
    return {"layers": figure}


def by_layer(
    cells: pd.DataFrame,
    layers: pd.DataFrame,
    wanted: Sequence[Measure] = (),
    *,
    whole: bool = False,
    apart: Sequence[str] = (),
) -> pd.DataFrame:
    """One row per line and layer: of every statistic its middle, low, high and prediction.

    The columns of `std` are 'std', 'std_low', 'std_high' and, where there is theory,
    'theory_std'. whole: of every depth and width, not of each panel's greatest alone.
    apart: settings that are columns of their own and no part of a line's name.
    """
    wanted = wanted or [measure(name) for name in STANDARD]
    keys = [*PANEL, *apart, "depth", "width", "layer"]
    frame = labelled(cells, apart)
    frame = frame if whole else largest(frame)
    names = [one.name for one in wanted]
    theory = [f"{THEORY}{name}" for name in names if f"{THEORY}{name}" in layers]
    merged = frame[["cell_id", "seed", "depth", "width", *PANEL, *apart]].merge(
        layers[["cell_id", "layer", *names, *theory]], on="cell_id"
    )
    merged = merged.assign(group=numbered(merged, keys))
    curves = merged.loc[~merged["group"].duplicated(), [*keys, "group"]].set_index("group")
    groups = merged.groupby("group")
    curves["seeds"] = groups["seed"].nunique()
    with np.errstate(all="ignore"):
        for one in wanted:
            values = merged[one.name].astype(float)
            if one.geometric:
                logs = pd.Series(np.log(values.clip(1e-300, 1e300)), values.index).mask(values == 0)
                middle = logs.groupby(merged["group"]).mean().map(np.exp)
                none = (
                    middle.isna() & (values == 0).groupby(merged["group"]).any()
                )  # no seed has anything left
                curves[one.name] = middle.mask(none, 1e-300)
            else:
                curves[one.name] = values.groupby(merged["group"]).mean()
            curves[f"{one.name}_low"] = groups[one.name].min()
            curves[f"{one.name}_high"] = groups[one.name].max()
    for name in theory:
        curves[name] = merged[name].astype(float).groupby(merged["group"]).mean()
    curves["line"] = (curves["init_label"] + " " + curves["setting"]).str.strip()
    return curves.reset_index(drop=True)


def largest(frame: pd.DataFrame) -> pd.DataFrame:
    """Of every panel the cells at its greatest depth, and of those at the greatest width."""
    for name in ("depth", "width"):
        frame = frame[frame[name] == frame.groupby(list(PANEL))[name].transform("max")]
    return frame


def spread_names(names: Iterable[str], most: int) -> list[str]:
    """The distinct names in order, at most `most` of them."""
    distinct = list(dict.fromkeys(names))
    return [distinct[i] for i in spread(range(len(distinct)), most)]


def draw(ax: Axes, panel: pd.DataFrame, one: Measure, lines: Sequence[str], first: int = 0) -> None:
    """The curves of one act, a line per name of `lines`, with the seeds' band and theory's thin line.

    first: how many of the looks are taken already.
    """
    for i, line in enumerate(lines, first):
        own = panel[panel["line"] == line].sort_values("layer")
        if not own.empty:
            band(
                ax,
                own,
                one.name,
                style.LINES[i % len(style.LINES)],
                style.DASHES[i % len(style.DASHES)],
                line,
            )
    ax.axhline(1 if one.geometric else 0, color=style.FAINT, lw=0.6, zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def band(ax: Axes, own: pd.DataFrame, name: str, colour: str, dashes: Any, label: str) -> None:
    """One curve, its seeds' band and its prediction; own: its rows of `by_layer`, by layer."""
    low, high = (own[f"{name}_{end}"].clip(-1e300, 1e300) for end in ("low", "high"))
    ax.plot(own["layer"], own[name], color=colour, ls=dashes, lw=1.6, label=label, zorder=2.5)
    ax.fill_between(own["layer"], low, high, color=colour, alpha=0.18, lw=0)
    predicted = f"{THEORY}{name}"
    if predicted in own and own[predicted].notna().any():
        ax.plot(own["layer"], own[predicted].clip(-1e300, 1e300), color="black", lw=0.6, zorder=2.2)


def limits(ax: Axes, curves: pd.DataFrame, one: Measure) -> None:
    """Limits that one exploded or vanished line does not set: it would flatten all others."""
    low_name, high_name = f"{one.name}_low", f"{one.name}_high"
    if one.geometric:
        low = max(_FLOOR, float(np.nan_to_num(curves[low_name].min(), nan=_FLOOR)) / 2)
        high = min(_CEILING, float(np.nan_to_num(curves[high_name].max(), nan=1.0)) * 2)
        style.logarithmic(ax)
        ax.set_ylim(low, max(high, low * 10))
    elif one.scale == SIGNED:
        ax.set_ylim(*_tame_limits(curves, curves[[low_name, high_name]]))
    else:
        ax.set_ylim(-0.05, 1.05)


def _tame_limits(curves: pd.DataFrame, bounds: pd.DataFrame) -> tuple[float, float]:
    tame = bounds.abs().max(axis=1).groupby([curves["line"], curves["act_label"]]).transform("max") < _TAME
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
