"""Axes to cells: what the command line and a grid preset span.

An axis named on the command line replaces the preset's. Hydra composes once per option of init and act
where the options prove to change nothing but their own part of the config, else once per combination.
A spec then costs microseconds, and another seed next to nothing.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf

from sweep.base import checks
from sweep.base.errors import RequestError, unknown
from sweep.base.registry import CUSTOM
from sweep.experiment.axes import AXES, GROUPS
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import REGISTRIES, Spec

Axes = dict[str, list[Any]]

_MOST_VALUES = 10_000_000  # of an axis
_MOST_NETWORKS = 1_000_000  # not counting seeds: each is made and held on its own


def expand(
    loader: ConfigLoader,
    config: DictConfig,
    arguments: Sequence[str],
    named: Callable[[int], None] = lambda count: None,
) -> Cells:
    """The distinct cells of a grid: one block, its specs in the order of the axes.

    config: composed from the defaults and the overrides that are not axes.
    arguments: the command line's overrides. named: is given the number of cells named, duplicates included.
    """
    parser = OverridesParser.create(config_loader=loader)
    overrides = [o for o in parser.parse_overrides(list(arguments)) if not o.is_hydra_override()]
    axes = _axes(loader, config, parser, overrides)
    groups = {group: axes.pop(group, [config.hydra.runtime.choices[group]]) for group in GROUPS}
    fixed = [
        str(o.input_line) for o in overrides if not o.is_sweep_override() and o.key_or_group not in GROUPS
    ]
    bases = list(_compositions(loader, config, fixed, groups))
    for base in bases:
        for group in GROUPS:
            checks.named(group, base[group])
    _check_taken(bases, axes)
    axis = axes.pop("seed", None)
    networks = len(bases) * math.prod(map(len, axes.values()))
    if networks > _MOST_NETWORKS:
        raise RequestError(
            f"the axes name {networks:,} networks besides their seeds, and one command takes "
            f"{_MOST_NETWORKS:,}: cut an axis into several commands of one study"
        )
    referring = "${" in str(list(axes.values()))
    specs_by_seeds: dict[tuple[int, ...], list[Spec]] = defaultdict(list)
    for base in bases:
        named_seeds = axis or [base["seed"]]
        if any(isinstance(seed, str) for seed in named_seeds):
            named_seeds = [_resolved({**base, "seed": seed})["seed"] for seed in named_seeds]
        seeds = tuple(checks.whole("seed", seed, 0) for seed in named_seeds)
        spanned = _spanned(base, axes)
        specs_by_seeds[seeds] += map(Spec.of, map(_resolved, spanned) if referring else spanned)
    named(sum(len(seeds) * len(specs) for seeds, specs in specs_by_seeds.items()))
    return Cells.joined(
        Block(tuple(dict.fromkeys(specs)), tuple(dict.fromkeys(seeds)))
        for seeds, specs in specs_by_seeds.items()
    )


def _axes(
    loader: ConfigLoader, config: DictConfig, parser: OverridesParser, overrides: Sequence[Override]
) -> Axes:
    named = {override.key_or_group: override for override in overrides}
    if not OmegaConf.is_dict(config.grid.get("axes")):
        raise RequestError(
            f"grid={config.grid.name}: its conf file must have 'axes:' with a line for each axis"
        )
    preset = {str(key): _preset_axis(parser, str(key), value) for key, value in config.grid.axes.items()}
    if "widths" in named:
        preset = {key: axis for key, axis in preset.items() if key not in ("depth", "width")}
    elif named.keys() & {"depth", "width"}:
        preset.pop("widths", None)
    # What is not an axis (study, n_jobs …) is in `config` already.
    chosen = {key: o for key, o in (preset | named).items() if key.split(".")[0] in AXES}
    return {key: _values(loader, override) for key, override in chosen.items()}


def _preset_axis(parser: OverridesParser, key: str, value: Any) -> Override:
    if key.split(".", maxsplit=1)[0] not in AXES:
        raise RequestError(f"grid axis '{key}': an axis is one of {', '.join(AXES)}")
    if OmegaConf.is_config(value):
        text = OmegaConf.to_container(value)
        value = f"choice({','.join(map(str, text))})" if isinstance(text, list) else text
    override: Override = parser.parse_overrides([f"{key}={value}"])[0]
    return override


def _values(loader: ConfigLoader, override: Override) -> list[Any]:
    key = override.key_or_group
    glob: Any = override.value()
    values: list[Any]
    if isinstance(glob, Glob):
        if key not in GROUPS:
            raise RequestError(f"{override.input_line}: glob chooses among options, and {key} has none")
        values = glob.filter([option for option in _options(loader, key) if option != CUSTOM])
    elif override.is_interval_sweep():
        raise RequestError(f"{key}: an interval has no end of values; name them, as in {key}=range(0,10,2)")
    elif isinstance(glob, RangeSweep) and not glob.shuffle:
        values = _ranged(str(override.input_line), glob)
    elif override.is_sweep_override():
        values = [_unquoted(value) for value in override.sweep_iterator()]
    else:
        values = [override.value()]
    if key in GROUPS and not all(isinstance(value, str) for value in values):
        raise RequestError(f"{override.input_line}: {key} is chosen by name, as in {key}=…")
    if not values:
        raise RequestError(f"{override.input_line}: the axis is empty; give {key} at least one value")
    return values


def _ranged(line: str, given: RangeSweep) -> list[Any]:
    """The numbers of a range as one would type them: 0.35, not 0.35000000000000003."""
    start, stop, step = (Decimal(str(number)) for number in (given.start, given.stop, given.step))
    if not step:
        raise RequestError(f"{line}: the step of a range must not be 0")
    count = max(0, math.ceil((stop - start) / step))
    if count > _MOST_VALUES:
        raise RequestError(
            f"{line}: {count:,} values, and an axis takes {_MOST_VALUES:,}: cut it into several commands "
            "of one study"
        )
    whole = isinstance(given.range(), range)
    return [int(start + i * step) if whole else float(start + i * step) for i in range(count)]


def _unquoted(value: Any) -> Any:
    if isinstance(value, list):
        return [_unquoted(item) for item in value]
    return getattr(value, "text", value)


def _options(loader: ConfigLoader, group: str) -> list[str]:
    """Every option of a group, including those in its sub-folders."""
    options = loader.get_group_options(group, ObjectType.CONFIG)
    for folder in loader.get_group_options(group, ObjectType.GROUP):
        options += [f"{folder}/{option}" for option in _options(loader, f"{group}/{folder}")]
    return sorted(set(options))


def _compositions(
    loader: ConfigLoader, config: DictConfig, fixed: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    """The config as plain values, once per combination of the groups' options.

    fixed: the overrides that are not axes.
    """

    def composed(choice: Mapping[str, str]) -> DictConfig:
        chosen = [f"{group}={option}" for group, option in choice.items()]
        try:
            return loader.load_sweep_config(config, [*fixed, *chosen])
        except MissingConfigException as error:
            group, _, option = (error.missing_cfg_file or "").partition("/")
            raise unknown(group, option, _options(loader, group)) from error

    alone = {
        (group, option): plain(without_hydra(composed({group: option})), resolve=False)
        for group, options in groups.items()
        for option in options
    }
    base = plain(without_hydra(config), resolve=False)
    independent = all(
        {key for key in base | values if base.get(key) != values.get(key)} <= {group}
        and "${" not in str(values[group])
        for (group, _), values in alone.items()
    )
    for options in itertools.product(*groups.values()):
        choice = dict(zip(groups, options, strict=True))
        if independent:
            yield base | {group: alone[group, option][group] for group, option in choice.items()}
        else:
            yield plain(without_hydra(composed(choice)))


def _resolved(values: dict[str, Any]) -> dict[str, Any]:
    """The values with interpolations such as '${oc.env:STD}' resolved, as they are without -m."""
    return plain(OmegaConf.create(values))


def plain(config: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """A config as plain values; resolve: its interpolations too."""
    container = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def as_typed(config: Any) -> str:
    """A config, or a list, as YAML with its interpolations: ${oc.env:…} may stand for a secret."""
    return OmegaConf.to_yaml(config)


def without_hydra(config: DictConfig) -> DictConfig:
    """The program's own part of a composed config."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _spanned(base: Mapping[str, Any], axes: Axes) -> Iterator[dict[str, Any]]:
    """The product of the axes over `base`; a parameter is an axis only of the options that take it."""
    plain_axes = {key: values for key, values in axes.items() if "." not in key}
    nested_axes = {key: values for key, values in axes.items() if "." in key and _takes(base, key)}
    for nested in itertools.product(*nested_axes.values()):
        values = dict(base)
        for key, value in zip(nested_axes, nested, strict=True):
            group, *path = key.split(".")
            values[group] = _with(values[group], path, value)
        for combination in itertools.product(*plain_axes.values()):
            yield values | dict(zip(plain_axes, combination, strict=True))


def _check_taken(bases: Sequence[Mapping[str, Any]], axes: Axes) -> None:
    """Raise RequestError for an axis that is a parameter of none of the chosen options."""
    for key in axes:
        if "." in key and not any(_takes(base, key) for base in bases):
            group, parameter = key.split(".")[:2]
            names = list(dict.fromkeys(base[group]["name"] for base in bases))
            taken = {name: REGISTRIES[group].parameter_names(name) for name in names}
            if len(names) == 1:
                checks.parameters(group, names[0], [parameter], taken[names[0]])
            listed = "; ".join(f"{name}: {', '.join(own) or 'none'}" for name, own in taken.items())
            raise RequestError(f"no chosen {group} has a parameter '{parameter}'; their parameters: {listed}")


def _takes(base: Mapping[str, Any], key: str) -> bool:
    group, parameter = key.split(".")[:2]
    return parameter in REGISTRIES[group].parameter_names(base[group]["name"])


def _with(values: Any, path: Sequence[str], value: Any) -> Any:
    """A copy of nested `values` with one of them replaced, or added."""
    if not path:
        return value
    values = values if isinstance(values, dict) else {}
    return values | {path[0]: _with(values.get(path[0]), path[1:], value)}
