"""The study: adding to it, reading it with every cell once, and tidying it.

Nothing here ever locks: a writer adds parts under names of its own, and removes only rows that win
nowhere, so that any number of writers may share a study (see `parts`).
"""

import contextlib
import errno
import json
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from sweep import ages, parts, places
from sweep.ages import EXPERIMENT, NEEDED, REPEATED
from sweep.errors import StoreError
from sweep.parts import RANK
from sweep.tables import SCHEMA_VERSION, SCHEMAS

_T = TypeVar("_T")

_MARKER = "study.json"
_STAMP = "%Y%m%dT%H%M%S"
# Leftovers of a writer of whom nothing is known belong to one that died, once they are this old.
_ORPHAN_SECONDS = 3600.0
_MOST_OF_A_MARKER = 1 << 16  # bytes
_FOLDERS = ("cells", "layers", "runs")
_OWN = (*_FOLDERS, "report", "quarantine")
_MAKING = (*_FOLDERS, "quarantine", _MARKER)  # what is there while a study is made
_ATTEMPTS = 20
_TIDYINGS = 5


class Study:
    """One growing data set of results, in a folder or under the URL of an object store."""

    def __init__(self, path: str | Path) -> None:
        self.place = places.place(path)
        self.remote = places.is_url(path)
        self.path: Any = self.place.root if self.remote else Path(self.place.root)
        self.writer = _name(datetime.now(UTC))
        self._rewrites = 0

    def check(self, writes: bool = True) -> None:
        """Raise StoreError if the folder is no study, or one of a newer program; writes nothing.

        writes: whether it is going to be written to.
        """
        if not self.remote and writes:
            self._check_folder(Path(self.place.root))
        if self.exists():
            self.check_readable()

    def _check_folder(self, path: Path) -> None:
        if not path.exists():
            blocked = next((p for p in path.parents if p.exists() and not p.is_dir()), None)
            if blocked:
                raise StoreError(f"cannot write to {path}: {blocked} is a file; choose another root=…")
            parent = next(p for p in path.absolute().parents if p.exists())
            if not os.access(parent, os.W_OK | os.X_OK):
                raise StoreError(f"cannot write to {path}: {parent} is not writable; choose another root=…")
            return
        if not path.is_dir():
            raise StoreError(f"{path} is a file, not a study; choose another study=… or root=…")
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise StoreError(f"cannot write to {path}: it is not writable; choose another study=… or root=…")
        if (path / _MARKER).exists():
            return
        # Another writer may be making this study at this moment.
        names = (entry.name for entry in sorted(path.iterdir()))
        other = next((n for n in names if n not in _MAKING and not n.startswith(f".{_MARKER}")), None)
        if other:
            raise StoreError(f"{path} holds something else ('{other}'); choose another study=… or root=…")

    def check_readable(self) -> None:
        """Raise StoreError if there is no study here that this program can read."""
        self._check_links()
        try:
            marker = self.place.read(_MARKER, _MOST_OF_A_MARKER)
        except (FileNotFoundError, NotADirectoryError):
            raise StoreError(
                f"{self.path} is no study (it has no {_MARKER}): make one with python -m sweep"
            ) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"cannot read {self.path}: {reason}; is this yours to read?") from error
        self._check_marker(marker)

    def _check_links(self) -> None:
        """A study's own folders are real ones: what is deleted and written there is nobody else's."""
        if self.remote:
            return
        for folder in _OWN:
            if (self.path / folder).is_symlink():
                raise StoreError(
                    f"{self.path / folder} is a link: a study's own folders must be real ones; put "
                    "the folder itself there, or link to the whole study"
                )

    def _check_marker(self, marker: bytes) -> None:
        try:
            found: Mapping[str, Any] = json.loads(marker)
            program, schema = found["program"], int(found["schema"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise StoreError(
                f"{self.path}/{_MARKER} cannot be read as the mark of a study; choose another study=…"
            ) from None
        if program != "sweep":
            raise StoreError(f"{self.path} is a study of '{program}', not of sweep; choose another study=…")
        if schema > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema {schema}, newer than this program's {SCHEMA_VERSION}: "
                "upgrade sweep or choose another study=…"
            )

    def create(self) -> None:
        """Make the folders and the marker of a new study, or say what this program adds to an older one."""
        older = self.exists() and self._is_older()
        with parts.writing(self.place.root):
            self._check_links()
            if not self.remote:
                for folder in _FOLDERS:
                    (self.path / folder).mkdir(parents=True, exist_ok=True)
                    if not os.access(self.path / folder, os.W_OK | os.X_OK):
                        raise PermissionError(errno.EACCES, f"{folder} is not writable")
            self._mark(older)

    def modernise(self) -> None:
        """Bring parts of an older schema to the present one, row by row; a crash half-way loses nothing."""
        if not self._is_older():
            return
        with parts.writing(self.place.root):
            found = self.settled(lambda: parts.versions(self.place, parts.names(self.place)))
            for name, version in found.items():
                if version < SCHEMA_VERSION:
                    with contextlib.suppress(FileNotFoundError):  # another writer was quicker
                        self.replace([name])
            self._mark(older=False)

    def _mark(self, older: bool) -> None:
        """older: some parts may be of an older schema still."""
        marker = {"program": "sweep", "schema": SCHEMA_VERSION} | ({"older_parts": True} if older else {})
        self.place.write(_MARKER, json.dumps(marker).encode())

    def _is_older(self) -> bool:
        marker = json.loads(self.place.read(_MARKER, _MOST_OF_A_MARKER))
        return bool(marker.get("older_parts") or int(marker["schema"]) < SCHEMA_VERSION)

    def exists(self) -> bool:
        """Whether there is a study, and not merely a folder."""
        try:
            return _MARKER in self.place.files("")
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"cannot read {self.path}: {reason}; choose another root=…") from error

    def outrank(self, run_id: str) -> None:
        """See to it that what this writer writes wins over the results of the run `run_id`."""
        if self.writer <= run_id:  # this machine's clock is behind the other's
            then = datetime.strptime(run_id.partition("-")[0], _STAMP).replace(tzinfo=UTC)
            self.writer = _name(then + timedelta(seconds=1))

    def write(self, name: str, cells: pa.Table, layers: pa.Table) -> None:
        """Add one part; it is stored when this returns."""
        with parts.writing(self.place.root):
            parts.write(self.place, name, cells, layers)
        pa.default_memory_pool().release_unused()  # else what parts take piles up between other things

    def newest(self) -> float:
        """When the last part was written, in seconds of the epoch; 0 if none was."""
        return max((self._modified(f"cells/{name}") for name in parts.names(self.place)), default=0.0)

    def read(
        self,
        table: str,
        columns: list[str] | None = None,
        versions: str = "newest",
        repeated: Collection[str] = (),
    ) -> pa.Table:
        """'cells' or 'layers', each cell once: a result wins over a failure, a later one over an earlier.

        versions: 'newest' leaves out a cell where a result of the same experiment by a newer kernel, or of
        a newer revision, is stored; 'all' has both. repeated: columns to have as dictionaries. Raises
        DamagedError, naming the part, where one cannot be read.
        """

        def attempt() -> pa.Table:
            chosen = parts.names(self.place)
            ranks = parts.ranks(self.place, chosen)
            unique = parts.winners(ranks)[1]
            old = self._outdated(chosen, ranks) if versions == "newest" else []
            del ranks
            if unique and not len(old):
                return parts.read(self.place, table, chosen, columns, repeated).drop_columns(["part"])
            wanted = None if columns is None else [*columns, *_missing(columns, RANK)]
            wanted = wanted if table == "cells" else list(RANK)
            cells = parts.read(self.place, "cells", chosen, wanted, repeated if table == "cells" else ())
            rows = cells.take(parts.winners(cells)[0]) if not unique else cells
            if table == "layers":
                wanted = None if columns is None else [*columns, *_missing(columns, ("cell_id",))]
                layers = parts.read(self.place, "layers", chosen, wanted, repeated)
                rows = layers.filter(pc.is_in(_place(layers), value_set=_place(rows)))
            if len(old):
                rows = rows.filter(pc.invert(pc.is_in(rows["cell_id"], value_set=old)))
            return rows.select(SCHEMAS[table].names if columns is None else columns)

        return self.settled(attempt)

    def settled(self, attempt: Callable[[], _T]) -> _T:
        """What `attempt` reads, once no other writer tidies a part away while it does."""
        for number in range(_ATTEMPTS):
            try:
                return attempt()
            except FileNotFoundError as error:
                missing = error
                time.sleep(0.01 * number)
        reason = " ".join(str(missing).split())
        raise StoreError(f"{self.path} misses a part ({reason}): run python -m sweep.verify {self.path}")

    def _outdated(self, chosen: set[str], ranks: pa.Table, by_revision: bool = False) -> pa.Array:
        """The ids of cells of which the result of a newer kernel, or revision, is stored: see `ages`."""
        nothing = pa.array([], pa.string())
        one_kernel = len(parts.distinct(ranks, "kernel_version")) < 2
        if one_kernel and not ages.apart(parts.states(self.place, chosen).values()):
            return nothing
        rows = parts.read(self.place, "cells", chosen, list(EXPERIMENT), REPEATED)
        if not len(ages.repeated(rows)):
            return nothing
        rows = parts.read(self.place, "cells", chosen, [*NEEDED, "status"], REPEATED)
        return ages.outdated(rows.take(pa.array(ages.repeated(rows))), by_revision)

    def set_aside(self, names: Mapping[str, str]) -> None:
        """Move damaged parts to the folder `quarantine`; their cells count as not stored."""
        with parts.writing(self.place.root):
            for name in names:
                for folder in ("cells", "layers"):  # the commit first
                    self.place.move(f"{folder}/{name}", f"quarantine/{folder}/{name}")

    def copied(self, path: Path) -> None:
        """Write this study's rows as a study of one part in the folder `path`."""
        other = Study(path)
        other.create()
        with parts.writing(other.place.root):
            name = f"{other.writer}-000000.parquet"
            parts.write(other.place, name, self.read("cells"), self.read("layers"), ages.VARIOUS)

    def tidy(self, dead: Callable[[str], bool | None] = lambda writer: None) -> None:
        """Remove superseded rows, and what dead writers left, so that plain readers see each cell once.

        dead: whether the writer of that name has ended; None where nobody knows.
        """
        with parts.writing(self.place.root):
            self._remove_leftovers(dead)
            for _ in range(_TIDYINGS):  # another writer that tidies too may leave copies of the same rows
                if not self.exists() or not self._remove_superseded():
                    return

    def _remove_superseded(self) -> bool:
        try:
            names = parts.names(self.place)
            ranks = parts.ranks(self.place, names)
            old = set(self._outdated(names, ranks, by_revision=True).to_pylist())
            if parts.winners(ranks)[1] and not old:
                return False
            cells = parts.read(self.place, "cells", names, list(RANK))
        except FileNotFoundError:  # another writer is at it
            return True
        keep, _ = parts.winners(cells)
        rows = list(zip(cells["cell_id"].to_pylist(), cells["part"].to_pylist(), strict=True))
        kept = {row for row in keep.to_pylist() if rows[row][0] not in old}
        winning = {rows[row] for row in kept}
        doomed: dict[str, list[str]] = {}
        for row, (cell_id, part) in enumerate(rows):
            if row not in kept:
                # Where the same part has the winner too, it stays: `replace` keeps one of the two.
                doomed.setdefault(part, []).extend([] if (cell_id, part) in winning else [cell_id])
        for part, ids in doomed.items():
            with contextlib.suppress(FileNotFoundError):  # another writer was quicker
                self.replace([part], without=pa.array(ids, pa.string()))
        return True

    def replace(self, sources: list[str], without: pa.Array | None = None) -> str | None:
        """Put the rows of some parts into one new part, less the cells of `without`; returns its name.

        A crash half-way leaves rows twice, of which one wins.
        """
        tables = {folder: parts.read(self.place, folder, sources) for folder in ("cells", "layers")}
        keep, unique = parts.winners(tables["cells"])
        if not unique:
            tables["cells"] = tables["cells"].take(keep)
            kept = pc.is_in(_place(tables["layers"]), value_set=_place(tables["cells"]))
            tables["layers"] = tables["layers"].filter(kept)
        if without is not None:
            for folder, table in tables.items():
                tables[folder] = table.filter(pc.invert(pc.is_in(table["cell_id"], without)))
        name: str | None = None
        state = ages.common(parts.states(self.place, sources).values())
        if tables["cells"].num_rows:
            name = parts.rewritten(self.writer, self._rewrites, sources)
            self._rewrites += 1
            cells, layers = (tables[folder].drop_columns(["part"]) for folder in ("cells", "layers"))
            parts.write(self.place, name, cells, layers, state)
        for source in sources:
            if parts.possible(self.place, source):  # what was left out is left alone
                parts.remove(self.place, source)
        return name

    def compact(self, rows: int) -> None:
        """Put small parts together, into parts of about so many rows of layers each."""
        self.modernise()
        with parts.writing(self.place.root):
            sizes = self.settled(lambda: parts.sizes(self.place, parts.names(self.place)))
            group: list[str] = []
            for name in [name for name in sorted(sizes) if sizes[name] < rows / 2] + [""]:
                if group and (not name or sum(sizes[one] for one in group) + sizes[name] > rows):
                    if len(group) > 1:
                        with contextlib.suppress(FileNotFoundError):  # somebody tidies: next time
                            self.replace(group)
                    group = []
                group.append(name)

    def _remove_leftovers(self, dead: Callable[[str], bool | None]) -> None:
        for folder in ("layers", "cells"):
            there = parts.names(self.place, folder)
            committed = parts.names(self.place) if folder == "layers" else there
            hidden = filter(parts.unfinished, self.place.files(folder))
            abandoned = [
                name
                for name in (*hidden, *there)
                if name not in committed and self._abandoned(f"{folder}/{name}", dead(parts.writer_of(name)))
            ]
            # Once its writer has ended, what is not committed will never be.
            committed = parts.names(self.place) if abandoned else committed
            for name in abandoned:
                if name not in committed:
                    self.place.remove(f"{folder}/{name}")

    def _abandoned(self, path: str, dead: bool | None) -> bool:
        if dead is not None:
            return dead
        modified = self._modified(path)
        return modified > 0 and time.time() - modified > _ORPHAN_SECONDS

    def _modified(self, path: str) -> float:
        try:
            return self.place.modified(path)
        except FileNotFoundError:
            return 0.0


def _name(moment: datetime) -> str:
    """The name of what a writer writes: sortable by time, and like no other."""
    return f"{moment:{_STAMP}}-{uuid.uuid4().hex[:8]}"


def _missing(columns: list[str], needed: tuple[str, ...]) -> Iterator[str]:
    return (name for name in needed if name not in columns)


def _place(rows: pa.Table) -> pa.Array:
    return pc.binary_join_element_wise(rows["cell_id"], rows["part"].cast(pa.string()), "/").combine_chunks()
