"""Cells to tasks: which cells share work, and how much work makes one task.

Cells share a *stack* when they see the same draws: one distribution, batch, dtype and profile of
widths, a shallower network's profile being the prefix of a deeper one's; seeds that want the same
networks cross it together. Within a stack, cells of one scheme, act and bias are one *chain*,
whatever their depth, and chains that an exact law makes one run as one.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from sweep.base.memory import limit
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Cell, Spec
from sweep.kernel.homogeneity import unit_of

# A task is the unit of loss, of progress and of storage: long enough that its overhead is
# nothing, short enough that a killed run loses little and both cores end together.
_TASK_SECONDS = (0.5, 30.0)
_TASKS_PER_WORKER = 16
_TASK_ROWS = 1 << 15  # of `layers`: a result and its tables are held at once
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

    block: Block
    profile: tuple[int, ...]
    seconds: float
    bytes: int
    flops: int = 0


@dataclass(frozen=True)
class Task:
    """Stacks computed one after another by one worker."""

    number: int
    stacks: tuple[Stack, ...]

    def __len__(self) -> int:
        """How many cells."""
        return sum(len(stack.block) for stack in self.stacks)

    @property
    def cells(self) -> Iterator[Cell]:
        """The cells, in the order of their results."""
        return (cell for stack in self.stacks for cell in stack.block)

    @property
    def specs(self) -> Iterator[Spec]:
        """What the cells are but for their seeds, stack by stack."""
        return (spec for stack in self.stacks for spec in stack.block.specs)

    @property
    def seconds(self) -> float:
        """Estimated time on one core."""
        return sum(stack.seconds for stack in self.stacks)


def pack(cells: Cells, workers: int, memory: int | None = None) -> list[Task]:
    """Pack cells into tasks, the longest first.

    memory: bytes that all workers together may hold; by default half of the machine's.
    """
    per_worker = (limit() // 2 if memory is None else memory) // workers
    stacks = [
        part
        for block in _sharing(cells)
        for some in _crossing(block, workers)
        for part in _within(some, per_worker)
    ]
    total = sum(stack.seconds for stack in stacks)
    shortest, longest = _TASK_SECONDS
    target = min(max(total / (workers * _TASKS_PER_WORKER), shortest), longest)
    packed: list[tuple[Stack, ...]] = []
    current: list[Stack] = []
    seconds = rows = 0.0
    for stack in sorted(stacks, key=lambda stack: -stack.seconds):
        current.append(stack)
        seconds += stack.seconds
        rows += rows_of(stack.block)
        if seconds >= target or rows >= _TASK_ROWS:
            packed.append(tuple(current))
            current, seconds, rows = [], 0.0, 0.0
    if current:
        packed.append(tuple(current))
    return [Task(number, stacks) for number, stacks in enumerate(packed)]


def fitting(tasks: Sequence[Task], workers: int, memory: int | None = None) -> int:
    """How many workers may hold the largest of the stacks at the same time; at least 1."""
    largest = max((stack.bytes for task in tasks for stack in task.stacks), default=1)
    return max(1, min(workers, (limit() // 2 if memory is None else memory) // largest))


def chains_of(specs: Sequence[Spec]) -> list[list[Spec]]:
    """The specs of one stack by chain: one scheme, act and bias each."""
    chains: dict[Any, list[Spec]] = defaultdict(list)
    for spec in specs:
        chains[spec.scheme, spec.activation, spec.bias_std].append(spec)
    return list(chains.values())


def runs_of(specs: Sequence[Spec]) -> list[list[Spec]]:
    """The specs of one stack by what runs as one: a chain, or chains that one law covers."""
    runs: dict[Any, list[Spec]] = defaultdict(list)
    for number, chain in enumerate(chains_of(specs)):
        one = max(chain, key=lambda spec: spec.depth)
        unit = unit_of(one.scheme, one.activation, one.bias_std, one.profile)
        runs[(unit, one.activation) if unit else number] += chain
    return list(runs.values())


def _sharing(cells: Cells) -> Iterator[Block]:
    """The cells by what they see; those of several seeds together where they want the same networks."""
    seeds: dict[tuple[Spec, ...], list[int]] = defaultdict(list)
    for block in cells.blocks:
        groups: dict[Any, list[Spec]] = defaultdict(list)
        for spec in block.specs:
            groups[spec.scheme.base, spec.widths or spec.width, spec.batch, spec.dtype].append(spec)
        for specs in groups.values():
            seeds[tuple(specs)] += block.seeds
    return (Block(specs, tuple(sorted(own))) for specs, own in seeds.items())


def _crossing(block: Block, workers: int) -> Iterator[Block]:
    """The block by seeds that cross together: as many as the workers can share fairly."""
    entries = block.specs[0].batch * max(max(spec.profile) for spec in block.specs)
    together = max(1, min(_SIGNAL_ENTRIES // entries, -(-len(block.seeds) // workers)))
    for start in range(0, len(block.seeds), together):
        yield Block(block.specs, block.seeds[start : start + together])


def _within(block: Block, memory: int) -> list[Stack]:
    """The stack of these cells, or several of fewer seeds or chains where it is too large or too long."""
    stack = Stack(block, *_cost(block.specs, len(block.seeds)))
    if stack.bytes <= memory and stack.seconds <= _STACK_SECONDS and rows_of(block) <= _TASK_ROWS:
        return [stack]
    runs = runs_of(block.specs)
    if len(block.seeds) > 1:
        half = len(block.seeds) // 2
        parts = [Block(block.specs, block.seeds[:half]), Block(block.specs, block.seeds[half:])]
    elif len(runs) > 1:
        half = len(runs) // 2
        sides = (runs[:half], runs[half:])
        parts = [Block(tuple(spec for run in side for spec in run), block.seeds) for side in sides]
    else:
        return [stack]
    return [stack for part in parts for stack in _within(part, memory)]


def rows_of(block: Block) -> int:
    """How many rows of `layers` the cells have."""
    return len(block.seeds) * sum(spec.depth + 1 for spec in block.specs)


@lru_cache(maxsize=256)
def _cost(specs: tuple[Spec, ...], seeds: int) -> tuple[tuple[int, ...], float, int, int]:
    """Profile, seconds, bytes and flops of a stack of these specs with so many seeds."""
    deepest = max(specs, key=lambda spec: spec.depth)
    profile, batch = deepest.profile, deepest.batch
    itemsize = 4 if deepest.dtype == "float32" else 8
    widest = max(profile)
    flops = entries = layers = kept = held = 0
    for run in runs_of(specs):
        depth = max(spec.depth for spec in run)
        back = sorted({spec.depth for spec in run if spec.backward})
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
        + seeds * len(specs) * _SECONDS_PER_CELL
    )
    size = itemsize * seeds * ((weights if kept else widest * widest) + held + kept)
    return profile, seconds, size, seeds * flops


def _sums(profile: Sequence[int], depth: int) -> tuple[int, int]:
    """Sum over the layers of fan_in · fan_out, and of fan_out."""
    fans = list(pairwise(profile[: depth + 1]))
    return sum(a * b for a, b in fans), sum(b for _, b in fans)
