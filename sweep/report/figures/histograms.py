"""One histogram of h per layer, side by side; a ridge where the network is deep."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sweep import activations
from sweep.base.arrays import Array
from sweep.kernel.layers.signal import HISTOGRAM_BINS
from sweep.report.figures import style
from sweep.report.frames.labels import PANEL, add_labels, by_interest, common, listed
from sweep.report.frames.seeds import largest
from sweep.report.frames.text import number, spread

MOST_LAYERS = 10  # side by side; a deeper network is drawn as a ridge
_MOST_RIDGES = 25  # one above the other
_RIDGE_HEIGHT = 2.2  # of a histogram, in steps from one layer to the next
_COLUMNS = 4
MOST_ROWS = 16
_SLOT = 0.9  # of the width that a layer has in a strip
_APART = 1.3  # bins between the axis of a strip and the bar of what lies beyond
_BEYOND = style.LINES[3]  # the bar of what lies beyond the axis, where it goes on
_NARROWEST = 6.0  # inches of a figure whose title and caption leave room for what is drawn
_WIDEST = 4.0  # the reach of the bins where h goes on, as far as that can be told from their range
_FAR = 1e8  # what an unbounded activation makes of this is beyond every histogram


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """A strip per init × act, at its greatest depth and width and first seed; nothing if none is stored.

    Of more networks than there is room for, those of the schemes that survive most.
    """
    kept = layers.loc[layers["histogram"].notna(), "cell_id"].unique()
    return drawn(chosen(cells[cells["cell_id"].isin(kept)]), layers)


def chosen(cells: pd.DataFrame) -> pd.DataFrame:
    """Of the cells that have histograms, or of their networks, those to show, what is of interest first."""
    frame = by_interest(largest(add_labels(cells)))
    return frame[frame["seed"] == frame.groupby(list(PANEL))["seed"].transform("min")]


def drawn(frame: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """The figure of the cells of `chosen`; layers: those of the first MOST_ROWS of them, and maybe others."""
    panels = []
    for _, cell in frame.head(MOST_ROWS).iterrows():
        of_cell = layers[layers["cell_id"] == cell["cell_id"]].sort_values("layer")
        panels.append((f"{cell['init_label']} × {cell['act_label']} {cell['setting']}".strip(), of_cell))
    if not panels:
        return {}
    left_out = len(frame) - len(panels)
    deep = max(panel["layer"].max() for _, panel in panels) > MOST_LAYERS
    figure = _ridges(panels) if deep else _strips(panels)
    style.headline(figure, "What the activations look like, layer by layer")
    shared = [name for name in ("depth", "width", "seed") if frame[name].nunique() == 1]
    sizes = [f"{name} {frame[name].iloc[0]}" for name in shared]
    binned = bins([panel for _, panel in panels])
    where = "right of" if deep else "below"
    more = [f"{left_out} more networks left out"] if left_out > 0 else []
    style.caption(figure, listed(*sizes, common(frame), *more), f"{binned}; {where} each: std")
    return {"histograms": figure}


def _strips(panels: list[tuple[str, pd.DataFrame]]) -> Figure:
    columns = max(len(stored(panel)) for _, panel in panels)
    size = max(0.85 * columns + 1.8, _NARROWEST), 0.55 * len(panels) + 1.5
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False)[:, 0]
    names = style.titles((label for label, _ in panels), 26, lines=3)
    for ax, (label, panel) in zip(axes, panels, strict=True):
        strip(ax, panel, titled=ax is axes[0])
        name = names[label] if "\n" in names[label] else names[label].replace(" × ", "\n× ")
        ax.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    return figure


def _ridges(panels: list[tuple[str, pd.DataFrame]]) -> Figure:
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(2.5 * columns, 4.2), 3.4 * rows + 1.0), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    names = style.titles((label for label, _ in panels), 30)
    for ax, (label, panel) in zip(axes, panels, strict=False):
        ridge(ax, panel)
        ax.set_title(names[label], fontsize=9)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    return figure


def bins(panels: Sequence[pd.DataFrame]) -> str:
    """What the histograms' axes are, for a caption."""
    ranges = dict.fromkeys(map(_range, panels))
    where = ", ".join(f"[{low:g}, {high:g}]" for low, high in ranges)
    beyond = any(any(_goes_on(panel)) for panel in panels)
    ochre = "; ochre: everything beyond the axis" if beyond else ""
    return f"{HISTOGRAM_BINS} bins on {where}{ochre}; bars far above all others are cut"


def _goes_on(layers: pd.DataFrame) -> tuple[bool, bool]:
    """Whether h goes on below the range of the bins, and above: there the last bin holds all that is beyond.

    tanh ends where its histogram does: what fills its last bins is saturation, that of relu is no such thing.
    """
    (act,), ends = layers["act"].unique(), _range(layers)
    if act not in activations.names():  # a user's own, which a report does not call
        return ends[0] <= -_WIDEST, ends[1] >= _WIDEST
    with np.errstate(all="ignore"):
        far = np.asarray(activations.get(act).f(np.array([-_FAR, _FAR])), float)
    return bool(ends[0] < 0 and far.min() < ends[0]), bool(ends[1] > 0 and far.max() > ends[1])


def _range(layers: pd.DataFrame) -> tuple[float, float]:
    """The range of the bins, which is the activation's."""
    kept = layers[layers["histogram"].notna()]
    return float(kept["histogram_low"].iloc[0]), float(kept["histogram_high"].iloc[0])


def stored(layers: pd.DataFrame) -> list[int]:
    """The layers whose histograms are stored, the input apart."""
    own = layers[layers["histogram"].notna() & (layers["layer"] > 0)]["layer"]
    return sorted(int(layer) for layer in own)


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
    shown = spread(stored(layers), _MOST_RIDGES)
    edges = np.linspace(*_range(layers), HISTOGRAM_BINS + 1)
    named = spread(shown, 9)
    for step, layer in enumerate(shown):
        heights = _RIDGE_HEIGHT * _heights(indexed["histogram"][layer])
        look: dict[str, Any] = {"facecolor": "#d3e4ee", "edgecolor": style.LINES[0], "linewidth": 0.7}
        _draw_bars(ax, layers, heights, edges, base=-step, zorder=2 + 0.01 * step, **look)
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


def _draw_bars(
    ax: Axes, layers: pd.DataFrame, heights: Array, edges: Array, apart: float = 0.0, **look: Any
) -> None:
    """A histogram; what lies beyond the axis stands outside of it, in another colour.

    apart: how far outside, in bins. look: of the bars within.
    """
    within, base = heights.copy(), look.pop("base", 0.0)
    width = edges[1] - edges[0]
    for goes_on, end, left, way in zip(
        _goes_on(layers), (0, -1), (edges[0], edges[-2]), (-1, 1), strict=True
    ):
        if goes_on:
            within[end] = 0
            if heights[end] > 0:
                place = left + way * apart * width
                bar = ax.stairs(
                    [base + heights[end]], [place, place + width], baseline=base, fill=True, color=_BEYOND
                )
                bar.set(gid="beyond", zorder=look.get("zorder", 1))
    ax.stairs(base + within, edges, baseline=base, fill=True, **look)


def _draw_axis(ax: Axes, slot: float, ends: tuple[float, float], named: bool) -> None:
    """The axis of one histogram of a strip, with a tick at either end and at 0; named: with their values."""
    low, high = ends
    ax.plot([slot, slot + _SLOT], [0, 0], color=style.FAINT, lw=0.8)
    for value in sorted({low, 0.0, high}):
        at = slot + _SLOT * (value - low) / (high - low)
        ax.plot([at, at], [0, -0.06], color=style.FAINT, lw=0.8)
        if named and value in ends:
            side = "left" if value == low else "right"
            ax.text(at, -0.1, f"{value:g}", ha=side, va="top", fontsize=6, color=style.FAINT)


def strip(ax: Axes, layers: pd.DataFrame, titled: bool = True) -> None:
    """The histograms of one network side by side: a slot of width 1 for each of at most ten layers."""
    shown = spread(stored(layers), MOST_LAYERS)
    indexed = layers.set_index("layer")
    edges = np.linspace(0, _SLOT, HISTOGRAM_BINS + 1)
    for slot, layer in enumerate(shown):
        heights = _heights(indexed["histogram"][layer])
        _draw_bars(ax, layers, heights, slot + edges, _APART, color=style.LINES[0])
        _draw_axis(ax, slot, _range(layers), named=slot == 0)
        middle = slot + _SLOT / 2
        ax.text(middle, -0.1, number(indexed["std"][layer], 3), ha="center", va="top", fontsize=7)
        if titled:
            ax.text(middle, 1.12, f"layer {layer}", ha="center", va="bottom", fontsize=8)
    ax.set(xlim=(-0.02, MOST_LAYERS if len(shown) > MOST_LAYERS / 2 else len(shown)), ylim=(-0.3, 1.1))
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
