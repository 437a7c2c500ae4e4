"""A frame of cells condensed for a table or a figure; what varies is shown, never averaged away.

The seed is the one axis that is averaged over. A *panel* is one init, act and setting, where
the setting names whatever else varies in the frame: bias_std, batch, dtype, tapered widths.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep import activations, initializers
from sweep.activations import ACTIVATIONS
from sweep.initializers import SCHEMES
from sweep.verdict import DEFAULT

if TYPE_CHECKING:
    import pandas as pd

PANEL = ("init_label", "act_label", "setting")
_SETTINGS = ("widths", "bias_std", "batch", "dtype", "backward", "kernel_version")
VANISHED, EXPLODED, SATURATED, SYMMETRIC, FAILED = "vanished", "exploded", "saturated", "symmetric", "failed"
MARKS = {VANISHED: "▼", EXPLODED: "▲", SATURATED: "■", SYMMETRIC: "=", FAILED: "×"}


def labelled(cells: "pd.DataFrame") -> "pd.DataFrame":
    """`cells` with the columns of PANEL added, in the registries' order of schemes and acts."""
    frame = cells.copy()
    for group in ("act", "init"):
        frame = frame.sort_values(f"{group}_params", key=_numeric_order, kind="stable")
    frame = frame.sort_values(["init", "act"], key=_registry_order, kind="stable")
    frame["widths"] = [w if w is None or isinstance(w, str) else _listed(w) for w in frame["widths"]]
    for group in ("init", "act"):
        frame[f"{group}_label"] = _named(frame, group)
    varying = [name for name in _SETTINGS if frame[name].nunique(dropna=False) > 1]
    frame["setting"] = [
        " ".join(
            f"{name}={_short(value)}" for name, value in zip(varying, row, strict=True) if value is not None
        )
        for row in zip(*(frame[name] for name in varying), strict=True)
    ] or ""
    return frame


def _listed(widths: Iterable[int]) -> str:
    return f"[{','.join(map(str, widths))}]"


def _registry_order(names: "pd.Series[str]") -> "pd.Series[int]":
    known = list(SCHEMES) if names.name == "init" else list(ACTIVATIONS)
    return names.map(lambda name: known.index(name) if name in known else len(known))


def acts(frame: "pd.DataFrame") -> list[str]:
    """The distinct `act_label`s of a frame, in the registry's order."""
    known = list(ACTIVATIONS)
    labels = dict.fromkeys(frame["act_label"])
    ranks = {
        label: known.index(name) if (name := label.split()[0]) in known else len(known) for label in labels
    }
    return sorted(labels, key=ranks.__getitem__)


def _numeric_order(parameters: "pd.Series[str]") -> "pd.Series[int]":
    """std=0.01 before std=0.1 before std=10, whatever their texts."""

    def key(text: str) -> list[tuple[bool, Any]]:
        values = json.loads(text).values()
        return [(False, v) if isinstance(v, (int, float)) else (True, json.dumps(v)) for v in values]

    ranks = {text: rank for rank, text in enumerate(sorted(parameters.unique(), key=key))}
    return parameters.map(ranks)


def _named(frame: "pd.DataFrame", group: str) -> list[str]:
    """'normal std=0.1': the name, and those parameters that vary in the frame or are not the default.

    A user's own goes by its function's name, and by its source where that was edited.
    """
    pairs = list(zip(frame[group], frame[f"{group}_params"], strict=True))
    seen: dict[tuple[str, str], set[str]] = {}
    flat = {}
    for name, text in dict.fromkeys(pairs):
        parameters = json.loads(text)
        title, values = parameters.pop("function", name), parameters.pop("kwargs", {}) | parameters
        flat[name, text] = name, title, values
        for key, value in values.items():
            seen.setdefault((title, key), set()).add(repr(value))
    labels = {}
    for pair, (name, title, values) in flat.items():
        usual = _defaults(group, name) | {"source": values.get("source")}
        shown = [
            f"{key}={_short(value)}"
            for key, value in values.items()
            if len(seen[title, key]) > 1 or usual.get(key) != value
        ]
        labels[pair] = " ".join([title, *shown])
    return [labels[pair] for pair in pairs]


@lru_cache(maxsize=256)
def _defaults(group: str, name: str) -> dict[str, Any]:
    if name == initializers.CUSTOM:
        return {}
    if group == "init":
        return initializers.parameters_of(name, initializers.get(name))
    return activations.parameters_of(name, activations.get(name))


def described(name: str, parameters: str) -> str:
    """An init or act with all of its parameters: 'normal std=0.1'; a user's own by its function's name."""
    values = json.loads(parameters)
    values.pop("source", None)
    shown = values.pop("kwargs", {}) | {key: value for key, value in values.items() if value is not None}
    return " ".join(
        [shown.pop("function", name), *(f"{key}={_short(value)}" for key, value in shown.items())]
    )


def _short(value: object) -> str:
    """A value in as few characters as tell it from any other."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))
    return str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)


def over_seeds(cells: "pd.DataFrame", value: str = "std") -> "pd.DataFrame":
    """One row per panel, depth and width: geometric mean of `value` over the seeds.

    Columns added: `value`, `factor` (exp of the standard deviation of its logarithm: 1 where all
    seeds agree), `seeds`, and `mark` (a key of MARKS, or '').
    """
    import pandas as pd  # noqa: PLC0415

    rows = []
    keys = [*PANEL, "depth", "width"]
    for key, group in labelled(cells).groupby(keys, sort=False):
        fine = group[group["status"] == "ok"]
        middle, factor = _geometric(fine[value].to_numpy(float))
        mark = _mark(fine)
        rows.append((*key, middle, factor, fine["seed"].nunique(), mark))
    return pd.DataFrame(rows, columns=[*keys, "value", "factor", "seeds", "mark"])


def _geometric(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> tuple[float, float]:
    if not len(values):
        return np.nan, np.nan
    with np.errstate(all="ignore"):
        logs = np.log(np.abs(values))
        return float(np.exp(logs.mean())), float(np.exp(logs.std())) if np.isfinite(logs).all() else np.nan


def _mark(cells: "pd.DataFrame") -> str:
    """What became of the signal forward; the inputs have rms 1, so rms is measured against that."""
    if cells.empty:
        return FAILED
    rms, _ = _geometric(cells["rms"].to_numpy(float))
    if not rms <= DEFAULT.exploding:
        return EXPLODED
    if rms < DEFAULT.vanishing:
        return VANISHED
    for word in (SYMMETRIC, SATURATED):
        if (cells["verdict"] == word).mean() > 1 / 2:
            return word
    return ""


def common(cells: "pd.DataFrame") -> str:
    """What all cells share, for a caption: 'batch 1000, dtype float32, bias_std 0'."""
    frame = labelled(cells)
    shared = [
        name for name in ("widths", "bias_std", "batch", "dtype") if frame[name].nunique(dropna=False) == 1
    ]
    values = {name: frame[name].iloc[0] for name in shared}
    return ", ".join(f"{name} {_short(value)}" for name, value in values.items() if value is not None)


def counted(seeds: "pd.Series[int]") -> str:
    """'5 seeds', '1 to 5 seeds'."""
    seeds = seeds[seeds > 0] if (seeds > 0).any() else seeds
    least, most = int(seeds.min()), int(seeds.max())
    return f"{most} seed{'s' if most != 1 else ''}" if least == most else f"{least} to {most} seeds"


@dataclass(frozen=True)
class DepthTable:
    """Final std by panel and depth, as text."""

    title: str
    caption: str
    keys: tuple[str, ...]
    depths: tuple[int, ...]
    rows: list[tuple[tuple[str, ...], tuple[str, ...]]]


def by_depth(cells: "pd.DataFrame", most_depths: int, spreads: bool = True) -> DepthTable:
    """The final std of every panel at up to `most_depths` depths, at the panel's greatest width.

    spreads: with the spread over the seeds behind every value.
    """
    frame = over_seeds(cells)
    frame = frame[frame["width"] == frame.groupby(list(PANEL))["width"].transform("max")]
    depths = spread(sorted(frame["depth"].unique()), most_depths)
    keys = ["init_label", "act_label"]
    keys += ["setting"] if frame["setting"].any() else []
    same_width = frame["width"].nunique() == 1
    keys += [] if same_width else ["width"]
    rows = []
    for key, panel in frame.groupby(keys, sort=False):
        at = {row["depth"]: _cell_text(row, spreads) for _, row in panel.iterrows()}
        texts = tuple(at.get(depth, "") for depth in depths)
        assert isinstance(key, tuple)
        rows.append((tuple(str(name) for name in key), texts))
    widths = cells["width"].nunique()
    where = f"width {frame['width'].iloc[0]}" if same_width else "each row's greatest width"
    where += f" (of {widths} widths)" if same_width and widths > 1 else ""
    marks = [f"{MARKS[name]} {name}" for name in MARKS if (frame["mark"] == name).any()]
    return DepthTable(
        title=f"std of the last layer at {where}, geometric mean over {counted(frame['seeds'])}",
        caption="  ".join([common(cells), *marks]),
        keys=tuple(key.removesuffix("_label") for key in keys),
        depths=tuple(int(depth) for depth in depths),
        rows=rows,
    )


def spread(values: Sequence[int], most: int) -> list[int]:
    """At most `most` of the values, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i)] for i in np.linspace(0, len(values) - 1, most)]


def number(value: float, digits: int = 4) -> str:
    """A statistic in so many significant digits, fewer far out; '·' where it is not defined."""
    if np.isnan(value):
        return "·"
    if value == 0 or np.isinf(value):
        return f"{value:g}"
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:.{max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))}f}"
    return f"{value:.{min(digits, 2) - 1}e}"


def _cell_text(row: "pd.Series[Any]", spreads: bool) -> str:
    text = number(row["value"], 3)
    if spreads and row["seeds"] > 1 and np.isfinite(row["factor"]) and np.isfinite(row["value"]):
        text += f" ±{100 * (row['factor'] - 1):.0f}%"
    return text + MARKS.get(row["mark"], " ")
