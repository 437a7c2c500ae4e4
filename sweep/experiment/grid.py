"""Axes to cells: what the command line and a grid preset span.

An axis named on the command line replaces the preset's. Hydra composes once per option of init and act
where the options prove to change nothing but their own part of the config, else once per combination.
A spec then costs microseconds, and another seed next to nothing.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from sweep.base import checks
from sweep.base.errors import RequestError, unknown
from sweep.experiment.axes import AXES, GROUPS, RUN_GROUPS, RUN_KEYS
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import REGISTRIES, Spec
from sweep.experiment.language import grammar, spans
from sweep.experiment.language.spans import Span

Axes = dict[str, list[Any]]
Compose = Callable[[Mapping[str, str]], dict[str, Any]]  # the config of one option of each group

_MOST_NETWORKS = 1_000_000  # not counting seeds: each is made and held on its own
_VARIES = "???"  # OmegaConf's sign for a value that is not there


def expand(
    loader: ConfigLoader,
    config: DictConfig,
    arguments: Sequence[str],
    named: Callable[[int], None] = lambda count: None,
) -> Cells:
    """The distinct cells of a grid; the arguments are those of `Grid.read` and `Grid.cells`."""
    return Grid.read(loader, config, arguments).cells(named)


@dataclass(frozen=True)
class Grid:
    """A request with -m.

    config: as composed from the defaults and the overrides that are not axes. axes: those of one key each.
    pairs: those of several. compose: the config as plain values for one option of each group.
    """

    config: DictConfig
    axes: Axes
    pairs: tuple[Span, ...]
    compose: Compose

    @classmethod
    def read(cls, loader: ConfigLoader, config: DictConfig, arguments: Sequence[str]) -> "Grid":
        """What a command line asks for; arguments: its overrides, as Hydra was handed them."""
        typed = grammar.parse(grammar.typed_again(arguments), loader)
        overrides = [one for one in typed if not one.override.is_hydra_override()]
        preset = config.grid
        if not OmegaConf.is_dict(preset.get("axes")):
            raise RequestError(
                f"grid={preset.name}: its conf file must have 'axes:' with a line for each axis"
            )

        def options(group: str) -> list[str]:
            return _options(loader, group)

        of_preset = plain(preset.axes, resolve=False)
        found = spans.spanned(preset.name, of_preset, spans.named(overrides, options), options)
        axes = {span.keys[0]: span.columns[0] for span in found if len(span.keys) == 1}
        pairs = tuple(span for span in found if len(span.keys) > 1)
        chosen = {
            group: list(dict.fromkeys(_column(group, axes, pairs) or [config.hydra.runtime.choices[group]]))
            for group in GROUPS
        }
        fixed = [
            one.text
            for one in overrides
            if not one.is_pair
            and not one.override.is_sweep_override()
            and one.keys[0].partition(".")[0] not in GROUPS
        ]
        compose = _composing(loader, config, fixed, chosen)
        return cls(without_hydra(config), axes | {group: chosen[group] for group in GROUPS}, pairs, compose)

    def settings(self) -> dict[str, Any]:
        """The values of the whole run; RequestError for one that refers to what differs between its cells."""
        values = plain(self.config, resolve=False)
        keys = [*RUN_KEYS, *RUN_GROUPS]
        if not any(_refers(values[key]) for key in keys if key != "grid"):
            return {key: values[key] for key in keys}
        columns = dict(self.axes)
        for pair in self.pairs:
            columns |= dict(zip(pair.keys, pair.columns, strict=True))
        first = self.compose({group: columns[group][0] for group in GROUPS})
        for group in GROUPS:
            several = len(set(columns.pop(group))) > 1
            values[group] = dict.fromkeys(values[group] | first[group], _VARIES) if several else first[group]
        for key, column in columns.items():
            group, *path = key.split(".")
            same = all(value == column[0] for value in column)
            values[group] = _with(values[group], path, column[0] if same else _VARIES)
        config = OmegaConf.create(values)
        return {key: _of_the_run(config, key) for key in keys}

    def cells(self, named: Callable[[int], None] = lambda count: None) -> Cells:
        """The distinct cells; named: is given how many the axes name, duplicates included."""
        axes = {key: values for key, values in self.axes.items() if key not in GROUPS}
        keys = {*axes, *(key for pair in self.pairs for key in pair.keys if key not in GROUPS)}
        bases: dict[tuple[str, ...], dict[str, Any]] = {}
        combinations = []
        for rows in itertools.product(*(pair.rows() for pair in self.pairs)):
            together = {key: value for row in rows for key, value in row.items()}
            options = ([together[g]] if g in together else self.axes[g] for g in GROUPS)
            here = axes | {key: [value] for key, value in together.items() if key not in GROUPS}
            for choice in itertools.product(*options):
                if choice not in bases:
                    base = bases[choice] = self.compose(dict(zip(GROUPS, choice, strict=True)))
                    for group in GROUPS:
                        checks.named(group, base[group])
                combinations.append((bases[choice], here))
            if len(combinations) > _MOST_NETWORKS:
                break
        _check_taken(list(bases.values()), keys)
        each = math.prod(len(values) for key, values in axes.items() if key != "seed")
        networks = len(combinations) * each
        if networks > _MOST_NETWORKS:
            raise RequestError(
                f"the axes span {networks:,} networks, seeds aside, but one command takes "
                f"{_MOST_NETWORKS:,}: split an axis over several commands of one study"
            )
        return _cells(combinations, named)


def _options(loader: ConfigLoader, group: str) -> list[str]:
    """Every option of a group, including those in its sub-folders."""
    options = loader.get_group_options(group, ObjectType.CONFIG)
    for folder in loader.get_group_options(group, ObjectType.GROUP):
        options += [f"{folder}/{option}" for option in _options(loader, f"{group}/{folder}")]
    return sorted(set(options))


def _column(group: str, axes: Axes, pairs: Sequence[Span]) -> list[Any]:
    """The options that an axis of this group names; empty where none does."""
    for pair in pairs:
        if group in pair.keys:
            return pair.columns[pair.keys.index(group)]
    return axes.get(group, [])


def _composing(
    loader: ConfigLoader, config: DictConfig, fixed: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> Compose:
    """Composes as seldom as it can.

    fixed: the overrides that are not axes. groups: the options of each that are chosen.
    """

    def composed(choice: Mapping[str, str]) -> dict[str, Any]:
        chosen = [f"{group}={option}" for group, option in choice.items()]
        try:
            return plain(without_hydra(loader.load_sweep_config(config, [*fixed, *chosen])), resolve=False)
        except MissingConfigException as error:
            group, _, option = (error.missing_cfg_file or "").partition("/")
            raise unknown(group, option, _options(loader, group)) from error

    alone = {
        (group, option): composed({group: option}) for group, options in groups.items() for option in options
    }
    base = plain(without_hydra(config), resolve=False)
    independent = all(
        {key for key in base | values if base.get(key) != values.get(key)} <= {group}
        and not _refers(values[group])
        for (group, _), values in alone.items()
    )
    if not independent:
        return composed
    return lambda choice: base | {group: alone[group, option][group] for group, option in choice.items()}


def _cells(combinations: Sequence[tuple[Mapping[str, Any], Axes]], named: Callable[[int], None]) -> Cells:
    """The cells of these axes, each over its base."""
    specs_by_seeds: dict[tuple[int, ...], list[Spec]] = defaultdict(list)
    count = 0
    for base, axes in combinations:
        seeds = axes.get("seed") or [base["seed"]]
        others = {key: values for key, values in axes.items() if key != "seed"}
        texts = [value for value in (*others.values(), *(base[key] for key in AXES)) if _refers(value)]
        own = [seed for seed in seeds if isinstance(seed, str)]
        spanned: Iterable[dict[str, Any]] = _spanned(base, others)
        if own or any("seed" in str(value) for value in texts):
            each = [_resolved({**values, "seed": seed}) for values in spanned for seed in seeds]
            for values in each:
                specs_by_seeds[(checks.whole("seed", values["seed"], 0),)].append(Spec.of(values))
            count += len(each)
        else:
            whole = tuple(checks.whole("seed", seed, 0) for seed in seeds)
            specs = list(map(Spec.of, map(_resolved, spanned) if texts else spanned))
            specs_by_seeds[whole] += specs
            count += len(whole) * len(specs)
    named(count)
    return Cells.joined(
        Block(tuple(dict.fromkeys(specs)), tuple(dict.fromkeys(seeds)))
        for seeds, specs in specs_by_seeds.items()
    )


def _refers(value: Any) -> bool:
    """Whether a value has an interpolation, as in '${depth}', somewhere in it."""
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, dict):
        return any(map(_refers, value.values()))
    return isinstance(value, list) and any(map(_refers, value))


def _of_the_run(config: DictConfig, key: str) -> Any:
    """The value of a key of the whole run, its interpolations resolved."""
    try:
        value = config[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except (InterpolationToMissingValueError, MissingMandatoryValue) as error:
        name = getattr(error, "full_key", None) or key
        typed = OmegaConf.to_container(config)
        for part in name.split("."):
            assert isinstance(typed, dict)
            typed = typed[part]
        raise RequestError(
            f"{name}={typed}: {name} applies to the whole run, but what it refers to varies within this "
            f"grid: give {name} a single value, or run a command for each"
        ) from error


def _resolved(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a cell with interpolations such as '${oc.env:STD}' resolved, as they are without -m."""
    config = OmegaConf.create(values)
    found = {key: config[key] for key in AXES}
    return {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in found.items()
    }


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


def _check_taken(bases: Sequence[Mapping[str, Any]], axes: Iterable[str]) -> None:
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
