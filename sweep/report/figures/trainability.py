"""What trained networks have learned over sigma_w² × depth, with a multiple of theory's depth scale on it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweep.base.arrays import Array
from sweep.report.figures import style
from sweep.report.frames.text import counted
from sweep.report.frames.trained import HALF, Map, described, maps, off_the_map

_MOST = 12  # maps of a page
_ACROSS = 3
_WIDE = 30.0  # from one end of an axis of sigma_w² to the other: it is drawn in logarithms
_NOTHING = "#dfe3e6"  # where no network was trained
_HALVES = {"train_accuracy": "--", "test_accuracy": "-"}  # along which half of the inputs are right
_OF_HALVES = {
    "test_accuracy": "half of held-out inputs right",
    "train_accuracy": "half of training inputs right",
}
_CURVE = "#d1495b"
_COLOURS = LinearSegmentedColormap.from_list(
    "accuracy", ["#2b2f45", "#4d5f8f", "#7fa8c9", "#cfdfd2", "#f3e3a2", "#f0c987"]
)


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """A map for everything in which trained networks differ but sigma_w, depth and seed; none without any."""
    found = maps(cells)
    if not found:
        return {}
    left_out = off_the_map(cells)
    return style.numbered("trainability", [_page(some, left_out) for some in style.slices(found, _MOST)])


def _page(found: Sequence[Map], left_out: Sequence[str]) -> Figure:
    across = min(_ACROSS, len(found))
    down = -(-len(found) // across)
    width, height = (7.4, 4.6) if len(found) == 1 else (4.3 * across + 0.6, 3.2 * down + 0.8)
    lines = _lines(found)
    figure, top, body = style.with_legend(width, height, lines)
    axes = body.subplots(down, across, squeeze=False)
    titles = style.titles(dict.fromkeys(one.told for one in found))
    for ax, one in zip(axes.flat, found, strict=False):
        mesh = _draw(ax, one)
        if len(found) > 1:
            ax.set_title(titles[one.told], fontsize=9)
    for ax in axes.flat[len(found) :]:
        ax.set_axis_off()
    bar = body.colorbar(mesh, ax=axes, fraction=0.05, pad=0.02)
    bar.set_label("accuracy on held-out inputs")
    bar.ax.axhline(HALF, color="black", lw=1.4)
    for label, look in lines.items():
        axes.flat[0].plot([], [], label=label, **look)
    style.legend(top, axes.flat[:1])
    alike = ", ".join(described(found[0])) if len(found) == 1 else _shared(found)
    style.headline(figure, f"Does it learn? {alike}".strip())
    told = [f"on no map, having no sigma_w: {', '.join(left_out)}"] if left_out else []
    style.caption(figure, *_caption(found), *told)
    return figure


def _lines(found: Sequence[Map]) -> dict[str, dict[str, Any]]:
    """What is drawn on these maps: label -> look."""
    lines: dict[str, dict[str, Any]] = {
        label: {"color": "black", "lw": 1.4, "ls": _HALVES[name]}
        for name, label in _OF_HALVES.items()
        if any(has_half(one.table(name).to_numpy(float)) for one in found)
    }
    if factors := [one.factor[0] for one in found if one.factor[-1]]:
        least, most = f"{min(factors):.1f}", f"{max(factors):.1f}"
        lines[f"{least if least == most else f'{least} to {most}'} xi_c"] = {"color": _CURVE, "lw": 1.8}
    if any(not math.isnan(one.critical) for one in found):
        lines["chi1 = 1 (theory)"] = {"color": "black", "lw": 1.0, "ls": ":"}
    return lines


def _shared(found: Sequence[Map]) -> str:
    """What all of these maps are of."""
    parts = [list(described(one)) for one in found]
    return ", ".join(part for part in parts[0] if all(part in others for others in parts))


def _draw(ax: Axes, one: Map) -> Any:
    table = one.table("test_accuracy")
    x, y = table.columns.to_numpy(float), table.index.to_numpy(float)
    logarithmic = bool(x.min() > 0 and x.max() > _WIDE * x.min())
    mesh = ax.pcolormesh(
        edges(x, logarithmic), edges(y), table.to_numpy(float), cmap=_COLOURS, vmin=0, vmax=1, rasterized=True
    )
    ax.set_facecolor(_NOTHING)
    limits: Any = ax.get_xlim(), ax.get_ylim()
    for accuracy, dashes in _HALVES.items():
        values = one.table(accuracy).to_numpy(float)
        if has_half(values):
            ax.contour(x, y, values, levels=[HALF], colors="black", linewidths=1.4, linestyles=dashes)
    curve, depths = one.curve
    if len(curve):
        for colour, width in (("white", 3.4), (_CURVE, 1.8)):
            ax.plot(curve, depths, color=colour, lw=width)
    if not math.isnan(one.critical):
        ax.axvline(one.critical, color="black", lw=1.0, ls=":")
    if logarithmic:
        style.logarithmic(ax, "x")
    ax.set(xlim=limits[0], ylim=limits[1], xlabel="sigma_w²", ylabel="depth")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return mesh


def has_half(values: Array) -> bool:
    """Whether there is a line along which half of the inputs are right; values: (depths, scales)."""
    return min(values.shape) > 1 and bool(np.nanmin(values) < HALF < np.nanmax(values))


def edges(values: Array, logarithmic: bool = False) -> Array:
    """Where the squares of these values, rising, begin and end: half-way to their neighbours."""
    places = np.log(values) if logarithmic else np.asarray(values, float)
    if len(places) == 1:
        places = places + np.array([-0.5, 0.5])
    else:
        middle = (places[1:] + places[:-1]) / 2
        places = np.concatenate([[2 * places[0] - middle[0]], middle, [2 * places[-1] - middle[-1]]])
    if logarithmic:
        return np.exp(places)
    places[0] = max(places[0], min(0.0, places[1]))  # nothing that is told here is negative
    return places


def _caption(found: Sequence[Map]) -> list[str]:
    seeds = pd.concat([one.points["seeds"] for one in found])
    lines = [
        f"a square per sigma_w² and depth: mean over {counted(seeds)} of the share of held-out inputs that "
        f"the network gets right after {_rules(found)}; chance is 0.1"
    ]
    if known := [one for one in found if one.factor[-1]]:
        each = [_of_factor(one) for one in known]
        listed = (
            each[0]
            if len(each) == 1
            else "; ".join(f"{one.told}: {text}" for one, text in zip(known, each, strict=True))
        )
        lines.append(
            "factor: the deepest network with half of its training inputs right, over xi_c, measured on this "
            f"map ({listed})"
        )
    lines.append(
        "the map moves with the rule for the step; plain SGD, weights, biases and a readout are trained"
    )
    return lines


def _rules(found: Sequence[Map]) -> str:
    rules = list(dict.fromkeys(one.rule for one in found))
    return rules[0] if len(rules) == 1 else f"training ({'; '.join(rules)})"


def _of_factor(one: Map) -> str:
    middle, least, most, count = one.factor
    if count == 1:
        return f"{middle:.1f} at one sigma_w²"
    return f"median {middle:.1f} of {count} sigma_w², {least:.1f} to {most:.1f}"
