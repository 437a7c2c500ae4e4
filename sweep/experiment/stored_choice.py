"""Whether a study's row names an option with parameters that a command line could have given it."""

from functools import lru_cache
from typing import Any

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.base.registry import CUSTOM, Registry


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
