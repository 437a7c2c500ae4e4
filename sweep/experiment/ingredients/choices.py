"""What a config group of a cell may be: its options, and a choice among them as name and canonical JSON."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sweep import activations, initializers
from sweep.base import blocks, checks, inputs, training
from sweep.base.errors import RequestError
from sweep.base.registry import CUSTOM, Registry
from sweep.experiment.axes import ALL, END_COLUMNS, ENDS, LATER_GROUPS, MODEL
from sweep.initializers import Scheme

# The options of each config group that is an axis, by its column.
REGISTRIES: Mapping[str, Registry[Any]] = {
    registry.group: registry for registry in (initializers.REGISTRY, activations.REGISTRY)
}
OPTIONS: Mapping[str, Registry[Any]] = {
    **REGISTRIES,
    "block": blocks.REGISTRY,
    "train": training.REGISTRY,
    "input": inputs.REGISTRY,
    **dict.fromkeys(ENDS.values(), initializers.REGISTRY),
}
# The key of the command line for each of these columns.
KEY_OF = {name: name for name in (*REGISTRIES, *LATER_GROUPS, MODEL)} | {
    column: key for key, column in ENDS.items()
}


def ends(values: Mapping[str, Any], depth: int) -> dict[str, str | None]:
    """END_COLUMNS of plain values."""
    found: dict[str, str | None] = dict.fromkeys(END_COLUMNS)
    for key, column in ENDS.items():
        choice = values.get(key)
        if choice is None:
            continue
        if not isinstance(choice, Mapping) or "name" not in choice:
            raise RequestError(f"{key}.…: no scheme is chosen: choose one, as in {key}=normal")
        found[column], found[f"{column}_params"] = canonical(column, json.dumps(choice))
    if depth == 1 and found["last_init"] is not None:  # one layer, and it is the last
        found["first_init"] = found["first_init_params"] = None
    return found


@lru_cache(maxsize=4096)
def canonical(column: str, choice: str) -> tuple[str, str]:
    """The name of an option, and all of its parameters as JSON; choice: {name, parameters …}, as JSON."""
    parameters = json.loads(choice)
    name, registry, key = parameters.pop("name"), OPTIONS[column], KEY_OF[column]
    try:
        values = registry.parameters_of(name, registry.made(name, parameters))
        checks.storable(registry.group, values)
    except RequestError as error:
        raise error if key == registry.group else of_end(key, error) from None
    return name, json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def of_end(key: str, error: RequestError) -> RequestError:
    """What is wrong with a scheme of one layer alone, which takes itself for the init: as `key` names it."""
    return RequestError(re.sub(r"(?<![\w.])init(?=[ .])", key, str(error)))


def bias_std_of(init: str, init_params: str, value: Any, stored: bool = False) -> float | None:
    """What a cell with this scheme has for bias_std; stored: a row may be older than its scheme's biases."""
    registry = REGISTRIES["init"]
    if init in registry.entries:
        return bias_std_beside(registry.from_json(init, init_params), init, value, stored)
    if value is None and init != CUSTOM:  # of another program's, which may draw its own
        return None
    std: float = ALL["bias_std"].rule(value)
    return std


def bias_std_beside(scheme: Scheme, name: str, value: Any, stored: bool = False) -> float | None:
    """bias_std beside a scheme: None where it draws its layer's biases itself, and must be left alone."""
    own = scheme.bias is not None
    std: float = 0.0 if own and value is None else ALL["bias_std"].rule(value)
    if not own:
        return std
    if std and not stored:
        raise RequestError(
            f"bias_std={std:g}: init {name} draws its layer's biases itself, b ~ {scheme.bias_formula}: drop"
            f" bias_std, or choose an init that draws only weights, W ~ {scheme.formula}"
        )
    return std or None


@lru_cache(maxsize=4096)
def check_choice(column: str, registry: Registry[Any], name: Any, parameters: object) -> None:
    """Raise RequestError where a row's scheme, activation or block cannot have these parameters.

    Those of another program's may be anything.
    """
    values = checks.json_object(f"{column}_params", parameters)
    try:
        name = checks.text_of(name)
    except ValueError:
        name = ""
    if not name:
        raise RequestError(f"{column}_params={checks.shown(parameters)}: parameters without {column}")
    if name in registry.known():
        registry.made(name, values)
    elif name == CUSTOM:
        checks.parameters(registry.group, name, values, registry.parameter_names(name))
        texts = [values.get(key) for key in ("function", "derivative", "source")]
        named = isinstance(values.get("kwargs", {}), dict) and values.get("function")
        if not named or not all(isinstance(text, str | None) for text in texts):
            raise RequestError(f"{column}_params: a function of your own needs its name and its source")
