"""The lines of pandas that the page offers: they read this study, and set out what varies in it."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from sweep.experiment import axes
from sweep.experiment.ingredients.choices import OPTIONS
from sweep.report.frames import labels
from sweep.report.frames.labels import SETTINGS
from sweep.report.frames.own import are_models
from sweep.report.frames.parameters import varying

_GROUPS = ("init", "act")
_MAIN = (*_GROUPS, "depth", "width")
_ACROSS = ("depth", "width")  # else the last axis that varies
_LIST = "widths"


def snippet(path: str, cells: pd.DataFrame) -> str:
    """Python that reads the cells, and a median over the seeds by every axis that varies.

    path: the study's folder or URL. cells: the stored table.
    """
    cells = labels.whole(cells)
    frame = cells.assign(**{_LIST: cells[_LIST].map(str)})
    main = ("init", axes.MODEL) if are_models(cells) else _MAIN
    columns = [name for name in (*main, *SETTINGS) if frame[name].nunique(dropna=False) > 1]
    parameters = [name for name in varying(cells) if _is_plain(frame, name)]
    for name in parameters:
        frame[name] = _values(frame, name)
    spec = [*_MAIN, *(f"{column}_params" for column in OPTIONS), *SETTINGS]
    networks = len(frame[spec].drop_duplicates())
    if len(frame[[*columns, *parameters]].drop_duplicates()) < networks:  # what a list or a user's own tells
        parameters = []
        columns += [name for name in spec if name.endswith("_params") and frame[name].nunique() > 1]
    by = [*columns, *parameters] or [*main[:2], "depth"]
    by += ["init"] * (len(by) == 1 and by != ["init"]) + [main[1]] * (by == ["init"])
    across = next((name for name in _ACROSS if name in by), by[-1])
    value = next((name for name in ("std", "rms") if frame[name].notna().any()), "std")
    return "\n".join(
        [
            *(["import json"] if parameters else []),
            "import pandas as pd",
            f"cells = pd.read_parquet({_quoted(f'{path}/cells')}{', partitioning=None' * ('=' in path)})",
            *(_reading(name) for name in parameters),
            *([f'cells["{_LIST}"] = cells["{_LIST}"].map(str)'] if _LIST in by else []),
            f"by = {json.dumps(by, ensure_ascii=False)}",
            f"cells.groupby(by, dropna=False)[{_quoted(value)}].median().unstack({_quoted(across)})",
        ]
    )


def _is_plain(cells: pd.DataFrame, name: str) -> bool:
    """Whether the column of parameters holds it as a number or a text."""
    return not any(isinstance(value, (list, dict)) for value in _values(cells, name))


def _values(cells: pd.DataFrame, name: str) -> Sequence[Any]:
    column, parameter = _source(name)
    known = {text: json.loads(text).get(parameter) for text in cells[column].dropna().unique()}
    return [known.get(text) for text in cells[column]]


def _reading(name: str) -> str:
    column, parameter = _source(name)
    of = f"lambda text: json.loads(text).get({_quoted(parameter)})"
    of += ', na_action="ignore"' * (column in axes.BESIDE_COLUMNS)
    return f'cells[{_quoted(name)}] = cells["{column}"].map({of})'


def _source(name: str) -> tuple[str, str]:
    """The column that holds a parameter, and its name there."""
    group = axes.choice_of(name)
    return f"{axes.ENDS.get(group, group)}_params", axes.parameter_of(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
