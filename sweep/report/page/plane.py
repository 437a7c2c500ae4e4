"""Order and chaos on the page: what the figure `phase` shows, as the numbers that the page draws."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sweep.report.figures import phase
from sweep.report.frames.labels import description

_LINE = 25  # points of the critical line


def planes(cells: pd.DataFrame, layers: pd.DataFrame) -> list[dict[str, Any]]:
    """Every sigma_w × bias_std plane of a study: its name, its points, and the critical line chi1 = 1.

    cells, layers: the stored tables; failed cells are left out. A point's cosine is null where it says
    nothing: where the signal vanishes.
    """
    found = []
    for plane, act in phase.planes(cells[cells["status"] == "ok"]):
        first = plane.iloc[0]
        points = phase.points(plane, layers, act)
        line = phase.critical_line(act, np.linspace(0, points["sigma_b"].max(), _LINE))
        names = (description(first[group], first[f"{group}_params"]) for group in ("init", "act"))
        found.append(
            {
                "name": " × ".join((first["init"], list(names)[1])),
                "sizes": f"depth {first['depth']}, width {first['width']}, batch {first['batch']}",
                "depth": int(first["depth"]),
                "points": [_point(point) for point in points.to_dict("records")],
                "line": line.to_numpy(float).tolist(),
            }
        )
    return _told_apart(found)


def _point(point: Mapping[Any, Any]) -> dict[str, Any]:
    numbers = {
        "sigma_w": point["sigma_w"],
        "sigma_b": point["sigma_b"],
        "cosine": math.nan if point["fades"] else point["cosine"],
        "chi1": point["chi1"],
        "layers": point["depth_c"],
        "theory": point["theory_c"],
    }
    return {name: float(f"{value:.6g}") for name, value in numbers.items()} | {"seeds": int(point["seeds"])}


def _told_apart(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The planes with a number behind the names that several have."""
    names = [plane["name"] for plane in found]
    for index, name in enumerate(names):
        if names.count(name) > 1:
            found[index]["name"] = f"{name} ({names[: index + 1].count(name)})"
    return found
