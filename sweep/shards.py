"""Cells to shares: a cut of the work into parts of about equal cost, for a scheduler's array of jobs.

A share is a function of the cells alone: neither of their order, nor of what is stored, nor of the
machine. So whoever computes share k of n, and whenever, means the same cells.
"""

import heapq
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sweep import plan
from sweep.cell import Cell
from sweep.errors import RequestError

# Parts of at most this part of a share's cost go round: the shares then differ by less, and what
# shares draws is seldom torn apart.
_PARTS_PER_SHARE = 4
# Which cells belong together is asked, not how much memory they need: that is for who computes them.
_ANY_MEMORY = 10**18


@dataclass(frozen=True)
class Shard:
    """Share `number` of `count`, the first being 1."""

    number: int
    count: int

    @classmethod
    def of(cls, value: object) -> "Shard":
        """The share that 'k/n' names; RequestError where it names none."""
        found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", value) if isinstance(value, str) else None
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise RequestError(f"shard={value}: shard must be k/n with 1 ≤ k ≤ n, as in shard=3/32")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def share(cells: Sequence[Cell], shard: Shard) -> list[Cell]:
    """The cells of one share, in the order in which they are given."""
    return shares(cells, shard.count)[shard.number - 1]


def shares(cells: Sequence[Cell], count: int) -> list[list[Cell]]:
    """`count` shares: disjoint, complete, of about equal cost; empty ones where the cells are too few.

    The costliest part goes to the share that has least so far (Graham 1969): no share then costs more
    than the mean by more than one part.
    """
    if count == 1:
        return [list(cells)]
    ordered = sorted(cells, key=lambda cell: cell.id)
    whole = _parts(ordered)
    mean = sum(seconds for seconds, _ in whole) / count
    parts = [part for seconds, members in whole for part in _cut(seconds, members, mean)]
    parts.sort(key=lambda part: (-part[0], part[1][0].id))
    lightest = [(0.0, number) for number in range(count)]
    owner: dict[str, int] = {}
    for seconds, members in parts:
        load, number = lightest[0]
        heapq.heapreplace(lightest, (load + seconds, number))
        owner.update((cell.id, number) for cell in members)
    found: list[list[Cell]] = [[] for _ in range(count)]
    for cell in cells:
        found[owner[cell.id]].append(cell)
    return found


def seconds_of(cells: Sequence[Cell]) -> float:
    """Estimated time of these cells on one core, what they share computed once."""
    return sum(seconds for seconds, _ in _parts(cells))


_Part = tuple[float, Sequence[Cell]]


def _parts(cells: Sequence[Cell]) -> list[_Part]:
    """Cells that share draws, with their cost."""
    tasks = plan.tasks(cells, workers=1, memory=_ANY_MEMORY)
    return [(stack.seconds, stack.cells) for task in tasks for stack in task.stacks]


def _cut(seconds: float, cells: Sequence[Cell], mean: float) -> Iterator[_Part]:
    """These cells in parts that a share of `mean` seconds can take several of.

    Seeds are parted first, for they share next to nothing, then what runs as one, for that shares
    draws; one chain's depths share all their work, and are parted only where it costs more than a share.
    """
    units = _by_seed(cells)
    weights = [1.0] * len(units)  # they want the same networks
    if len(units) == 1:
        units = plan.runs_of(cells)
        limit = mean / _PARTS_PER_SHARE if len(units) > 1 else mean
        if len(cells) > 1 and seconds > limit:
            units = units if len(units) > 1 else [[cell] for cell in cells]
            weights = [seconds_of(unit) for unit in units]
    else:
        limit = mean / _PARTS_PER_SHARE
    if len(units) == 1 or seconds <= limit:
        yield seconds, cells
        return
    scale = seconds / sum(weights)
    part: list[Cell] = []
    cost = 0.0
    for unit, weight in zip(units, weights, strict=True):
        if part and cost + scale * weight > limit:
            yield cost, part
            part, cost = [], 0.0
        if scale * weight > limit:
            yield from _cut(scale * weight, unit, mean)
        else:
            part += unit
            cost += scale * weight
    if part:
        yield cost, part


def _by_seed(cells: Sequence[Cell]) -> list[list[Cell]]:
    groups: dict[int, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.seed].append(cell)
    return [groups[seed] for seed in sorted(groups)]
