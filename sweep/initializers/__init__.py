"""Weight initialization schemes: W = mean + std · Z, with Z from a distribution of unit variance.

Schemes of one distribution differ by mean and std alone, so the kernel draws Z once for all of
them. `python -m sweep.initializers` lists them. Adding one is a line in `schemes` and a file in
conf/init/; command line, report and tests pick it up from here.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from sweep.base import checks
from sweep.base.errors import RequestError, unknown
from sweep.initializers import schemes
from sweep.initializers.custom import Custom
from sweep.initializers.distributions import NORMAL, ORTHOGONAL, UNIFORM
from sweep.initializers.frameworks import jax, keras, torch
from sweep.initializers.scheme import Distribution, Entries, Scheme

__all__ = [
    "CUSTOM",
    "NORMAL",
    "ORTHOGONAL",
    "SCHEMES",
    "UNIFORM",
    "Distribution",
    "Scheme",
    "get",
    "names",
    "parameter_names",
    "parameters_of",
    "resolved",
    "stored",
]

SCHEMES: Entries = {**schemes.SCHEMES, **torch.SCHEMES, **keras.SCHEMES, **jax.SCHEMES}


CUSTOM = "custom"  # a user's own: not one scheme but any


def get(name: str, **parameters: Any) -> Scheme:
    """The scheme of that name, with its parameters validated.

    Raises RequestError for an unknown name, an unknown parameter or a bad value.
    """
    entry = _entry(name)
    checks.parameters("init", name, parameters, parameter_names(name))
    return entry(**parameters) if isinstance(entry, type) else entry


def names() -> tuple[str, ...]:
    """Those that `get` knows, but for a user's own."""
    return tuple(SCHEMES)


def resolved(init: str | Scheme | Callable[..., Any], parameters: Mapping[str, Any]) -> Scheme:
    """The scheme of a name, of a user's function f(rng, fan_in, fan_out, **parameters), or as it is."""
    if isinstance(init, str):
        return get(init, **parameters)
    return init if isinstance(init, Scheme) else Custom(init, parameters)


def stored(name: str, parameters: str) -> Scheme:
    """The scheme of a study's row, parameters as JSON; never a user's own, for a study runs no code.

    Raises RequestError for a user's own, and for what is no scheme here.
    """
    if name == CUSTOM:
        raise RequestError("a user's own scheme, which only a command or a call may name")
    return get(name, **checks.json_object("init_params", parameters))


def parameter_names(name: str) -> tuple[str, ...]:
    """The parameters that the scheme `name` takes."""
    entry = _entry(name)
    return tuple(f.name for f in fields(entry)) if isinstance(entry, type) else ()  # type: ignore[arg-type]


def parameters_of(name: str, scheme: Scheme) -> dict[str, Any]:
    """The values of those parameters in `scheme`, defaults included; plain enough for JSON."""
    return {key: getattr(scheme, key) for key in parameter_names(name)}


def _entry(name: str) -> Scheme | type[Scheme]:
    if not isinstance(name, str) or name not in {*SCHEMES, CUSTOM}:
        raise unknown("init", name, (*SCHEMES, CUSTOM))
    return Custom if name == CUSTOM else SCHEMES[name]
