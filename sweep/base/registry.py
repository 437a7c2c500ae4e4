"""The options of a config group by name: what a name and its parameters stand for."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

from sweep.base import checks
from sweep.base.errors import RequestError, unknown

CUSTOM = "custom"  # a user's own function: not one option but any
TRANSFORMED = "transformed"  # an activation of others, of which one has to be named


class Option(Protocol):
    """What a registry gives: a value that knows its parameters, and how often it was corrected."""

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]:
        """(name, value) of each, defaults included; plain enough for JSON."""

    @property
    def revision(self) -> int:
        """1, and one more for every correction of its numbers."""


Kind = TypeVar("Kind", bound=Option)


@dataclass(frozen=True, eq=False)
class Registry(Generic[Kind]):
    """All schemes, or all activations.

    group: their config group, as in 'init'. noun: what one is called, as in 'scheme'. kind: their class.
    entries: name -> an option without parameters, or a callable that makes one of the parameters it takes.
    own: makes one of a user's function; None where there can be none. unnamed: such entries as a name alone
    does not tell: they need a parameter.
    """

    group: str
    noun: str
    kind: type[Kind]
    entries: Mapping[str, Kind | Callable[..., Kind]]
    own: Callable[..., Kind] | None
    unnamed: Mapping[str, Callable[..., Kind]] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """The names of which `get` needs nothing more: not a user's own."""
        return tuple(self.entries)

    def known(self) -> tuple[str, ...]:
        """The names of all that is this program's, and not a user's own."""
        return (*self.entries, *self.unnamed)

    def get(self, /, name: str, **parameters: Any) -> Kind:
        """The option `name`; RequestError for an unknown name, an unknown parameter or a bad value."""
        return self.made(name, parameters)

    def made(self, name: str, parameters: Mapping[str, Any]) -> Kind:
        """The same, from a mapping, whatever its keys."""
        entry = self._entry(name)
        checks.parameters(self.group, name, parameters, self.parameter_names(name))
        return entry if isinstance(entry, self.kind) else entry(**parameters)

    def resolved(self, option: str | Kind | Callable[..., Any], parameters: Mapping[str, Any]) -> Kind:
        """The option of a name, or of a user's function with these keyword arguments; an option as it is."""
        if isinstance(option, self.kind):
            return option
        if isinstance(option, str) or self.own is None:
            return self.made(str(option), parameters)
        return self.own(option, kwargs=parameters)

    @lru_cache(maxsize=8192)  # noqa: B019  a registry lives as long as the program
    def from_json(self, name: str, parameters: str) -> Kind:
        """The option that a cell names, its parameters as JSON."""
        return self.made(name, json.loads(parameters))

    def stored(self, name: str, parameters: str) -> Kind:
        """The option of a study's row, its parameters as JSON; RequestError where there is none.

        A user's own is refused: reading a study runs no code.
        """
        if name == CUSTOM:
            raise RequestError(f"{self.noun} of a user's own: only a command or a call can name it")
        checks.json_object(f"{self.group}_params", parameters)
        return self.from_json(name, parameters)

    def parameter_names(self, name: str) -> tuple[str, ...]:
        """The parameters that the option `name` takes."""
        entry = self._entry(name)
        return () if isinstance(entry, self.kind) else tuple(inspect.signature(entry).parameters)

    def parameters_of(self, name: str, option: Kind) -> dict[str, Any]:
        """Their values in `option`, defaults included; plain enough for JSON.

        But for those that came later: an option that has their defaults is, and is stored as, it was before.
        """
        values = dict(option.parameters)
        return {key: values[key] for key in self.parameter_names(name) if key in values}

    def filled(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a row, with the defaults of those that it does not name."""
        entry = self.entries.get(name)
        if not callable(entry) or isinstance(entry, self.kind):
            return dict(values)
        described = inspect.signature(entry).parameters.values()
        return {one.name: one.default for one in described if one.default is not one.empty} | dict(values)

    def _entry(self, name: str) -> Any:
        options = {**self.entries, **self.unnamed} | ({} if self.own is None else {CUSTOM: self.own})
        if not isinstance(name, str) or name not in options:
            raise unknown(self.group, name, options)
        return options[name]
