"""A table of results as labelled arrays: one dimension for every axis that varies (the extra `xarray`)."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sweep.base.errors import RequestError
from sweep.experiment.axes import ALL, BESIDE, BESIDE_COLUMNS, GROUPS, parameter_of
from sweep.experiment.ingredients.choices import KEY_OF
from sweep.store.query import axis_columns

if TYPE_CHECKING:
    import pandas as pd
    import xarray

_AXES = (*ALL, "layer")
_ALWAYS = ("init", "act", "depth", "width", "seed", "layer")  # dimensions even where there is one value
_NO_VALUE = "–"
_OF_MODELS: dict[str, Any] = {"act": _NO_VALUE, "width": 0}  # what stands for theirs among networks of ours
_FILES = ("input.file", "input.sha256")
_MOST_ENTRIES = 100_000_000  # of one variable: 800 MB
# What is neither an axis nor a measurement, or a list in every row.
_LEFT_OUT = (
    "cell_id",
    "init_params",
    "act_params",
    *BESIDE_COLUMNS,
    "verdict_thresholds",
    "run_id",
    "kernel_version",
    "histogram",
)


def to_xarray(frame: "pd.DataFrame") -> "xarray.Dataset":
    """The rows of `sweep.load` as a Dataset over init, act, depth, width, seed and whatever else varies.

    A scheme's parameters are axes of their own where there is only one scheme ('init.std'), otherwise part of
    its name ('normal std=0.1'); likewise for activations. Other axes with one value are coordinates without
    a dimension. Where there is no row, values are NaN or None. `verdicts` become strings, as in 'saturated,
    gradient-exploding'.
    frame: of pandas, of NumPy or of pyarrow, or polars', or an Arrow table.
    Raises RequestError where it is no such frame or xarray is not installed, where the frame lacks an axis,
    so that two rows fall into one place, and where the arrays would have more than a hundred million entries.
    """
    try:
        import xarray  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        raise RequestError("to_xarray needs xarray: pip install 'sweep[xarray]'") from None
    frame = _rows(frame)
    axes = _axes(frame)
    several = [name for name, values in axes.items() if name in _ALWAYS or values.nunique(dropna=False) > 1]
    entries = math.prod(axes[name].nunique(dropna=False) for name in several)
    if entries > _MOST_ENTRIES:
        sizes = " × ".join(f"{axes[name].nunique(dropna=False):,} {name}" for name in several)
        raise RequestError(
            f"{len(frame):,} rows would be arrays of {entries:,} entries ({sizes}): take fewer with filters=…"
        )
    columns = {name: _values(frame[name]) for name in map(str, frame) if _is_variable(frame, name)}
    table = frame.iloc[:, :0].assign(**{name: axes[name] for name in several}, **columns)
    if table.duplicated(several).any():
        raise RequestError(
            f"two rows have the same {', '.join(several)}: pass a frame of sweep.load with all axes, "
            "each cell once (versions='newest')"
        )
    made = table.set_index(several).to_xarray()
    return made.assign_coords({name: values.iloc[0] for name, values in axes.items() if name not in several})


def _rows(given: object) -> "pd.DataFrame":
    from sweep.store.query.given import of_numpy  # noqa: PLC0415  pandas

    frame = of_numpy(given)
    missing = [name for name in GROUPS if frame is None or name not in frame]
    if frame is None or missing:
        has_not = f" (this frame has no {', '.join(missing)})" if frame is not None else ""
        raise RequestError(f"to_xarray: pass rows of sweep.load, a DataFrame{has_not}")
    return frame


def _axes(frame: "pd.DataFrame") -> "dict[str, pd.Series[Any]]":
    """By name, what each row has on every axis."""
    if frame.empty:
        raise RequestError("there are no rows to turn into arrays")
    axes: dict[str, pd.Series[Any]] = {}
    own = []
    ends = [column for column in BESIDE if column in frame and frame[column].notna().any()]
    for group in (*(group for group in GROUPS if group in frame), *ends):
        parameters = [name for name in map(str, frame) if name.startswith(f"{KEY_OF[group]}.")]
        parameters = [name for name in parameters if frame[name].nunique(dropna=False) > 1]
        if set(_FILES) <= set(parameters):  # each tells the other, unless a file changed
            several = frame.groupby(_FILES[0])[_FILES[1]].nunique().max() > 1
            parameters.remove(_FILES[0] if several else _FILES[1])
        axes[group] = frame[group]
        if frame[group].nunique(dropna=False) == 1 and frame[parameters].notna().all(axis=None):
            own += parameters
        else:
            axes[group] = _names(frame, group, parameters)
    axes |= {name: _values(frame[name]) for name in (*_AXES, *own) if name in frame}
    absent = {name for name in _OF_MODELS if name in axes and axes[name].isna().all()}
    axes |= {name: axes[name].fillna(value) for name, value in _OF_MODELS.items() if name in axes}
    return {name: values for name, values in axes.items() if name not in absent}


def _names(frame: "pd.DataFrame", group: str, parameters: Iterable[str]) -> "pd.Series[Any]":
    """'normal std=0.1' of each row: the scheme, and those of its parameters that vary."""
    names = frame[group].astype(object).fillna(_NO_VALUE)
    for name in parameters:
        parameter = parameter_of(name) or name.partition(".")[2]  # a model's is no key
        texts = {value: f" {parameter}={value}" for value in frame[name].dropna().unique()}
        names = names + frame[name].map(texts).astype(object).fillna("")
    return names


def _values(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """The column with texts for lists; an axis's null among them is a value like others."""
    import pandas as pd  # noqa: PLC0415

    first = next((value for value in column if value is not None), None)
    if first is None or isinstance(first, str) or not hasattr(first, "__len__"):
        return column
    words = column.name == "verdicts"
    texts = [_NO_VALUE if value is None else _listed(value, words) for value in column]
    return pd.Series(texts, column.index, dtype=object)


def _listed(values: Iterable[Any], words: bool) -> str:
    return ", ".join(values) if words else f"[{','.join(map(str, values))}]"


def _is_variable(frame: "pd.DataFrame", name: str) -> bool:
    known = name in (*GROUPS, *_AXES, *_LEFT_OUT) or axis_columns.is_parameter(name)
    return not known and bool(frame[name].notna().any())
