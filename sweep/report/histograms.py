"""The textbook's picture: mean line, std line and one histogram of h per layer."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweep.layer import HISTOGRAM_BINS, HISTOGRAM_RANGE
from sweep.report import style
from sweep.report.curves import largest
from sweep.summary import PANEL, common, described, labelled, number, spread

_MOST_LAYERS = 10
_MOST_ROWS = 16
_DRAWABLE = 1e150  # the margins of a logarithmic axis overflow not far beyond
_SLOT = 0.9  # of the width that a layer has in a strip


def picture(cell: "pd.Series[Any]", layers: pd.DataFrame) -> Figure:
    """One cell: the mean and the std of every layer, and below them its histograms."""
    layers = layers.sort_values("layer")
    drawable = {name: layers[name].where(layers[name].abs() < _DRAWABLE) for name in ("mean", "std")}
    lines = layers.assign(**drawable)  # where a signal overflows, its line ends
    shown = _shown(layers)
    figure = Figure(figsize=(9.6, 4.9 if shown else 3.0), layout="constrained")
    rows = figure.subfigures(2 if shown else 1, 1, height_ratios=(1.5, 1) if shown else None, squeeze=False)
    left, right = rows[0, 0].subplots(1, 2)
    for ax, name, colour in ((left, "mean", style.LINES[0]), (right, "std", style.LINES[1])):
        ax.plot(lines["layer"], lines[name], color=colour, marker="o", ms=3.5, lw=1.6)
        ax.set(xlabel="layer", title=f"{name} of h")
        ax.locator_params("x", integer=True)
    largest_mean = float(lines["mean"].abs().max())
    if largest_mean < 0.1:  # a mean of noise fills the axis otherwise, and looks like a trend
        left.set_ylim(-0.1, 0.1)
    if largest_mean > 100:
        left.set_yscale("symlog", linthresh=1e-4 * largest_mean)
        if lines["mean"].min() > -1:  # of noise, beside what explodes
            left.set_ylim(bottom=0)
    positive = lines["std"][lines["std"] > 0]
    if len(positive) and positive.max() > 50 * positive.min():
        right.set_yscale("log")
    if shown:
        _strip(rows[1, 0].subplots(), layers, shown, titled=True)
    uniform = f"depth {cell['depth']}, width {cell['width']}"
    sizes = uniform if cell["widths"] is None else f"widths {', '.join(map(str, cell['widths']))}"
    init, act = (described(cell[group], cell[f"{group}_params"]) for group in ("init", "act"))
    title = f"{init} × {act}: {sizes}"
    style.headline(figure, title)
    note = f"seed {cell['seed']}, batch {cell['batch']}"
    if shown:
        note += f"; {_bins()}"
    style.caption(figure, note)
    return figure


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """A strip per init × act, at its greatest depth and width and first seed; nothing if none is stored."""
    stored = layers.loc[layers["histogram"].notna(), "cell_id"].unique()
    frame = largest(labelled(cells[cells["cell_id"].isin(stored)]))
    frame = frame[frame["seed"] == frame.groupby(list(PANEL))["seed"].transform("min")]
    strips = []
    for _, cell in frame.iterrows():
        own = layers[layers["cell_id"] == cell["cell_id"]].sort_values("layer")
        if _shown(own):
            strips.append((f"{cell['init_label']} × {cell['act_label']} {cell['setting']}".strip(), own))
    if not strips or len(strips) > _MOST_ROWS:
        return {}
    columns = max(len(_shown(own)) for _, own in strips)
    figure = Figure(figsize=(0.85 * columns + 1.8, 0.55 * len(strips) + 1.1), layout="constrained")
    axes = figure.subplots(len(strips), squeeze=False)[:, 0]
    for row, (label, own) in enumerate(strips):
        _strip(axes[row], own, _shown(own), titled=row == 0)
        axes[row].set_ylabel(label.replace(" × ", "\n× "), rotation=0, ha="right", va="center", fontsize=8)
    style.headline(figure, "What the activations look like, layer by layer")
    shared = [name for name in ("depth", "width", "seed") if frame[name].nunique() == 1]
    sizes = [f"{name} {frame[name].iloc[0]}" for name in shared]
    style.caption(figure, ", ".join([*sizes, common(frame)]), _bins())
    return {"histograms": figure}


def _bins() -> str:
    low, high = HISTOGRAM_RANGE
    return (
        f"{HISTOGRAM_BINS} bins on [{low:g}, {high:g}], the end bins hold what lies outside; below each: std"
    )


def _shown(layers: pd.DataFrame) -> list[int]:
    """The layers whose histograms are drawn: those stored, the input apart, evenly spread."""
    stored = layers[layers["histogram"].notna() & (layers["layer"] > 0)]["layer"]
    return spread(sorted(int(layer) for layer in stored), _MOST_LAYERS)


def _strip(ax: Axes, layers: pd.DataFrame, shown: list[int], titled: bool) -> None:
    """The histograms of one network side by side: a slot of width 1 for each layer."""
    indexed = layers.set_index("layer")
    edges = np.linspace(0, _SLOT, HISTOGRAM_BINS + 1)
    for slot, layer in enumerate(shown):
        counts = np.asarray(indexed["histogram"][layer], dtype=float)
        ax.stairs(counts / max(counts.max(), 1), slot + edges, fill=True, color=style.LINES[0])
        ax.plot([slot, slot + _SLOT], [0, 0], color=style.FAINT, lw=0.8)
        middle = slot + _SLOT / 2
        ax.text(middle, -0.08, number(indexed["std"][layer], 3), ha="center", va="top", fontsize=7)
        if titled:
            ax.text(middle, 1.12, f"layer {layer}", ha="center", va="bottom", fontsize=8)
    ax.set(xlim=(-0.02, _MOST_LAYERS if len(shown) > _MOST_LAYERS / 2 else len(shown)), ylim=(-0.3, 1.1))
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
