"""How far apart the singular values of measured Jacobians are, beside theory."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sweep.report.frames.labels import add_labels, by_interest
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.seeds import average_over_seeds
from sweep.report.frames.text import number

if TYPE_CHECKING:
    import pandas as pd

SPREAD = MEASURES["jac_spread"]


def told(cell: Mapping[str, Any]) -> str:
    """What a cell's Jacobian is like, in a line; cell: its row."""
    spread, theory = (_known(cell[name]) for name in ("jac_spread", "theory_jac_spread"))
    if math.isnan(spread):
        return "Jacobian: dh_L / dh_0 is 0, or not known: its singular values have no spread."
    beside = "theory has no word on it" if math.isnan(theory) else f"theory: {number(theory, 3)}"
    return (
        f"Jacobian: the singular values s of dh_L / dh_0 have Var(s²) / E[s²]² = {number(spread, 3)} "
        f"({beside}); 0 would be an isometry."
    )


def _known(value: float | None) -> float:
    return math.nan if value is None else float(value)


def by_depth(cells: "pd.DataFrame") -> "pd.DataFrame":
    """Measured spreads over the seeds, with a `line` for every init, setting and width; empty where none is.

    The columns are those of `over_seeds`.
    """
    column = SPREAD.name if SPREAD.name in cells else f"value:{SPREAD.name}"
    measured = cells[cells[column].notna()] if column in cells else cells.iloc[:0]
    if measured.empty:
        return measured
    frame = by_interest(add_labels(measured))
    rows = average_over_seeds(frame, [SPREAD]).rename(columns=lambda name: name.partition(":")[0])
    line = rows["init_label"] + " " + rows["setting"]
    if rows["width"].nunique() > 1:
        line += " width " + rows["width"].map(str)
    rows = rows.assign(line=line.str.replace("  ", " ").str.strip())
    return rows if "theory" in rows else rows.assign(theory=math.nan)
