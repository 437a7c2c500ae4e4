"""The parameters of schemes, activations and blocks, as a study's columns of JSON have them."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from sweep.base.errors import RequestError
from sweep.base.registry import TRANSFORMED
from sweep.experiment.ingredients.choices import KEY_OF, OPTIONS
from sweep.report.frames.text import short

if TYPE_CHECKING:
    import pandas as pd

OF_TRANSFORM = ("of", "method")  # of a transformed activation: they are its name
NONE = "–"  # a cell without a value on an axis: its scheme has no such parameter
_DIGITS = 8  # of a file's sha256
_OF_MODEL = {"inputs", "source"}  # the parameters of a model of one's own, which stands for an act
OWN = ("function", "source", "derivative")  # of a user's own: no axes, it is told apart by its label
_TOLD = (*OWN, "sha256")  # no parameters where a row does not have them


def varying(cells: "pd.DataFrame") -> list[str]:
    """The parameters that vary in a frame: 'init.std', 'act.negative_slope' …"""
    found: list[str] = []
    for group in (group for group in OPTIONS if group in cells):
        pairs = cells[[group, f"{group}_params"]].drop_duplicates()
        flat = [(pair[0], filled_of(group, *pair)) for pair in pairs.itertuples(index=False)]
        names = dict.fromkeys(name for _, values in flat for name in values if name not in OWN)
        found += [f"{KEY_OF[group]}.{name}" for name in names if _varies(name, flat)]
    return found


def _varies(name: str, flat: Sequence[tuple[Any, Mapping[str, Any]]]) -> bool:
    """Whether a parameter is an axis: of a transformed activation its target alone, of one that has several.

    flat: an option's name, and its parameters.
    """
    found: dict[Any, set[str]] = {}
    for option, values in flat:
        if name in values and not (option == TRANSFORMED and name in OF_TRANSFORM):
            title = title_of(option, values)[0] if option == TRANSFORMED else None
            found.setdefault(title, set()).add(json.dumps(values[name]))
    return any(len(values) > 1 for values in found.values())


def title_of(option: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What an option is called, and the parameters that its name does not tell: 'gelu, tat' and the target.

    A user's own goes by its function's name.
    """
    told = dict(values)
    if option == TRANSFORMED and {*OF_TRANSFORM} <= told.keys():
        return ", ".join(str(told.pop(name)) for name in OF_TRANSFORM), told
    return str(told.pop("function", option)), told


def filled_of(group: str, name: str | None, text: str | None) -> dict[str, Any]:
    """The parameters of an option, with the defaults of those that are not stored; {} of no option."""
    if not isinstance(name, str) or not isinstance(text, str):
        return {}
    values = OPTIONS[group].filled(name, {})
    return {key: value for key, value in values.items() if key not in _TOLD} | flat_of(text)


def flat_of(text: str) -> dict[str, Any]:
    """The parameters in a column's text, a user's keywords among them: 'kwargs.source' beside 'source'."""
    values: dict[str, Any] = json.loads(text)
    if values.keys() >= _OF_MODEL:
        values["inputs"] = " ".join(map(_of_input, values["inputs"]))
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


def _of_input(given: Mapping[str, Any]) -> str:
    """'64×3×32×32', and what it holds where that is not float32."""
    dtype = f" {given['dtype']}" if given["dtype"] != "float32" else ""
    return "×".join(map(str, given["shape"])) + dtype


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
def defaults(group: str, name: str, text: str) -> dict[str, Any]:
    """What an option's parameters are unless given, beside those that name it; {} where they are not known.

    That is of a user's own, and of another program's. text: its parameters, as a column has them.
    """
    registry = OPTIONS[group]
    if (
        values := flat_of(text)
    ).keys() >= _OF_MODEL:  # a model of one's own is told by its name and what varies
        return values
    if name in registry.unnamed:
        values = flat_of(text)
        naming = {key: values[key] for key in OF_TRANSFORM if key in values}
        with contextlib.suppress(RequestError):
            return dict(registry.made(name, naming).parameters)
    known = name in registry.names()
    return registry.filled(name, registry.parameters_of(name, registry.get(name))) if known else {}
