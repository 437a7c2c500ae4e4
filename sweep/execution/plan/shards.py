"""Cells to shares: a cut of the work into parts of about equal cost, for a scheduler's array of jobs.

A share is a function of the cells alone: neither of their order, nor of what is stored, nor of the
machine. So whoever computes share k of n, and whenever, means the same cells.
"""

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.execution.plan.tasks import Limits, carried_of, stacks_of
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Spec
from sweep.kernel.chains.cost import Rates

# A part that is dealt out costs at most a share's cost over this: small enough to balance the shares, large
# enough that cells that share draws are seldom parted.
_PARTS_PER_SHARE = 4
_MOST_SHARES = 100_000  # all are made, to know one of them
_ANY_MEMORY = 10**18  # bytes: the memory that cells need is the concern of whoever computes them
# Not the plan's, which may be tuned: whoever computes a share, now or later, means the same cells.
_LIMITS = Limits(
    seconds=5.0,
    rows=1 << 15,
    entries=1 << 20,
    rates=Rates(float32=1.3e11, float64=5e10, entry=1.5e-9, layer=4e-4, draw=4e-9, stream=1.5e-5),
)


@dataclass(frozen=True)
class Shard:
    """Share `number` of `count`, the first being 1."""

    number: int
    count: int

    @classmethod
    def of(cls, value: object) -> "Shard":
        """The share that 'k/n' names; RequestError where it names none."""
        found = re.fullmatch(r"\s*(\d{1,18})\s*/\s*(\d{1,18})\s*", value) if isinstance(value, str) else None
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            rule = "shard must be k/n with 1 ≤ k ≤ n, as in shard=3/32"
            raise RequestError(f"shard={checks.shown(value)}: {rule}")
        if int(found[2]) > _MOST_SHARES:
            raise RequestError(f"shard={value}: shard=k/n must have n ≤ {_MOST_SHARES:,}; use larger shares")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def share(cells: Cells, shard: Shard) -> Cells:
    """The cells of one share."""
    return shares(cells, shard.count)[shard.number - 1]


def shares(cells: Cells, count: int) -> list[Cells]:
    """`count` shares: disjoint, complete, of about equal cost; empty ones where the cells are too few.

    The costliest part goes to the share that has least so far (Graham 1969): no share then costs more
    than the mean by more than one part.
    """
    if count == 1:
        return [cells]
    whole = _parts(_ordered(cells))
    mean = sum(seconds for seconds, _ in whole) / count
    parts = [part for seconds, block in whole for part in _cut(seconds, block, mean)]
    parts.sort(key=lambda part: -part[0])
    lightest = [(0.0, number) for number in range(count)]
    dealt: list[list[Block]] = [[] for _ in range(count)]
    for seconds, block in parts:
        load, number = lightest[0]
        heapq.heapreplace(lightest, (load + seconds, number))
        dealt[number].append(block)
    return [Cells.joined(blocks) for blocks in dealt]


def seconds_of(cells: Cells) -> float:
    """Estimated time of these cells on one core, what they share computed once."""
    return sum(seconds for seconds, _ in _parts(cells))


_Part = tuple[float, Block]


def _ordered(cells: Cells) -> Cells:
    """The same cells, whatever order they were named in."""
    blocks = Cells.joined(cells.blocks).blocks
    ordered = (Block(tuple(sorted(b.specs, key=_order)), tuple(sorted(b.seeds))) for b in blocks)
    return Cells(tuple(sorted(ordered, key=lambda block: (block.seeds, list(map(_order, block.specs))))))


def _order(spec: Spec) -> bytes:
    return spec.digests([0])


def _parts(cells: Cells) -> list[_Part]:
    """Cells that share draws, with their cost."""
    stacks = stacks_of(cells, 1, _ANY_MEMORY, _LIMITS)
    return [(stack.seconds, stack.block) for stack in sorted(stacks, key=lambda stack: -stack.seconds)]


def _cut(seconds: float, block: Block, mean: float) -> Iterator[_Part]:
    """These cells in parts that a share of `mean` seconds can take several of.

    Seeds are parted first, for they share next to nothing, then what runs as one, for that shares
    draws; one chain's depths share all their work, and are parted only where it costs more than a share.
    """
    limit = mean / _PARTS_PER_SHARE
    if len(block.seeds) > 1:
        each = seconds / len(block.seeds)  # they want the same networks
        together = max(1, int(limit / each)) if each else len(block.seeds)
        for start in range(0, len(block.seeds), together):
            part = Block(block.specs, block.seeds[start : start + together])
            cost = each * len(part.seeds)
            yield from _cut(cost, part, mean) if together == 1 else [(cost, part)]
        return
    runs = carried_of(block.specs)
    units = runs if len(runs) > 1 else [[spec] for spec in block.specs]
    if len(units) == 1 or seconds <= (limit if len(runs) > 1 else mean):
        yield seconds, block
        return
    costs = [seconds_of(Cells((Block(tuple(unit), block.seeds),))) for unit in units]
    scale = seconds / sum(costs)
    specs: list[Spec] = []
    total = 0.0
    for unit, cost in zip(units, (scale * cost for cost in costs), strict=True):
        if specs and total + cost > limit:
            yield total, Block(tuple(specs), block.seeds)
            specs, total = [], 0.0
        if cost > limit and len(unit) > 1:
            yield from _cut(cost, Block(tuple(unit), block.seeds), mean)
        else:
            specs += unit
            total += cost
    if specs:
        yield total, Block(tuple(specs), block.seeds)
