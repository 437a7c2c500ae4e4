"""Which tensor came of which: a node each, numbered in the order in which they were made."""

import weakref
from collections.abc import Collection
from heapq import heappop, heappush
from typing import Any

from sweep.probing.watching.tensors import Tensor


class Flow:
    """The tensors of one forward pass and their parents, without keeping any.

    parents: of every node. steps: what its one parent was multiplied by, where nothing else was done to it;
    1 of a plain sum; None. A parameter is no node.
    """

    def __init__(self) -> None:
        self.parents: list[tuple[int, ...]] = []
        self.steps: list[float | None] = []
        self._known: dict[int, tuple[weakref.ref[Any], int]] = {}

    def of(self, tensor: Any) -> int | None:
        """The node of a tensor, None where it did not come of the inputs."""
        entry = self._known.get(id(tensor))
        return entry[1] if entry and entry[0]() is tensor else None

    def add(self, tensor: Tensor, parents: tuple[int, ...], step: float | None = None) -> int:
        """A new node for a tensor, which may have had one before it was changed in place."""
        self.parents.append(tuple(dict.fromkeys(parents)))
        self.steps.append(step)
        node = len(self.parents) - 1
        self._known[id(tensor)] = weakref.ref(tensor), node
        return node

    def meeting(self, one: int, other: int) -> int | None:
        """The latest node from which both came, or one of them if the other came of it."""
        marks = {one: 1}
        marks[other] = marks.get(other, 0) | 2
        heap = [-node for node in marks]
        heap.sort()
        while heap:
            node = -heappop(heap)
            if marks[node] == 3:
                return node
            for parent in self.parents[node]:
                if parent not in marks:
                    heappush(heap, -parent)
                marks[parent] = marks.get(parent, 0) | marks[node]
        return None

    def leads_to(self, early: int, late: int) -> bool:
        """Whether one node came of another."""
        return early <= late and self.meeting(early, late) == early

    def straight_to(self, node: int, ends: Any) -> int | None:
        """The nearest of these nodes from which one came without any other joining it."""
        while node not in ends:
            if len(self.parents[node]) != 1:
                return None
            (node,) = self.parents[node]
        return node

    def factor(self, early: int | None, late: int | None) -> float | None:
        """What the one node was multiplied by to become the other; None where more was done, or other."""
        factor = 1.0
        while late != early:
            if late is None or early is None or late < early:
                return None
            step = self.steps[late]
            if step is None or len(self.parents[late]) != 1:
                return None
            factor, (late,) = factor * step, self.parents[late]
        return None if early is None else factor

    def ways(self, early: int, late: int, marked: Collection[int]) -> dict[int, int]:
        """The nodes between two on any way from one to the other, and the most marked ones up to each."""
        most = {early: 0}
        for node in range(early + 1, late + 1):
            if known := [most[one] for one in self.parents[node] if one in most]:
                most[node] = max(known) + (node in marked)
        found = {late}
        for node in range(late, early, -1):
            if node in found:
                found.update(one for one in self.parents[node] if one in most)
        return {node: most[node] for node in sorted(found - {early, late})}

    def most(self, early: int, late: int, marked: Collection[int]) -> int:
        """The most marked ones that one node has come through since another, itself among them."""
        return max(self.ways(early, late, marked).values(), default=0) + (late in marked and late != early)
