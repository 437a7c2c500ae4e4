"""What the page knows of a study: every network over its seeds, and its curves, as one JSON text."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from sweep.experiment.verdict import ORDER, WORDS
from sweep.kernel.statistics.table import STATISTICS
from sweep.report.figures.curves import by_layer
from sweep.report.frames.labels import NONE, PANEL, SETTINGS, acts, labelled
from sweep.report.frames.measures import MEASURES, THEORY, Measure, measure
from sweep.report.frames.seeds import condensed
from sweep.report.frames.text import short

_TITLES = {"init_label": "init", "act_label": "act"}
_FIRST = ("rms", "delta_rms", "std")  # of the curves: what says most, should not all find room
_CURVES = (*_FIRST, *(name for name, one in STATISTICS.items() if one.curve and name not in _FIRST))
_MOST_NUMBERS = 240_000  # of all curves together: about 1.6 MB of text
_FEWEST_LAYERS = 8  # a curve with fewer points says nothing
_MOST_PANELS = 48  # drawn at once before the page holds depth and width at their greatest instead


def networks(cells: pd.DataFrame) -> pd.DataFrame:
    """The rows of `condensed` for every statistic, numbered; the seed is all that is averaged over."""
    frame = labelled(cells)
    apart = varying_settings(frame)
    rows = condensed(labelled(cells, apart), list(MEASURES.values()), apart)
    return rows.sort_values(["depth", "width"], kind="stable").sort_values(
        ["init_label", "act_label"], key=lambda names: names.map(_order(names)), kind="stable"
    )


def _order(names: "pd.Series[str]") -> dict[str, int]:
    distinct = acts(names.to_frame("act_label")) if names.name == "act_label" else list(dict.fromkeys(names))
    return {name: place for place, name in enumerate(distinct)}


def varying_settings(frame: pd.DataFrame) -> list[str]:
    """What varies beside init, act, depth, width and seed."""
    return [name for name in SETTINGS if frame[name].nunique(dropna=False) > 1]


def payload(rows: pd.DataFrame, cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Any]:
    """The page's data. rows: from `networks`; cells, layers: the stored tables."""
    apart = [name for name in SETTINGS if name in rows]
    columns = ["init_label", "act_label", *apart, "depth", "width"]
    axes = {_TITLES.get(column, column): _axis(rows[column]) for column in columns}
    prefix, axes["init"] = _without_name(*axes["init"])
    measures = [one for one in MEASURES.values() if _defined(rows, one)]
    return {
        "axes": {name: values for name, (values, _) in axes.items()},
        "codes": {name: codes for name, (_, codes) in axes.items()},
        "prefix": prefix,
        "seeds": rows["seeds"].tolist(),
        "failed": rows["failed"].tolist(),
        "verdict": [ORDER.index(word) for word in rows["verdict"]],
        "agree": _numbers(rows["agree"]),
        "measures": [{"name": one.name, "title": one.title, "scale": one.scale} for one in measures],
        "stats": {
            one.name: {
                part: _numbers(rows[f"{part}:{one.name}"])
                for part in ("value", "low", "high", "factor", "theory")
                if f"{part}:{one.name}" in rows
            }
            for one in measures
            if one.name != "verdict"
        },
        "words": [
            {"word": word.name, "letter": word.letter, "colour": word.colour, "mark": word.mark}
            for word in WORDS.values()
        ],
        "curves": _curves(rows, cells, layers, apart),
        "layout": _layout(axes),
    }


def _axis(values: "pd.Series[Any]") -> tuple[list[str], list[int]]:
    """The distinct values in order as text, and the place of every row's own."""
    filled = values.astype(object).fillna(NONE)
    distinct = list(dict.fromkeys(filled))
    if all(isinstance(value, (int, float)) for value in distinct):
        distinct.sort()
    elif values.name == "act_label":
        distinct = acts(filled.to_frame("act_label"))
    places = {value: place for place, value in enumerate(distinct)}
    return [short(value) for value in distinct], [places[value] for value in filled]


def _without_name(texts: list[str], codes: list[int]) -> tuple[str, tuple[list[str], list[int]]]:
    """The name of the one scheme whose parameter varies, and the axis with the parameter alone."""
    pairs = [text.split(" ") for text in texts]
    if len(texts) < 3 or len({pair[0] for pair in pairs}) > 1 or any(len(pair) != 2 for pair in pairs):
        return "", (texts, codes)
    return f"{pairs[0][0]} ", ([pair[1] for pair in pairs], codes)


def _layout(axes: Mapping[str, tuple[list[str], list[int]]]) -> dict[str, str]:
    size = {name: len(values) for name, (values, _) in axes.items()}
    if size["depth"] > 1 and size["width"] > 1 and size["init"] * size["act"] <= _MOST_PANELS:
        return {"rows": "init", "cols": "act", "x": "width", "y": "depth"}
    if size.get("bias_std", 1) > 2 and size["init"] > 2 and size["act"] <= 6:
        return {"rows": "", "cols": "act", "x": "init", "y": "bias_std"}
    one = "depth" if size["depth"] > 1 else "width"
    if size[one] > 1 and size["act"] <= 6:
        return {"rows": "", "cols": "act", "x": one, "y": "init"}
    return {"rows": "", "cols": "", "x": "act", "y": "init"}


def _defined(rows: pd.DataFrame, one: Measure) -> bool:
    return bool(rows[f"value:{one.name}"].notna().any()) if one.name != "verdict" else True


def _curves(
    rows: pd.DataFrame, cells: pd.DataFrame, layers: pd.DataFrame, apart: Sequence[str]
) -> dict[str, Any]:
    """Every network's layers and the curves of every statistic, thinned to what a page can hold."""
    names = [name for name in _CURVES if len(layers) and layers[name].notna().any()]
    spread = bool((rows["seeds"] > 1).any())
    parts = 1 + 2 * spread
    depths = int((rows["depth"] + 1).sum())

    def size(wanted: Sequence[str]) -> int:
        return depths * sum(parts + (f"{THEORY}{name}" in layers) for name in wanted)

    while len(names) > 3 and size(names) > 2 * _MOST_NUMBERS:
        names = names[:-1]
    keep = max(_FEWEST_LAYERS, int(_MOST_NUMBERS / max(1, size(names)) * (rows["depth"].max() + 1)))
    if layers.empty or not names:
        return {"names": [], "layers": [], "thinned": False}
    found = by_layer(cells, layers, [measure(name) for name in names], whole=True, apart=apart)
    keys = [*PANEL[:2], *apart, "depth", "width"]
    places = {key: place for place, key in enumerate(_keys(rows, keys))}
    found = found.assign(place=[places[key] for key in _keys(found, keys)])
    thin = [_thinned(depth, keep) for depth in rows["depth"]]
    wanted = {(place, layer) for place, shown in enumerate(thin) for layer in shown}
    found = found[[pair in wanted for pair in zip(found["place"], found["layer"], strict=True)]]
    found = found.sort_values(["place", "layer"])
    split = np.searchsorted(found["place"], np.arange(len(rows) + 1))
    curves: dict[str, Any] = {"names": names, "thinned": bool(keep <= rows["depth"].max())}
    curves["layers"] = _split(found["layer"], split)
    for name in names:
        columns = {"mid": name, "theory": f"{THEORY}{name}"}
        columns |= {"low": f"{name}_low", "high": f"{name}_high"} if spread else {}
        curves[name] = {
            part: _split(found[column], split)
            for part, column in columns.items()
            if column in found and found[column].notna().any()
        }
    return curves


def _keys(frame: pd.DataFrame, keys: Sequence[str]) -> list[tuple[str, ...]]:
    columns = [frame[key].astype(object).fillna(NONE).map(str) for key in keys]
    return list(zip(*columns, strict=True))


def _thinned(depth: int, keep: int) -> list[int]:
    return sorted({round(layer) for layer in np.linspace(0, depth, min(depth + 1, keep))})


def _split(values: "pd.Series[float]", split: "np.ndarray[Any, Any]") -> list[list[float]]:
    numbers = _numbers(values)
    return [numbers[a:b] for a, b in pairwise(split)]


def _numbers(values: "pd.Series[Any]") -> list[float]:
    """Six significant digits: rounded again to the three that are shown, they are still the right ones."""
    return [float(f"{value:.6g}") for value in values.astype(float)]


def as_script(data: Mapping[str, Any]) -> str:
    """A JavaScript literal, NaN and Infinity included, that ends no <script> whatever its texts hold."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
