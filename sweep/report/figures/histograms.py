"""The textbook's picture: mean line, std line and one histogram of h per layer; a ridge where it is deep."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from sweep.base.arrays import Array
from sweep.kernel.layers.signal import HISTOGRAM_BINS
from sweep.report.figures import style
from sweep.report.frames.labels import PANEL, add_labels, common, description
from sweep.report.frames.measures import THEORY
from sweep.report.frames.seeds import largest
from sweep.report.frames.text import number, spread

_MOST_LAYERS = 10  # side by side; a deeper network is drawn as a ridge
_MOST_RIDGES = 25  # one above the other
_RIDGE_HEIGHT = 2.2  # of a histogram, in steps from one layer to the next
_COLUMNS = 4
_MOST_ROWS = 16
_DRAWABLE = 1e150  # the margins of a logarithmic axis overflow not far beyond
_SLOT = 0.9  # of the width that a layer has in a strip


def picture(cell: "pd.Series[Any]", layers: pd.DataFrame) -> Figure:
    """One cell: the mean and the std of every layer, and its histograms below, or beside where it is deep."""
    layers = layers.sort_values("layer")
    stored = _stored(layers)
    deep = len(stored) > _MOST_LAYERS
    figure = Figure(figsize=(9.6, 4.9 if stored else 3.0), layout="constrained")
    if deep:
        halves = figure.subfigures(1, 2, width_ratios=(1.6, 1), squeeze=False)
        _lines(halves[0, 0].subplots(2, 1), layers)
        ridge(halves[0, 1].subplots(), layers)
    else:
        parts = figure.subfigures(
            2 if stored else 1, 1, height_ratios=(1.5, 1) if stored else None, squeeze=False
        )
        _lines(parts[0, 0].subplots(1, 2), layers)
        if stored:
            strip(parts[1, 0].subplots(), layers)
    uniform = f"depth {cell['depth']}, width {cell['width']}"
    sizes = uniform if cell["widths"] is None else f"widths {', '.join(map(str, cell['widths']))}"
    init, act = (description(cell[group], cell[f"{group}_params"]) for group in ("init", "act"))
    style.headline(figure, f"{init} × {act}: {sizes}")
    note = f"seed {cell['seed']}, batch {cell['batch']}"
    if f"{THEORY}std" in layers and layers[f"{THEORY}std"].notna().any():
        note += "; thin black: theory"
    if stored:
        note += f"; {_bins([layers])}; {'right of' if deep else 'below'} each: std"
    style.caption(figure, note)
    return figure


def _lines(axes: Sequence[Axes], layers: pd.DataFrame) -> None:
    """Mean and std by layer, theory's thin lines behind them; where a signal overflows, its line ends."""
    for ax, name, colour in zip(axes, ("mean", "std"), style.LINES[:2], strict=True):
        values = layers[name].where(layers[name].abs() < _DRAWABLE)
        ax.plot(layers["layer"], values, color=colour, marker="o", ms=3.5, lw=1.6)
        if f"{THEORY}{name}" in layers:
            theory = layers[f"{THEORY}{name}"].astype(float)
            ax.plot(layers["layer"], theory.where(theory.abs() < _DRAWABLE), color="black", lw=0.6)
        ax.set(xlabel="layer", title=f"{name} of h")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        largest_value = float(values.abs().max())
        if name == "mean" and largest_value < 0.1:  # a mean of noise fills the axis otherwise, like a trend
            ax.set_ylim(-0.1, 0.1)
        if name == "mean" and largest_value > 100:
            ax.set_yscale("symlog", linthresh=1e-4 * largest_value)
            top = 10.0 ** np.floor(np.log10(largest_value))
            ax.yaxis.set_major_locator(FixedLocator([-top, -top / 100, 0, top / 100, top]))
            ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.yaxis.set_minor_locator(NullLocator())
            if values.min() > -1:  # of noise, beside what explodes
                ax.set_ylim(bottom=0)
        positive = values[values > 0]
        if name == "std" and len(positive) and positive.max() > 50 * positive.min():
            style.logarithmic(ax)


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """A strip per init × act, at its greatest depth and width and first seed; nothing if none is stored."""
    stored = layers.loc[layers["histogram"].notna(), "cell_id"].unique()
    frame = largest(add_labels(cells[cells["cell_id"].isin(stored)]))
    frame = frame[frame["seed"] == frame.groupby(list(PANEL))["seed"].transform("min")]
    panels = []
    for _, cell in frame.iterrows():
        of_cell = layers[layers["cell_id"] == cell["cell_id"]].sort_values("layer")
        if _stored(of_cell):
            panels.append((f"{cell['init_label']} × {cell['act_label']} {cell['setting']}".strip(), of_cell))
    if not panels or len(panels) > _MOST_ROWS:
        return {}
    deep = max(panel["layer"].max() for _, panel in panels) > _MOST_LAYERS
    figure = _ridges(panels) if deep else _strips(panels)
    style.headline(figure, "What the activations look like, layer by layer")
    shared = [name for name in ("depth", "width", "seed") if frame[name].nunique() == 1]
    sizes = [f"{name} {frame[name].iloc[0]}" for name in shared]
    bins = _bins([panel for _, panel in panels])
    where = "right of" if deep else "below"
    style.caption(figure, ", ".join([*sizes, common(frame)]), f"{bins}; {where} each: std")
    return {"histograms": figure}


def _strips(panels: list[tuple[str, pd.DataFrame]]) -> Figure:
    columns = max(len(_stored(panel)) for _, panel in panels)
    figure = Figure(figsize=(0.85 * columns + 1.8, 0.55 * len(panels) + 1.1), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    for ax, (label, panel) in zip(axes, panels, strict=True):
        strip(ax, panel, titled=ax is axes[0])
        init, _, act = label.partition(" × ")
        name = f"{style.clipped(init, 24)}\n× {style.clipped(act, 22)}"
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    return figure


def _ridges(panels: list[tuple[str, pd.DataFrame]]) -> Figure:
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(2.5 * columns, 4.2), 3.4 * rows + 1.0), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, (label, panel) in zip(axes, panels, strict=False):
        ridge(ax, panel)
        ax.set_title(style.clipped(label), fontsize=9)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    return figure


def _bins(panels: Sequence[pd.DataFrame]) -> str:
    """What the histograms' axes are, for a caption."""
    ranges = dict.fromkeys(map(_range, panels))
    where = ", ".join(f"[{low:g}, {high:g}]" for low, high in ranges)
    cut = "the end bins hold what lies outside; a bar far above all is cut"
    return f"{HISTOGRAM_BINS} bins on {where}; {cut}"


def _range(layers: pd.DataFrame) -> tuple[float, float]:
    """The range of the bins, which is the activation's."""
    kept = layers[layers["histogram"].notna()]
    return float(kept["histogram_low"].iloc[0]), float(kept["histogram_high"].iloc[0])


def _stored(layers: pd.DataFrame) -> list[int]:
    """The layers whose histograms are stored, the input apart."""
    stored = layers[layers["histogram"].notna() & (layers["layer"] > 0)]["layer"]
    return sorted(int(layer) for layer in stored)


def _heights(histogram: Sequence[int]) -> Array:
    """Heights up to 1; a bar that would dwarf all others, as the zeros of a relu do, is cut there."""
    counts = np.asarray(histogram, dtype=float)
    second, first = np.sort(counts)[-2:]
    top = 1.5 * second if first > 3 * second > 0.06 * counts.sum() else first
    heights: Array = np.minimum(counts / max(top, 1), 1)
    return heights


def ridge(ax: Axes, layers: pd.DataFrame) -> None:
    """The histograms of one network one above the other, the first layer at the top."""
    indexed = layers.set_index("layer")
    shown = spread(_stored(layers), _MOST_RIDGES)
    edges = np.linspace(*_range(layers), HISTOGRAM_BINS + 1)
    named = spread(shown, 9)
    for step, layer in enumerate(shown):
        heights = _RIDGE_HEIGHT * _heights(indexed["histogram"][layer])
        patch = ax.stairs(heights - step, edges, baseline=-step, fill=True, zorder=2 + 0.01 * step)
        patch.set(facecolor="#d3e4ee", edgecolor=style.LINES[0], linewidth=0.7)
        if layer in named:
            std = number(indexed["std"][layer], 2)
            right = edges[-1] + 0.03 * (edges[-1] - edges[0])
            ax.text(right, -step, std, fontsize=7, va="center", ha="left")
    ax.set_yticks([-shown.index(layer) for layer in named], [str(layer) for layer in named])
    ax.set(xlim=(edges[0], edges[-1]), ylim=(-len(shown) + 0.5, _RIDGE_HEIGHT + 0.1))
    ax.set(xlabel="h", ylabel="layer")
    ax.set_xticks(sorted({edges[0], 0.0, edges[-1]}))
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def strip(ax: Axes, layers: pd.DataFrame, titled: bool = True) -> None:
    """The histograms of one network side by side: a slot of width 1 for each of at most ten layers."""
    shown = spread(_stored(layers), _MOST_LAYERS)
    indexed = layers.set_index("layer")
    edges = np.linspace(0, _SLOT, HISTOGRAM_BINS + 1)
    for slot, layer in enumerate(shown):
        ax.stairs(_heights(indexed["histogram"][layer]), slot + edges, fill=True, color=style.LINES[0])
        ax.plot([slot, slot + _SLOT], [0, 0], color=style.FAINT, lw=0.8)
        middle = slot + _SLOT / 2
        ax.text(middle, -0.08, number(indexed["std"][layer], 3), ha="center", va="top", fontsize=7)
        if titled:
            ax.text(middle, 1.12, f"layer {layer}", ha="center", va="bottom", fontsize=8)
    ax.set(xlim=(-0.02, _MOST_LAYERS if len(shown) > _MOST_LAYERS / 2 else len(shown)), ylim=(-0.3, 1.1))
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
