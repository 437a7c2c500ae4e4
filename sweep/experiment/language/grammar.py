"""Overrides as they are typed, to values: Hydra's grammar, but for its ranges and its refusals.

Hydra sorts a range by changing its ends, which is wrong where the range does not land on them: here a range
is its numbers from the start. What cannot be read is explained in the words of who typed it.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hydra._internal.grammar.functions import Functions
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser, create_functions
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, Quote, QuotedString, Sweep

from sweep.base.checks import shown
from sweep.base.errors import RequestError
from sweep.base.meant import suggestion

MOST_VALUES = 10_000_000  # of an axis
PAIR = "pair"  # what Hydra is told instead of the keys of paired axes, which it cannot read
EXAMPLE = "as in 'width,batch=[64,100],[128,200]'"  # of such axes
_PLAIN = re.compile(r"[A-Za-z_/][\w./:@+-]*", re.ASCII)

_USAGE = {  # of Hydra's functions
    "range": "range(start,stop,step) with numbers",
    "choice": "choice(a,b,c)",
    "sort": "sort(3,1,2) or sort(range(0,10,2),reverse=true)",
    "shuffle": "shuffle(a,b,c) or shuffle(range(0,10))",
    "glob": "glob(*) or glob([a*,b*],exclude=c)",
    "int": "int(1.0,2.0)",
    "float": "float(1,2)",
    "str": "str(1,2)",
    "bool": "bool(0,1)",
    "tag": "tag(name,choice(a,b))",
    "interval": "range(start,stop,step): an interval has infinitely many values",
}
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_PAIRED = re.compile(r"[+~]*[\w./@$ -]+,[\w./@$ ,-]*")


@dataclass(frozen=True)
class Typed:
    """One override: the keys that it sets together, most often one, and Hydra's reading of their values.

    text: as it was typed.
    """

    keys: tuple[str, ...]
    override: Override
    text: str

    @property
    def is_pair(self) -> bool:
        return len(self.keys) > 1


@dataclass
class _Range(ChoiceSweep):
    """The numbers of a range."""


def parse(arguments: Sequence[str], loader: ConfigLoader | None = None) -> list[Typed]:
    """The overrides of a command line, in order; RequestError where one cannot be read."""
    parser = _parser(loader)
    return [_read(parser, argument) for argument in arguments]


def values(typed: Typed, options: Callable[[str], list[str]]) -> list[Any]:
    """What an override names, one after another; options: those of a config group."""
    override = typed.override
    given: Any = override.value()
    if isinstance(given, Glob):
        return given.filter(options(override.key_or_group))
    named: list[Any] = []
    if isinstance(given, _Range):
        named += given.list
    elif isinstance(given, ChoiceSweep):
        for value in given.list:
            named += value.list if isinstance(value, ChoiceSweep) else [_plain(value)]
    else:
        named.append(given)
    if not isinstance(given, _Range) and any(map(_holds_sweep, named)):
        raise RequestError(
            f"{typed.text}: range, sort and the like are several values; a list cannot hold them"
        )
    if isinstance(given, ChoiceSweep) and given.shuffle:
        import random  # noqa: PLC0415

        random.shuffle(named)
    return named


def _holds_sweep(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(_holds_sweep, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Sweep | Glob)


def handed(typed: Typed, number: int) -> str:
    """An axis as Hydra, which knows neither pairs nor our functions, can take it: `typed_again` undoes it."""
    return f"{PAIR}.{number}=choice({QuotedString(typed.text, Quote.single).with_quotes()})"


def typed_again(arguments: Sequence[str]) -> list[str]:
    """The overrides as they were typed, of what Hydra was handed."""
    parser = OverridesParser.create()
    return [
        str(next(parser.parse_override(argument).sweep_iterator()))
        if argument.startswith(f"{PAIR}.")
        else argument
        for argument in arguments
    ]


def is_plain(value: str) -> bool:
    """Whether Hydra reads this as the text that it is, without quotes."""
    return bool(_PLAIN.fullmatch(value)) and value.lower() not in ("true", "false", "null", "nan", "inf")


def quoted(key: str, value: str) -> str:
    """An override whose value is this text, whatever it looks like."""
    return f"{key}={QuotedString(value, Quote.single).with_quotes()}"


def _parser(loader: ConfigLoader | None) -> OverridesParser:
    functions = Functions()
    for name, function in create_functions().functions.items():
        functions.register(name, _OWN.get(name, function))
    return OverridesParser(functions=functions, config_loader=loader)


def _read(parser: OverridesParser, argument: str) -> Typed:
    key, equals, value = argument.partition("=")
    paired = bool(equals) and _PAIRED.fullmatch(key) is not None
    try:
        override = parser.parse_overrides([f"{PAIR}={value}" if paired else argument])[0]
    except Exception as error:  # the parser's own, assertions and recursion included
        raise RequestError(_why(argument, error)) from None
    keys = tuple(name.strip() for name in key.split(",")) if paired else (override.key_or_group,)
    override.input_line = argument
    return Typed(keys, override, argument)


def _why(argument: str, error: BaseException) -> str:
    """What is wrong with an argument that cannot be read, and what to write instead."""
    key, equals, value = argument.partition("=")
    cause: BaseException | None = error
    while cause:
        if isinstance(cause, RequestError):
            return f"{shown(argument)}: {cause}"
        if isinstance(cause, ValueError) and "digits" in str(cause):  # Python's, for thousands of them
            return f"cannot read '{shown(argument)}': a value cannot have so many digits"
        cause = cause.__cause__
    return f"cannot read '{shown(argument)}': {_way_out(key, equals, value)}"


def _way_out(key: str, equals: str, value: str) -> str:
    calls = re.findall(r"(\w+) ?\(", re.sub(r"""'[^']*'|"[^"]*\"""", "", value))
    unknown = next((name for name in calls if name not in _USAGE), None)
    if not equals:
        way_out = "write key=value, as in depth=20"
    elif re.search(r"\s", key):
        way_out = f"a key cannot contain spaces: write {shown(''.join(key.split()))}={shown(value.strip())}"
    elif not re.fullmatch(r"[+~]*[\w./@:$-]+", key):
        way_out = "a key is a name, as in depth=20"
    elif open_end := _open_end(value):
        way_out = open_end
    elif unknown:
        known = ", ".join(name for name in _USAGE if name != "interval")
        way_out = f"unknown function '{unknown}': {suggestion(unknown, _USAGE)}functions: {known}"
    elif calls:
        way_out = f"write {_USAGE[calls[0]]}"
    elif re.search(r"(^|,) *(,|$)", value):
        way_out = "a value is missing next to a comma"
    else:
        quoted = f"'{shown(key)}=\"{shown(value)}\"'"
        way_out = f"quote a value that contains more than letters, digits and .-_/, as in {quoted}"
    return way_out


def _open_end(value: str) -> str:
    """What of a value has no end, or no beginning; empty where all is in pairs."""
    opened: list[str] = []
    quote = ""
    signs = iter(value)
    for sign in signs:
        if sign == "\\":
            next(signs, None)
        elif quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in _CLOSING:
            opened.append(sign)
        elif sign in _CLOSING.values() and (not opened or _CLOSING[opened.pop()] != sign):
            return f"unmatched '{sign}'; quote a value that contains it"
    if quote:
        return f"the quote {quote} is never closed"
    return f"'{opened[-1]}' is never closed: its '{_CLOSING[opened[-1]]}' is missing" if opened else ""


def _plain(value: Any) -> Any:
    """A parsed value without the marks of its quotes."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return value


def _ranged(start: Any, stop: Any = None, step: Any = 1) -> _Range:
    """The numbers of a range as one would type them: 0.35, not 0.35000000000000003."""
    if stop is None:
        start, stop = 0, start
    ends = (start, stop, step)
    if not all(type(number) in (int, float) and math.isfinite(number) for number in ends):
        raise RequestError(f"not a range: write {_USAGE['range']}")
    if not step:
        raise RequestError("the step of a range must not be 0")
    first, last, each = (Decimal(str(number)) for number in ends)
    count = max(0, math.ceil((last - first) / each))
    if count > MOST_VALUES:
        raise RequestError(
            f"{count:,} values, but an axis takes {MOST_VALUES:,}: split it over several commands of a study"
        )
    if all(isinstance(number, int) for number in ends):
        return _Range(list=range(start, stop, step))  # type: ignore[arg-type]
    return _Range(list=[float(first + i * each) for i in range(count)])


def _choice(*values: Any) -> ChoiceSweep:
    if not values:
        raise RequestError("the choice is empty; give it at least one value")
    if len(values) == 1 and isinstance(values[0], ChoiceSweep):
        return values[0]
    return ChoiceSweep(list=list(values))


def _sort(*values: Any, sweep: Any = None, list: Any = None, reverse: bool = False) -> Any:
    given = [one for one in (*values, sweep, list) if one is not None]
    try:
        if len(given) == 1 and isinstance(given[0], ChoiceSweep):
            numbers = sorted(map(_plain, given[0].list), reverse=reverse)
            return _Range(list=numbers) if isinstance(given[0], _Range) else ChoiceSweep(list=numbers)
        if len(given) == 1:
            one = _plain(given[0])
            return sorted(one, reverse=reverse) if isinstance(one, type([])) else one
        return ChoiceSweep(list=sorted(map(_plain, given), reverse=reverse), simple_form=True)
    except TypeError:
        raise RequestError(
            f"these values cannot be sorted; sort takes numbers or strings: {_USAGE['sort']}"
        ) from None


_OWN: Mapping[str, Callable[..., Any]] = {"range": _ranged, "choice": _choice, "sort": _sort}
