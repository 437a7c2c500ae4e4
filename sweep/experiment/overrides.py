"""What is wrong with a command line, before Hydra composes anything from it."""

from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Sweep
from hydra.errors import HydraException

from sweep.base.checks import shown
from sweep.base.errors import RequestError, unknown
from sweep.base.meant import suggestion
from sweep.experiment.axes import GROUPS, KEYS, RUN_GROUPS, RUN_KEYS


def parse(arguments: Sequence[str]) -> list[Override]:
    """The overrides of a command line, in order; RequestError where the grammar is broken."""
    parser = OverridesParser.create()
    parsed = []
    for argument in arguments:
        try:
            parsed += parser.parse_overrides([argument])
        except ValueError as error:  # Python's, for a whole number of thousands of digits
            raise RequestError(f"cannot read '{shown(argument)}': no value has so many digits") from error
        except HydraException as error:
            lines = [
                line for line in str(error).splitlines() if line.strip(" ^~") and "See https" not in line
            ]
            key, equals, value = argument.partition("=")
            way_out = "write key=value, as in depth=20"
            if equals:
                way_out = f"quote a value of more than letters, digits and .-_/ as in '{key}=\"{value}\"'"
            raise RequestError(f"cannot read '{argument}' ({lines[-1].strip()}): {way_out}") from None
    return parsed


def checked(arguments: Sequence[str], multirun: bool) -> list[str]:
    """The arguments for Hydra; RequestError for a key that is unknown, given twice or out of place.

    Hydra does not know the parameters of schemes and activations: with `multirun` one becomes an axis of
    a single value, for the schemes that take it; without, it is added, and `Cell` checks it. An executor's
    settings are added too.
    """
    seen: set[str] = set()
    for_hydra = []
    for argument, override in zip(arguments, parse(arguments), strict=True):
        key = override.key_or_group
        if override.is_hydra_override():
            _check_hydra(override)
        else:
            _check_key(override)
            if key in seen:
                raise RequestError(f"{key} is given twice: give it once, as in {key}=a,b with -m")
            if override.is_sweep_override():
                _check_axis(override, multirun)
            elif key.startswith(tuple(f"{group}." for group in GROUPS)):
                value = argument.partition("=")[2]
                argument = f"{key}=choice({value})" if multirun else f"++{key}={value}"  # noqa: PLW2901
            elif key.startswith("executor."):  # checked by the executor's settings
                argument = f"++{argument.lstrip('+')}"  # noqa: PLW2901
            seen.add(key)
        for_hydra.append(argument)
    if "widths" in seen and seen & {"depth", "width"}:
        raise RequestError("widths replaces depth and width: give widths alone, or depth and width")
    return for_hydra


def _check_hydra(override: Override) -> None:
    """Raise RequestError where Hydra is given another sweeper or launcher."""
    key, line = override.key_or_group, override.input_line
    if key.startswith(("hydra/sweeper", "hydra.sweeper")) and override.value() != "grid":
        raise RequestError(f"{line}: -m runs a grid with this program's own sweeper: leave it out")
    if key.startswith(("hydra/launcher", "hydra.launcher")) and override.value() != "basic":
        raise RequestError(f"{line}: Hydra's launchers run no cells: use executor=local, dask or slurm")


def _check_key(override: Override) -> None:
    key, value = override.key_or_group, override.value()
    top, _, below = key.partition(".")
    if override.is_delete():
        raise RequestError(f"~{key}: no key can be removed; set it instead")
    if top not in KEYS:
        raise RequestError(f"unknown key '{top}': {suggestion(top, KEYS, 'key')}keys: {', '.join(KEYS)}")
    if value == "":
        raise RequestError(f"{key}= is empty: give {key} at least one value")
    if below and top == "verdict":
        from sweep.experiment.verdict import THRESHOLDS  # noqa: PLC0415  numpy, which --help does not need

        if below not in THRESHOLDS:
            raise unknown("verdict threshold", below, THRESHOLDS)
    if below and top not in (*GROUPS, "executor", "verdict"):
        raise RequestError(f"unknown key '{key}': '{top}' has no parts; set it as in {top}=…")
    by_name = not below and top in (*GROUPS, *RUN_GROUPS)
    if below == "name" or (by_name and not isinstance(value, (str, Sweep, Glob))):
        raise RequestError(f"{override.input_line}: {top} is chosen by name, as in {top}=…")


def _check_axis(override: Override, multirun: bool) -> None:
    key = override.key_or_group
    if not multirun:
        raise RequestError(f"{override.input_line}: several values make a grid: add -m to run it")
    if override.is_interval_sweep():
        raise RequestError(
            f"{override.input_line}: an interval has no end of values; name them, as in {key}=range(0,10,2)"
        )
    if key.split(".")[0] in (*RUN_KEYS, *RUN_GROUPS):
        raise RequestError(f"{override.input_line}: {key} belongs to the whole run: give it one value")
