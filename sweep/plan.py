"""Cells to tasks: which cells share work, and how much work makes one task.

Cells share a *stack* when they see the same draws: one distribution, batch, dtype and profile of
widths, a shallower network's profile being the prefix of a deeper one's; seeds that want the same
networks cross it together. Within a stack, cells of one scheme, act and bias are one *chain*,
whatever their depth, and chains that an exact law makes one run as one.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sweep.cell import Cell
from sweep.laws import unit_of

# A task is the unit of loss, of progress and of storage: long enough that its overhead is
# nothing, short enough that a killed run loses little and both cores end together.
_TASK_SECONDS = (0.5, 30.0)
_TASKS_PER_WORKER = 16
# A stack longer than this is split although its parts then draw the same weights again.
_STACK_SECONDS = 5.0
# Seeds cross a layer together while one signal of theirs has fewer entries: Python's own time for a
# layer is then spent once for all of them.
_SIGNAL_ENTRIES = 1 << 20

# Rough costs of one core; they balance tasks, they promise nothing.
_FLOPS_PER_SECOND = {"float32": 1.3e11, "float64": 5e10}
_SECONDS_PER_ENTRY = 1.5e-9  # activation, slope and statistics of one entry of h
_SECONDS_PER_LAYER = 4e-4  # Python's and NumPy's own time for one layer of one chain
_SECONDS_PER_DRAW = 4e-9
_SECONDS_PER_STREAM = 1.5e-5
_SECONDS_PER_CELL = 1e-5


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

    memory: bytes that all workers together may hold; by default half of the machine's.
    """
    per_worker = (machine_memory() // 2 if memory is None else memory) // workers
    sharing = _sharing(cells)
    stacks = [
        part for group in sharing for some in _seeds(group, workers) for part in _within(some, per_worker)
    ]
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


def fitting(tasks: Sequence[Task], workers: int, memory: int | None = None) -> int:
    """How many workers may hold the largest of the stacks at the same time; at least 1."""
    largest = max((stack.bytes for task in tasks for stack in task.stacks), default=1)
    return max(1, min(workers, (machine_memory() // 2 if memory is None else memory) // largest))


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
    """The cells by what they see, those of several seeds together where they want the same networks."""
    by_seed: dict[Any, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_seed[cell.scheme.base, cell.widths or cell.width, cell.batch, cell.dtype, cell.seed].append(cell)
    groups: dict[Any, list[Cell]] = defaultdict(list)
    for (*seen, _), own in by_seed.items():
        wanted = frozenset(
            (c.init, c.init_params, c.act, c.act_params, c.bias_std, c.depth, c.backward) for c in own
        )
        groups[*seen, wanted] += own
    return list(groups.values())


def _seeds(cells: list[Cell], workers: int) -> list[list[Cell]]:
    """The cells of one group by seeds that cross together: as many as the workers can share fairly."""
    by_seed: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_seed[cell.seed].append(cell)
    entries = cells[0].batch * max(max(cell.profile) for cell in cells)
    together = max(1, min(_SIGNAL_ENTRIES // entries, -(-len(by_seed) // workers)))
    seeds = sorted(by_seed)
    return [
        [cell for seed in seeds[start : start + together] for cell in by_seed[seed]]
        for start in range(0, len(seeds), together)
    ]


def _within(cells: list[Cell], memory: int) -> list[Stack]:
    """The stack of these cells, or several of fewer seeds or chains where it is too large or too long."""
    stack = _stack(cells)
    if stack.bytes <= memory and stack.seconds <= _STACK_SECONDS:
        return [stack]
    by_seed: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_seed[cell.seed].append(cell)
    parts = list(by_seed.values()) if len(by_seed) > 1 else runs_of(cells)
    if len(parts) == 1:
        return [stack]
    half = len(parts) // 2
    return [
        part
        for share in (parts[:half], parts[half:])
        for part in _within([cell for some in share for cell in some], memory)
    ]


def runs_of(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells of one stack by what runs as one: a chain, or chains that one law covers."""
    runs: dict[Any, list[Cell]] = defaultdict(list)
    for chain in chains_of(cells):
        one = max(chain, key=lambda cell: cell.depth)
        unit = unit_of(one.scheme, one.activation, one.bias_std, one.profile)
        runs[(unit, one.activation) if unit else one.id] += chain
    return list(runs.values())


def _stack(cells: list[Cell]) -> Stack:
    deepest = max(cells, key=lambda cell: cell.depth)
    profile, batch, seeds = deepest.profile, deepest.batch, len({cell.seed for cell in cells})
    itemsize = 4 if deepest.dtype == "float32" else 8
    widest = max(profile)
    flops = entries = layers = kept = held = 0
    for run in runs_of(cells):
        depth = max(cell.depth for cell in run)
        back = sorted({cell.depth for cell in run if cell.backward})
        forward_products, forward_entries = _sums(profile, depth)
        flops += 2 * batch * forward_products
        entries += batch * forward_entries
        layers += depth
        for start in back:
            products, crossed = _sums(profile, start)
            flops += 4 * batch * products  # dL/dW and dL/dh
            entries += batch * crossed
        layers += max(back, default=0)
        signal = batch * widest
        held += 2 * signal  # every run's signal, and the next
        kept = max(kept, 2 * signal * (max(back, default=0) + len(back)))  # one run's layers and gradients
    weights, _ = _sums(profile, deepest.depth)
    seconds = (
        seeds * flops / _FLOPS_PER_SECOND[deepest.dtype]
        + seeds * entries * _SECONDS_PER_ENTRY
        + layers * _SECONDS_PER_LAYER
        + seeds * weights * _SECONDS_PER_DRAW
        + seeds * deepest.depth * _SECONDS_PER_STREAM
        + len(cells) * _SECONDS_PER_CELL
    )
    size = itemsize * seeds * ((weights if kept else widest * widest) + held + kept)
    return Stack(tuple(cells), profile, seconds, size, seeds * flops)


def _sums(profile: Sequence[int], depth: int) -> tuple[int, int]:
    """Sum over the layers of fan_in · fan_out, and of fan_out."""
    fans = list(pairwise(profile[: depth + 1]))
    return sum(a * b for a, b in fans), sum(b for _, b in fans)
