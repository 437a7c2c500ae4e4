"""Values and counts in the words that people read."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_T = TypeVar("_T")


def short(value: object) -> str:
    """A value in as few characters as tell it from any other."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(float(value))
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, (bool, np.bool_)) else str(value)


def counted(seeds: "pd.Series[int]") -> str:
    """'5 seeds', '1 to 5 seeds'."""
    seeds = seeds[seeds > 0] if (seeds > 0).any() else seeds
    least, most = int(seeds.min()), int(seeds.max())
    return f"{most} seed{'s' if most != 1 else ''}" if least == most else f"{least} to {most} seeds"


def spread(values: Sequence[_T], most: int) -> list[_T]:
    """At most `most` of the values, evenly spread, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i)] for i in np.linspace(0, len(values) - 1, most)]


_BLOCKS = "▁▂▃▄▅▆▇█"
_LEAST_DECADES = 1.0  # over which a profile rises from the lowest block to the highest


def profile(values: Sequence[float], most: int) -> str:
    """A sparkline of positive values on a logarithmic scale; '·' where one is not defined, '!' not finite."""
    shown = [values[i] for i in spread(range(len(values)), most)]
    logs = [math.log10(value) if 0 < value < math.inf else math.nan for value in shown]
    known = [log for log in logs if not math.isnan(log)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    margin = max(0.0, _LEAST_DECADES - (high - low)) / 2
    low, high = low - margin, high + margin
    signs = []
    for value, log in zip(shown, logs, strict=True):
        if math.isnan(log):
            signs.append("▁" if value == 0 else "!" if math.isinf(value) else "·")
        else:
            signs.append(_BLOCKS[min(len(_BLOCKS) - 1, int((log - low) / (high - low) * len(_BLOCKS)))])
    return "".join(signs)


def number(value: float, digits: int = 4) -> str:
    """A statistic in so many significant digits, fewer far out; '·' where it is not defined."""
    if np.isnan(value):
        return "·"
    if value == 0 or np.isinf(value):
        return f"{value:g}"
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:.{max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))}f}"
    return f"{value:.{min(digits, 2) - 1}e}"


def cells(number: int) -> str:
    """A number of cells as people say it."""
    return "1 cell" if number == 1 else f"{number:,} cells"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 1:
        return "less than a second"
    if seconds < 120:
        return f"about {seconds:.0f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"about {minutes:.0f} min" if minutes < 120 else f"about {hours:.1f} h"


def between(least: float, most: float) -> str:
    """A time that is known within two bounds, in seconds, as people say it: '8 to 30 s'."""
    if most < 1:
        return duration(most)
    (low, small), (high, large) = _in_units(least), _in_units(most)
    if least < 1:
        return f"up to {high} {large}"
    if (low, small) == (high, large):
        return f"about {high} {large}"
    return f"{low} to {high} {large}" if small == large else f"{low} {small} to {high} {large}"


def _in_units(seconds: float) -> tuple[str, str]:
    """A time in seconds, minutes or hours, no finer than an estimate: by fives from 20 on, then tens."""
    size, unit = (1, "s") if seconds < 120 else (60, "min") if seconds < 7200 else (3600, "h")
    number = seconds / size
    step = 1 if number < 20 else 5 if number < 100 else 10
    return f"{step * round(number / step):,}", unit


def si(number: float) -> str:
    """A number in thousands, millions …: '1.2 M'."""
    power = 0
    while number >= 1000 and power < 5:
        number, power = number / 1000, power + 1
    prefix = ("", "k", "M", "G", "T", "P")[power]
    return f"{number:.0f} {prefix}" if number >= 10 or not prefix else f"{number:.1f} {prefix}"
