"""Many cells without a list of them: blocks of specs times seeds.

A grid is one block, however many its seeds; what is missing of it, a share of it and the work of
one task are a few. So a million cells take what their seeds take.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.experiment.cell import Cell, Spec

_MOST_PAIRS = 1 << 28  # of a spec and a seed, that are asked one by one whether they are there


@dataclass(frozen=True)
class Block:
    """The cells of every spec with every seed, one spec after another; both are distinct."""

    specs: tuple[Spec, ...]
    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.specs) * len(self.seeds)

    def __iter__(self) -> Iterator[Cell]:
        return (spec.cell(seed) for spec in self.specs for seed in self.seeds)

    def digests(self) -> bytes:
        """The cells' ids, ID_BYTES each, one after another."""
        return b"".join([spec.digests(self.seeds) for spec in self.specs])


@dataclass(frozen=True)
class Cells(Collection[Cell]):
    """Distinct cells as blocks that have no seed in common."""

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> "Cells":
        """These cells, each once; their order is not kept."""
        return cls.joined(Block((cell.spec,), (cell.seed,)) for cell in cells)

    @classmethod
    def joined(cls, blocks: Iterable[Block]) -> "Cells":
        """The cells of all these blocks, each once."""
        blocks = tuple(blocks)
        if len(blocks) < 2:
            return cls(blocks)
        specs = _numbered(spec for block in blocks for spec in block.specs)
        seeds = _numbered(seed for block in blocks for seed in block.seeds)
        if len(specs) * len(seeds) > _MOST_PAIRS:
            return cls(tuple(_sparse(blocks)))
        there = np.zeros((len(specs), len(seeds)), bool)
        for block in blocks:
            rows = [specs[spec] for spec in block.specs]
            there[np.ix_(rows, [seeds[seed] for seed in block.seeds])] = True
        return cls(tuple(_blocks(tuple(specs), tuple(seeds), there)))

    @cached_property
    def _count(self) -> int:
        return sum(map(len, self.blocks))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Cell]:
        return (cell for block in self.blocks for cell in block)

    def __contains__(self, cell: object) -> bool:
        if not isinstance(cell, Cell):
            return False
        return any(cell.seed in block.seeds and cell.spec in block.specs for block in self.blocks)

    def where(self, keep: NDArray[np.bool_]) -> "Cells":
        """The cells whose place is true; keep: (cells,), in the order of iteration."""
        found: list[Block] = []
        start = 0
        for block in self.blocks:
            there = keep[start : start + len(block)].reshape(len(block.specs), -1)
            found += [block] if there.all() else _blocks(block.specs, block.seeds, there)
            start += len(block)
        return Cells(tuple(found))


def _numbered(values: Iterable[Any]) -> Mapping[Any, int]:
    numbers: dict[Any, int] = {}
    for value in values:
        numbers.setdefault(value, len(numbers))
    return numbers


def _sparse(blocks: Iterable[Block]) -> Iterator[Block]:
    """The cells of all these blocks, each once, without asking of every spec whether it has every seed."""
    wanted: dict[int, dict[Spec, None]] = {}
    for block in blocks:
        for seed in block.seeds:
            wanted.setdefault(seed, {}).update(dict.fromkeys(block.specs))
    alike: dict[tuple[Spec, ...], list[int]] = {}
    for seed, specs in wanted.items():
        alike.setdefault(tuple(specs), []).append(seed)
    return (Block(specs, tuple(seeds)) for specs, seeds in alike.items())


def _blocks(specs: Sequence[Spec], seeds: Sequence[int], there: NDArray[np.bool_]) -> Iterator[Block]:
    """Seeds that are there with the same specs, together; there: (specs, seeds)."""
    if not there.size:
        return
    patterns = np.packbits(there, axis=0).T  # (seeds, bytes)
    _, first, kind = np.unique(patterns, axis=0, return_index=True, return_inverse=True)
    for number in np.argsort(first):
        own = there[:, first[number]]
        if own.any():
            members = np.flatnonzero(kind == number).tolist()
            there_specs = tuple(specs[i] for i in np.flatnonzero(own).tolist())
            yield Block(there_specs, tuple(seeds[i] for i in members))
