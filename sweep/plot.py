"""One plot at a time, on your own axes: every function takes `ax=` and returns the Axes.

    cells, layers = sweep.load(study), sweep.load(study, table="layers")
    sweep.plot.heatmap(cells[cells["init"].eq("xavier") & cells["act"].eq("tanh")], "rms")
    sweep.plot.curves(layers, cells=cells[cells["act"].eq("relu")])

Seeds are averaged over, and nothing else: a frame in which more varies than a plot can show is refused. A
frame may be of pandas (with NumPy or pyarrow types) or polars, or an Arrow table.
"""

from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
import pandas as pd

from sweep.base.errors import RequestError
from sweep.report.figures import curves as _curves
from sweep.report.figures import gradients as _gradients
from sweep.report.figures import heatmap as _heatmap
from sweep.report.figures import histograms as _histograms
from sweep.report.figures import style
from sweep.report.figures import theory as _theory
from sweep.report.figures.colours import scale_of
from sweep.report.figures.style import Axes
from sweep.report.frames import layout
from sweep.report.frames.labels import SETTINGS, whole
from sweep.report.frames.measures import MEASURES, THEORY, Measure, measure
from sweep.report.frames.own import with_stand_ins
from sweep.report.frames.seeds import by_layer
from sweep.store.query.given import of_numpy

# What tells cells apart, without which nothing could be averaged over the seeds alone.
_CELL = ("init", "act", "depth", "width", "seed", "status", "verdict", "init_params", "act_params", *SETTINGS)
_DECADES = 306  # of an axis whose ticks and margins are still floats
_SOURCES = {"cells": "sweep.load(study)", "layers": 'sweep.load(study, table="layers")'}


def heatmap(
    cells: pd.DataFrame,
    value: str = "std",
    x: str | None = None,
    y: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A statistic of the last layer over two axes, width across and depth down unless named otherwise.

    value: a statistic of `cells`, or 'verdict'. x, y: init, act, depth, width, or any other axis.
    Raises RequestError where a third axis varies, and for an unknown statistic or axis.
    """
    cells = _frame("cells", cells, _CELL)
    statistic = measure(value, cells.columns)
    cells = _frame("cells", cells, [statistic.name])
    given = layout.choose(cells, x=x, y=y)
    roles = layout.Layout(None, None, given.x, given.y)
    frame = layout.assign_roles(cells, roles, statistic)
    others = [text for text in dict.fromkeys(frame["rest"]) if text]
    if len(others) > 1:
        raise _too_much(others)
    ax = style.given_or_current(ax)
    _heatmap.draw(ax, frame, _heatmap.Picture(statistic, roles, scale_of(statistic, frame["value"]), ""))
    ax.set(xlabel=roles.x, ylabel=roles.y, title=statistic.title)
    return style.verbatim(ax)


def verdicts(cells: pd.DataFrame, x: str | None = None, y: str | None = None, ax: Axes | None = None) -> Axes:
    """The verdicts over two axes, a letter each."""
    return heatmap(cells, "verdict", x, y, ax)


def curves(
    layers: pd.DataFrame,
    value: str = "std",
    cells: pd.DataFrame | None = None,
    label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """A statistic layer by layer, with the seeds' spread as a band and theory as a thin line.

    layers: one network's, as from `sweep.propagate`; or the table of a study, with its `cells`: a
    line per init, act and setting, each at its greatest depth and width.
    """
    if not isinstance(label, str):
        raise RequestError(f"label={label}: label must be a string")
    statistic = measure(value)
    if not statistic.by_layer:
        raise RequestError(f"value={value}: not a statistic of a layer; see the columns of table='layers'")
    layers = _frame("layers", layers, ("layer", statistic.name))
    if cells is not None:
        cells, layers = _pair(cells, layers)
    ax = style.given_or_current(ax)
    if cells is None:
        rows = _alone(layers, statistic, label or value)
    else:
        rows = by_layer(cells[cells["status"] == "ok"], layers, [statistic])
        if rows["act_label"].nunique() > 1:
            rows["line"] = rows["init_label"] + " × " + rows["act_label"] + " " + rows["setting"]
            rows["line"] = rows["line"].str.strip()
    lines = list(dict.fromkeys(rows["line"]))
    if len(lines) > len(style.LINES):
        raise RequestError(
            f"{len(lines)} lines are too many to tell apart: choose at most {len(style.LINES)}"
        )
    first = len(ax.get_legend_handles_labels()[0])
    _curves.draw(ax, rows, statistic, lines, first)
    if statistic.geometric:
        _logarithmic(ax)
    ax.set(xlabel="layer", ylabel=value)
    ax.legend(frameon=False, fontsize=8)
    return style.verbatim(ax)


def _alone(layers: pd.DataFrame, statistic: Measure, label: str) -> pd.DataFrame:
    if layers["layer"].duplicated().any():
        raise RequestError("layers: this frame holds several networks; pass cells= to tell them apart")
    rows = layers.sort_values("layer").assign(line=label)
    parts = dict.fromkeys(("value", "low", "high"), rows[statistic.name])
    if (prediction := f"{THEORY}{statistic.name}") in rows:
        parts["theory"] = rows[prediction]
    return rows.assign(**{f"{part}:{statistic.name}": values for part, values in parts.items()})


def gradients(cells: pd.DataFrame, layers: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The signal forward and the gradient backward of one init × act, at its greatest depth and width."""
    cells, layers = _pair(cells, layers, "layer", "rms", "delta_rms")
    rows = by_layer(cells[cells["status"] == "ok"], layers, [MEASURES["rms"], MEASURES["delta_rms"]])
    networks = list(dict.fromkeys(rows["line"] + " × " + rows["act_label"]))
    if len(networks) > 1:
        raise _too_much(networks)
    ax = style.given_or_current(ax)
    _gradients.draw(ax, rows)
    _logarithmic(ax)
    ax.set(xlabel="layer", ylabel="rms", title=networks[0])
    ax.legend(frameon=False, fontsize=8)
    return style.verbatim(ax)


def histograms(layers: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """The histograms of h of one cell, the first layer at the top; layers: its rows of table='layers'."""
    layers = _frame("layers", layers, ("layer", "std"))
    if layers["layer"].duplicated().any():
        raise RequestError("layers: this frame holds several cells; choose one by its cell_id")
    if "histogram" not in layers or not layers["histogram"].notna().any():
        raise RequestError("layers: no histogram is stored here; run the cell with histogram=true")
    ax = style.given_or_current(ax)
    _histograms.ridge(ax, layers.sort_values("layer"))
    return style.verbatim(ax)


def theory(cells: pd.DataFrame, layers: pd.DataFrame, value: str = "std", ax: Axes | None = None) -> Axes:
    """Measured against predicted values of the last layer, a marker per act, with the line of equality."""
    cells, layers = _pair(cells, layers, "layer")
    options = [name for name in MEASURES if f"theory_{name}" in layers]
    if not isinstance(value, str) or value not in options:
        raise RequestError(f"value={value}: theory predicts {', '.join(options)}")
    rows = _theory.points(cells, layers, value, None)
    if rows.empty:
        raise RequestError(f"value={value}: theory predicts nothing for these cells")
    ax = style.given_or_current(ax)
    acts = list(dict.fromkeys(rows["act_label"]))
    _theory.draw(ax, rows, acts[: len(style.LINES)])
    ax.set_title(value)
    ax.legend(frameon=False, fontsize=8)
    return style.verbatim(ax)


def _pair(cells: object, layers: object, *columns: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both frames, the columns of `layers` checked as well; refused where they have no cell in common."""
    layers = _frame("layers", layers, (*columns, "depth", "cell_id"))
    cells = _frame("cells", cells, (*_CELL, "cell_id"))
    if not cells["cell_id"].isin(layers["cell_id"]).any():
        raise RequestError(
            "cells, layers: the frames have no cell in common; a cell that failed has no layers"
        )
    return cells, layers


def _frame(table: str, given: object, columns: Iterable[str]) -> pd.DataFrame:
    """A frame of pandas, polars or Arrow as pandas' own; refused where it is none of this table, or empty."""
    frame = of_numpy(given)
    if frame is None:
        raise RequestError(f"{table}: pass a DataFrame, rows of {_SOURCES[table]}")
    frame = with_stand_ins(whole(frame) if table == "cells" else frame)
    missing = [name for name in dict.fromkeys(columns) if name not in frame]
    if missing:
        named = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise RequestError(f"{table}: this frame has no {named}: pass rows of {_SOURCES[table]}")
    if frame.empty:
        raise RequestError(f"{table}: this frame has no rows: its filter matched nothing")
    return frame


def _logarithmic(ax: Axes) -> None:
    """A logarithmic y-axis of two decades or more: noise fills the axis otherwise, and looks like a trend.

    It goes on to grow with what is drawn later; limits that the user has set stay.
    """
    style.logarithmic(ax)
    if (limits := _extreme(ax)) and ax.get_autoscaley_on():
        ax.set_ylim(limits, auto=None)
        return
    low, high = ax.get_ylim()
    if ax.get_autoscaley_on() and high < 100 * low:
        ax.update_datalim([(0.0, 0.1), (0.0, 10.0)], updatex=False)
        ax.autoscale_view(scalex=False)


def _extreme(ax: Axes) -> tuple[float, float] | None:
    """The limits for lines whose margins are no floats, at which matplotlib gives up; None for all others."""
    heights = np.concatenate([[], *(np.asarray(line.get_ydata(), float) for line in ax.get_lines())])
    heights = np.log10(heights[(heights > 0) & np.isfinite(heights)])
    if not len(heights):
        return None
    margin = mpl.rcParams["axes.ymargin"] * np.ptp(heights)
    low, high = heights.min() - margin, heights.max() + margin
    if low > -_DECADES and high < _DECADES:
        return None
    return 10.0 ** max(low, -_DECADES), 10.0 ** min(high, _DECADES)


def _too_much(varying: list[str]) -> RequestError:
    named = ", ".join(varying[:3]) + (" …" if len(varying) > 3 else "")
    return RequestError(f"more varies in this frame than one plot shows ({named}): choose one of them first")
