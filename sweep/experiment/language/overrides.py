"""What is wrong with a command line, before Hydra composes anything from it."""

import math
import re
import sys
from collections.abc import Sequence

from hydra.core.override_parser.types import Glob, Override, Sweep

from sweep.base.errors import RequestError, unknown
from sweep.base.meant import suggestion
from sweep.experiment.axes import (
    AXES,
    CHOICES,
    ENDS,
    KEYS,
    RUN_GROUPS,
    RUN_KEYS,
    choice_of,
    parameter_of,
)
from sweep.experiment.language import configs, grammar
from sweep.experiment.language.grammar import Typed

# Names, which are kept as they are typed: 2026_11_25 is no number here.
_NAME = re.compile(
    r"(\+{0,2}(?:study|root|input\.file|executor\.(?:partition|account|address|scheduler_file|sbatch\.[\w-]+)))"
    r"=(.*)",
    re.S,
)
_WITH_EXPONENT = re.compile(r"(?<![\w.])[+-]?(?:\d[\d_]*\.?\d*|\.\d+)e[+]?\d+(?![\w.])", re.IGNORECASE)
_GRAMMAR = re.compile(r"""['"(){}\[\],\\]""")  # what a name has only where somebody wrote grammar


def checked(arguments: Sequence[str], multirun: bool) -> list[str]:
    """The arguments for Hydra; RequestError for a key that is unknown, given twice or out of place.

    Hydra does not know the parameters of schemes and activations: with `multirun` one becomes an axis of
    a single value, for the schemes that take it; without, it is added, and `Cell` checks it. An executor's
    settings are added too. What Hydra's grammar lacks is wrapped (`grammar.handed`).
    """
    seen: set[str] = set()
    for_hydra = []
    for typed in grammar.parse([_named(argument) for argument in arguments]):
        if typed.override.is_hydra_override():
            _check_hydra(typed.override)
            for_hydra.append(typed.text)
            continue
        for key in typed.keys:
            _check_key(key, typed)
            if key in seen:
                raise RequestError(f"{key} is given twice: give it once, as in {key}=a,b with -m")
            seen.add(key)
        _check_numbers(typed)
        if typed.is_pair or typed.override.is_sweep_override():
            _check_axis(typed, multirun)
        for_hydra.append(_for_hydra(typed, multirun, len(for_hydra)))
    if "widths" in seen and seen & {"depth", "width"}:
        raise RequestError("widths replaces depth and width: give widths alone, or depth and width")
    return for_hydra


def _for_hydra(typed: Typed, multirun: bool, number: int) -> str:
    key, value = typed.keys[0], typed.text.partition("=")[2]
    of_group = key in ENDS or bool(parameter_of(key))
    if typed.is_pair or (typed.override.is_sweep_override() and "(" in value):
        return grammar.handed(typed, number)
    if typed.override.is_sweep_override():
        return typed.text
    if of_group and multirun:
        return grammar.handed(typed, number) if typed.override.value() is None else f"{key}=choice({value})"
    if of_group:
        return configs.chosen(key, value) if key in ENDS else f"++{key}={value}"
    if key.startswith("executor."):  # checked by the executor's settings
        return f"++{typed.text.lstrip('+')}"
    return typed.text


def _named(argument: str) -> str:
    """An argument, its value in quotes where it is a name that Hydra would read as something else."""
    found = _NAME.fullmatch(argument)
    if not found or _GRAMMAR.search(found[2]) or found[2].strip() in ("", "null"):
        return argument
    if grammar.is_plain(found[2]):
        return argument
    return grammar.quoted(found[1], found[2].strip())


def _check_hydra(override: Override) -> None:
    """Raise RequestError where Hydra is given another sweeper or launcher."""
    key, line = override.key_or_group, override.input_line
    if key.startswith("hydra.sweeper.params"):
        axis, value = key.removeprefix("hydra.sweeper.params").lstrip("."), str(line).partition("=")[2]
        axis = f"{axis}={value.strip(chr(34) + chr(39))}" if axis else "depth=1,2"
        raise RequestError(
            f"{line}: an axis is given by its key, as in -m {axis}, or in a line under 'axes:' of a preset, "
            "grid/NAME.yaml in the folder of --config-dir=…, chosen by grid=NAME"
        )
    if key.startswith(("hydra/sweeper", "hydra.sweeper")) and override.value() != "grid":
        raise RequestError(f"{line}: -m runs a grid with this program's own sweeper: leave it out")
    if key.startswith(("hydra/launcher", "hydra.launcher")) and override.value() != "basic":
        raise RequestError(f"{line}: Hydra's launchers cannot run cells: use executor=local, dask or slurm")


def _check_key(key: str, typed: Typed) -> None:
    override = typed.override
    top, below = choice_of(key), parameter_of(key)
    if not top:
        top, _, below = key.partition(".")
    _check_form(key, top, typed)
    if top == "experiment":
        raise RequestError(
            f"{typed.text}: an experiment is a preset here: grid/NAME.yaml with 'name:' and 'axes:' in the "
            "folder of --config-dir=…, chosen by -m grid=NAME"
        )
    if top == grammar.PAIR:
        raise RequestError(f"{typed.text}: name the keys that vary together, {grammar.EXAMPLE}")
    if top not in KEYS:
        raise RequestError(f"unknown key '{top}': {suggestion(top, KEYS, 'key')}keys: {', '.join(KEYS)}")
    if typed.is_pair and top not in AXES:
        raise RequestError(f"{typed.text}: {key} applies to the whole run: give it a single value, by itself")
    value = None if typed.is_pair else override.value()
    if value == "":
        raise RequestError(f"{key}= is empty: give {key} at least one value")
    if below and top == "verdict":
        from sweep.experiment.outcomes.verdict import THRESHOLDS  # noqa: PLC0415  numpy, which --help does not need

        if below not in THRESHOLDS:
            raise unknown("verdict threshold", below, THRESHOLDS)
    if below and top not in (*CHOICES, "executor", "verdict"):
        raise RequestError(f"unknown key '{key}': '{top}' has no sub-keys; set it as in {top}=…")
    by_name = not below and not typed.is_pair and top in (*CHOICES, *RUN_GROUPS)
    by_name &= not (value is None and top in ENDS)
    if below == "name" or (by_name and not isinstance(value, (str, Sweep, Glob))):
        raise RequestError(f"{typed.text}: {top} is chosen by name, as in {top}=…")


def _check_numbers(typed: Typed) -> None:
    """Raise RequestError for a number beyond all that a float64 holds, as it was typed."""
    value = typed.text.partition("=")[2]
    if '"' in value or "'" in value or _NAME.fullmatch(typed.text):
        return
    for number in _WITH_EXPONENT.findall(value):
        if math.isinf(float(number)):
            raise RequestError(
                f"{typed.text}: {number} is beyond the largest number that there is here, "
                f"{sys.float_info.max:.2g}: give a smaller one"
            )


def _check_form(key: str, top: str, typed: Typed) -> None:
    """Raise RequestError for forms of Hydra's that have another spelling here."""
    group, slash, folder = top.partition("/")
    if slash and group in CHOICES:
        raise RequestError(f"{typed.text}: choose it as {group}={folder}/{typed.text.partition('=')[2]}")
    if typed.override.is_add() and not typed.override.is_force_add() and key in KEYS:
        raise RequestError(f"{typed.text}: {key} is a key already: give it without the +")
    if typed.override.is_delete():
        raise RequestError(f"~{key}: keys cannot be removed; set it instead")


def _check_axis(typed: Typed, multirun: bool) -> None:
    key = typed.keys[0]
    if not multirun:
        raise RequestError(f"{typed.text}: several values make a grid: add -m to run it")
    if typed.override.is_interval_sweep():
        raise RequestError(
            f"{typed.text}: an interval has infinitely many values; list some, as in {key}=range(0,10,2)"
        )
    if key.split(".")[0] in (*RUN_KEYS, *RUN_GROUPS):
        raise RequestError(f"{typed.text}: {key} applies to the whole run: give it a single value")
