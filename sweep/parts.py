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
import re
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep import partfile, records, revisions, rows
from sweep.cell import ID_BYTES
from sweep.errors import StoreError
from sweep.partfile import BadBytesError, PartFile, one_line
from sweep.places import Place
from sweep.tables import CELLS, LAYERS, SCHEMAS

ID = pa.binary(ID_BYTES)
RANK = ("cell_id", "status", "run_id")  # what decides which row of a cell counts, with the part's name
_LISTINGS = 10
_MOST_NAMED = 4
_TOGETHER, _LARGE = 256, 10_000  # parts whose rows are put into one piece of memory; rows of one that is not
_LAYERS_BYTES, _DIGEST, _STATE = b"layers_bytes", b"digest", b"revisions"
# WRITER-000012.parquet, a Dask worker's WRITER-000003-d000012.parquet, copies of their rows, …12.2.parquet:
# whatever else lies in a study's folders is not ours.
_OURS = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}(-d?\d+)+(\.\d+)?\.parquet")
_possible: dict[tuple[str, str], bool] = {}  # parts never change
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
    content = partfile.serialised(layers, {})
    commit = {_LAYERS_BYTES: str(len(content)).encode(), _DIGEST: partfile.digest(cells, layers)}
    commit[_STATE] = (revisions.state() if state is None else state).encode()
    place.write(f"layers/{name}", content)
    place.write(f"cells/{name}", partfile.serialised(cells, commit))


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
    return {name for name in place.files(folder) if _OURS.fullmatch(name)}


def told_strangers(place: Place) -> list[str]:
    """A line on what lies among the parts and is none of ours, if anything does."""
    found = strangers(place)
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    named = ", ".join(found[:_MOST_NAMED])
    return [f"left alone, for they are none of this program's: {named}{more}"] if found else []


def unfinished(name: str) -> bool:
    """Whether it is the name of a part that was being written."""
    return _HIDDEN.fullmatch(name) is not None


def strangers(place: Place) -> list[str]:
    """What lies among the parts and is none of ours: 'layers/my_notes.txt'."""
    return [
        f"{folder}/{name}"
        for folder in SCHEMAS
        for name in sorted({*place.entries(folder)})
        if not ((_OURS.fullmatch(name) and name in place.files(folder)) or unfinished(name))
    ]


def read(
    place: Place,
    folder: str,
    parts: Iterable[str],
    columns: list[str] | None = None,
    repeated: Collection[str] = (),
) -> pa.Table:
    """The rows of some parts, with the name of each row's part as the last column, `part`.

    repeated: columns of a few texts, again and again: they come as dictionaries, as `part` does.
    Raises FileNotFoundError where a part is not there any more, DamagedError where one is not what was
    written, or its layers are not those that it was committed with, UnreadableError where one cannot be read.
    """
    fields = SCHEMAS[folder].names if columns is None else columns

    def made(table: pa.Table) -> pa.Table:
        for name in repeated:
            table = table.set_column(fields.index(name), name, table[name].dictionary_encode())
        return table

    return _scanned(place, folder, parts, fields, made)


def ranks(place: Place, parts: Iterable[str]) -> pa.Table:
    """What decides which row of a cell counts, a few bytes a row: the columns of RANK, kernel_version, part.

    cell_id is ID_BYTES of binary, the others are dictionaries. Raises what `read` does.
    """
    names = [*RANK, "kernel_version"]

    def made(table: pa.Table) -> pa.Table:
        ids = digests(table["cell_id"].combine_chunks())
        return pa.table([ids, *(table[name].dictionary_encode() for name in names[1:])], names)

    return _scanned(place, "cells", parts, names, made)


def states(place: Place, chosen: Iterable[str]) -> dict[str, str]:
    """Name -> at which state of the revisions the rows of a part were computed; '' before there were any.

    Raises as `read` does.
    """
    return {name: footer.more.get(_STATE, b"").decode() for name, footer in _footers(place, "cells", chosen)}


def versions(place: Place, chosen: Iterable[str]) -> dict[str, int]:
    """Name -> the schema's version, of some parts; raises as `read` does."""
    return {name: footer.version for name, footer in _footers(place, "cells", chosen)}


def sizes(place: Place, chosen: Iterable[str]) -> dict[str, int]:
    """Name -> rows of layers, of some parts; raises as `read` does."""
    return {name: footer.rows for name, footer in _footers(place, "layers", chosen)}


def distinct(ranks: pa.Table, column: str) -> list[str]:
    """The values of one of the dictionaries."""
    chunks = ranks[column].chunks
    values: list[str] = chunks[0].dictionary.to_pylist() if chunks else []
    return values


def digests(ids: pa.StringArray) -> pa.FixedSizeBinaryArray:
    """cell_ids as the ID_BYTES that they spell."""
    lengths, text = partfile.text_of(ids)
    if (lengths != 2 * ID_BYTES).any():
        raise ValueError("a cell_id is not one")
    content = binascii.unhexlify(text)
    return pa.FixedSizeBinaryArray.from_buffers(ID, len(ids), [None, pa.py_buffer(content)])


def corrupted(place: Place, parts: Iterable[str]) -> dict[str, str]:
    """Which of the parts are not what was written, in any bit that matters, and why.

    One that is gone meanwhile is not damaged. Raises UnreadableError where one cannot be read.
    """
    found: dict[str, str] = {}
    there = place.files("layers")
    for name in sorted(parts):
        try:
            with _named(place, name, found):
                _check_whole(place, name, there)
        except FileNotFoundError:
            if name in names(place):
                found[name] = "its layers are gone"
    return found


def _check_whole(place: Place, name: str, there: dict[str, int]) -> None:
    files = [PartFile(place, folder, name) for folder in ("cells", "layers")]
    _check_layers(files[0], name, there)
    tables = [file.read(file.columns) for file in files]
    expected = files[0].footer.more.get(_DIGEST)
    if expected is not None and expected != partfile.digest(*tables):
        raise BadBytesError("its rows are not those that were written")


def _footers(place: Place, folder: str, chosen: Iterable[str]) -> Iterator[tuple[str, partfile.Footer]]:
    broken: dict[str, str] = {}
    for name in sorted(chosen):
        with _named(place, name, broken):
            yield name, PartFile(place, folder, name).footer
    if broken:
        raise DamagedError(place.root, broken)


def _scanned(
    place: Place,
    folder: str,
    chosen: Iterable[str],
    fields: list[str],
    made: Callable[[pa.Table], pa.Table],
) -> pa.Table:
    """The rows of some parts as `made` gives them, and `part`; every part that is damaged is found."""
    schema = pa.schema([SCHEMAS[folder].field(name) for name in fields])
    done = [_of_part("", made(schema.empty_table()))]
    some: list[pa.Table] = []
    broken: dict[str, str] = {}
    there = place.files("layers") if folder == "cells" else {}
    for name in sorted(chosen):
        with _named(place, name, broken):
            file = PartFile(place, folder, name)
            if folder == "cells":
                _check_layers(file, name, there)
            if possible(place, name):
                some.append(_of_part(name, made(file.read(fields))))
        if len(some) >= _TOGETHER or (some and some[-1].num_rows >= _LARGE):
            done += [_in_one_piece(some[:-1]), some[-1]] if len(some) > 1 else some
            some = []
    if broken:
        raise DamagedError(place.root, broken)
    return pa.concat_tables([*done, *some]).unify_dictionaries()


def possible(place: Place, name: str) -> bool:
    """Whether a part has no row that no run could have written; one that has is named, once, and left out."""
    known = _possible.get((place.root, name))
    if known is None:
        why = rows.impossible(PartFile(place, "cells", name).read(rows.KEYS))
        if why:
            records.left_out(place, f"cells/{name}", why)
        known = _possible[place.root, name] = not why
    return known


def _in_one_piece(some: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(some).unify_dictionaries().combine_chunks()


@contextlib.contextmanager
def _named(place: Place, name: str, broken: dict[str, str]) -> Iterator[None]:
    """What is wrong with the bytes of this part goes to `broken`."""
    try:
        yield
    except BadBytesError as error:
        broken[name] = one_line(error)
    except FileNotFoundError:
        if name in names(place):  # else it was tidied away meanwhile
            broken[name] = "its layers are gone"
            return
        raise FileNotFoundError(errno.ENOENT, "tidied away meanwhile", name) from None


def _of_part(name: str, table: pa.Table) -> pa.Table:
    numbers = pa.array(np.zeros(table.num_rows, np.int32))
    return table.append_column("part", pa.DictionaryArray.from_arrays(numbers, pa.array([name])))


def _check_layers(file: PartFile, name: str, there: dict[str, int]) -> None:
    expected, found = file.footer.more.get(_LAYERS_BYTES), there.get(name)
    if expected is not None and found != int(expected):
        raise BadBytesError("its layers are gone" if found is None else "its layers are cut short")


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
