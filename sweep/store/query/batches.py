"""A study's rows as NumPy has them, some at a time: for what is made of millions, such as a report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sweep.experiment.batches import Cells
from sweep.experiment.outcomes.verdict import Thresholds
from sweep.store.parts import ages, commits
from sweep.store.parts.digests import among
from sweep.store.parts.pieces import Piece, pieces
from sweep.store.query import judging
from sweep.store.query.results import as_frame
from sweep.store.study import Study
from sweep.store.tables import CELLS, LAYERS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Texts:
    """A column of a few texts. codes: (rows,), the index of each row's own; -1: null."""

    codes: NDArray[np.int64]
    values: list[str]


@dataclass(frozen=True)
class Batch:
    """Some rows of `cells`.

    kinds: the first row of each kind, whole; kind: (rows,), which of them each row is of. columns: numbers,
    NaN where they are null, and Texts. others: the rows that failed, whole but for what was measured.
    """

    kinds: "pd.DataFrame"
    kind: NDArray[np.int64]
    columns: Mapping[str, Any]
    failed: "pd.DataFrame"


class View:
    """The rows of a study that count, as they are now; only: those of these cells.

    Reading raises FileNotFoundError where a part has been tidied away meanwhile: see `Study.retry`.
    """

    def __init__(self, study: Study, only: Cells | None = None) -> None:
        self._study, self._only = study, only

    @cached_property
    def pieces(self) -> list[Piece]:
        """The parts, some at a time."""
        versions = "newest" if self._only is None else "all"
        return list(pieces(self._study.scan, commits.names(self._study.place), versions))

    def cells(
        self, keys: Sequence[str], columns: Sequence[str], wanted: Thresholds, whole: Sequence[str]
    ) -> Iterator[Batch]:
        """The cells, with verdicts by these thresholds.

        keys: what makes a kind. columns: those of every row. whole: those of the first row of each kind, and
        of failed ones.
        """
        names = list(dict.fromkeys((*keys, *columns, *whole, "cell_id", "status")))
        kept = judging.Kept()
        for piece in self.pieces:
            rows, more = _judged(piece, names, wanted)
            kept += more
            if self._only is not None:
                rows = rows.filter(among(rows["cell_id"], self._only))
            if rows.num_rows:
                yield _batch(rows, keys, columns, whole)
        kept.warn(self._study.name, 4)

    def layers(self, columns: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], Mapping[str, Any]]]:
        """For each batch of `cells` these columns of its layers, with the number of each row's cell in it."""
        for piece in self.pieces:
            ids = piece.cells(["cell_id"])["cell_id"].combine_chunks()
            table = piece.layers(["cell_id", *columns])
            runs = pc.run_end_encode(table["cell_id"].combine_chunks())  # a cell's rows follow one another
            owner = pc.fill_null(pc.index_in(runs.values, value_set=ids), -1).to_numpy()
            lengths = np.diff(runs.run_ends.to_numpy(), prepend=0)
            yield np.repeat(owner, lengths), {name: _values(table[name]) for name in columns}

    def ids(self, pieces: Sequence[int], rows: Sequence[int]) -> list[str]:
        """The ids of a few cells: of each the number of its piece, and of its row of that."""
        found = {piece: self.pieces[piece].cells(["cell_id"])["cell_id"] for piece in {*pieces}}
        return [found[piece][row].as_py() for piece, row in zip(pieces, rows, strict=True)]

    def layers_of(self, ids: Sequence[str]) -> "pd.DataFrame":
        """All layers of a few cells, as `sweep.load` has them."""
        chosen = pa.array(ids, pa.string())
        found = [LAYERS.empty_table()]
        for piece in self.pieces:
            if pc.any(pc.is_in(piece.cells(["cell_id"])["cell_id"], value_set=chosen)).as_py():
                table = piece.layers(LAYERS.names)
                found.append(table.filter(pc.is_in(table["cell_id"], value_set=chosen)))
        return as_frame(pa.concat_tables(found))


def _judged(piece: Piece, names: Sequence[str], wanted: Thresholds) -> tuple[pa.Table, judging.Kept]:
    """These columns of a piece's cells with verdicts by these thresholds, and the cells that keep theirs."""
    needed = list(dict.fromkeys((*names, *judging.STALE_NEEDED)))
    rows = piece.cells(needed, [name for name in ages.REPEATED if name in needed])
    kept = judging.Kept()
    if judging.stale(rows, wanted).any():
        rows = piece.cells(list(dict.fromkeys((*needed, *judging.CELLS_NEEDED))))
        rows, kept = judging.judge(rows, piece.layers(judging.LAYERS_NEEDED), wanted)
    return rows.select(names), kept


def _batch(rows: pa.Table, keys: Sequence[str], columns: Sequence[str], whole: Sequence[str]) -> Batch:
    _, first, kind = np.unique(
        ages.numbered(rows, keys, defaults=False), return_index=True, return_inverse=True
    )
    order = np.argsort(first)  # as they appear
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    plain = rows.select(list(dict.fromkeys((*keys, *whole, "cell_id", "status"))))
    bad = plain.filter(pc.not_equal(plain["status"], "ok"))
    return Batch(
        as_frame(_decoded(plain.take(pa.array(first[order])))),
        rank[kind],
        {name: _values(rows[name]) for name in columns},
        as_frame(_decoded(bad)),
    )


def _decoded(rows: pa.Table) -> pa.Table:
    """The same with texts where they are dictionaries."""
    return rows.cast(pa.schema([CELLS.field(name) for name in rows.column_names]))


def _values(column: pa.ChunkedArray) -> Any:
    """A column as NumPy has it: numbers, or Texts; lists of words as one text each."""
    if pa.types.is_list(column.type):
        column = pc.binary_join(column, ", ")
    if pa.types.is_string(column.type):
        column = column.dictionary_encode()
    if pa.types.is_dictionary(column.type):
        encoded = column.unify_dictionaries().combine_chunks()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return Texts(codes, encoded.dictionary.to_pylist())
    if column.null_count or pa.types.is_boolean(column.type):
        column = pc.fill_null(pc.cast(column, pa.float64()), np.nan)
    return column.to_numpy()
