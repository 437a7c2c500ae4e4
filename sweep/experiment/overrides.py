"""What is wrong with a command line, before Hydra composes anything from it."""

from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Sweep
from hydra.errors import HydraException

from sweep.base.checks import shown
from sweep.base.errors import RequestError, suggestion, unknown
from sweep.experiment.axes import GROUPS, KEYS, RUN_GROUPS, RUN_KEYS


def parse(arguments: Sequence[str]) -> list[Override]:
    """The overrides of a command line, in order; RequestError where the grammar is broken."""
    parser = OverridesParser.create()
    parsed = []
    for argument in arguments:
        try:
            parsed += parser.parse_overrides([argument])
        except ValueError as error:  # Python's, where a whole number has thousands of digits
            raise RequestError(f"cannot read '{shown(argument)}': no value has so many digits") from error
        except HydraException as error:
            lines = [
                line for line in str(error).splitlines() if line.strip(" ^~") and "See https" not in line
            ]
            key, equals, value = argument.partition("=")
            way_out = (
                f"quote a value with other signs than letters, digits and .-_/ as in '{key}=\"{value}\"'"
            )
            way_out = way_out if equals else "write key=value, as in depth=20"
            raise RequestError(f"cannot read '{argument}' ({lines[-1].strip()}): {way_out}") from None
    return parsed


def checked(arguments: Sequence[str], multirun: bool) -> list[str]:
    """The arguments to hand to Hydra, once every key is known, given once and used where it may be.

    A scheme's or an activation's own parameter is not for Hydra to judge: with `multirun` it
    becomes an axis of one value, which waits for the scheme it belongs to; without, it is
    added, and `Cell` says what the scheme takes. An executor's settings are added too.
    """
    seen: set[str] = set()
    handed_on = []
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
            elif key.startswith("executor."):  # its settings say which they are
                argument = f"++{argument.lstrip('+')}"  # noqa: PLW2901
            seen.add(key)
        handed_on.append(argument)
    if "widths" in seen and seen & {"depth", "width"}:
        raise RequestError("widths replaces depth and width: give widths alone, or depth and width")
    return handed_on


def _check_hydra(override: Override) -> None:
    """That Hydra itself is left to do here what it is for."""
    key, line = override.key_or_group, override.input_line
    if key.startswith(("hydra/sweeper", "hydra.sweeper")) and override.value() != "grid":
        raise RequestError(f"{line}: -m runs a grid with the sweeper of this program: leave it away")
    if key.startswith(("hydra/launcher", "hydra.launcher")) and override.value() != "basic":
        raise RequestError(
            f"{line}: cells do not go to a launcher of Hydra's: use executor=local, dask or slurm instead"
        )


def _check_key(override: Override) -> None:
    key, value = override.key_or_group, override.value()
    top, _, below = key.partition(".")
    if override.is_delete():
        raise RequestError(f"~{key}: no key can be removed; set it instead")
    if top not in KEYS:
        raise RequestError(f"unknown key '{top}': {suggestion(top, KEYS)}keys: {', '.join(KEYS)}")
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
