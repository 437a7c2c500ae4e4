"""Cells to tasks: which cells share work, and how much work makes one task.

Cells share a *stack* when they see the same draws: one distribution, seed, batch, dtype and
profile of widths, a shallower network's profile being the prefix of a deeper one's. Within a
stack, cells of one scheme, act and bias are one *chain*, whatever their depth.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sweep.cell import Cell

# A task is the unit of loss, of progress and of storage: long enough that its overhead is
# nothing, short enough that a killed run loses little and both cores end together.
_TASK_SECONDS = (0.5, 30.0)
_TASKS_PER_WORKER = 16
# A stack longer than this is split although its parts then draw the same weights again.
_STACK_SECONDS = 5.0

# What a stack may hold, by estimate. Taller stacks share more draws, but gradients keep every layer:
# without this bound the standard grid took 59 s instead of 69 s, and 1.9 GB instead of 0.75 GB.
_WORKER_BYTES = 400_000_000

# Rough costs of one core; they balance tasks, they promise nothing.
_FLOPS_PER_SECOND = {"float32": 8e10, "float64": 3e10}
_SECONDS_PER_ENTRY = 5e-9  # activation, slope and statistics of one entry of h
_SECONDS_PER_LAYER = 4e-4  # Python's and NumPy's own time for one layer of one chain
_SECONDS_PER_DRAW = 1e-8
_SECONDS_PER_CELL = 2e-5


@dataclass(frozen=True)
class Stack:
    """Cells that share their draws; profile: the widths of the deepest of them."""

    cells: tuple[Cell, ...]
    profile: tuple[int, ...]
    seconds: float
    bytes: int
    flops: int = 0


@dataclass(frozen=True)
class Task:
    """Stacks computed one after another by one worker."""

    number: int
    stacks: tuple[Stack, ...]

    @property
    def cells(self) -> list[Cell]:
        """The cells, in the order of their results."""
        return [cell for stack in self.stacks for cell in stack.cells]

    @property
    def seconds(self) -> float:
        """Estimated time on one core."""
        return sum(stack.seconds for stack in self.stacks)


def tasks(cells: Iterable[Cell], workers: int, memory: int | None = None) -> list[Task]:
    """Pack cells into tasks, the longest first.

    memory: bytes that all workers together may hold; by default half of the machine's, or what a
    worker can use well, whichever is less.
    """
    per_worker = min(machine_memory() // 2 // workers, _WORKER_BYTES) if memory is None else memory // workers
    stacks = [part for group in _sharing(cells) for part in _within(group, per_worker)]
    total = sum(stack.seconds for stack in stacks)
    shortest, longest = _TASK_SECONDS
    target = min(max(total / (workers * _TASKS_PER_WORKER), shortest), longest)
    packed: list[tuple[Stack, ...]] = []
    current: list[Stack] = []
    for stack in sorted(stacks, key=lambda stack: -stack.seconds):
        current.append(stack)
        if sum(s.seconds for s in current) >= target:
            packed.append(tuple(current))
            current = []
    if current:
        packed.append(tuple(current))
    return [Task(number, stacks) for number, stacks in enumerate(packed)]


def machine_memory() -> int:
    """Bytes of this machine's memory, or of what its container may use."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(limit, encoding="ascii") as file:  # noqa: PTH123
                size = min(size, int(file.read()))
        except (OSError, ValueError):
            continue
    return size


def chains_of(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells of one stack by chain: one scheme, act and bias each."""
    chains: dict[Any, list[Cell]] = defaultdict(list)
    for cell in cells:
        chains[cell.scheme, cell.activation, cell.bias_std].append(cell)
    return list(chains.values())


def _sharing(cells: Iterable[Cell]) -> list[list[Cell]]:
    groups: dict[Any, list[Cell]] = defaultdict(list)
    for cell in cells:
        family = cell.widths or cell.width
        groups[cell.scheme.base, family, cell.seed, cell.batch, cell.dtype].append(cell)
    return list(groups.values())


def _within(cells: list[Cell], memory: int) -> list[Stack]:
    """The stack of these cells, or several of fewer chains each where it is too large or too long."""
    stack = _stack(cells)
    chains = chains_of(cells)
    if len(chains) == 1 or (stack.bytes <= memory and stack.seconds <= _STACK_SECONDS):
        return [stack]
    half = len(chains) // 2
    return [
        part
        for share in (chains[:half], chains[half:])
        for part in _within([cell for chain in share for cell in chain], memory)
    ]


def _stack(cells: list[Cell]) -> Stack:
    deepest = max(cells, key=lambda cell: cell.depth)
    profile, batch = deepest.profile, deepest.batch
    itemsize = 4 if deepest.dtype == "float32" else 8
    flops = entries = layers = gradients = kept = 0
    for chain in chains_of(cells):
        depth = max(cell.depth for cell in chain)
        back = sorted({cell.depth for cell in chain if cell.backward})
        forward_products, forward_entries = _sums(profile, depth)
        flops += 2 * batch * forward_products
        entries += batch * forward_entries
        layers += depth
        for start in back:
            products, crossed = _sums(profile, start)
            flops += 4 * batch * products  # dL/dW and dL/dh
            entries += batch * crossed
            layers += start
        gradients += len(back)
        kept += depth if back else 2
    weights, _ = _sums(profile, deepest.depth)
    widest = max(profile)
    seconds = (
        flops / _FLOPS_PER_SECOND[deepest.dtype]
        + entries * _SECONDS_PER_ENTRY
        + layers * _SECONDS_PER_LAYER
        + weights * _SECONDS_PER_DRAW
        + len(cells) * _SECONDS_PER_CELL
    )
    held = weights if gradients else widest * widest
    size = itemsize * (held + batch * widest * (2 * kept + 2 * gradients))
    return Stack(tuple(cells), profile, seconds, size, flops)


def _sums(profile: Sequence[int], depth: int) -> tuple[int, int]:
    """Sum over the layers of fan_in · fan_out, and of fan_out."""
    fans = list(pairwise(profile[: depth + 1]))
    return sum(a * b for a, b in fans), sum(b for _, b in fans)
