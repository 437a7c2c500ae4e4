"""A user's own function: found by its dotted name, and known by its source.

`module.function` is imported from wherever Python finds it, the working directory included.
"""

import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sweep.base.errors import RequestError, UserCodeError
from sweep.base.meant import suggestion

Keywords = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class UserFunction:
    """A callable with its keyword arguments; compared by name, arguments and source.

    source: a hash of the function's source, so that an edited function is another one; what it calls in
    turn is not part of it.
    """

    name: str
    keywords: Keywords
    source: str
    function: Callable[..., Any]

    @property
    def _identity(self) -> tuple[str, str, str]:
        return self.name, repr(self.keywords), self.source  # by repr, for 1 is not 1.0

    def __hash__(self) -> int:
        return hash(self._identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UserFunction) and self._identity == other._identity

    def __call__(self, *arguments: Any) -> Any:
        """What the function returns; UserCodeError, naming it, where it raises."""
        try:
            return self.function(*arguments, **dict(self.keywords))
        except Exception as error:
            raise UserCodeError(f"{self.name} raised {one_line(error)}") from error


def user_function(
    key: str,
    function: str | Callable[..., Any] | None,
    keywords: Mapping[str, Any],
    arguments: int,
    source: str | None = None,
) -> UserFunction:
    """The function of a dotted name, or a callable as it is.

    key: the setting that names it, as in 'init.function'. arguments: how many it is called with, besides
    the keywords. source: the hash of its source when the cell was planned. Raises RequestError where there
    is no such function, or where it cannot be called like that.
    """
    called = function if callable(function) else _dotted_function(key, function)
    name = function if isinstance(function, str) else _dotted(called)
    _check_signature(key, name, called, arguments, keywords)
    digest = _digest(called)
    if source is not None and source != digest:
        raise UserCodeError(f"{name} has changed since this cell was planned: its source differs")
    return UserFunction(name, tuple(sorted(keywords.items())), digest, called)


def _dotted_function(key: str, path: object) -> Callable[..., Any]:
    module_name, _, name = path.rpartition(".") if isinstance(path, str) else ("", "", "")
    rule = f"name a function with its module, as in {key}=my_module.my_function"
    return imported(key, path, module_name, name, rule)


def imported(key: str, path: object, module_name: str, name: str, rule: str) -> Callable[..., Any]:
    """What has this name in a module; RequestError where it is nothing to call.

    key, path: the setting, and its value as typed. rule: what it must be.
    """
    if not module_name or not name:
        raise RequestError(f"{key}={'null' if path is None else path}: {rule}")
    if os.getcwd() not in sys.path:  # noqa: PTH109  the console script does not look there by itself
        sys.path.append(os.getcwd())  # noqa: PTH109
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise RequestError(f"{key}={path}: cannot import {module_name} ({one_line(error)})") from error
    function: Callable[..., Any] | None = getattr(module, name, None)
    if function is None:
        hint = suggestion(name, [n for n, value in vars(module).items() if callable(value)])
        raise RequestError(f"{key}={path}: {module_name} has no '{name}'{hint and f'; {hint}'}".rstrip())
    if not callable(function):
        raise RequestError(f"{key}={path}: {name} is a {type(function).__name__}, not a function")
    return function


def _dotted(function: Callable[..., Any]) -> str:
    """The name that a command line would give it, from the module that defines it."""
    if not hasattr(function, "__qualname__"):
        return repr(function)
    module = getattr(function, "__module__", None)
    return f"{module}.{function.__qualname__}" if module else function.__qualname__


def one_line(error: BaseException) -> str:
    """Its type and message."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _check_signature(
    key: str, name: str, function: Callable[..., Any], arguments: int, keywords: Mapping[str, Any]
) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # a compiled function may not tell; its call will
        return
    try:
        signature.bind(*range(arguments), **keywords)
    except TypeError as error:
        raise RequestError(f"{key}={name}: {name}{signature} cannot be called here: {error}") from error


def _digest(function: Callable[..., Any]) -> str:
    inner = inspect.unwrap(getattr(function, "func", function))  # beneath functools.partial and wraps
    try:
        text = inspect.getsource(inner if inspect.isroutine(inner) else type(inner))
    except (OSError, TypeError):  # typed at a prompt, or compiled: its code, or else its name
        code = getattr(inner, "__code__", None)
        text = repr((code.co_code, code.co_consts, code.co_names)) if code else repr(inner).split(" at 0x")[0]
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
