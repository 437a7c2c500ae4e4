"""A grid from Python: the same request, the same run, and its cells as a frame."""

import contextlib
import inspect
import shlex
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sweep.base import checks
from sweep.base.errors import RequestError, StoreError, SweepWarning
from sweep.base.process import command, interrupts
from sweep.base.registry import CUSTOM
from sweep.execution import request
from sweep.execution.plan import shards
from sweep.experiment.axes import CHOICES, GROUPS, LATER_GROUPS
from sweep.experiment.ingredients.choices import KEY_OF
from sweep.experiment.language import conf, grammar
from sweep.experiment.language.overrides import checked
from sweep.experiment.language.spans import is_axis

if TYPE_CHECKING:
    import pandas as pd

_OF_FUNCTIONS = ("function", "derivative", "kwargs")  # what `custom` takes beside a function's own keywords


def run(
    *,
    init_params: Mapping[str, Any] | None = None,
    act_params: Mapping[str, Any] | None = None,
    first_init_params: Mapping[str, Any] | None = None,
    last_init_params: Mapping[str, Any] | None = None,
    block_params: Mapping[str, Any] | None = None,
    train_params: Mapping[str, Any] | None = None,
    input_params: Mapping[str, Any] | None = None,
    quiet: bool = False,
    **keys: Any,
) -> "pd.DataFrame":
    """Run a grid as `python -m sweep -m key=value …` does; returns its cells, a row each, as `load` has them.

    keys: those of the command line (`python -m sweep --help`), as in init=["xavier", "kaiming"], act="tanh",
    depth=[5, 10], seed=range(3), study="mine": a list is an axis, and axes that are not named are those of
    the preset (grid="standard"). Paired axes: **{"init,act": [["xavier", "tanh"], ["kaiming", "relu"]]}.
    first_init, last_init: the keys first.init and last.init, as in last_init=[None, "zeros"].
    init_params, act_params, first_init_params, last_init_params, block_params, train_params, input_params:
    parameters of schemes, activations, blocks, trainings and inputs, as in {"std": [0.01, 0.1]}. An executor
    or verdict with settings is a dict: executor={"name": "slurm", "partition": "debug"}.
    quiet: print nothing; otherwise progress, tables and the place of the report are shown.
    Inside a daemonic process, which may not start others, cells are computed one after another.
    Raises RequestError where the request is wrong, and then nothing ran. A cell that fails is a row.
    """
    import pandas as pd  # noqa: PLC0415

    from sweep.execution import pipeline  # noqa: PLC0415  rich, pyarrow: not for a wrong request
    from sweep.store import tables  # noqa: PLC0415
    from sweep.store.query import results  # noqa: PLC0415

    parameters = {
        "init": init_params,
        "act": act_params,
        "first_init": first_init_params,
        "last_init": last_init_params,
        "block": block_params,
        "train": train_params,
        "input": input_params,
    }
    arguments = list(_arguments(keys, parameters))
    with conf.refused():
        asked = request.grid_of(*_composed(checked(arguments, multirun=True)))
    record = asked.record(shlex.join(["python", "-m", "sweep", "-m", *arguments]))
    with command.quiet() if quiet else contextlib.nullcontext(), interrupts.raised():
        status = pipeline.run(asked.cells, asked.options, record, duplicates=asked.duplicates)
    if status == interrupts.ending(KeyboardInterrupt())[1]:
        raise KeyboardInterrupt
    if status == interrupts.ending(interrupts.Terminated())[1]:
        sys.exit(status)
    share = shards.share(asked.cells, asked.options.shard) if asked.options.shard else asked.cells
    try:
        stored = results.load(asked.options.path, thresholds=asked.options.thresholds)
    except StoreError:
        if not asked.options.dry_run:
            raise
        return pd.DataFrame(columns=tables.SCHEMAS["cells"].names)
    frame = stored[stored["cell_id"].isin({cell.id for cell in share})].reset_index(drop=True)
    if len(frame) < len(share) and not asked.options.dry_run:
        warnings.warn(
            f"{len(share) - len(frame):,} of {len(share):,} cells are not stored: call again to continue",
            SweepWarning,
            stacklevel=2,
        )
    return frame


def _composed(overrides: list[str]) -> tuple[Any, Any, list[str]]:
    """Hydra's loader, the config and its overrides, without touching what a caller may do with Hydra."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl  # noqa: PLC0415
    from hydra._internal.utils import create_config_search_path  # noqa: PLC0415
    from hydra.core.plugins import Plugins  # noqa: PLC0415
    from hydra.core.utils import setup_globals  # noqa: PLC0415
    from hydra.types import RunMode  # noqa: PLC0415
    from hydra.version import getbase, setbase  # noqa: PLC0415

    Plugins.instance()
    setup_globals()
    if getbase() is None:
        setbase("1.3")
    loader = ConfigLoaderImpl(create_config_search_path(str(conf.folder())))
    return loader, loader.load_configuration("config", overrides, RunMode.MULTIRUN), overrides


def _arguments(keys: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[str]:
    """The overrides of keyword arguments."""
    for name, value in keys.items():
        key = KEY_OF.get(name, name)
        if value is None and key in (*GROUPS, *LATER_GROUPS, "grid", "executor"):
            continue
        if key in CHOICES and isinstance(value, Mapping):
            raise RequestError(
                f"{name}={checks.shown(value)}: {name} is chosen by name; parameters go into {name}_params"
            )
        if functions := _functions(value) if key in CHOICES else []:
            others = [] if callable(value) else [one for one in value if not callable(one)]
            dotted = [_dotted(key, function) for function in functions]
            yield _override(key, [CUSTOM, *others] if others else CUSTOM)
            yield _override(f"{key}.function", dotted if len(dotted) > 1 else dotted[0])
        elif isinstance(value, Mapping) and key in ("executor", "verdict"):
            settings = dict(value)
            if "name" in settings:
                yield f"{key}={_text(key, settings.pop('name'))}"
            for setting, one in settings.items():
                yield f"{key}.{setting}={_text(setting, one)}"
        else:
            yield _override(key, value)
    for group, values in parameters.items():
        key, own = KEY_OF[group], bool(_functions(keys.get(group)))
        for name, value in checks.mapping(f"{group}_params", values).items():
            is_keyword = own and name not in _OF_FUNCTIONS  # as `propagate` takes them
            yield from _nested(f"{key}.kwargs.{name}" if is_keyword else f"{key}.{name}", value)


def _functions(value: Any) -> list[Callable[..., Any]]:
    """The functions among an option, or among several."""
    if callable(value):
        return [value]
    several = isinstance(value, Iterable) and not isinstance(value, str)
    return [one for one in value if callable(one)] if several else []


def _nested(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _nested(f"{key}.{name}", one)
    else:
        yield _override(key, value)


def _override(key: str, value: Any) -> str:
    several = not isinstance(value, str | Mapping) and isinstance(value, Iterable)
    if several and key == "widths":  # one network's is a list
        several = any(one is None or isinstance(one, Iterable) for one in value)
    if not several or not is_axis(key.partition(",")[0]):
        return f"{key}={_text(key, value)}"
    if hasattr(value, "__len__") and not len(value):
        raise RequestError(f"{key}={checks.shown(value)}: the axis is empty: give it at least one value")
    if isinstance(value, range):
        return f"{key}=range({value.start},{value.stop},{value.step})"
    return f"{key}=choice({','.join(_text(key, one) for one in value)})"


def _text(key: str, value: Any) -> str:
    """A value in Hydra's grammar."""
    if hasattr(value, "tolist"):  # NumPy's and pandas's
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value if grammar.is_plain(value) else grammar.quoted("", value)[1:]
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{_text(key, name)}:{_text(key, one)}' for name, one in value.items())}}}"
    if isinstance(value, Iterable):
        return f"[{','.join(_text(key, one) for one in value)}]"
    raise RequestError(f"{key}={checks.shown(value)}: give a number, a string, or a list of these")


def _dotted(key: str, function: Callable[..., Any]) -> str:
    """The name by which workers can import a function; RequestError where there is none."""
    module, name = inspect.getmodule(function), getattr(function, "__qualname__", "")
    if module is None or module.__name__ == "__main__" or getattr(module, name, None) is not function:
        raise RequestError(
            f"{key}={name or checks.shown(function)}: workers import a function by its name: put it into a "
            f"module, as in {key}=my_module.my_function"
        )
    return f"{module.__name__}.{name}"
