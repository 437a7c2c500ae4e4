"""The axes that a preset and a command line name; one on the command line replaces the preset's."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep.base.checks import shown
from sweep.base.errors import RequestError
from sweep.base.registry import CUSTOM, TRANSFORMED
from sweep.experiment.axes import AXES, CHOICES, ENDS, choice_of
from sweep.experiment.language import grammar
from sweep.experiment.language.grammar import Typed

Options = Callable[[str], list[str]]  # of a config group


@dataclass(frozen=True)
class Span:
    """What one axis spans. keys: one, or several that vary together. columns: the values of each."""

    keys: tuple[str, ...]
    columns: tuple[list[Any], ...]

    def __len__(self) -> int:
        return len(self.columns[0])

    def rows(self) -> list[dict[str, Any]]:
        """One value for each key, time after time."""
        return [dict(zip(self.keys, row, strict=True)) for row in zip(*self.columns, strict=True)]

    def without(self, keys: Iterable[str]) -> "Span | None":
        """What it spans beside these keys; None where that is nothing."""
        left = {key: column for key, column in zip(self.keys, self.columns, strict=True) if key not in keys}
        if len(left) == len(self.keys):
            return self
        return Span(tuple(left), tuple(left.values())) if left else None


def named(overrides: Sequence[Typed], options: Options) -> list[Span]:
    """The axes that a command line names; what belongs to the whole run is none."""
    axes = [typed for typed in overrides if is_axis(typed.keys[0])]
    return [_span(typed.text, typed.keys, _values(typed, options)) for typed in axes]


def spanned(preset: str, axes: Mapping[str, Any], command: Sequence[Span], options: Options) -> list[Span]:
    """The axes of a preset that the command line does not replace, then those of the command line."""
    keys = {key for span in command for key in span.keys}
    replaced = set(keys)
    if "widths" in keys:
        replaced |= {"depth", "width"}
    elif keys & {"depth", "width"}:
        replaced.add("widths")
    found = [_preset_span(preset, str(key), value, options) for key, value in axes.items()]
    return [*(left for span in found if (left := span.without(replaced))), *command]


def is_axis(key: str) -> bool:
    """Whether a key is an axis, or a parameter of an option of one."""
    return key.partition(".")[0] in AXES or bool(choice_of(key))


def _preset_span(preset: str, key: str, value: Any, options: Options) -> Span:
    keys = tuple(name.strip() for name in key.split(","))
    for name in keys:
        if not is_axis(name):
            raise RequestError(f"grid={preset}: '{key}' is not an axis; axes: {', '.join(AXES)}")
    text = f"grid={preset}: {key}: {shown(value)}"
    if isinstance(value, str):
        try:
            (typed,) = grammar.parse([f"{key}={value}"])
        except RequestError as error:
            raise RequestError(f"grid={preset}: {error}") from None
        return _span(text, keys, _values(typed, options))
    values = value if isinstance(value, list) else [value]
    if len(keys) == 1:
        _check(text, key, values)
    return _span(text, keys, values)


def _values(typed: Typed, options: Options) -> list[Any]:
    key = typed.keys[0]
    if typed.override.value_type is not None and typed.override.is_interval_sweep():
        raise RequestError(
            f"{typed.text}: an interval has infinitely many values; list some, as in {key}=range(0,10,2)"
        )

    def choosable(group: str) -> list[str]:
        if group not in CHOICES:
            raise RequestError(f"{typed.text}: glob chooses among named options, and {key} has none")
        return [option for option in options(group) if option not in (CUSTOM, TRANSFORMED)]

    values = grammar.values(typed, choosable)
    if not typed.is_pair:
        _check(typed.text, key, values)
    return values


def _check(text: str, key: str, values: Sequence[Any]) -> None:
    if key in CHOICES and not all(isinstance(v, str) or (v is None and key in ENDS) for v in values):
        raise RequestError(f"{text}: {key} is chosen by name, as in {key}=…")
    if not values:
        raise RequestError(f"{text}: the axis is empty; give {key} at least one value")


def _span(text: str, keys: tuple[str, ...], values: list[Any]) -> Span:
    if len(keys) == 1:
        return Span(keys, (values,))
    rule = f"{len(keys)} keys that vary together take lists of {len(keys)} values: {grammar.EXAMPLE}"
    if not values:
        raise RequestError(f"{text}: the axis is empty; {rule}")
    for row in values:
        if not isinstance(row, list) or len(row) != len(keys):
            raise RequestError(f"{text}: {shown(row)} does not fit; {rule}")
        for key, value in zip(keys, row, strict=True):
            _check(text, key, [value])
    return Span(keys, tuple(map(list, zip(*values, strict=True))))
