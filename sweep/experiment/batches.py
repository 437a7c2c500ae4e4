"""Many cells without listing them: blocks of specs times seeds.

A grid is one block, however many seeds it has; what is missing of it, a share of it and one task's
work are a few blocks. So a million cells take no more memory than their seeds.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.experiment.cell import Cell, Spec

_MOST_PAIRS = 1 << 28  # of spec and seed, as the entries of one table


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
        present = np.zeros((len(specs), len(seeds)), bool)
        for block in blocks:
            rows = [specs[spec] for spec in block.specs]
            present[np.ix_(rows, [seeds[seed] for seed in block.seeds])] = True
        return cls(tuple(_blocks(tuple(specs), tuple(seeds), present)))

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
        """The cells for which `keep` is true; keep: (cells,), in the order of iteration."""
        kept: list[Block] = []
        start = 0
        for block in self.blocks:
            present = keep[start : start + len(block)].reshape(len(block.specs), -1)
            kept += [block] if present.all() else _blocks(block.specs, block.seeds, present)
            start += len(block)
        return Cells(tuple(kept))


def _numbered(values: Iterable[Any]) -> Mapping[Any, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}


def _sparse(blocks: Iterable[Block]) -> Iterator[Block]:
    """The cells of all these blocks, each once, without a table of every spec and seed."""
    specs_of: dict[int, dict[Spec, None]] = defaultdict(dict)
    for block in blocks:
        for seed in block.seeds:
            specs_of[seed].update(dict.fromkeys(block.specs))
    seeds_of: dict[tuple[Spec, ...], list[int]] = defaultdict(list)
    for seed, specs in specs_of.items():
        seeds_of[tuple(specs)].append(seed)
    return (Block(specs, tuple(seeds)) for specs, seeds in seeds_of.items())


def _blocks(specs: Sequence[Spec], seeds: Sequence[int], present: NDArray[np.bool_]) -> Iterator[Block]:
    """A block for all seeds that have the same specs; present: (specs, seeds)."""
    if not present.size:
        return
    patterns = np.packbits(present, axis=0).T  # (seeds, bytes)
    _, first, kind = np.unique(patterns, axis=0, return_index=True, return_inverse=True)
    for number in np.argsort(first):
        rows, columns = np.flatnonzero(present[:, first[number]]), np.flatnonzero(kind == number)
        if len(rows):
            yield Block(tuple(specs[i] for i in rows.tolist()), tuple(seeds[i] for i in columns.tolist()))
