"""The parts of a study: what they are called, how one is written, and which of them count.

A part is two files of one name, never changed once they are there: `layers/NAME`, written first, and
`cells/NAME`, the commit, which says how many bytes of layers belong to it.
"""

import contextlib
import re
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import pyarrow as pa

from sweep.base.errors import StoreError
from sweep.base.process.command import visible
from sweep.experiment import revisions
from sweep.store.parts import part_file
from sweep.store.parts.part_file import one_line
from sweep.store.places import Place
from sweep.store.tables import CELLS, LAYERS, SCHEMAS

_LISTINGS = 10
_MOST_NAMED = 4
LAYERS_BYTES, DIGEST, STATE, PASSES = (
    b"layers_bytes",
    b"digest",
    b"revisions",
    b"passes",
)  # the keys of what a commit says
# WRITER-000012.parquet, a Dask worker's WRITER-000003-d000012.parquet, copies of their rows, …12.2.parquet:
# nothing else in a study's folders is ours.
_STAMP = "%Y%m%dT%H%M%S"
_WRITER = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}", re.ASCII)
_OURS = re.compile(rf"{_WRITER.pattern}(-d?\d+)+(\.\d+)?\.parquet", re.ASCII)
_HIDDEN = re.compile(rf"\.{_OURS.pattern}\.[0-9a-z]+", re.ASCII)


def write(
    place: Place, name: str, cells: pa.Table, layers: pa.Table, state: str | None = None, passes: str = ""
) -> None:
    """Add one part; it is stored when this returns.

    state: that of the revisions at which its rows were computed; by default the present one. passes: the kind
    that computed them; '' where there may be several.
    """
    cells, layers = cells.cast(CELLS), layers.cast(LAYERS)
    kind = {PASSES: passes.encode()} if passes else {}
    content = part_file.serialise(layers, kind)
    commit = kind | {LAYERS_BYTES: str(len(content)).encode(), DIGEST: part_file.digest(cells, layers)}
    commit[STATE] = (revisions.state() if state is None else state).encode()
    place.write(f"layers/{name}", content)
    place.write(f"cells/{name}", part_file.serialise(cells, commit))


def remove(place: Place, name: str) -> None:
    """Remove a part, the commit first."""
    place.remove(f"cells/{name}")
    place.remove(f"layers/{name}")


def names(place: Place, folder: str = "cells") -> set[str]:
    """The names of the parts in 'cells' (those that count) or 'layers'."""
    before = _names(place, folder)
    for _ in range(_LISTINGS):
        # A listing takes time: it may miss both a part and the one that has just replaced it.
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


def describe_strangers(place: Place) -> list[str]:
    """A line on what lies among the parts and is not ours, if anything does."""
    paths = strangers(place)
    more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    named = visible(", ".join(paths[:_MOST_NAMED]))
    return [f"not this program's, left alone: {named}{more}"] if paths else []


def is_unfinished(name: str) -> bool:
    """Whether it is the hidden name of a part that was being written."""
    return _HIDDEN.fullmatch(name) is not None


def strangers(place: Place) -> list[str]:
    """What lies among the parts and is not ours, as in 'layers/my_notes.txt'."""
    return [
        f"{folder}/{name}"
        for folder in SCHEMAS
        for name in sorted({*place.entries(folder)} - _names(place, folder))
        if not is_unfinished(name)
    ]


def level(part: str) -> int:
    """How often the rows of a part have been copied: 'RUN-000012.2.parquet' is a copy of copies."""
    middle = part.removesuffix(".parquet").rpartition(".")[2]
    return int(middle) if middle.isdecimal() and "." in part.removesuffix(".parquet") else 0


def name_of_copy(writer: str, number: int, sources: Iterable[str]) -> str:
    """The name of a part that holds copies of rows of `sources`, and wins over all of them."""
    return f"{writer}-{number:06d}.{1 + max(map(level, sources), default=0)}.parquet"


def writer_at(moment: datetime) -> str:
    """A unique name for one who writes from a moment on, sortable by time to the microsecond."""
    return f"{moment:{_STAMP}}-{moment.microsecond:05x}{uuid.uuid4().hex[:3]}"


@lru_cache(maxsize=4096)
def after(run: str) -> datetime | None:
    """The second after a run began, as its name says; None where no run has such a name."""
    try:
        began = datetime.strptime(run.partition("-")[0], _STAMP).replace(tzinfo=UTC)
        return began + timedelta(seconds=1) if _WRITER.fullmatch(run) else None
    except (ValueError, OverflowError):
        return None


def rank(run: str) -> tuple[bool, str]:
    """What runs are sorted by, the latest last; what is not the name of a run comes first."""
    return after(run) is not None, run


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
