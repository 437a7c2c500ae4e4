"""What the page knows of a study: every network over its seeds, and its curves, as one JSON text."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex, to_rgb

from sweep.experiment.outcomes.verdict import ORDER, WORDS
from sweep.kernel.statistics.table import PREDICTED, STATISTICS
from sweep.report.figures.colours import DIVERGING, SEQUENTIAL, Scale, scale_of, takes_dark_ink
from sweep.report.frames import layout
from sweep.report.frames.labels import PANEL, SETTINGS, add_labels, by_interest, filled, settings_that_vary
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.networks import are_networks
from sweep.report.frames.seeds import average_over_seeds, by_layer, sampled
from sweep.report.frames.shortening import shortened
from sweep.report.frames.text import short
from sweep.report.page import plane, trained

_TITLES = {"init_label": "init", "act_label": "act"}
_FIRST = ("rms", "delta_rms", "std")  # the curves that are kept where not all find room
CURVES = (*_FIRST, *(name for name, one in STATISTICS.items() if one.curve and name not in _FIRST))
_MOST_NUMBERS = 240_000  # of all curves together: about 1.6 MB of text
_FEWEST_LAYERS = 8  # a curve with fewer points says nothing
_EMPTY, _INK = "#c9d1d8", "#14202b"  # a square without a value; what is written on light squares
_MOST_LETTERS = 26  # of a value beside the map
_MOST_NETWORKS = 20_000  # of which the page tells all: about 25 MB of text
_MOST_PANELS, _MOST_COLUMNS = 48, 6  # beyond, an axis is held at its greatest value


def networks(cells: pd.DataFrame) -> pd.DataFrame:
    """The rows of `average_over_seeds` for every statistic, what is of interest first.

    The seed is all that is averaged over.
    """
    frame = add_labels(cells)
    apart = settings_that_vary(frame)
    rows = average_over_seeds(add_labels(cells, apart), list(MEASURES.values()), apart)
    ranks = {name: _codes(rows[name]) for name in ("init_label", "act_label")}
    return by_interest(
        rows.sort_values(["depth", "width"], kind="stable").sort_values(
            list(ranks), key=lambda names: names.map(ranks[str(names.name)]), kind="stable"
        )
    )


def shown(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Those of `networks` that the page has room for, and what is left out; '' where nothing is."""
    axes = [*PANEL[:2], *(name for name in SETTINGS if name in rows), "depth", "width"]
    kept, told = sampled(rows, axes, _MOST_NETWORKS)
    return kept, f"{len(kept):,} of {len(rows):,} networks: {told}" if told else ""


def fitting(rows: pd.DataFrame, names: Sequence[str]) -> tuple[list[str], int]:
    """Those of the statistics whose curves a page of these networks holds, and of how many layers each."""
    spread = bool((rows["seeds"] > 1).any())
    depths, names = int((rows["depth"] + 1).sum()), list(names)

    def size() -> int:
        return depths * sum(1 + 2 * spread + (name in PREDICTED) for name in names)

    while len(names) > len(_FIRST) and size() > 2 * _MOST_NUMBERS:
        names.pop()
    most = _MOST_NUMBERS / size() * (rows["depth"].max() + 1) if names else 0
    return names, max(_FEWEST_LAYERS, int(most))


def payload(rows: pd.DataFrame, cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Any]:
    """The page's data.

    rows: from `networks`, or some of them. cells, layers: the stored tables, or frames of networks.
    """
    apart = [name for name in SETTINGS if name in rows]
    lengths = ["depth", "width"] if rows["width"].max() else ["depth"]  # models of one's own have no width
    columns = ["init_label", "act_label", *apart, *lengths]
    axes = {_TITLES.get(column, column): _axis(rows[column]) for column in columns}
    prefix, axes["init"] = _without_name(*axes["init"])
    measures = [measure for measure in MEASURES.values() if rows[f"value:{measure.name}"].notna().any()]
    sizes = {"width": 1} | {name: len(values) for name, (values, _) in axes.items()}
    # The axis `init` of a single scheme is its parameter.
    roles = layout.suit(sizes, "init" if prefix else None, _MOST_PANELS, _MOST_COLUMNS)
    ramps = {
        ramp.name: [to_hex(colour) for colour in ramp(range(ramp.N))] for ramp in (DIVERGING, SEQUENTIAL)
    }
    return {
        "axes": {name: values for name, (values, _) in axes.items()},
        "short": {
            name: list(shortened(values, _MOST_LETTERS).values()) for name, (values, _) in axes.items()
        },
        "codes": {name: codes for name, (_, codes) in axes.items()},
        "prefix": prefix,
        "seeds": rows["seeds"].tolist(),
        "failed": rows["failed"].tolist(),
        "measured": rows["measured"].tolist(),  # the gradients
        "verdict": [ORDER.index(word) for word in rows["verdict"]],
        "agree": _numbers(rows["agree"]),
        "measures": [
            {"name": m.name, "title": m.title, "scale": m.scale}
            | _colours(scale_of(m, rows[f"value:{m.name}"]))
            for m in measures
        ],
        "stats": {
            measure.name: {
                part: _numbers(rows[f"{part}:{measure.name}"])
                for part in ("value", "low", "high", "factor", "theory")
                if f"{part}:{measure.name}" in rows
            }
            for measure in measures
            if measure.name != "verdict"
        },
        "words": [
            {
                "word": word.name,
                "letter": word.letter,
                "colour": word.colour,
                "mark": word.mark,
                "told": word.told,
            }
            for word in WORDS.values()
        ],
        "ramps": ramps,
        "empty": _EMPTY,
        "inks": _inks([_EMPTY, *(word.colour for word in WORDS.values()), *chain(*ramps.values())]),
        "curves": _curves(rows, cells, layers, apart),
        "planes": plane.planes(cells, layers),
        "lessons": trained.lessons(cells),
        "layout": {role: axis or "" for role, axis in vars(roles).items()},
    }


def _colours(scale: Scale) -> dict[str, Any]:
    """A scale as the page draws it; ticks: each as a share of the ramp, and its text."""
    low, high = scale.ends
    ticks = [((tick - low) / (high - low), text) for tick, text in zip(scale.ticks, scale.texts, strict=True)]
    ramp = scale.colours.name
    return {"logarithmic": scale.logarithmic, "low": low, "high": high, "ramp": ramp, "ticks": ticks}


def _inks(colours: Sequence[str]) -> dict[str, str]:
    """The colour of the text on each colour."""
    dark = takes_dark_ink(np.array([to_rgb(colour) for colour in colours]), to_rgb(_INK))
    return {colour: _INK if is_dark else "#ffffff" for colour, is_dark in zip(colours, dark, strict=True)}


def _axis(values: "pd.Series[Any]") -> tuple[list[str], list[int]]:
    """The distinct values in order as text, no two alike, and the index of every row's own."""
    objects = filled(values)
    codes = _codes(objects)
    texts = list(map(short, codes))
    if len(set(texts)) < len(texts):
        texts = [repr(value) for value in codes]  # 1 and "1"
    return texts, [codes[value] for value in objects]


def _codes(values: "pd.Series[Any]") -> dict[Any, int]:
    """The distinct values in order, numbered; values: a column that is an axis."""
    distinct = layout.distinct(values, _TITLES.get(str(values.name)))
    return {value: code for code, value in enumerate(distinct)}


def _without_name(texts: list[str], codes: list[int]) -> tuple[str, tuple[list[str], list[int]]]:
    """The name of the one scheme whose parameter varies, and the axis with the parameter alone."""
    pairs = [text.split(" ") for text in texts]
    if len(texts) < 3 or len({pair[0] for pair in pairs}) > 1 or any(len(pair) != 2 for pair in pairs):
        return "", (texts, codes)
    return f"{pairs[0][0]} ", ([pair[1] for pair in pairs], codes)


def _curves(
    rows: pd.DataFrame, cells: pd.DataFrame, layers: pd.DataFrame, apart: Sequence[str]
) -> dict[str, Any]:
    """Every network's layers and the curves of every statistic, thinned to what a page can hold."""
    if are_networks(rows):
        layers = layers[layers["network"].isin(rows["network"])]
    columns = {name: f"value:{name}" if are_networks(layers) else name for name in CURVES}
    known = [name for name, column in columns.items() if column in layers and layers[column].notna().any()]
    names, keep = fitting(rows, known)
    if not names:
        return {"names": [], "layers": [], "thinned": False}
    spread = bool((rows["seeds"] > 1).any())
    points = by_layer(cells, layers, [MEASURES[name] for name in names], whole=True, apart=apart)
    keys = [*PANEL[:2], *apart, "depth", "width"]
    numbers = {key: number for number, key in enumerate(_keys(rows, keys))}
    points = points.assign(network=[numbers[key] for key in _keys(points, keys)])
    shown = {(n, layer) for n, depth in enumerate(rows["depth"]) for layer in _thinned(depth, keep)}
    points = points[[pair in shown for pair in zip(points["network"], points["layer"], strict=True)]]
    points = points.sort_values(["network", "layer"])
    split = np.searchsorted(points["network"], np.arange(len(rows) + 1))
    parts = ("value", "theory", *(("low", "high") if spread else ()))
    curves = {
        name: {
            part: _split(points[column], split)
            for part in parts
            if (column := f"{part}:{name}") in points and points[column].notna().any()
        }
        for name in names
    }
    thinned = bool(keep <= rows["depth"].max())
    return {"names": names, "thinned": thinned, "layers": _split(points["layer"], split), **curves}


def _keys(frame: pd.DataFrame, keys: Sequence[str]) -> list[tuple[str, ...]]:
    columns = [filled(frame[key]).map(str) for key in keys]
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
