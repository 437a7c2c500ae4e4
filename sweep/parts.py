"""The parts of a study: how one is written and read, which of them count, and which of their rows.

A part is two files of one name, never changed once they are there: `layers/NAME`, written first, and
`cells/NAME`, the commit, which says how many bytes of layers belong to it. Rows compete: of all
rows of a cell one wins, by an order that depends on nothing but the rows and their parts' names, and a
row is only ever removed by somebody who sees one that beats it. So the best row stays, whoever
tidies, however stale his view.
"""

import binascii
import contextlib
import errno
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sweep import revisions
from sweep.cell import ID_BYTES
from sweep.errors import StoreError
from sweep.places import Place
from sweep.provenance import provenance
from sweep.tables import CELLS, LAYERS, SCHEMA_VERSION

SCHEMAS = {"cells": CELLS, "layers": LAYERS}
ID = pa.binary(ID_BYTES)
RANK = ("cell_id", "status", "run_id")  # what decides which row of a cell counts, with the part's name
_LISTINGS = 10
# What a reader of damaged bytes may stumble over; Arrow's own exceptions are some of these too.
_UNREADABLE = (OSError, pa.ArrowException, ValueError, TypeError, KeyError, MemoryError)
_LAYERS_BYTES, _DIGEST, _STATE = b"layers_bytes", b"digest", b"revisions"


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
    content = _serialised(layers, {})
    commit = {_LAYERS_BYTES: str(len(content)).encode(), _DIGEST: _digest(cells, layers)}
    commit[_STATE] = (revisions.state() if state is None else state).encode()
    place.write(f"layers/{name}", content)
    place.write(f"cells/{name}", _serialised(cells, commit))


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
    return {name for name in place.files(folder) if name.endswith(".parquet") and name[0] not in "._"}


def read(
    place: Place,
    folder: str,
    parts: Iterable[str],
    columns: list[str] | None = None,
    repeated: Collection[str] = (),
) -> pa.Table:
    """The rows of some parts, with the name of each row's part as the last column, `part`.

    repeated: columns of a few texts, again and again: they come as dictionaries, as `part` does.
    Raises FileNotFoundError where a part is not there any more, DamagedError where one cannot be
    read, or its layers are not those that it was committed with.
    """
    fields = SCHEMAS[folder].names if columns is None else columns

    def made(batch: pa.RecordBatch) -> pa.RecordBatch:
        for name in repeated:
            batch = batch.set_column(fields.index(name), name, batch[name].dictionary_encode())
        return batch

    return _whole(place, folder, sorted(parts), lambda names: _scanned(place, folder, names, fields, made))


def ranks(place: Place, parts: Iterable[str]) -> pa.Table:
    """What decides which row of a cell counts, a few bytes a row: the columns of RANK, kernel_version, part.

    cell_id is ID_BYTES of binary, the others are dictionaries. Raises what `read` does.
    """
    names = [*RANK, "kernel_version"]

    def made(batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [digests(batch["cell_id"]), *(batch[name].dictionary_encode() for name in names[1:])]
        return pa.RecordBatch.from_arrays(columns, names)

    return _whole(place, "cells", sorted(parts), lambda some: _scanned(place, "cells", some, names, made))


def states(place: Place, chosen: Iterable[str]) -> dict[str, str]:
    """Name -> at which state of the revisions the rows of a part were computed; '' before there were any.

    Raises as `read` does.
    """
    return {
        name: (_footer(place, "cells", name).metadata or {}).get(_STATE, b"").decode()
        for name in sorted(chosen)
    }


def distinct(ranks: pa.Table, column: str) -> list[str]:
    """The values of one of the dictionaries."""
    chunks = ranks[column].chunks
    values: list[str] = chunks[0].dictionary.to_pylist() if chunks else []
    return values


def digests(ids: pa.StringArray) -> pa.FixedSizeBinaryArray:
    """cell_ids as the ID_BYTES that they spell."""
    lengths, text = _text(ids)
    if (lengths != 2 * ID_BYTES).any():
        raise ValueError("a cell_id is not one")
    content = binascii.unhexlify(text)
    return pa.FixedSizeBinaryArray.from_buffers(ID, len(ids), [None, pa.py_buffer(content)])


def _whole(place: Place, folder: str, chosen: list[str], read: Callable[[list[str]], pa.Table]) -> pa.Table:
    try:
        return read(chosen)
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise _cause(place, chosen, folder, error) from error


def sizes(place: Place, chosen: Iterable[str]) -> dict[str, int]:
    """Name -> rows of layers, of some parts; raises as `read` does."""
    return {name: int(_footer(place, "layers", name).num_rows) for name in chosen}


def _footer(place: Place, folder: str, name: str) -> pq.FileMetaData:
    try:
        return pq.read_metadata(place.full(f"{folder}/{name}"), filesystem=place.filesystem)
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        if isinstance(error, OSError):  # the disk, or the network, as likely
            raise _cause(place, [name], folder, error) from error
        raise DamagedError(place.root, {name: _one_line(error)}) from error


def _cause(place: Place, chosen: list[str], folder: str, error: Exception) -> Exception:
    """Why parts could not be read: damaged, gone, or it was not the parts but the disk, or the network."""
    broken = damaged(place, chosen, folder)
    if broken:
        return DamagedError(place.root, broken)
    gone = sorted(set(chosen) - names(place))
    if gone:
        return FileNotFoundError(errno.ENOENT, "tidied away meanwhile", gone[0])
    return StoreError(f"cannot read {place.root}: {_one_line(error)}")


def corrupted(place: Place, parts: Iterable[str]) -> dict[str, str]:
    """Which of the parts are damaged in any bit that matters, and why: `damaged`, and their digests."""
    found = damaged(place, parts, "cells", "layers")
    for name in sorted(set(parts) - set(found)):
        try:
            cells, layers = (
                pq.read_table(place.full(f"{folder}/{name}"), filesystem=place.filesystem, partitioning=None)
                for folder in ("cells", "layers")
            )
            expected = (cells.schema.metadata or {}).get(_DIGEST)
            if expected is not None and expected != _digest(cells, layers):
                found[name] = "its rows are not those that were written"
        except FileNotFoundError:  # tidied away meanwhile
            continue
        except _UNREADABLE as error:
            found[name] = _one_line(error)
    return found


def damaged(place: Place, parts: Iterable[str], *folders: str) -> dict[str, str]:
    """Which of the parts cannot be read in full, and why; one that is gone meanwhile is not damaged."""
    found: dict[str, str] = {}
    for name in sorted(parts):
        for folder in folders:
            try:
                table = _scanned(place, folder, [name], SCHEMAS[folder].names)
                table.validate(full=True)
            except FileNotFoundError:
                if folder == "layers" and name in names(place):
                    found[name] = "its layers are gone"
            except _UNREADABLE as error:
                found[name] = _one_line(error)
    return found


def _scanned(
    place: Place,
    folder: str,
    chosen: list[str],
    fields: list[str],
    made: Callable[[pa.RecordBatch], pa.RecordBatch] = lambda batch: batch,
) -> pa.Table:
    """The rows of some parts as `made` gives them, and `part`."""
    schema = pa.schema([SCHEMAS[folder].field(name) for name in fields])
    batches, seen = [_of_part("", made(pa.RecordBatch.from_pylist([], schema)))], set()
    if chosen:
        paths = [place.full(f"{folder}/{name}") for name in chosen]
        dataset = ds.dataset(paths, schema=SCHEMAS[folder], format=_format(), filesystem=place.filesystem)
        sizes = place.files("layers") if folder == "cells" else {}
        for tagged in dataset.scanner(columns=fields).scan_batches():
            name = PurePosixPath(tagged.fragment.path).name
            batches.append(_of_part(name, made(tagged.record_batch)))
            if folder == "cells" and name not in seen:
                seen.add(name)
                _check_layers(name, tagged.fragment, sizes)
    return pa.Table.from_batches(batches).unify_dictionaries()


def _of_part(name: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    numbers = pa.array(np.zeros(len(batch), np.int32))
    names = pa.array([name] if len(batch) else [], pa.string())
    return batch.append_column("part", pa.DictionaryArray.from_arrays(numbers, names))


def _check_layers(name: str, fragment: ds.ParquetFileFragment, sizes: dict[str, int]) -> None:
    expected = (fragment.metadata.metadata or {}).get(_LAYERS_BYTES)
    found = sizes.get(name)
    if expected is not None and found != int(expected):
        raise pa.ArrowInvalid("its layers are gone" if found is None else "its layers are cut short")


def _format() -> ds.ParquetFileFormat:
    checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    return ds.ParquetFileFormat(default_fragment_scan_options=checked)


def _serialised(table: pa.Table, more: dict[bytes, bytes]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    metadata = {"schema": str(SCHEMA_VERSION)} | provenance()
    encoded = {key.encode(): value.encode() for key, value in metadata.items()}
    table = table.replace_schema_metadata(encoded | more)
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]  # numbers seldom repeat
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, use_dictionary=texts)
    return sink.getvalue()


def _digest(*tables: pa.Table) -> bytes:
    """A hash of every value of some tables, whatever the layout in memory or in a file."""
    digest = hashlib.blake2b(digest_size=16)
    for table in tables:
        for name in sorted(table.column_names):
            column = table[name].combine_chunks()
            digest.update(f"{name} {len(column)} ".encode())
            digest.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
            if pa.types.is_list(column.type):
                digest.update(_bytes(pc.fill_null(pc.list_value_length(column), 0)))
                column = pc.list_flatten(column)
            digest.update(_bytes(column))
    return digest.hexdigest().encode()


def _bytes(column: pa.Array) -> bytes:
    column = column.drop_null()
    if pa.types.is_string(column.type):
        lengths, text = _text(column)
        return bytes(lengths.tobytes()) + bytes(text)
    values: bytes = column.to_numpy(zero_copy_only=False).tobytes()
    return values


def _text(column: pa.StringArray) -> tuple[NDArray[np.int32], memoryview]:
    """The lengths of some texts without nulls, and all of them in one piece."""
    _, offsets, content = column.buffers()
    if offsets is None or not len(column):
        return np.empty(0, np.int32), memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return np.diff(ends), memoryview(content or b"")[ends[0] : ends[-1]]


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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


@contextlib.contextmanager
def writing(root: str) -> Iterator[None]:
    """What goes wrong while writing to `root`, as one clear line."""
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror or _one_line(error)}; what is stored is safe"
        raise StoreError(f"cannot write to {root}: {reason}; choose another root=…") from error
