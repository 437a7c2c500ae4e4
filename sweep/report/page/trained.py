"""What trained networks learned: the figure `trainability`, as the numbers that the page draws."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sweep.report.figures.trainability import edges, has_half
from sweep.report.frames.trained import ACCURACIES, HALF, Map, described, maps

_MOST = 60  # maps that the page has room for


def lessons(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Every map of trained networks: its squares, where half of the inputs are right, and theory's lines.

    cells: the stored table, or a frame of networks; failed ones are left out.
    """
    return [_lesson(one) for one in maps(cells[cells["status"] == "ok"])[:_MOST]]


def _lesson(one: Map) -> dict[str, Any]:
    table = one.table("test_accuracy")
    x, y = table.columns.to_numpy(float), table.index.to_numpy(float)
    across, down = (
        dict(zip(values, np.stack([e[:-1], e[1:]], 1), strict=True))
        for values, e in ((x, edges(x)), (y, edges(y)))
    )
    points = [
        {"sigma_w2": row["sigma_w2"], "depth": int(row["depth"]), "seeds": int(row["seeds"])}
        | {"across": _rounded(across[row["sigma_w2"]]), "down": _rounded(down[row["depth"]])}
        | {name: _number(row[name]) for name in ACCURACIES}
        for row in one.points.to_dict("records")
    ]
    curve = zip(*one.curve, strict=True)
    middle, least, most, count = one.factor
    return {
        "name": one.told or ", ".join(described(one)),
        "rule": one.rule,
        "points": points,
        "halves": {name: _half(one.table(name)) for name in ("test_accuracy", "train_accuracy")},
        "curve": [_rounded(point) for point in curve if math.isfinite(point[1])],
        "factor": [_number(value) for value in (middle, least, most)] if count else [],
        "critical": _number(one.critical),
    }


def _half(table: pd.DataFrame) -> list[list[list[float]]]:
    """Lines of points along which half of the inputs are right."""
    if not has_half(table.to_numpy(float)):
        return []
    ax = Figure().subplots()
    x, y = table.columns.to_numpy(float), table.index.to_numpy(float)
    drawn = ax.contour(x, y, table.to_numpy(float), levels=[HALF])
    return [[_rounded(point) for point in line] for line in drawn.allsegs[0]]


def _rounded(values: Iterable[float]) -> list[float]:
    return [_number(value) for value in values]


def _number(value: float) -> float:
    return float(f"{float(value):.5g}")
