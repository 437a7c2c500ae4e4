"""The blocks of a network: where a skip goes around some weights and meets what came through them."""

from collections.abc import Collection
from dataclasses import dataclass

from sweep.probing.watching import kinds
from sweep.probing.watching.rows import Row
from sweep.probing.watching.watch import Watch

_DEEPEST = 8  # weights one after another in a block: a skip around more is one around a network of layers


@dataclass(frozen=True)
class Block:
    """One block.

    sum: at its end. skip: the node where the skip begins; end: that of the sum. ways: the nodes between.
    inside: its rows. out: that of the weights which come after most others, not on a skip.
    """

    sum: Row
    skip: int
    end: int
    ways: frozenset[int]
    inside: tuple[Row, ...]
    out: Row

    def encloses(self, other: "Block") -> bool:
        """Whether another block is part of this one."""
        return other.end in self.ways and other.skip >= self.skip


def blocks_of(watch: Watch) -> list[Block]:
    """The blocks in their order, the outermost of those that are not too deep."""
    weighted = {row.node for row in watch.rows if row.role == kinds.WEIGHT and row.node is not None}
    sums = {row.node for row in watch.sums}
    found = []
    for one in watch.sums:
        assert one.skip is not None
        assert one.node is not None
        ways = watch.flow.ways(one.skip, one.node, weighted)
        # What leads around other modules' blocks, as a condition given to each, is no skip of this one.
        own = not ways.keys() & sums or all(node >= one.since for node in ways.keys() & weighted)
        if own and 0 < max(ways.values(), default=0) <= _DEEPEST:
            inside = tuple(row for row in watch.rows if _is_inside(row, one, ways))
            on_ways = [row for row in inside if row.node in ways and row.role == kinds.WEIGHT]
            out = max(on_ways, key=lambda row: (ways[row.node or 0], row.node))
            found.append(Block(one, one.skip, one.node, frozenset(ways), inside, out))
    return [one for one in found if not any(other.encloses(one) for other in found)]


def _is_inside(row: Row, end: Row, ways: Collection[int]) -> bool:
    """Whether a row is on a way through a block, or called in between by the module that adds.

    As the layers that make a block's scales of something else are.
    """
    if row.node is None or row.node in ways:
        return row.node is not None
    between = (end.skip or 0) < row.node < (end.node or 0)
    return between and bool(end.module) and f"{row.module}.".startswith(f"{end.module}.")
