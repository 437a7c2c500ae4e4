"""Which axis goes where: any axis of a study can be a figure's rows, columns, x or y."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sweep.base.errors import RequestError, unknown
from sweep.report.frames import labels
from sweep.report.frames.labels import NONE, SETTINGS, labelled
from sweep.report.frames.measures import Measure
from sweep.report.frames.seeds import condensed
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


def axes(cells: pd.DataFrame) -> list[str]:
    """What can be an axis of a figure of these cells."""
    return [*_MAIN, *SETTINGS, *labels.parameters(cells)]


def chosen(
    cells: pd.DataFrame,
    rows: str | None = None,
    cols: str | None = None,
    x: str | None = None,
    y: str | None = None,
) -> Layout:
    """The layout with these axes in these roles; the roles left open get the other axes that vary.

    Raises RequestError for an axis that does not exist or is named twice.
    """
    options = axes(cells)
    given = {role: axis for role, axis in zip(ROLES, (rows, cols, x, y), strict=True) if axis is not None}
    for axis in given.values():
        if not isinstance(axis, str) or axis not in options:
            raise unknown("axis", axis, options)
    twice = [axis for axis in given.values() if list(given.values()).count(axis) > 1]
    if twice:
        raise RequestError(f"axis '{twice[0]}' is named twice: rows, cols, x and y are four different axes")
    if not given:
        return _automatic(cells)
    # A role left open: what varies and fits it best, be it of one value for x and y.
    best = {
        "x": ("width", "depth", "act", "init"),
        "y": ("depth", "width", "init", "act"),
        "cols": ("act", "init", "width", "depth"),
        "rows": ("init", "act", "depth", "width"),
    }
    varying = _varying(cells)
    for role, order in best.items():
        if role in given:
            continue
        free = [axis for axis in order if axis not in given.values()]
        taken = next((axis for axis in free if axis in varying), free[0] if role in "xy" else None)
        if taken:
            given[role] = taken
    return Layout(given.get("rows"), given.get("cols"), given["x"], given["y"])


def _automatic(cells: pd.DataFrame) -> Layout:
    """The layout that suits these cells: panels of depth and width, or of whatever numbers vary instead."""
    varying = _varying(cells)
    sizes = [axis for axis in ("depth", "width") if axis in varying]
    if len(sizes) == 2:
        return Layout("init", "act", "width", "depth")
    # Of one scheme the parameter that varies is a number to put on an axis, as are these settings.
    alone = cells["init"].nunique() == 1
    scales = [axis for axis in labels.parameters(cells) if alone and axis.startswith("init.")][:1]
    settings = [name for name in ("bias_std", "batch") if cells[name].nunique() > 1]
    numbers = [*scales, *sizes, *settings]
    if len(numbers) >= 2:
        return Layout(None if scales or "init" not in varying else "init", "act", numbers[0], numbers[-1])
    if len(sizes) == 1:
        return Layout(None, "act", sizes[0], "init")
    return Layout(None, None, "act", "init")


def _varying(cells: pd.DataFrame) -> list[str]:
    """The main axes with more than one value."""
    frame = labelled(cells)
    return [axis for axis in _MAIN if frame[_LABELS.get(axis, axis)].nunique() > 1]


def arranged(cells: pd.DataFrame, layout: Layout, wanted: Sequence[Measure]) -> pd.DataFrame:
    """The rows of `condensed` with columns `row`, `col`, `x`, `y` (values, '' where the role is
    not used) and `rest`, which names whatever else varies; the values in their natural order.
    """
    apart = [axis for axis in layout.axes if axis not in _MAIN]
    frame = condensed(labelled(cells, apart), wanted, apart)
    for role, axis in zip(
        ("row", "col", "x", "y"), (layout.rows, layout.cols, layout.x, layout.y), strict=True
    ):
        values = [""] * len(frame) if axis is None else frame[_LABELS.get(axis, axis)]
        frame[role] = pd.Series(values, frame.index).astype(object).fillna(NONE)
    others = [axis for axis in _MAIN if axis not in layout.axes]
    others = [axis for axis in others if frame[_LABELS.get(axis, axis)].nunique() > 1]
    texts = frame["setting"]
    for axis in reversed(others):
        own = frame[_LABELS.get(axis, axis)].map(lambda value, axis=axis: titled(axis, value))
        texts = own + ", " + texts
    return frame.assign(rest=texts.str.strip(", "))


def ordered(values: "pd.Series[Any]", axis: str | None) -> list[Any]:
    """The distinct values of a role: numbers ascending, names as they come."""
    distinct = list(dict.fromkeys(values))
    if axis == "act":
        return labels.acts(values.to_frame("act_label"))
    numbers = [v for v in distinct if isinstance(v, (int, float))]
    return sorted(numbers) + [v for v in distinct if v not in numbers]


def titled(axis: str | None, value: Any) -> str:
    """A value with its axis, where the value alone does not say it: 'xavier', 'depth 5'."""
    if axis is None:
        return ""
    return str(value) if axis in _LABELS else f"{axis} {short(value)}"
