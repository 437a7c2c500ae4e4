"""One Parquet file of a part: how it is written, and how it is read without trusting it.

A file is exactly what its schema's version says, column by column, or it is damaged. Only bytes that were
read and are wrong count as damage: a file that cannot be read is left as it is.
"""

import hashlib
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sweep.base.errors import StoreError
from sweep.base.provenance import provenance
from sweep.kernel.layers.signal import HISTOGRAM_BINS
from sweep.store.places import Place
from sweep.store.tables import SCHEMA_VERSION, SCHEMAS, before, schema_of

_VERSION, _SEAL = b"schema", b"seal"
_SMALL = 1 << 24  # bytes: what memory a larger file needs is unknown
# What a smaller one needs at most: so many times its bytes, as where all rows are alike; within these bounds.
_UNPACKED, _LEAST_ROOM, _MOST_ROOM = 1 << 11, 1 << 28, 1 << 32
# What a reader of damaged bytes may raise; Arrow's own exceptions are among these too.
_STUMBLES = (OSError, pa.ArrowException, ValueError, TypeError, KeyError, MemoryError, OverflowError)


class BadBytesError(ValueError):
    """Bytes that were read and are wrong; the message says why."""


class UnreadableError(StoreError):
    """A file that this process cannot read, whatever it holds."""


@dataclass(frozen=True)
class Footer:
    """What a file says about itself. rows: their number. more: what it was written with, by key."""

    version: int
    rows: int
    more: dict[bytes, bytes]

    def text(self, key: bytes) -> str:
        """The text of a key, '' where there is none; BadBytesError where it is not UTF-8."""
        try:
            return self.more.get(key, b"").decode()
        except UnicodeDecodeError as error:
            raise BadBytesError(f"its {key.decode()}: {error}") from error


class PartFile:
    """A file of 'cells' or 'layers', open for reading.

    Opening and reading raise FileNotFoundError where there is none, BadBytesError where it is not what was
    written, and UnreadableError where it cannot be read or is of a newer program.
    """

    def __init__(self, place: Place, folder: str, name: str) -> None:
        self._place, self._path, self._folder = place, f"{folder}/{name}", folder
        try:
            source = place.open(self._path)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unreadable(place, self._path, error) from error
        try:
            self._in_memory = source.size() if isinstance(source, pa.BufferReader) else 0  # all are read
            self._file = pq.ParquetFile(source, page_checksum_verification=True)
            self.footer = self._checked()
        except FileNotFoundError:
            raise
        except _STUMBLES as error:
            raise self._cause(error) from error

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        names: list[str] = self._schema.names
        return names

    def read(self, columns: Sequence[str]) -> pa.Table:
        """These columns, in this order; those that its version lacks as `tables.before` has them.

        Texts may not be valid yet: see `validate`.
        """
        present = [name for name in columns if name in self._names]
        try:
            table = self._file.read(columns=list(present), use_threads=False).select(present)
        except _STUMBLES as error:
            raise self._cause(error) from error
        if table.num_rows != self.footer.rows:
            raise BadBytesError(f"it has {table.num_rows} rows, not {self.footer.rows}")
        if not table.schema.equals(_chosen(self._schema, tuple(present)), check_metadata=False):
            raise BadBytesError("its columns have the wrong types")  # Arrow believes the file's own hints
        if len(present) == len(columns):
            return table.replace_schema_metadata()
        fields = [SCHEMAS[self._folder].field(name) for name in columns]
        arrays = [table[f.name] if f.name in present else before(f, table.num_rows) for f in fields]
        return pa.table(arrays, schema=pa.schema(fields))

    def _checked(self) -> Footer:
        """The footer of a file that has the columns of its version."""
        metadata = self._file.metadata
        more = dict(metadata.metadata or {})
        try:
            version = int(more[_VERSION])
        except (KeyError, ValueError):
            raise BadBytesError("it does not name its schema") from None
        if version > SCHEMA_VERSION:
            raise UnreadableError(
                f"{self._place.root}/{self._path} has schema {version}, newer than this program's "
                f"{SCHEMA_VERSION}: upgrade sweep"
            )
        schema = schema_of(self._folder, version)
        if schema is None or not (
            self._file.schema.equals(_in_parquet(self._folder, version))
            or self._file.schema_arrow.equals(schema, check_metadata=False)  # another writer's spelling
        ):
            raise BadBytesError(f"its columns differ from those of schema {version}")
        if _SEAL in more and more[_SEAL] != _seal(more):
            raise BadBytesError("its metadata differs from what was written")
        self._schema, self._names = schema, frozenset(schema.names)
        return Footer(version, metadata.num_rows, more)

    def _cause(self, error: Exception) -> Exception:
        """Why Arrow failed: for bad bytes, which are read again to know, or for the disk or the network."""
        if isinstance(error, StoreError | BadBytesError):
            return error
        try:
            size = self._in_memory or len(self._place.read(self._path))
        except FileNotFoundError as gone:
            return gone
        except OSError as failed:
            return unreadable(self._place, self._path, failed)
        if (isinstance(error, MemoryError) and size > _SMALL) or not _has_room(size):
            return unreadable(self._place, self._path, MemoryError())
        return BadBytesError(one_line(error))


@lru_cache
def _in_parquet(folder: str, version: int) -> Any:
    """The schema of such a file as Parquet spells it, which is quick to compare."""
    schema = schema_of(folder, version)
    assert schema is not None
    return pq.ParquetFile(pa.BufferReader(serialise(schema.empty_table(), {}))).schema


@lru_cache
def _chosen(schema: pa.Schema, names: tuple[str, ...]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


def unreadable(place: Place, path: str, error: OSError | MemoryError) -> UnreadableError:
    """The error for a file that cannot be read, in a line."""
    why = "it does not fit into the memory that this process has left"
    if isinstance(error, OSError):
        why = error.strerror or one_line(error)
    return UnreadableError(f"cannot read {place.root}/{path}: {why}; nothing was moved")


def _has_room(size: int) -> bool:
    """Whether this process has the memory left that a file of so many bytes can need.

    Arrow has many words for a lack of it ("ZSTD_DCtx create failed").
    """
    try:
        mmap.mmap(-1, min(max(_UNPACKED * size, _LEAST_ROOM), _MOST_ROOM)).close()  # no page of it is touched
    except (OSError, MemoryError):
        return False
    return True


def validate(table: pa.Table) -> None:
    """Raise BadBytesError where a text is not UTF-8, or an offset is out of bounds."""
    try:
        for column in table.columns:
            if pa.types.is_string(column.type) or pa.types.is_list(column.type):
                column.validate(full=True)
        if "histogram" in table.column_names:
            bins = pc.list_value_length(table["histogram"])
            if not pc.all(pc.equal(bins, HISTOGRAM_BINS), min_count=0).as_py():  # null where there is none
                raise BadBytesError(f"its histograms do not have {HISTOGRAM_BINS} bins")
    except pa.ArrowMemoryError:
        raise
    except pa.ArrowException as error:
        raise BadBytesError(one_line(error)) from error


def serialise(table: pa.Table, more: dict[bytes, bytes]) -> pa.Buffer:
    """The bytes of a file; more: what its footer is to hold besides."""
    sink = pa.BufferOutputStream()
    metadata = {_VERSION.decode(): str(SCHEMA_VERSION)} | provenance()
    says = {key.encode(): value.encode() for key, value in metadata.items()} | more
    table = table.replace_schema_metadata(says | {_SEAL: _seal(says)})
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]  # numbers seldom repeat
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, use_dictionary=texts)
    return sink.getvalue()


def _seal(says: Mapping[bytes, bytes]) -> bytes:
    """A hash of what a file's footer says, without what Arrow adds."""
    ours = sorted((key, value) for key, value in says.items() if key not in (_SEAL, b"ARROW:schema"))
    return hashlib.blake2b(repr(ours).encode(), digest_size=8).hexdigest().encode()


def digest(*tables: pa.Table) -> bytes:
    """A hash of every value of some tables, whatever their layout in memory or in a file."""
    state = hashlib.blake2b(digest_size=16)
    for table in tables:
        for name in sorted(table.column_names):
            column = table[name].combine_chunks()
            state.update(f"{name} {len(column)} ".encode())
            state.update(np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes())
            if pa.types.is_list(column.type):
                state.update(_bytes(pc.fill_null(pc.list_value_length(column), 0)))
                column = pc.list_flatten(column)
            state.update(_bytes(column))
    return state.hexdigest().encode()


def text_of(column: pa.StringArray) -> tuple[NDArray[np.int32], memoryview]:
    """The lengths in bytes of texts without nulls, and all of them in one piece."""
    _, offsets, content = column.buffers()
    if offsets is None or not len(column):
        return np.empty(0, np.int32), memoryview(b"")
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return np.diff(ends), memoryview(content or b"")[ends[0] : ends[-1]]


def one_line(error: BaseException) -> str:
    """An error's message in a line."""
    return " ".join(str(error).split())


def _bytes(column: pa.Array) -> bytes:
    column = column.drop_null()
    if pa.types.is_string(column.type):
        lengths, text = text_of(column)
        return bytes(lengths.tobytes()) + bytes(text)
    values: Any = column.to_numpy(zero_copy_only=False)
    content: bytes = values.tobytes()
    return content
