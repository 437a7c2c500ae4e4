"""Cells to tasks: which cells share work, and how much work makes one task.

Cells share a *stack* when they see the same draws: one distribution, kind of inputs, batch, dtype
and profile of widths, a shallower network's profile being the prefix of a deeper one's; seeds that want the
same networks cross it together. Networks that are trained are apart by their shape. Within a stack, cells of
one scheme, act and bias are one *chain*, whatever their depth, and chains that an exact law makes one run as
one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sweep.base.process import machine
from sweep.experiment.axes import UNTRAINED
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Cell, Spec
from sweep.kernel import Chain
from sweep.kernel.chains.cost import RATES, Cost, Rates, cost_of, joined
from sweep.kernel.chains.homogeneity import carried

# A task is the unit of loss, of progress and of storage: long enough that its overhead is
# nothing, short enough that a killed run loses little and both cores end together.
_TASK_SECONDS = (0.5, 30.0)
_TASKS_PER_WORKER = 16
_TASK_ROWS = 1 << 15  # of `layers`: a result and its tables are held at once

_SECONDS_PER_CELL = 1e-5  # besides what its stack costs the kernel
_SECONDS_PER_INPUT = {"student": 5e-8, "npy": 5e-9}  # of one number, where it is more than that of a draw


@dataclass(frozen=True)
class Limits:
    """How much of what shares its draws is one stack.

    seconds, rows: a stack of more is split although its parts then draw the same weights again. entries:
    seeds cross a layer together while one signal of theirs has fewer; Python's own time for a layer is then
    spent once for all of them. rates: by which seconds are estimated.
    """

    seconds: float
    rows: int
    entries: int
    rates: Rates


_LIMITS = Limits(5.0, _TASK_ROWS, 1 << 20, RATES)


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
    per_worker = (machine.memory() // 2 if memory is None else memory) // workers
    stacks = stacks_of(cells, workers, per_worker, _LIMITS)
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


def stacks_of(cells: Cells, workers: int, memory: int, limits: Limits) -> list[Stack]:
    """The cells by the draws they share; workers: who divide the seeds. memory: bytes of one stack."""
    return [
        stack
        for block in _by_draws(cells)
        for seeds in _by_seeds(block, workers, limits)
        for stack in _by_size(seeds, memory, limits)
    ]


def workers_within(memory: int, tasks: Sequence[Task], workers: int) -> int:
    """How many of the workers, at least 1, can hold the largest of the stacks at the same time."""
    largest = max((stack.bytes for task in tasks for stack in task.stacks), default=1)
    return max(1, min(workers, memory // largest))


def chains_of(specs: Sequence[Spec]) -> list[list[Spec]]:
    """The specs of one stack by chain: one scheme, act and bias each."""
    chains: dict[Chain, list[Spec]] = {}
    known: dict[int, tuple[Chain, list[Spec]]] = {}  # a chain's hash takes long
    for spec in specs:
        family = spec.family
        if id(family) not in known:
            known[id(family)] = family, chains.setdefault(family, [])
        known[id(family)][1].append(spec)
    return list(chains.values())


def chain_of(specs: Sequence[Spec]) -> Chain:
    """The chain of specs of one scheme, act and bias."""
    backward = tuple(sorted({spec.depth for spec in specs if spec.backward}))
    return replace(specs[0].family, depth=_deepest(specs).depth, backward=backward)


def carried_of(specs: Sequence[Spec]) -> list[list[Spec]]:
    """The specs of one stack by what has to be pushed: a chain, or chains that one law covers."""
    chains = chains_of(specs)
    groups = carried([chain_of(chain) for chain in chains], _deepest(specs).profile)
    return [[spec for index in group.indices for spec in chains[index]] for group in groups]


def _deepest(specs: Sequence[Spec]) -> Spec:
    return max(specs, key=lambda spec: spec.depth)


def _by_draws(cells: Cells) -> Iterator[Block]:
    """Blocks that see the same draws; seeds that want the same networks are together."""
    seeds: dict[tuple[Spec, ...], list[int]] = defaultdict(list)
    for block in cells.blocks:
        groups: dict[Any, list[Spec]] = defaultdict(list)
        for spec in block.specs:
            shape = (spec.scheme.base, spec.widths or spec.width, spec.batch, spec.dtype, spec.inputs)
            groups[shape if spec.train == UNTRAINED else (*shape, *_trained_with(spec))].append(spec)
        for specs in groups.values():
            seeds[tuple(specs)] += block.seeds
    return (Block(specs, tuple(sorted(numbers))) for specs, numbers in seeds.items())


def _trained_with(spec: Spec) -> tuple[Any, ...]:
    """What networks that are trained together have in common beside their width and batch."""
    return spec.depth, spec.act, spec.act_params, spec.block_at_depth, replace(spec.training, lr=0.0)


def _by_seeds(block: Block, workers: int, limits: Limits) -> Iterator[Block]:
    """The block by seeds that cross together: as many as leave every worker its share."""
    entries = block.specs[0].batch * max(max(spec.profile) for spec in block.specs)
    together = max(1, min(limits.entries // entries, -(-len(block.seeds) // workers)))
    for start in range(0, len(block.seeds), together):
        yield Block(block.specs, block.seeds[start : start + together])


def _by_size(block: Block, memory: int, limits: Limits) -> list[Stack]:
    """The cells as one stack, or as several of fewer seeds or chains where it is too large or too long."""
    cost = _stack_cost(block.specs, len(block.seeds), limits.rates)
    stack = Stack(block, _deepest(block.specs).profile, cost.seconds, cost.bytes, cost.flops)
    short = stack.seconds <= limits.seconds and rows_of(block) <= limits.rows
    if short and stack.bytes <= memory:
        return [stack]
    groups = carried_of(block.specs)
    if len(block.seeds) > 1:
        half = len(block.seeds) // 2
        parts = [Block(block.specs, block.seeds[:half]), Block(block.specs, block.seeds[half:])]
    elif len(groups) > 1:
        half = len(groups) // 2
        sides = (groups[:half], groups[half:])
        parts = [Block(tuple(spec for group in side for spec in group), block.seeds) for side in sides]
    elif any(spec.format for spec in block.specs) and len(chains := chains_of(block.specs)) > 1:
        half = len(chains) // 2  # copies beside one network: the network is then computed twice
        sides = (chains[:half], chains[half:])
        parts = [Block(tuple(spec for chain in side for spec in chain), block.seeds) for side in sides]
    else:
        return [stack]
    return [stack for part in parts for stack in _by_size(part, memory, limits)]


def rows_of(block: Block) -> int:
    """How many rows of `layers` the cells have."""
    return len(block.seeds) * sum(spec.depth + 1 for spec in block.specs)


@lru_cache(maxsize=256)
def _stack_cost(specs: tuple[Spec, ...], seeds: int, rates: Rates) -> Cost:
    """What a stack of these specs with so many seeds costs."""
    deepest = _deepest(specs)
    chains = [chain_of(chain) for chain in chains_of(specs)]
    cost = cost_of(chains, deepest.profile, seeds, deepest.batch, deepest.dtype, rates)
    beside = len(specs) * _SECONDS_PER_CELL
    beside += _SECONDS_PER_INPUT.get(deepest.input, 0.0) * deepest.batch * deepest.profile[0]
    cost = replace(cost, seconds=cost.seconds + seeds * beside)
    if any(spec.jacobian for spec in specs):
        cost = _with_jacobians(cost, [spec for spec in specs if spec.jacobian], seeds, rates)
    trained = Counter((spec.family, spec.profile, spec.training) for spec in specs if spec.train != UNTRAINED)
    return _with_trainings(cost, trained, seeds, deepest.dtype, rates) if trained else cost


def _with_jacobians(cost: Cost, specs: Sequence[Spec], seeds: int, rates: Rates) -> Cost:
    """The cost of a stack with that of the Jacobians of these specs, which are measured after it."""
    from sweep.kernel.jacobian import cost_of_jacobian  # noqa: PLC0415  a plain run needs none

    costs = [
        cost_of_jacobian(
            chain_of(chain), _deepest(chain).profile, seeds, chain[0].batch,
            sorted({spec.depth for spec in chain}), rates,
        )
        for chain in chains_of(specs)
    ]  # fmt: skip
    return joined(cost, costs)


def _with_trainings(cost: Cost, trained: Mapping[Any, int], seeds: int, dtype: str, rates: Rates) -> Cost:
    """The cost of a stack with that of the trainings that follow; trained: how many of each kind."""
    from sweep.kernel.training.cost import cost_of_training  # noqa: PLC0415  a plain run needs none

    costs = [
        cost_of_training(chain, widths, training, seeds * count, dtype, rates)
        for (chain, widths, training), count in trained.items()
    ]
    return joined(cost, costs)
