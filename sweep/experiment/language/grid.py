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
from sweep.base.registry import Registry
from sweep.experiment.axes import AXES, CHOICES, ENDS, GROUPS, RUN_GROUPS, RUN_KEYS, choice_of, parameter_of
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Spec
from sweep.experiment.ingredients.choices import OPTIONS
from sweep.experiment.ingredients.given import of_one_file
from sweep.experiment.language import configs, grammar, spans
from sweep.experiment.language.configs import nested, place, plain, with_value, without_hydra
from sweep.experiment.language.spans import Span

Axes = dict[str, list[Any]]
Choice = Mapping[str, str | None]  # an option of each of CHOICES
Compose = Callable[[Choice], dict[str, Any]]  # the config of one

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
            return _options(loader, "init" if group in ENDS else group)

        of_preset = plain(preset.axes, resolve=False)
        found = spans.spanned(preset.name, of_preset, spans.named(overrides, options), options)
        axes = {span.keys[0]: span.columns[0] for span in found if len(span.keys) == 1}
        pairs = tuple(span for span in found if len(span.keys) > 1)
        chosen = {
            group: list(dict.fromkeys(_column(group, axes, pairs) or [configs.usual(config, group)]))
            for group in CHOICES
        }
        fixed = [
            one.text
            for one in overrides
            if not one.is_pair and not one.override.is_sweep_override() and not choice_of(one.keys[0])
        ]
        compose = _composing(loader, config, fixed, chosen)
        return cls(without_hydra(config), axes | chosen, pairs, compose)

    def settings(self) -> dict[str, Any]:
        """The values of the whole run; RequestError for one that refers to what differs between its cells."""
        values = plain(self.config, resolve=False)
        keys = [*RUN_KEYS, *RUN_GROUPS]
        if not any(_refers(values[key]) for key in keys if key != "grid"):
            return {key: values[key] for key in keys}
        columns = dict(self.axes)
        for pair in self.pairs:
            columns |= dict(zip(pair.keys, pair.columns, strict=True))
        first = self.compose({group: columns[group][0] for group in CHOICES})
        for group in CHOICES:
            several = len(set(columns.pop(group))) > 1
            names = {**(values[group] or {}), **(first[group] or {})}
            values[group] = dict.fromkeys(names, _VARIES) if several else first[group]
        for key, column in columns.items():
            group, path = place(key)
            same = all(value == column[0] for value in column)
            values[group] = with_value(values[group], path, column[0] if same else _VARIES)
        config = OmegaConf.create(nested(values))
        return {key: _of_the_run(config, key) for key in keys}

    def cells(self, named: Callable[[int], None] = lambda count: None) -> Cells:
        """The distinct cells; named: is given how many the axes name, duplicates included."""
        axes = {key: values for key, values in self.axes.items() if key not in CHOICES}
        keys = {*axes, *(key for pair in self.pairs for key in pair.keys if key not in CHOICES)}
        bases: dict[tuple[str | None, ...], dict[str, Any]] = {}
        combinations = []
        for rows in itertools.product(*(pair.rows() for pair in self.pairs)):
            together = {key: value for row in rows for key, value in row.items()}
            options = ([together[g]] if g in together else self.axes[g] for g in CHOICES)
            here = axes | {key: [value] for key, value in together.items() if key not in CHOICES}
            for choice in itertools.product(*options):
                if choice not in bases:
                    base = bases[choice] = self.compose(dict(zip(CHOICES, choice, strict=True)))
                    for group in CHOICES:
                        if group in GROUPS or base[group] is not None:
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
    loader: ConfigLoader,
    config: DictConfig,
    fixed: Sequence[str],
    groups: Mapping[str, Sequence[str | None]],
) -> Compose:
    """Composes as seldom as it can.

    fixed: the overrides that are not axes. groups: the options of each that are chosen.
    """

    usual = {group: configs.usual(config, group) for group in groups}

    def composed(choice: Choice) -> dict[str, Any]:
        # With what the base has of all others: they are to differ in these groups alone.
        chosen = [configs.chosen(group, option) for group, option in (usual | dict(choice)).items()]
        try:
            return plain(without_hydra(loader.load_sweep_config(config, [*fixed, *chosen])), resolve=False)
        except MissingConfigException as error:
            group, _, option = (error.missing_cfg_file or "").partition("/")
            raise unknown(group, option, _options(loader, group)) from error

    base = plain(without_hydra(config), resolve=False)
    alone = {
        (group, option): base if option == usual[group] else composed({group: option})
        for group, options in groups.items()
        for option in options
    }
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
    files: dict[str, str] = {}
    return Cells.joined(
        Block(tuple(dict.fromkeys(of_one_file(spec, files) for spec in specs)), tuple(dict.fromkeys(seeds)))
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
    config = OmegaConf.create(nested(values))
    found = {key: OmegaConf.select(config, key) if key in ENDS else config[key] for key in AXES}
    return {
        key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for key, value in found.items()
    }


def _spanned(base: Mapping[str, Any], axes: Axes) -> Iterator[dict[str, Any]]:
    """The product of the axes over `base`; a parameter is an axis only of the options that take it."""
    plain_axes = {key: values for key, values in axes.items() if not parameter_of(key)}
    nested_axes = {key: values for key, values in axes.items() if parameter_of(key) and _takes(base, key)}
    for below in itertools.product(*nested_axes.values()):
        values = dict(base)
        for key, value in zip(nested_axes, below, strict=True):
            group, path = place(key)
            values[group] = with_value(values[group], path, value)
        for combination in itertools.product(*plain_axes.values()):
            yield values | dict(zip(plain_axes, combination, strict=True))


def _check_taken(bases: Sequence[Mapping[str, Any]], axes: Iterable[str]) -> None:
    """Raise RequestError for an axis that is a parameter of none of the chosen options."""
    for key in axes:
        if parameter_of(key) and not any(_takes(base, key) for base in bases):
            group, (parameter, *_) = place(key)
            names = list(dict.fromkeys(base[group]["name"] for base in bases if base[group]))
            if not names:
                raise RequestError(f"{key}: no scheme is chosen: choose one, as in {group}=normal")
            taken = {name: _registry(group).parameter_names(name) for name in names}
            if len(names) == 1:
                checks.parameters(group, names[0], [parameter], taken[names[0]])
            listed = "; ".join(f"{name}: {', '.join(own) or 'none'}" for name, own in taken.items())
            raise RequestError(f"no chosen {group} has a parameter '{parameter}'; their parameters: {listed}")


def _takes(base: Mapping[str, Any], key: str) -> bool:
    group, (parameter, *_) = place(key)
    return bool(base[group]) and parameter in _registry(group).parameter_names(base[group]["name"])


def _registry(group: str) -> Registry[Any]:
    return OPTIONS[ENDS.get(group, group)]
