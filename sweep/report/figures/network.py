"""The picture of one network: mean and std forward, the gradient backward, a histogram of h per layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from sweep.experiment.axes import MODEL
from sweep.report.figures import histograms, style
from sweep.report.frames.fates import UNMEASURED
from sweep.report.frames.labels import description, with_ends
from sweep.report.frames.measures import THEORY

_DRAWABLE = 1e150  # the margins of a logarithmic axis overflow not far beyond
_GRADIENT = "delta_rms"
_TITLES = {"mean": "mean of h", "std": "std of h", _GRADIENT: "gradient: rms of dL/dh ←"}


def picture(cell: "pd.Series[Any]", layers: pd.DataFrame) -> Figure:
    """One network: mean, std and gradient by layer, and its histograms below, or beside where it is deep."""
    layers = layers.sort_values("layer")
    stored = histograms.stored(layers)
    deep = len(stored) > histograms.MOST_LAYERS
    shown = _shown(layers)
    height = 2.0 * len(shown) + 0.9 if deep else 4.9 if stored else 3.0
    figure = Figure(figsize=(9.6, height), layout="constrained")
    if deep:
        halves = figure.subfigures(1, 2, width_ratios=(1.6, 1), squeeze=False)
        _lines(halves[0, 0].subplots(len(shown), 1), layers, shown)
        histograms.ridge(halves[0, 1].subplots(), layers)
    else:
        parts = figure.subfigures(
            2 if stored else 1, 1, height_ratios=(1.5, 1) if stored else None, squeeze=False
        )
        _lines(parts[0, 0].subplots(1, len(shown)), layers, shown)
        if stored:
            histograms.strip(parts[1, 0].subplots(), layers)
    uniform = f"depth {cell['depth']}, width {cell['width']}"
    sizes = uniform if cell["widths"] is None else f"widths {', '.join(map(str, cell['widths']))}"
    told = f"{with_ends(cell)} × {description(cell['act'], cell['act_params'])}: {sizes}"
    if isinstance(cell.get(MODEL), str):  # which is told beside its init, and has no width
        told = f"{with_ends(cell)}: depth {cell['depth']}"
    style.headline(figure, told)
    note = f"seed {cell['seed']}, batch {cell['batch']}"
    if f"{THEORY}std" in layers and layers[f"{THEORY}std"].notna().any():
        note += "; thin black: theory"
    if stored:
        note += f"; {histograms.bins([layers])}; {'right of' if deep else 'below'} each: std"
    note += "" if _GRADIENT in shown else f"; {UNMEASURED}"
    style.caption(figure, note)
    return figure


def _shown(layers: pd.DataFrame) -> list[str]:
    """The statistics with a panel each: the gradient where it was measured."""
    return ["mean", "std", *([_GRADIENT] if layers[_GRADIENT].notna().any() else [])]


def _lines(axes: Sequence[Axes], layers: pd.DataFrame, names: Sequence[str]) -> None:
    """A statistic a panel, theory's thin line behind it; where a signal overflows, its line ends."""
    for ax, name, colour in zip(axes, names, style.LINES, strict=False):
        values = layers[name].where(layers[name].abs() < _DRAWABLE)
        ax.plot(layers["layer"], values, color=colour, marker="o", ms=3.5, lw=1.6)
        if f"{THEORY}{name}" in layers:
            theory = layers[f"{THEORY}{name}"].astype(float)
            ax.plot(layers["layer"], theory.where(theory.abs() < _DRAWABLE), color="black", lw=0.6)
        ax.set(xlabel="layer", title=_TITLES[name])
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
        if name != "mean" and len(positive) and positive.max() > 50 * positive.min():
            style.logarithmic(ax)
        elif name != "mean" and largest_value > 0:
            ax.set_ylim(0, 1.08 * largest_value)
