"""Composed configs as plain values, and how an option is chosen.

Schemes of one layer alone lie at 'first.init' among plain values, and at first: {init: …} in a config, where
Hydra knows them as options of the group init placed there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sweep.experiment.axes import ENDS, choice_of, parameter_of


def chosen(group: str, option: str | None) -> str:
    """The override by which Hydra chooses an option of a config group; None, or 'null': none of them."""
    if group in ENDS and option not in (None, "null"):
        return f"init@{group}={option}"
    return f"{group}={option or 'null'}"


def usual(config: DictConfig, group: str) -> str | None:
    """The option of a group that Hydra chose."""
    option: str | None = config.hydra.runtime.choices[f"init@{group}" if group in ENDS else group]
    return option


def plain(config: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """A config as plain values, ENDS among them; resolve: its interpolations too."""
    container = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(container, dict)
    values = {str(key): value for key, value in container.items()}
    for key in ENDS:
        top, group = key.split(".")
        if isinstance(end := values.pop(top, None), dict):
            values[key] = end.get(group)
    return values


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same as a config has them: {"first": {"init": …}}."""
    nested = dict(values)
    for key in ENDS:
        top, group = key.split(".")
        nested[top] = {group: nested.pop(key, None)}
    return nested


def as_typed(config: Any) -> str:
    """A config, or a list, as YAML with its interpolations: ${oc.env:…} may stand for a secret."""
    return OmegaConf.to_yaml(config)


def without_hydra(config: DictConfig) -> DictConfig:
    """The program's own part of a composed config."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def place(key: str) -> tuple[str, list[str]]:
    """Where the value of an axis stands in a config: 'first.init', ['std']."""
    group = choice_of(key)
    if not group:
        return key, []
    parameter = parameter_of(key)
    return group, parameter.split(".") if parameter else []


def with_value(values: Any, path: Sequence[str], value: Any) -> Any:
    """A copy of nested `values` with one of them replaced, or added."""
    if not path:
        return value
    values = values if isinstance(values, dict) else {}
    return values | {path[0]: with_value(values.get(path[0]), path[1:], value)}
