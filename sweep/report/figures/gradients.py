"""Gradient flow: the signal forward and the gradient backward on one logarithmic axis."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweep.report.figures import style
from sweep.report.figures.curves import draw_curve, is_predicted, spread_names
from sweep.report.frames.labels import acts, common, greatest, listed
from sweep.report.frames.measures import measure
from sweep.report.frames.seeds import by_layer
from sweep.report.frames.text import counted

FORWARD, BACKWARD = "rms", "delta_rms"
_LABELS = {FORWARD: "forward: rms of h →", BACKWARD: "backward: rms of dL/dh ←"}
_LOOKS = {FORWARD: (style.LINES[0], "-"), BACKWARD: (style.LINES[1], "--")}
_REACH = 1e-6, 1e6  # what lies beyond leaves the frame
_ROWS_PER_PAGE, _COLUMNS_PER_PAGE = 7, 6


def figures(cells: pd.DataFrame, layers: pd.DataFrame, most_pages: int = 2) -> dict[str, Figure]:
    """A panel per init × act at its greatest depth and width; nothing if no gradient was measured."""
    curves = by_layer(cells, layers, [measure(FORWARD), measure(BACKWARD)])
    if not curves[f"value:{BACKWARD}"].notna().any():
        return {}
    columns = acts(curves["act_label"])
    across = style.slices(columns, _COLUMNS_PER_PAGE)
    rows = spread_names(curves["line"], _ROWS_PER_PAGE * max(1, most_pages // len(across)))
    pages = list(product(style.slices(rows, _ROWS_PER_PAGE), across))
    shown = [curves["line"].isin(r) & curves["act_label"].isin(c) for r, c in pages[:most_pages]]
    left_out = len(curves.loc[~np.any(shown, axis=0), ["line", "act_label"]].drop_duplicates())
    note = f"{counted(curves['seeds'])} (line: geometric mean, band: all)"
    note = listed(note, common(cells), greatest(curves))
    note += f"; {left_out} more panels left out" if left_out else ""
    return style.numbered("gradients", [_page(curves, *page, note) for page in pages[:most_pages]])


def _page(curves: pd.DataFrame, rows: Sequence[str], columns: Sequence[str], note: str) -> Figure:
    here = curves[curves["line"].isin(rows) & curves["act_label"].isin(columns)]
    width, height = max(2.6 * len(columns) + 0.6, 5.2), 1.55 * len(rows) + 1.2
    figure, top, body = style.with_legend(width, height, _LABELS.values())
    axes = body.subplots(len(rows), len(columns), squeeze=False, sharey=True)
    present = here[["line", "act_label"]].drop_duplicates().itertuples(index=False)
    titles = style.titles((f"{line} × {act}" for line, act in present), 30)
    for r, line in enumerate(rows):
        for c, act in enumerate(columns):
            panel = here[(here["line"] == line) & (here["act_label"] == act)]
            ax = axes[r, c]
            if panel.empty:
                ax.set_axis_off()
                continue
            draw(ax, panel)
            ax.set_title(titles[f"{line} × {act}"], fontsize=9)
            ax.set_xlabel("layer" if r == len(rows) - 1 else "")
    style.logarithmic(axes[0, 0])
    values = here[[f"{end}:{name}" for name in (FORWARD, BACKWARD) for end in ("low", "high")]]
    positive = values.where(values > 0)
    low, high = positive.min().min(), positive.max().max()
    axes[0, 0].set_ylim(max(_REACH[0], min(0.1, low / 2)), min(_REACH[1], max(10.0, 2 * high)))
    left = [style.mark_exits(ax) for ax in axes.flat if ax.axison]
    style.legend(top, axes.flat)
    style.headline(figure, "Does a gradient get through?")
    predicted = any(is_predicted(here, name) for name in (FORWARD, BACKWARD))
    reading = "both lines level: the network can learn; a steep line: something dies out or explodes"
    reading += "; thin black: theory" if predicted else ""
    style.caption(figure, reading, note + (f"; {style.EXITS}" if any(left) else ""))
    return figure


def draw(ax: Axes, panel: pd.DataFrame) -> None:
    """The two curves of one init × act; panel: its rows of `by_layer`."""
    panel = panel.sort_values("layer")
    for name, (colour, dashes) in _LOOKS.items():
        if panel[f"value:{name}"].notna().any():
            draw_curve(ax, panel, measure(name), colour, dashes, _LABELS[name])
    ax.axhline(1, color=style.FAINT, lw=0.6, zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], nbins=6))
