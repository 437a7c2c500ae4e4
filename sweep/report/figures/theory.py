"""Measured against predicted: every init × act a point, the identity a line."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweep.report.figures import style
from sweep.report.figures.curves import spread_names
from sweep.report.frames.agreement import agreement
from sweep.report.frames.labels import acts, add_labels, common
from sweep.report.frames.measures import MEASURES, THEORY
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
_REACH = 1e-12, 1e12  # beyond, both have long vanished or exploded


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """One panel per statistic that has a prediction; nothing where there is none."""
    panels = {title: points(cells, layers, name, at) for name, at, title in _SHOWN}
    panels = {title: panel for title, panel in panels.items() if not panel.empty}
    if not panels:
        return {}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.9 * columns + 1.5, 2.8 * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    drawn = pd.concat(panels.values())
    shown = spread_names(acts(drawn["act_label"]), len(_MARKERS))
    for ax, (title, panel) in zip(axes, panels.items(), strict=False):
        draw(ax, panel, shown)
        ax.set_title(title, fontsize=9)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    style.legend(figure, axes, handlelength=2.0)
    style.headline(figure, "Measured against predicted")
    note = f"a point per init, act, depth and width: mean over {counted(drawn['seeds'])}; line: identity"
    left_out = drawn["act_label"].nunique() - len(shown)
    note += f"; {left_out} more acts left out" if left_out else ""
    style.caption(figure, note, str(agreement(cells, _MOST_JUDGED)), common(cells))
    return {"theory": figure}


def points(cells: pd.DataFrame, layers: pd.DataFrame, name: str, at: int | None) -> pd.DataFrame:
    """Measured (`y`) and predicted (`x`) of one statistic, over the seeds, by panel, depth and width.

    at: the layer, None for the last. What is not finite, or far beyond vanished or exploded, is left out.
    """
    statistic, column = MEASURES[name], f"{THEORY}{name}"
    if column not in layers:
        return pd.DataFrame()
    frame = add_labels(cells[cells["status"] == "ok"]).drop(columns=[name, column], errors="ignore")
    at_layer = layers["layer"] == (layers["depth"] if at is None else at)
    frame = frame.merge(layers.loc[at_layer, ["cell_id", name, column]], on="cell_id")
    rows = average_over_seeds(frame, [statistic])
    rows = rows.rename(columns={f"theory:{name}": "x", f"value:{name}": "y"})
    both = rows[["x", "y"]].astype(float)
    low, high = _REACH if statistic.geometric else (-np.inf, np.inf)
    inside = ((both > low) & (both < high)).all(axis=1)
    return rows[inside].assign(geometric=statistic.geometric)


def draw(ax: Axes, rows: pd.DataFrame, shown: Sequence[str]) -> None:
    """The rows of `points` and the identity line, a sign for each of up to eight acts."""
    for act, marker, colour in zip(shown, _MARKERS, style.LINES, strict=False):
        of_act = rows[rows["act_label"] == act]
        ax.plot(of_act["x"], of_act["y"], marker, ms=4, mfc="none", mew=1.0, color=colour, label=act)
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
    ax.set_box_aspect(1)
