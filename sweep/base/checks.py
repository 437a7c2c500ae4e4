"""One value against one rule: the value in its canonical type, or one clear line."""

import importlib.util
import json
import math
import re
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Any

from sweep.base.errors import RequestError, unknown
from sweep.base.meant import suggestion
from sweep.base.secrets import hidden

_MOST_SHOWN = 200
_NUMBER = r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?"
_LARGEST = 2**63 - 1  # what a column of the table holds
_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def whole(name: str, value: object, minimum: int) -> int:
    """`value` as an int from `minimum` to 2^63 - 1; 10.0, True and '10' are not whole numbers here."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < minimum:
        raise RequestError(f"{name}={_as_number(value)}: {name} must be a whole number, at least {minimum}")
    if int(value) > _LARGEST:
        raise RequestError(f"{name}={shown(value)}: {name} must be at most {_LARGEST}")
    return int(value)


def real(
    name: str, value: object, minimum: float = -math.inf, *, strictly: bool = False, below: float = math.inf
) -> float:
    """`value` as a finite float, at least `minimum` (above it if `strictly`) and below `below`."""
    rule = "a finite number"
    if minimum > -math.inf:
        rule += f" {'above' if strictly else 'of at least'} {minimum:g}"
    if below < math.inf:
        rule += f" and below {below:g}"
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    except OverflowError:  # a whole number beyond any float
        number = math.inf
    if not minimum <= number < below or math.isinf(number) or (strictly and number == minimum):
        raise RequestError(f"{name}={_as_number(value)}: {name} must be {rule}")
    return number + 0.0  # -0.0 and 0.0 are one value, hence one cell


def json_object(name: str, text: object) -> dict[str, Any]:
    """The object that a JSON text holds, all of its numbers finite."""
    try:
        parsed = json.loads(text if isinstance(text, str) else "", parse_constant=_not_finite)
        text_of(json.dumps(parsed, ensure_ascii=False))
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise RequestError(f"{name} must be a JSON object with a value for every name")
    return parsed


def storable(name: str, value: object) -> None:
    """Check that JSON can hold `value`; RequestError for a number that is not finite, or a lone surrogate."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            storable(name, key)
            storable(f"{name}.{key}", item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            storable(f"{name}[{number}]", item)
    elif isinstance(value, float):
        real(name, value)
    elif isinstance(value, str):
        try:
            text_of(value)
        except ValueError:
            message = f"{name}={shown(ascii(value))}: it holds half a character; choose another name"
            raise RequestError(message) from None


def text_of(value: object) -> str:
    """`value` as a text that UTF-8 can hold; ValueError for anything else, a lone surrogate included."""
    if not isinstance(value, str):
        raise ValueError("it is not text")
    value.encode()
    return value


def _not_finite(constant: str) -> float:
    raise ValueError(constant)


def memory(name: str, value: object) -> int:
    """`value`, a number and a unit as in '4GB', in bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([kMGT]B)", str(value))
    if not match or float(match[1]) == 0:
        raise RequestError(f"{name}={shown(value)}: give a number above 0 and a unit, as in {name}=4GB")
    return int(float(match[1]) * _UNITS[match[2]])


def flag(name: str, value: object) -> bool:
    """`value` as a bool."""
    if not isinstance(value, bool):
        raise RequestError(f"{name}={shown(value)}: {name} must be true or false")
    return value


def optional_text(name: str, value: object) -> str | None:
    """`value` as a text that is not blank, or None."""
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise RequestError(f"{name}={value}: {name} must be a string, or null")


def no_secret(text: str) -> None:
    """Raise RequestError, without repeating the secret, where a URL in a text holds one."""
    redacted = hidden(text)
    if redacted != text:
        url = re.search(r"[^\s'\"=]*\\*:\\*/[^\s'\",]*…[^\s'\",]*", redacted)
        raise RequestError(
            f"{url[0] if url else '…'}: a URL must not hold a user, a password or anything after a '?', "
            "as it is recorded with the results: supply credentials in the usual way (environment, "
            "credentials file, role)"
        )


def option(name: str, value: object, options: Collection[str]) -> str:
    """`value` if it is one of `options`."""
    if not isinstance(value, str) or value not in options:
        raise unknown(name, shown(value), options)
    return value


def widths(value: object) -> tuple[int, ...] | None:
    """The width of the input and of every layer; None for None."""
    if value is None:
        return None
    if isinstance(value, str) and value.startswith("["):
        raise RequestError(
            f"widths='{shown(value)}': quotes make it a string; write it without: widths={shown(value)}"
        )
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        raise RequestError(
            f"widths={shown(value)}: widths must list the width of the input and of every layer, "
            "as in [784,512,256]"
        )
    try:
        return tuple(whole("every width", width, 1) for width in value)
    except RequestError as error:
        raise RequestError(f"widths={shown(list(value))}: {str(error).partition(': ')[2]}") from error


def mapping(name: str, value: object) -> dict[str, Any]:
    """`value` as a dict with names for keys; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise RequestError(
            f"{name}={shown(value)}: {name} must be a dict of names and values, as in {{'std': 0.1}}"
        )
    return dict(value)


def named(group: str, value: object) -> None:
    """Check that an option of a config group is a mapping with a name, as every conf file is."""
    name = value.get("name") if isinstance(value, Mapping) else None
    if not isinstance(name, str) or not name:
        raise RequestError(f"the conf file chosen by {group}=… has no name: it needs a line 'name: …'")


def shown(value: object) -> str:
    """A value as it was given, on one line and cut after 200 characters."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    try:
        text = " ".join(str(value).split())
    except ValueError:  # a whole number of more digits than Python writes out
        return "a number of thousands of digits"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _as_number(value: object) -> str:
    """A value given for a number, with a hint where it is the text of one."""
    if isinstance(value, str) and re.fullmatch(_NUMBER, value):
        number = 'a variable of the environment as a number is "${oc.decode:${oc.env:…}}"'
        return f"'{value}' (a string, not a number; {number})"
    return shown(value)


def parameters(kind: str, name: str, given: Collection[str], allowed: Collection[str]) -> None:
    """Check that the init or act `name` takes every parameter in `given`."""
    for key in given:
        if key not in allowed:
            takes = f"its parameters: {', '.join(allowed)}" if allowed else "it takes none"
            raise RequestError(f"{kind} '{name}' has no parameter '{key}': {suggestion(key, allowed)}{takes}")


def torch(asked: str) -> None:
    """Check that torch is there, without importing it; asked: the function that needs it."""
    if importlib.util.find_spec("torch") is None:
        raise RequestError(f"{asked} needs torch, which is not installed: pip install 'sweep[torch]'")


def scikit_learn(asked: str, otherwise: str) -> None:
    """Check that scikit-learn is there, without importing it; otherwise: what does without."""
    if importlib.util.find_spec("sklearn") is None:
        raise RequestError(
            f"{asked}: it comes with scikit-learn, which is not installed: pip install 'sweep[train]', or "
            f"choose {otherwise}"
        )
