"""Measured against predicted: every init × act a point, the identity a line."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sweep.report.figures import style
from sweep.report.figures.curves import spread_names
from sweep.report.frames.agreement import agreement
from sweep.report.frames.labels import acts, add_labels, common
from sweep.report.frames.measures import MEASURES, THEORY
from sweep.report.frames.networks import are_networks
from sweep.report.frames.seeds import average_over_seeds
from sweep.report.frames.text import counted

# The statistic, the layer that says most about it (None: the last), and where that is.
_SHOWN: tuple[tuple[str, int | None, str], ...] = (
    ("std", None, "std of the last layer"),
    ("rms", None, "rms of the last layer"),
    ("delta_rms", 0, "rms of dL/dh at the input"),
    ("grad_rms", 1, "rms of dL/dW at layer 1"),
    ("sample_cosine", None, "sample_cosine of the last layer"),
    ("flat", None, "flat of the last layer"),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MOST_JUDGED = 200  # specs whose spread is predicted
_MOST_SIGNS = 2_000  # of a panel that an SVG holds one by one: more are an image in it
_LEAST_RATIO, _LEAST_DIFFERENCE = 1.25, 0.05  # of the axes of what differs: less is noise
_RATIOS = (1e9, 1e6, 1e3, 100.0, 30.0, 10.0, 3.0, 2.0, 1.5, 1.2)  # that an axis of ratios may name
_REACH = 1e-12, 1e12  # beyond, both have long vanished or exploded


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """One panel per statistic that has a prediction; nothing where there is none."""
    panels = {title: points(cells, layers, name, at) for name, at, title in _SHOWN}
    panels = {title: panel for title, panel in panels.items() if not panel.empty}
    if not panels:
        return {}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    drawn = pd.concat(panels.values())
    shown = spread_names(acts(drawn["act_label"]), len(_MARKERS))
    figure, top, body = style.with_legend(max(2.9 * columns + 0.3, 4.6), 3.4 * rows + 0.7, shown)
    axes = body.subplots(2 * rows, columns, squeeze=False, height_ratios=(2.4, 1) * rows)
    above, below = axes[::2].ravel(), axes[1::2].ravel()
    for ax, off, (title, panel) in zip(above, below, panels.items(), strict=False):
        draw(ax, panel, shown)
        draw_distance(off, panel, shown)
        off.sharex(ax)
        ax.tick_params(labelbottom=False)
        ax.set(title=title, xlabel="")
        ax.title.set_fontsize(9)
    for ax in (*above[len(panels) :], *below[len(panels) :]):
        ax.set_axis_off()
    style.legend(top, above, handlelength=1.5)
    style.headline(figure, "Measured against predicted")
    note = f"a point per init, act, depth and width: mean over {counted(drawn['seeds'])}; line: equality"
    note += "; below each: the ratio, for shares the difference"
    left_out = drawn["act_label"].nunique() - len(shown)
    note += f"; {left_out} more acts left out" if left_out else ""
    style.caption(figure, note, str(agreement(cells, _MOST_JUDGED)), common(cells))
    return {"theory": figure}


def points(cells: pd.DataFrame, layers: pd.DataFrame, name: str, at: int | None) -> pd.DataFrame:
    """Measured (`y`) and predicted (`x`) of one statistic, over the seeds, by panel, depth and width.

    at: the layer, None for the last. What is not finite, or far beyond vanished or exploded, is left out.
    """
    statistic = MEASURES[name]
    frame = _at_layer(add_labels(cells[cells["status"] == "ok"]), layers, name, at)
    if frame is None:
        return pd.DataFrame()
    rows = average_over_seeds(frame, [statistic])
    rows = rows.rename(columns={f"theory:{name}": "x", f"value:{name}": "y"})
    both = rows[["x", "y"]].astype(float)
    low, high = _REACH if statistic.geometric else (-np.inf, np.inf)
    inside = ((both > low) & (both < high)).all(axis=1)
    return rows[inside].assign(geometric=statistic.geometric)


def _at_layer(frame: pd.DataFrame, layers: pd.DataFrame, name: str, at: int | None) -> pd.DataFrame | None:
    """Cells or networks with a statistic and its prediction at one layer; None where nothing is predicted."""
    column = f"{THEORY}{name}"
    if are_networks(frame):
        if at is None:  # the layer that networks show themselves
            return frame if f"theory:{name}" in frame else None
        columns = [column for column in map(str, layers) if column.endswith(f":{name}")]
        frame = frame.drop(columns=columns, errors="ignore")
        return frame.merge(layers.loc[layers["layer"] == at, ["network", *columns]], on="network")
    if column not in layers:
        return None
    at_layer = layers["layer"] == (layers["depth"] if at is None else at)
    frame = frame.drop(columns=[name, column], errors="ignore")
    return frame.merge(layers.loc[at_layer, ["cell_id", name, column]], on="cell_id")


def draw(ax: Axes, rows: pd.DataFrame, shown: Sequence[str]) -> None:
    """The rows of `points` and the identity line, a sign for each of up to eight acts."""
    for act, marker, colour in zip(shown, _MARKERS, style.LINES, strict=False):
        of_act = rows[rows["act_label"] == act]
        look: dict[str, Any] = {"mfc": "none", "color": colour, "rasterized": len(rows) > _MOST_SIGNS}
        ax.plot(of_act["x"], of_act["y"], marker, ms=4, mew=1.0, label=act, **look)
    values = rows[["x", "y"]].to_numpy(float)
    if rows["geometric"].iloc[0]:
        style.logarithmic(ax, "x")
        style.logarithmic(ax, "y")
        low = min(values.min() / 2, 10.0 ** np.floor(np.log10(values.min())))
        high = max(values.max() * 2, 10.0 ** np.ceil(np.log10(values.max())))
    else:
        low, high = min(0.0, values.min()) - 0.05, max(1.0, values.max()) + 0.05
    ax.plot([low, high], [low, high], color=style.FAINT, lw=0.8, zorder=0)
    ax.set(xlim=(low, high), ylim=(low, high), xlabel="predicted", ylabel="measured")


def draw_distance(ax: Axes, rows: pd.DataFrame, shown: Sequence[str]) -> None:
    """How far the rows of `points` are from the identity: measured / predicted, of shares the difference.

    Over twenty decades the identity would hide a factor of 3.
    """
    geometric = bool(rows["geometric"].iloc[0])
    distance = rows["y"] / rows["x"] if geometric else rows["y"] - rows["x"]
    for act, marker, colour in zip(shown, _MARKERS, style.LINES, strict=False):
        own = rows["act_label"] == act
        look: dict[str, Any] = {"mfc": "none", "color": colour, "rasterized": len(rows) > _MOST_SIGNS}
        ax.plot(rows.loc[own, "x"], distance[own], marker, ms=3.5, mew=0.9, **look)
    ax.axhline(1 if geometric else 0, color=style.FAINT, lw=0.8, zorder=0)
    if geometric:
        reach = max(_LEAST_RATIO, float(np.exp(np.abs(np.log(distance)).max()) * 1.1))
        style.logarithmic(ax, "x")
        ax.set_yscale("log")
        ticks = next((t for t in _RATIOS if t <= reach), 10.0 ** np.floor(np.log10(reach)))
        ax.yaxis.set_major_locator(FixedLocator([1 / ticks, 1, ticks]))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_ylim(1 / reach, reach)
    else:
        reach = max(_LEAST_DIFFERENCE, 1.1 * float(distance.abs().max()))
        ax.set_ylim(-reach, reach)
    ax.set(xlabel="predicted", ylabel="ratio" if geometric else "difference")
