"""How far apart the singular values of dh_L / dh_0 are over depth, measured against theory."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sweep.report.figures import style
from sweep.report.figures.curves import spread_names
from sweep.report.frames.isometry import by_depth
from sweep.report.frames.labels import acts, common
from sweep.report.frames.text import counted

_ACROSS, _MOST_PANELS = 3, 6
_LEAST, _MOST = 1e-3, 1e6  # spreads below: an isometry, as far as anybody sees; above: one value is all
_MEANING = "0: singular values are all alike; orthogonal weights take away 1 a layer, never what slopes add"


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """A panel per act, a line per init and width; nothing where no Jacobian was measured."""
    rows = by_depth(cells)
    if rows.empty:
        return {}
    shown = spread_names(acts(rows["act_label"]), _MOST_PANELS)
    lines = spread_names(rows["line"], len(style.LINES))
    drawn = rows[rows["act_label"].isin(shown) & rows["line"].isin(lines)]
    across = min(_ACROSS, len(shown))
    down = -(-len(shown) // across)
    figure, top, body = style.with_legend(max(3.1 * across, 4.6), 2.6 * down + 0.4, lines)
    axes = body.subplots(down, across, squeeze=False, sharey=True)
    titles = style.titles(shown)
    for ax, act in zip(axes.flat, shown, strict=False):
        _draw(ax, drawn[drawn["act_label"] == act], lines)
        ax.set(title=titles[act], xlabel="depth", ylim=_limits(drawn))
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("Var(s²) / E[s²]²")
    style.legend(top, axes.flat)
    style.headline(figure, "How far from an isometry? Singular values s of dh_L / dh₀")
    note = f"line: geometric mean over {counted(drawn['seeds'])}, band: all seeds"
    note += "; thin black: theory" if drawn["theory"].notna().any() else ""
    for missing, what in (
        (rows["act_label"].nunique() - len(shown), "act"),
        (rows["line"].nunique() - len(lines), "line"),
    ):
        note += f"; {missing} more {what}{'s' * (missing > 1)} left out" if missing else ""
    style.caption(figure, note, _MEANING, common(cells))
    return {"isometry": figure}


def _draw(ax: Axes, panel: pd.DataFrame, lines: Sequence[str]) -> None:
    style.logarithmic(ax)
    for i, line in enumerate(lines):
        curve = panel[panel["line"] == line].sort_values("depth")
        if curve.empty:
            continue
        colour, dashes = style.LINES[i % len(style.LINES)], style.DASHES[i % len(style.DASHES)]
        value, low, high = (curve[part].clip(_LEAST / 10, _MOST * 10) for part in ("value", "low", "high"))
        ax.plot(curve["depth"], value, color=colour, ls=dashes, lw=1.6, marker="o", ms=3.5, label=line)
        ax.fill_between(curve["depth"], low, high, color=colour, alpha=0.18, lw=0)
        theory = curve["theory"].clip(_LEAST / 10, _MOST * 10)
        ax.plot(curve["depth"], theory, color="black", lw=0.6, marker="_", ms=6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Of all panels: what one line far away does not set."""
    low, high = (float(np.nan_to_num(value, nan=1.0)) for value in (rows["low"].min(), rows["high"].max()))
    low = min(max(low / 2, _LEAST), 1.0)
    return low, max(min(high * 2, _MOST), low * 10)
