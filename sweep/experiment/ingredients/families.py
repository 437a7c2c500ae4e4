"""What a spec's texts stand for, each made once: chains at depth 0, blocks, schemes of one layer alone."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from sweep import activations, initializers
from sweep.activations import TRANSFORMED, Activation, asked_of
from sweep.base import blocks
from sweep.base.blocks import Block
from sweep.base.errors import RequestError
from sweep.initializers import Scheme
from sweep.kernel import Chain

if TYPE_CHECKING:
    from sweep.experiment.cell import Spec


@lru_cache(maxsize=1 << 14)
def plain(
    init: str, init_params: str, act: str, act_params: str, bias_std: float, depth: int | None = None
) -> Chain:
    """The chain of this scheme and act, whose layers are all alike and plain; depth: as in `activation`."""
    scheme = initializers.REGISTRY.from_json(init, init_params)
    return Chain(scheme, activation(act, act_params, depth), bias_std, 0)


def activation(name: str, parameters: str, depth: int | None) -> Activation:
    """An act in a network of so many layers; depth: None of any.

    Raises RequestError where its constants follow from the depth, and there are none.
    """
    act = activations.REGISTRY.from_json(name, parameters)
    return act if depth is None or name != TRANSFORMED else at_depth(act, depth)


@lru_cache(maxsize=1 << 14)
def at_depth(act: Activation, depth: int) -> Activation:
    """An activation in a network of so many layers: itself, but for one whose constants follow from that."""
    if asked_of(act) is None:
        return act
    from sweep.theory.consequences.transform import at_depth  # noqa: PLC0415  scipy: only where it is solved

    return at_depth(act, depth)


def check_transforms(specs: Iterable["Spec"]) -> None:
    """RequestError where an act's constants follow from the depth, and there are none."""
    asked = dict.fromkeys(
        (spec.act, spec.act_params, spec.depth) for spec in specs if spec.act == TRANSFORMED
    )
    try:
        for one in asked:
            activation(*one)
    except RequestError as error:
        pairs = "; 'act.of,act.method=[gelu,dks],[relu,tat]' are pairs, which leave others out"
        raise RequestError(f"{error}{pairs if len(asked) > 1 else ''}") from None


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
