"""A task cut down: halves of it, or what is left of it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from sweep.execution.plan.tasks import Stack, Task, chains_of
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import ID_BYTES

_T = TypeVar("_T")


def halves(task: Task) -> list[Task]:
    """A task of several cells as two: between stacks, else chains, else depths, else seeds."""
    if len(task.stacks) > 1:
        return [replace(task, stacks=tuple(side)) for side in _two(task.stacks)]
    (stack,) = task.stacks
    return [replace(task, stacks=(_part(stack, side),)) for side in _halves(stack.block)]


def without(task: Task, digests: Collection[bytes]) -> Task | None:
    """The task less the cells of these digests; None if none is left."""
    if not digests:
        return task
    stacks: list[Stack] = []
    for stack in task.stacks:
        kept = _blocks_without(stack.block, digests)
        stacks += [stack] if kept == [stack.block] else [_part(stack, block) for block in kept]
    if stacks == list(task.stacks):
        return task
    return replace(task, stacks=tuple(stacks)) if stacks else None


def _blocks_without(block: Block, digests: Collection[bytes]) -> list[Block]:
    ids = block.digests()
    keep = np.array([ids[start : start + ID_BYTES] not in digests for start in range(0, len(ids), ID_BYTES)])
    return list(Cells((block,)).where(keep).blocks)


def _halves(block: Block) -> Iterator[Block]:
    chains = chains_of(block.specs)
    if len(chains) > 1:
        return (Block(tuple(spec for chain in side for spec in chain), block.seeds) for side in _two(chains))
    if len(block.specs) > 1:
        return (Block(tuple(side), block.seeds) for side in _two(block.specs))
    return (Block(block.specs, tuple(side)) for side in _two(block.seeds))


def _two(values: Sequence[_T]) -> tuple[Sequence[_T], Sequence[_T]]:
    half = len(values) // 2
    return values[:half], values[half:]


def _part(stack: Stack, block: Block) -> Stack:
    deepest = max(spec.depth for spec in block.specs)
    share = len(block) / len(stack.block)
    return replace(
        stack,
        block=block,
        profile=stack.profile[: deepest + 1],
        seconds=stack.seconds * share,
        bytes=int(stack.bytes * share),
    )
