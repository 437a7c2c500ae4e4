"""The registry of each config group that a cell's options are chosen from."""

from collections.abc import Mapping
from typing import Any

from sweep import activations, initializers
from sweep.base.registry import Registry

REGISTRIES: Mapping[str, Registry[Any]] = {
    registry.group: registry for registry in (initializers.REGISTRY, activations.REGISTRY)
}
