"""The rows of a study that count, a few parts at a time: for what needs all of them, though not at once."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sweep.store.parts import digests, merge
from sweep.store.parts.scan import RANK, Scan, distinct

_BYTES = 1 << 24  # of the layers of the parts of one piece, as they are stored
_ROWS = 1 << 16  # cells in one piece


@dataclass(frozen=True)
class Piece:
    """Some parts of a study. rows: the numbers of the rows of their cells that count; None: all do."""

    scan: Scan
    parts: tuple[str, ...]
    rows: NDArray[np.int64] | None

    def cells(self, columns: Sequence[str], repeated: Collection[str] = ()) -> pa.Table:
        """These columns of the rows of `cells` that count. Raises as `Scan.read` does."""
        table = self.scan.read("cells", self.parts, list(columns), repeated)
        return (table if self.rows is None else table.take(pa.array(self.rows))).drop_columns(["part"])

    def layers(self, columns: Sequence[str]) -> pa.Table:
        """These columns of the layers of those cells. Raises as `Scan.read` does."""
        if self.rows is None:
            return self.scan.read("layers", self.parts, list(columns)).drop_columns(["part"])
        counting = self.scan.read("cells", self.parts, list(RANK)).take(pa.array(self.rows))
        needed = list(dict.fromkeys((*columns, "cell_id", "layer")))
        layers = self.scan.read("layers", self.parts, needed)
        ours = pc.is_in(merge.row_keys(layers), value_set=merge.row_keys(counting))
        return merge.once(layers.filter(ours)).select(list(columns))


def pieces(scan: Scan, parts: set[str], versions: str = "newest") -> Iterator[Piece]:
    """The parts in the order in which `merge.read` returns their rows; see `Study.read` for versions."""
    ranks = scan.ranks(parts)
    keep, unique = merge.winners(ranks)
    old = merge.outdated(scan, parts, ranks) if versions == "newest" else []
    counts = None if unique and not len(old) else np.zeros(ranks.num_rows, bool)
    if counts is not None:
        counts[keep.to_numpy()] = True
        counts &= (
            ~pc.is_in(ranks["cell_id"], value_set=digests.of_texts(old)).to_numpy() if len(old) else True
        )
    names = distinct(ranks, "part")
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in ranks["part"].chunks] or [np.empty(0, int)])
    del ranks
    sizes, rows_of = scan.place.files("layers"), np.bincount(codes, minlength=len(names))
    group: list[str] = []
    start = end = size = 0
    for name, rows in zip(names, rows_of.tolist(), strict=True):
        if group and (size + sizes.get(name, 0) > _BYTES or end - start + rows > _ROWS):
            yield _piece(scan, group, counts, start, end)
            group, start, size = [], end, 0
        group.append(name)
        end, size = end + rows, size + sizes.get(name, 0)
    if group:
        yield _piece(scan, group, counts, start, end)


def _piece(scan: Scan, parts: list[str], counts: NDArray[np.bool_] | None, start: int, end: int) -> Piece:
    own = None if counts is None else counts[start:end]
    return Piece(scan, tuple(parts), None if own is None or own.all() else np.flatnonzero(own))
