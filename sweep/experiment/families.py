"""What a spec's texts stand for, each made once: chains at depth 0, blocks, schemes of one layer alone."""

from dataclasses import replace
from functools import lru_cache

from sweep import activations, initializers
from sweep.base import blocks
from sweep.base.blocks import Block
from sweep.initializers import Scheme
from sweep.kernel import Chain


@lru_cache(maxsize=1 << 14)
def plain(init: str, init_params: str, act: str, act_params: str, bias_std: float) -> Chain:
    """The chain of this scheme and act, whose layers are all alike and plain."""
    scheme = initializers.REGISTRY.from_json(init, init_params)
    return Chain(scheme, activations.REGISTRY.from_json(act, act_params), bias_std, 0)


@lru_cache(maxsize=1 << 14)
def with_ends(family: Chain, depth: int, *ends: str | None) -> Chain:
    """The same with first and last layers of their own; ends: the values of END_COLUMNS."""
    first, last = end(*ends[:2]), end(*ends[2:])
    return replace(family, depth=depth, first=first, last=last)


@lru_cache(maxsize=1 << 14)
def block(name: str, parameters: str, depth: int) -> Block:
    """What each layer is in a network of so many, with numbers for its parameters."""
    return blocks.REGISTRY.from_json(name, parameters).at(depth)


@lru_cache(maxsize=1 << 14)
def with_block(family: Chain, block: Block) -> Chain:
    """The same of other blocks."""
    return replace(family, block=block)


@lru_cache(maxsize=1 << 14)
def with_format(family: Chain, format: str) -> Chain:
    """The same with a rounded copy beside it."""
    return replace(family, format=format)


def end(init: str | None, init_params: str | None) -> Scheme | None:
    """The scheme of one layer alone; None where it has that of all."""
    if init is None or init_params is None:
        return None
    return initializers.REGISTRY.from_json(init, init_params)
