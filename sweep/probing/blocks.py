"""The blocks of a network: where a skip goes around some weights and meets what came through them."""

from dataclasses import dataclass

from sweep.probing.watching import kinds
from sweep.probing.watching.rows import Row
from sweep.probing.watching.watch import Watch

_DEEPEST = 8  # weights one after another in a block: a skip around more is one around a network of layers


@dataclass(frozen=True)
class Block:
    """One block: the sum at its end, the node where its skip begins, the nodes on its ways, its rows."""

    sum: Row
    skip: int
    end: int
    ways: frozenset[int]
    inside: tuple[Row, ...]

    def encloses(self, other: "Block") -> bool:
        """Whether another block is part of this one."""
        return other.end in self.ways and other.skip >= self.skip


def blocks_of(watch: Watch) -> list[Block]:
    """The blocks in their order, the outermost of those that are not too deep."""
    weighted = {row.node for row in watch.rows if row.role == kinds.WEIGHT and row.node is not None}
    found = []
    for one in watch.sums:
        assert one.skip is not None
        assert one.node is not None
        ways, deepest = watch.flow.ways(one.skip, one.node, weighted)
        # What leads around other modules' work, as a condition given to every block, is no skip of this one.
        own = all(node >= one.since for node in ways & weighted)
        if own and 0 < deepest <= _DEEPEST:
            inside = tuple(row for row in watch.rows if _is_inside(row, one, ways))
            found.append(Block(one, one.skip, one.node, frozenset(ways), inside))
    return [one for one in found if not any(other.encloses(one) for other in found)]


def _is_inside(row: Row, end: Row, ways: set[int]) -> bool:
    """Whether a row is on a way through a block, or called in between by the module that adds.

    As the layers that make a block's scales of something else are.
    """
    if row.node is None or row.node in ways:
        return row.node is not None
    between = (end.skip or 0) < row.node < (end.node or 0)
    return between and bool(end.module) and f"{row.module}.".startswith(f"{end.module}.")
