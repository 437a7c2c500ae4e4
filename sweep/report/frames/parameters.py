"""The parameters of schemes, activations and blocks, as a study's columns of JSON have them."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from sweep.experiment.cell import KEY_OF, OPTIONS
from sweep.report.frames.text import short

if TYPE_CHECKING:
    import pandas as pd

NONE = "–"  # a cell without a value on an axis: its scheme has no such parameter
_DIGITS = 8  # of a file's sha256
OWN = ("function", "source", "derivative")  # of a user's own: no axes, it is told apart by its label
_TOLD = (*OWN, "sha256")  # no parameters where a row does not have them


def varying(cells: "pd.DataFrame") -> list[str]:
    """The parameters that vary in a frame: 'init.std', 'act.negative_slope' …"""
    found: list[str] = []
    for group in (group for group in OPTIONS if group in cells):
        pairs = cells[[group, f"{group}_params"]].drop_duplicates()
        flat = [filled_of(group, *pair) for pair in pairs.itertuples(index=False)]
        names = dict.fromkeys(name for values in flat for name in values if name not in OWN)
        found += [
            f"{KEY_OF[group]}.{name}"
            for name in names
            if len({json.dumps(values[name]) for values in flat if name in values}) > 1
        ]
    return found


def filled_of(group: str, name: str | None, text: str | None) -> dict[str, Any]:
    """The parameters of an option, with the defaults of those that are not stored; {} of no option."""
    if not isinstance(name, str) or not isinstance(text, str):
        return {}
    values = OPTIONS[group].filled(name, {})
    return {key: value for key, value in values.items() if key not in _TOLD} | flat_of(text)


def flat_of(text: str) -> dict[str, Any]:
    """The parameters in a column's text, a user's keywords among them: 'kwargs.source' beside 'source'."""
    values: dict[str, Any] = json.loads(text)
    if {"file", "sha256"} <= set(values):  # its name, and what tells its content
        values["file"] = f"{PurePath(str(values['file'])).name}#{str(values.pop('sha256'))[:_DIGITS]}"
    keywords = values.pop("kwargs", {})
    if not isinstance(keywords, dict):
        return values
    taken = {*OWN, "kwargs"}
    # 'kwargs.source' may be a keyword too, of a function that takes any: it is 'kwargs.kwargs.source'.
    return values | {
        f"kwargs.{key}" if key in taken or key.startswith("kwargs.") else key: keywords[key]
        for key in keywords
    }


def values_of(flat: Sequence[Mapping[str, Any]], parameter: str) -> list[Any]:
    """That parameter of each, None where there is none: numbers, or else texts, all different."""
    texts = [json.dumps(values[parameter]) if parameter in values else None for values in flat]
    distinct = {text: json.loads(text) for text in dict.fromkeys(texts) if text is not None}
    if not all(type(value) in (int, float) for value in distinct.values()) or (
        len(set(distinct.values())) < len(distinct)
    ):
        words = {text: short(value) for text, value in distinct.items()}
        alike = len({*words.values(), NONE}) <= len(words)
        distinct = {text: text if alike else words[text] for text in distinct}
    return [None if text is None else distinct[text] for text in texts]


@lru_cache(maxsize=256)
def defaults(group: str, name: str) -> dict[str, Any]:
    """What an option's parameters are unless given; {} of a user's own, or another program's."""
    registry = OPTIONS[group]
    known = name in registry.names()
    return registry.filled(name, registry.parameters_of(name, registry.get(name))) if known else {}
