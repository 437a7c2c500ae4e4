"""The largest step of smooth descent, by theory, over depth × width."""

import pandas as pd
from matplotlib.figure import Figure

from sweep.report.figures import style
from sweep.report.frames import layout
from sweep.report.frames.layout import Layout
from sweep.report.frames.measures import STEP


def told(cells: pd.DataFrame, whole: bool) -> bool:
    """Whether there is something to draw; whole: for a whole report, which has a map or none."""
    known = _known(cells)
    return len(known) > 0 and (not whole or known[["depth", "width"]].nunique().min() > 1)


def arrangement(cells: pd.DataFrame) -> Layout:
    """Depth down, width across, and a panel for whatever else varies."""
    return layout.choose(_known(cells), x="width", y="depth")


def figures(cells: pd.DataFrame, roles: Layout, most_pages: int) -> dict[str, Figure]:
    """Heatmaps of the networks that have such a step: 'step', over several pages where there are many."""
    from sweep.report.figures import heatmap  # noqa: PLC0415  seaborn, which may be broken: then a line says so

    drawn = heatmap.figures(_known(cells), STEP, roles, most_pages)
    return style.numbered("step", list(drawn.values()))


def _known(cells: pd.DataFrame) -> pd.DataFrame:
    column = STEP.name if STEP.name in cells else f"value:{STEP.name}"
    return cells[cells[column].notna()] if column in cells else cells.iloc[:0]
