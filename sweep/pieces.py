"""A task cut down: halves of it, or what is left of it."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from sweep.cell import Cell
from sweep.plan import Stack, Task, chains_of


def halves(task: Task) -> list[Task]:
    """A task of several cells as two: between stacks, else between chains, else between depths."""
    if len(task.stacks) > 1:
        half = len(task.stacks) // 2
        return [replace(task, stacks=side) for side in (task.stacks[:half], task.stacks[half:])]
    (stack,) = task.stacks
    chains = chains_of(stack.cells)
    units = chains if len(chains) > 1 else [[cell] for cell in stack.cells]
    half = len(units) // 2
    sides = ([cell for unit in side for cell in unit] for side in (units[:half], units[half:]))
    return [replace(task, stacks=(_part(stack, side),)) for side in sides]


def remaining(task: Task, wanted: Callable[[Cell], bool]) -> Task | None:
    """The task less the cells that are not wanted any more; None if none is left."""
    if all(map(wanted, task.cells)):
        return task
    kept = [(stack, [cell for cell in stack.cells if wanted(cell)]) for stack in task.stacks]
    stacks = tuple(_part(stack, cells) for stack, cells in kept if cells)
    return replace(task, stacks=stacks) if stacks else None


def _part(stack: Stack, cells: Sequence[Cell]) -> Stack:
    deepest = max(cell.depth for cell in cells)
    share = len(cells) / len(stack.cells)
    return replace(
        stack,
        cells=tuple(cells),
        profile=stack.profile[: deepest + 1],
        seconds=stack.seconds * share,
        bytes=int(stack.bytes * share),
    )
