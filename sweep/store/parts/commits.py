"""The parts of a study: how one is written and read, which of them count, and which of their rows.

A part is two files of one name, never changed once they are there: `layers/NAME`, written first, and
`cells/NAME`, the commit, which says how many bytes of layers belong to it. Rows compete: of all
rows of a cell one wins, by an order that depends on nothing but the rows and their parts' names, and a
row is only ever removed by somebody who sees one that beats it. So the best row stays, whoever
tidies, however stale his view.
"""

import binascii
import contextlib
import re
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.base.command import visible
from sweep.base.errors import StoreError
from sweep.experiment import revisions
from sweep.experiment.cell import ID_BYTES
from sweep.store.parts import part_file
from sweep.store.parts.part_file import one_line
from sweep.store.places import Place
from sweep.store.tables import CELLS, LAYERS, SCHEMAS

ID = pa.binary(ID_BYTES)
RANK = ("cell_id", "status", "run_id")  # what decides which row of a cell counts, with the part's name
_LISTINGS = 10
_MOST_NAMED = 4
LAYERS_BYTES, DIGEST, STATE = b"layers_bytes", b"digest", b"revisions"  # what a commit says, by key
# WRITER-000012.parquet, a Dask worker's WRITER-000003-d000012.parquet, copies of their rows, …12.2.parquet:
# whatever else lies in a study's folders is not ours.
_OURS = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}(-d?\d+)+(\.\d+)?\.parquet")
_HIDDEN = re.compile(rf"\.{_OURS.pattern}\.[0-9a-z]+")


class DamagedError(StoreError):
    """Parts that cannot be read: names -> why."""

    def __init__(self, root: str, parts: dict[str, str]) -> None:
        self.parts = parts
        name, why = next(iter(parts.items()))
        more = f", and {len(parts) - 1} more" if len(parts) > 1 else ""
        super().__init__(
            f"{root} has a part that cannot be read: {name} ({why}){more}; "
            f"set aside what is damaged with: python -m sweep.verify {root}"
        )


def write(place: Place, name: str, cells: pa.Table, layers: pa.Table, state: str | None = None) -> None:
    """Add one part; it is stored when this returns.

    state: of the revisions at which its rows were computed; by default the present.
    """
    cells, layers = cells.cast(CELLS), layers.cast(LAYERS)
    content = part_file.serialised(layers, {})
    commit = {LAYERS_BYTES: str(len(content)).encode(), DIGEST: part_file.digest(cells, layers)}
    commit[STATE] = (revisions.state() if state is None else state).encode()
    place.write(f"layers/{name}", content)
    place.write(f"cells/{name}", part_file.serialised(cells, commit))


def remove(place: Place, name: str) -> None:
    """Remove a part, the commit first."""
    place.remove(f"cells/{name}")
    place.remove(f"layers/{name}")


def names(place: Place, folder: str = "cells") -> set[str]:
    """The names of the parts in 'cells' (those that count) or 'layers'."""
    before = _names(place, folder)
    for _ in range(_LISTINGS):
        # A listing is not made in one moment: it may miss both a part and what has just replaced it.
        after = _names(place, folder)
        if after == before:
            break
        before = after
    return before


def _names(place: Place, folder: str) -> set[str]:
    return {name for name in place.files(folder) if is_part(name)}


def is_part(name: str) -> bool:
    """Whether a file of this name would be a part."""
    return _OURS.fullmatch(name) is not None


def told_strangers(place: Place) -> list[str]:
    """A line on what lies among the parts and is none of ours, if anything does."""
    found = strangers(place)
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    named = visible(", ".join(found[:_MOST_NAMED]))
    return [f"left alone, for they are none of this program's: {named}{more}"] if found else []


def unfinished(name: str) -> bool:
    """Whether it is the name of a part that was being written."""
    return _HIDDEN.fullmatch(name) is not None


def strangers(place: Place) -> list[str]:
    """What lies among the parts and is none of ours: 'layers/my_notes.txt'."""
    found = []
    for folder in SCHEMAS:
        parts = _names(place, folder)
        found += [
            f"{folder}/{name}" for name in sorted({*place.entries(folder)} - parts) if not unfinished(name)
        ]
    return found


def distinct(ranks: pa.Table, column: str) -> list[str]:
    """The values of one of the dictionaries."""
    chunks = ranks[column].chunks
    values: list[str] = chunks[0].dictionary.to_pylist() if chunks else []
    return values


def digests(ids: pa.StringArray) -> pa.FixedSizeBinaryArray:
    """cell_ids as the ID_BYTES that they spell."""
    lengths, text = part_file.text_of(ids)
    if (lengths != 2 * ID_BYTES).any():
        raise ValueError("a cell_id is not one")
    content = binascii.unhexlify(text)
    return pa.FixedSizeBinaryArray.from_buffers(ID, len(ids), [None, pa.py_buffer(content)])


def winners(cells: pa.Table) -> tuple[pa.Array, bool]:
    """Row numbers that count, one per cell, and whether that is all of them.

    cells: with the columns of RANK and `part`. A result wins over a failure; then the later run; then the
    part that was rewritten more often, whose rows are copies; then the name of the part.
    """
    if pc.count_distinct(cells["cell_id"]).as_py() == cells.num_rows:
        return pa.array(np.arange(cells.num_rows)), True
    ids = cells["cell_id"].to_pylist()
    ranks = list(
        zip(
            (status == "ok" for status in cells["status"].to_pylist()),
            cells["run_id"].to_pylist(),
            map(level, cells["part"].to_pylist()),
            cells["part"].to_pylist(),
            strict=True,
        )
    )
    best: dict[str, int] = {}
    for row, cell_id in enumerate(ids):
        if ranks[row] > ranks[best.setdefault(cell_id, row)]:
            best[cell_id] = row
    return pa.array(sorted(best.values())), False


def level(part: str) -> int:
    """How often the rows of a part have been copied: 'RUN-000012.2.parquet' is a copy of copies."""
    middle = part.removesuffix(".parquet").rpartition(".")[2]
    return int(middle) if middle.isdecimal() and "." in part.removesuffix(".parquet") else 0


def rewritten(writer: str, number: int, sources: Iterable[str]) -> str:
    """The name of a part that holds copies of rows of `sources`, and ranks before all of them."""
    return f"{writer}-{number:06d}.{1 + max(map(level, sources), default=0)}.parquet"


def writer_of(part: str) -> str:
    """The name of the run that wrote a part, or that was writing it: 'RUN-000012.parquet' -> RUN."""
    return part.lstrip(".").partition(".")[0].rpartition("-")[0]


@contextlib.contextmanager
def writing(root: str) -> Iterator[None]:
    """What goes wrong while writing to `root`, as one clear line."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or one_line(error)}; what is stored is safe"
        raise StoreError(f"cannot write to {root}: {reason}; choose another root=…") from error
