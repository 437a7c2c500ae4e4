"""Which axis goes where: any axis of a study can be a figure's rows, columns, x or y."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sweep.base.errors import RequestError, unknown
from sweep.report.frames import labels
from sweep.report.frames.labels import SETTINGS, add_labels, by_interest
from sweep.report.frames.measures import Measure
from sweep.report.frames.parameters import varying
from sweep.report.frames.seeds import over_seeds
from sweep.report.frames.text import short

_LABELS = {"init": "init_label", "act": "act_label"}
_MAIN = ("init", "act", "depth", "width")
ROLES = ("rows", "cols", "x", "y")


@dataclass(frozen=True)
class Layout:
    """The axis in each role of a figure; None: this role is not used."""

    rows: str | None
    cols: str | None
    x: str
    y: str

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes in use."""
        return tuple(axis for axis in (self.rows, self.cols, self.x, self.y) if axis)


def choose(
    cells: pd.DataFrame,
    rows: str | None = None,
    cols: str | None = None,
    x: str | None = None,
    y: str | None = None,
) -> Layout:
    """The layout with these axes in these roles; the roles left open get the other axes that vary.

    Raises RequestError for an axis that does not exist or is named twice.
    """
    parameters = varying(cells)
    options = [*_MAIN, *SETTINGS, *parameters]
    given = {role: axis for role, axis in zip(ROLES, (rows, cols, x, y), strict=True) if axis is not None}
    for axis in given.values():
        if not isinstance(axis, str) or axis not in options:
            raise unknown("axis", axis, options)
    twice = [axis for axis in given.values() if list(given.values()).count(axis) > 1]
    if twice:
        raise RequestError(f"axis '{twice[0]}' is named twice: rows, cols, x and y are four different axes")
    sizes = _sizes(cells)
    if not given:
        # A single scheme's parameter that varies is a number to put on an axis.
        alone = cells["init"].nunique() == 1
        scales = [axis for axis in parameters if alone and axis.startswith("init.")]
        return suit(sizes, scales[0] if scales else None)
    # A role left open gets the axis that varies and fits it best; x and y get one even if none varies.
    preferred = {
        "x": ("width", "depth", "act", "init"),
        "y": ("depth", "width", "init", "act"),
        "cols": ("act", "init", "width", "depth"),
        "rows": ("init", "act", "depth", "width"),
    }
    for role, order in preferred.items():
        if role in given:
            continue
        free = [axis for axis in order if axis not in given.values()]
        taken = next((axis for axis in free if sizes[axis] > 1), free[0] if role in "xy" else None)
        if taken:
            given[role] = taken
    return Layout(given.get("rows"), given.get("cols"), given["x"], given["y"])


def suit(
    sizes: Mapping[str, int], scale: str | None = None, panels: float = math.inf, columns: float = math.inf
) -> Layout:
    """The layout that suits axes of so many values: panels of depth and width, or of other numbers that vary.

    scale: the axis of a single scheme's parameter, where that varies. panels, columns: how many of either
    there is room for; columns counts where there are no rows.
    """
    lengths = [axis for axis in ("depth", "width") if sizes[axis] > 1]
    settings = [axis for axis in ("bias_std", "batch") if sizes.get(axis, 1) > 1]
    numbers = [*([scale] if scale else []), *lengths, *settings]
    rows = None if scale or sizes["init"] == 1 else "init"
    layouts = []
    if len(lengths) == 2:
        layouts.append(Layout("init", "act", "width", "depth"))
    if len(numbers) >= 2:
        layouts.append(Layout(rows, "act", numbers[0], numbers[-1]))
    if sizes["init"] > 2 and sizes.get("bias_std", 1) > 2:
        layouts.append(Layout(None, "act", "init", "bias_std"))
    if lengths:
        layouts.append(Layout(None, "act", lengths[0], "init"))

    def fits(layout: Layout) -> bool:
        if layout.rows is None:
            return sizes["act"] <= columns
        return sizes[layout.rows] * sizes["act"] <= panels

    return next(filter(fits, layouts), Layout(None, None, "act", "init"))


def _sizes(cells: pd.DataFrame) -> dict[str, int]:
    """How many values each axis has, a scheme's or an activation's parameters apart."""
    frame = add_labels(cells)
    return {axis: int(frame[_LABELS.get(axis, axis)].nunique()) for axis in (*_MAIN, *SETTINGS)}


def assign_roles(cells: pd.DataFrame, layout: Layout, measure: Measure) -> pd.DataFrame:
    """The rows of `over_seeds` with columns `row`, `col`, `x`, `y` (values, '' where the role is not used)
    and `rest`, which names whatever else varies; the values in their natural order, schemes by interest.
    """
    apart = [axis for axis in layout.axes if axis not in _MAIN]
    frame = by_interest(over_seeds(cells, measure.name, apart)).reset_index(drop=True)
    axis_of = {"row": layout.rows, "col": layout.cols, "x": layout.x, "y": layout.y}
    for role, axis in axis_of.items():
        values = [""] * len(frame) if axis is None else frame[_LABELS.get(axis, axis)]
        frame[role] = labels.filled(pd.Series(values, frame.index))
    others = [axis for axis in _MAIN if axis not in layout.axes]
    others = [axis for axis in others if frame[_LABELS.get(axis, axis)].nunique() > 1]
    texts = frame["setting"]
    for axis in reversed(others):
        values = frame[_LABELS.get(axis, axis)].map(lambda value, axis=axis: title(axis, value))
        texts = values + ", " + texts
    return frame.assign(rest=texts.str.strip(", "))


def distinct(values: "pd.Series[Any]", axis: str | None) -> list[Any]:
    """The distinct values of a role: numbers ascending, names as they come."""
    if axis == "act":
        return labels.acts(values)
    names = list(dict.fromkeys(values))
    numbers = [value for value in names if isinstance(value, (int, float))]
    return sorted(numbers) + [name for name in names if name not in numbers]


def title(axis: str | None, value: Any) -> str:
    """A value with its axis, where the value alone does not say it: 'xavier', 'depth 5'."""
    if axis is None:
        return ""
    return str(value) if axis in _LABELS else f"{axis} {short(value)}"
