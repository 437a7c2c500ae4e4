"""The study: adding to it, and reading it with every cell once.

Nothing here ever locks: a writer adds parts under names of its own, and removes only rows that another one
beats, so that any number of writers may share a study (see `parts.merge`).
"""

import errno
import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any, TypeVar

import pyarrow as pa

from sweep.base.errors import StoreError
from sweep.kernel.passes import NUMPY
from sweep.store import places
from sweep.store.parts import commits, merge
from sweep.store.parts.scan import Scan
from sweep.store.places import Place
from sweep.store.records import files
from sweep.store.tables import SCHEMA_VERSION, SCHEMAS

_T = TypeVar("_T")

_MARKER = "study.json"
_MOST_OF_A_MARKER = 1 << 16  # bytes
_FOLDERS = (*SCHEMAS, files.FOLDER)
_REPORT = "report"
_OWN = (*_FOLDERS, _REPORT, "quarantine", "quarantine/cells", "quarantine/layers")
_MAKING = (*_FOLDERS, "quarantine", _MARKER)  # what lies there while a study is being made
_ATTEMPTS = 20


class Study:
    """One growing data set of results, in a folder or under the URL of an object store."""

    def __init__(self, path: str | Path) -> None:
        self.place = places.place(path)
        self.path = self.place.at("")
        self.scan = Scan(self.place)
        self.writer = commits.writer_at(datetime.now(UTC))
        self._rewrites = 0

    @property
    def name(self) -> str:
        """The last part of its path or URL."""
        return PurePath(self.place.root).name

    @property
    def report(self) -> Place:
        """Where its figures and its page lie."""
        return places.place(self.place.at(_REPORT))

    def check(self, writes: bool = True) -> None:
        """Raise StoreError if the folder is not a study, or one of a newer program; writes nothing.

        writes: whether the caller is going to write to it.
        """
        if writes and self.place.folder:
            self._check_folder(self.place.folder)
            self._check_parents(self.place.folder)
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
        # Another writer may just be making this study.
        names = (entry.name for entry in sorted(path.iterdir()))
        other = next((n for n in names if n not in _MAKING and not n.startswith(f".{_MARKER}")), None)
        if other:
            raise StoreError(
                f"{path} already holds something else ('{other}'); choose another study=… or root=…"
            )

    def _check_parents(self, path: Path) -> None:
        if other := next((p for p in path.absolute().parents if (p / _MARKER).is_file()), None):
            raise StoreError(f"{path} lies within another study, {other}: choose another study=… or root=…")

    def check_readable(self) -> None:
        """Raise StoreError if there is no study here that this program can read."""
        self._check_folders()
        try:
            marker = self.place.read(_MARKER, _MOST_OF_A_MARKER)
        except (FileNotFoundError, NotADirectoryError):
            raise StoreError(
                f"{self.path} is not a study (it has no {_MARKER}); python -m sweep makes one"
            ) from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"cannot read {self.path}: {reason}; check that you may read it") from error
        self._check_marker(marker)

    def _check_folders(self) -> None:
        """Raise StoreError where a folder is a link, a part is no file, or half of the study is away.

        Otherwise somebody else's files might be deleted, or good parts be taken for leftovers.
        """
        for folder in _OWN if self.place.folder else ():
            path = Path(self.place.at(folder))
            if path.is_symlink():
                raise StoreError(
                    f"{path} is a link: a study's own folders must be real ones; put "
                    "the folder itself there, or link to the whole study"
                )
            if folder in SCHEMAS and path.exists() and not path.is_dir():
                raise StoreError(f"{path} is not a folder, but a study needs one there: move it away")
        for folder, other in (("cells", "layers"), ("layers", "cells")) if self.place.folder else ():
            if not Path(self.place.at(folder)).exists() and commits.names(self.place, other):
                raise StoreError(
                    f"{self.place.at(folder)} is missing, but {other}/ holds parts that belong with it: "
                    f"put it back, or move {other}/ away too"
                )
        for folder in SCHEMAS:
            if odd := [name for name in self.place.irregular(folder) if commits.is_part(name)]:
                part = self.place.at(f"{folder}/{odd[0]}")
                raise StoreError(
                    f"{part} is not a regular file but a link, a folder or the like: put the file itself "
                    "there, or move it away"
                )

    def _check_marker(self, marker: bytes) -> None:
        try:
            content: Mapping[str, Any] = json.loads(marker)
            program, schema = content["program"], int(content["schema"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise StoreError(
                f"{self.path}/{_MARKER} cannot be read as a study's marker; choose another study=…"
            ) from None
        if program != "sweep":
            raise StoreError(f"{self.path} is a study of '{program}', not of sweep; choose another study=…")
        if schema > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema {schema}, newer than this program's {SCHEMA_VERSION}: "
                "upgrade sweep or choose another study=…"
            )

    def create(self) -> None:
        """Make the folders and the marker of a new study, or bring an older one's marker up to date."""
        older = self.exists() and self.is_older()
        with commits.writing(self.place.root):
            self._check_folders()
            if self.place.folder:
                for name in _FOLDERS:
                    folder = self.place.folder / name
                    folder.mkdir(parents=True, exist_ok=True)
                    if not os.access(folder, os.W_OK | os.X_OK):
                        raise PermissionError(errno.EACCES, f"{name} is not writable")
            self.mark(older)

    def mark(self, older: bool) -> None:
        """Write the marker; older: some parts may still be of an older schema."""
        marker = {"program": "sweep", "schema": SCHEMA_VERSION} | ({"older_parts": True} if older else {})
        self.place.write(_MARKER, json.dumps(marker).encode())

    def is_older(self) -> bool:
        """Whether some part may be of an older schema."""
        marker = json.loads(self.place.read(_MARKER, _MOST_OF_A_MARKER))
        return bool(marker.get("older_parts") or int(marker["schema"]) < SCHEMA_VERSION)

    def exists(self) -> bool:
        """Whether this is a study, and not merely a folder."""
        try:
            return _MARKER in self.place.files("")
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"cannot read {self.path}: {reason}; choose another root=…") from error

    def outrank(self, run_id: str) -> None:
        """Make sure that what this writer writes wins over the results of the run `run_id`."""
        then = commits.after(run_id)
        if then and self.writer <= run_id:  # this machine's clock is behind the other's
            self.writer = commits.writer_at(then)
        if commits.rank(self.writer) <= commits.rank(run_id):
            raise StoreError(
                f"{self.path} has results of {run_id}, the latest run there can be: nothing can replace them"
            )

    def write(self, name: str, cells: pa.Table, layers: pa.Table, passes: str = NUMPY) -> None:
        """Add one part; it is stored when this returns. passes: the kind that computed it."""
        with commits.writing(self.place.root):
            commits.write(self.place, name, cells, layers, passes=passes)
        pa.default_memory_pool().release_unused()  # else the memory that parts took piles up

    def newest(self) -> float:
        """When the last part was written, in seconds since the epoch; 0 if none was."""
        return max((self.modified(f"cells/{name}") for name in commits.names(self.place)), default=0.0)

    def modified(self, path: str) -> float:
        """When a file was written; 0 where it is gone."""
        try:
            return self.place.modified(path)
        except FileNotFoundError:
            return 0.0

    def read(
        self,
        table: str,
        columns: list[str] | None = None,
        versions: str = "newest",
        repeated: Collection[str] = (),
    ) -> pa.Table:
        """'cells' or 'layers', each cell once: a result wins over a failure, a later one over an earlier.

        versions: 'newest' leaves out results that a newer kernel or revision has replaced; 'all' keeps them.
        repeated: columns to return as dictionaries. Raises DamagedError, naming the part, where one cannot
        be read.
        """
        return self.retry(
            lambda: merge.read(self.scan, commits.names(self.place), table, columns, versions, repeated)
        )

    def any_rows(self, columns: list[str], repeated: Collection[str] = ()) -> pa.Table:
        """These columns of all rows of `cells`, for what is the same in all of one cell. Raises as `read`."""
        return self.retry(
            lambda: self.scan.read("cells", commits.names(self.place), columns, repeated)
        ).drop_columns(["part"])

    def copy_name(self, sources: Collection[str]) -> str:
        """The name of a new part for copies of the rows of these parts."""
        self._rewrites += 1
        return commits.name_of_copy(self.writer, self._rewrites - 1, sources)

    def retry(self, attempt: Callable[[], _T]) -> _T:
        """What `attempt` returns, repeated where another writer tidies a part away meanwhile."""
        for number in range(_ATTEMPTS):
            try:
                return attempt()
            except FileNotFoundError as error:
                missing = error
                time.sleep(0.01 * number)
        reason = " ".join(str(missing).split())
        raise StoreError(f"{self.path} is missing a part ({reason}): run python -m sweep.verify {self.path}")

    def set_aside(self, names: Mapping[str, str]) -> None:
        """Move damaged parts to the folder `quarantine`; their cells count as not stored."""
        with commits.writing(self.place.root):
            for name in names:
                for folder in ("layers", "cells"):  # anybody may remove layers without their commit
                    self.place.move(f"{folder}/{name}", f"quarantine/{folder}/{name}")
