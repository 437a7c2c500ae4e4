"""The study on disk: one Parquet schema, atomic parts, and what is stored already.

A part is written whole under a name that begins with a dot, which readers skip, and renamed.
Its layers come first; the cells part of the same name is the commit, so a layers part without
one never counts. Nothing here ever locks: a writer adds parts under names of its own, and tidying
removes only rows that win nowhere, so that any number of writers may share a study.
"""

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from sweep.errors import StoreError
from sweep.provenance import provenance
from sweep.tables import CELLS, LAYERS, SCHEMA_VERSION

_MARKER = "study.json"
# A layers part this old whose cells part never came belongs to a writer that died in between.
_ORPHAN_SECONDS = 3600.0
_FOLDERS = ("cells", "layers", "runs")
_MAKING = (*_FOLDERS, _MARKER)  # what is there while a study is made
_READ_ATTEMPTS = 10
_SCHEMAS = {"cells": CELLS, "layers": LAYERS}


class Study:
    """One growing data set of results, in the folder `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Raise StoreError if the folder is no study, or one of a newer program; writes nothing."""
        if not self.path.exists():
            blocked = next((p for p in self.path.parents if p.exists() and not p.is_dir()), None)
            if blocked:
                raise StoreError(f"cannot write to {self.path}: {blocked} is a file; choose another root=…")
            parent = next(p for p in self.path.absolute().parents if p.exists())
            if not os.access(parent, os.W_OK | os.X_OK):
                raise StoreError(
                    f"cannot write to {self.path}: {parent} is not writable; choose another root=…"
                )
            return
        if not self.path.is_dir():
            raise StoreError(f"{self.path} is a file, not a study; choose another study=… or root=…")
        marker = self.path / _MARKER
        if not marker.exists():
            # Another writer may be making this study at this moment.
            names = (path.name for path in sorted(self.path.iterdir()))
            other = next((n for n in names if n not in _MAKING and not n.startswith(f".{_MARKER}")), None)
            if other:
                raise StoreError(
                    f"{self.path} holds something else ('{other}'); choose another study=… or root=…"
                )
            return
        self.check_readable()

    def check_readable(self) -> None:
        """Raise StoreError if there is no study here that this program can read."""
        if not self.exists():
            raise StoreError(f"{self.path} is no study (it has no {_MARKER}): make one with python -m sweep")
        _check_marker(self.path / _MARKER)

    def create(self) -> None:
        """Make the folders and the marker of a new study."""
        with self._writing():
            for folder in _FOLDERS:
                (self.path / folder).mkdir(parents=True, exist_ok=True)
                if not os.access(self.path / folder, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, f"{folder} is not writable")
            marker = {"program": "sweep", "schema": SCHEMA_VERSION}
            _write_whole(self.path / _MARKER, json.dumps(marker).encode())

    def exists(self) -> bool:
        """Whether there is a study, and not merely a folder."""
        return (self.path / _MARKER).exists()

    def statuses(self) -> dict[str, str]:
        """cell_id -> 'ok' or 'failed', of every stored cell."""
        if not self.exists():
            return {}
        table = self.read("cells", ["cell_id", "status"])
        return dict(zip(table["cell_id"].to_pylist(), table["status"].to_pylist(), strict=True))

    def write(self, name: str, cells: pa.Table, layers: pa.Table) -> None:
        """Add one part; it is stored when this returns."""
        with self._writing():
            for folder, table in (("layers", layers), ("cells", cells)):
                self._write_part(folder, name, table)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"{error.strerror}; what is stored is safe"
            raise StoreError(f"cannot write to {self.path}: {reason}; choose another root=…") from error

    def newest(self) -> float:
        """When the last part was written, in seconds of the epoch; 0 if none was."""
        return max(
            (path.stat().st_mtime for path in (self.path / "cells").glob("[!._]*.parquet")), default=0.0
        )

    def read(self, table: str, columns: list[str] | None = None) -> pa.Table:
        """'cells' or 'layers', each cell once: a stored result wins over a failure.

        Raises StoreError, naming the part, where one cannot be read.
        """
        for _ in range(_READ_ATTEMPTS - 1):
            with contextlib.suppress(FileNotFoundError):  # another writer has tidied meanwhile
                return self._read(table, columns)
        try:
            return self._read(table, columns)
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.path} misses a part ({_one_line(error)}): restore it, or remove its cells part"
            ) from error

    def _read(self, table: str, columns: list[str] | None) -> pa.Table:
        wanted = None if columns is None else [*columns, *({"cell_id", "status"} - set(columns))]
        cells = self._rows("cells", wanted if table == "cells" else ["cell_id", "status"])
        keep, unique = _winners(cells)
        if table == "cells":
            return (cells if unique else cells.take(keep)).drop_columns(["part"])
        layers = self._rows("layers", None)
        if not unique:
            layers = layers.filter(pc.is_in(_place(layers), value_set=_place(cells.take(keep))))
        return layers.drop_columns(["part"])

    def tidy(self) -> None:
        """Remove superseded rows and orphaned parts, so that plain readers see each cell once."""
        for name in self._orphans():
            (self.path / "layers" / name).unlink(missing_ok=True)
        if not self.exists():
            return
        try:
            cells = self._rows("cells", ["cell_id", "status"])
        except FileNotFoundError:  # another writer is at it
            return
        keep, unique = _winners(cells)
        if unique:
            return
        kept = set(keep.to_pylist())
        doomed: dict[str, list[str]] = {}
        for row, (cell_id, part) in enumerate(
            zip(cells["cell_id"].to_pylist(), cells["part"].to_pylist(), strict=True)
        ):
            if row not in kept:
                doomed.setdefault(part, []).append(cell_id)
        for part, ids in doomed.items():
            self._remove(part, pa.array(ids))

    def _remove(self, part: str, ids: pa.Array) -> None:
        # A crash half-way leaves rows that their winners, in other parts, still supersede.
        remaining = {}
        for folder in ("cells", "layers"):
            try:
                table = pq.read_table(self.path / folder / part, schema=_SCHEMAS[folder])
            except FileNotFoundError:  # another writer was quicker
                return
            remaining[folder] = table.filter(pc.invert(pc.is_in(table["cell_id"], ids)))
        if remaining["cells"].num_rows:
            self.write(part, remaining["cells"], remaining["layers"])
        else:
            for folder in ("cells", "layers"):  # the commit first
                (self.path / folder / part).unlink(missing_ok=True)

    def _parts(self, folder: str) -> set[str]:
        return {path.name for path in (self.path / folder).glob("[!._]*.parquet")}

    def _orphans(self) -> Iterator[str]:
        for name in self._parts("layers") - self._parts("cells"):
            with contextlib.suppress(FileNotFoundError):
                age = time.time() - (self.path / "layers" / name).stat().st_mtime
                if age > _ORPHAN_SECONDS:
                    yield name

    def _rows(self, folder: str, columns: list[str] | None) -> pa.Table:
        """Every row of the committed parts, with the name of its part."""
        schema = _SCHEMAS[folder]
        paths = [str(self.path / folder / name) for name in sorted(self._parts("cells"))]
        names = schema.names if columns is None else columns
        dataset = ds.dataset(paths, schema=schema, format="parquet")
        batches = []
        try:
            for tagged in dataset.scanner(columns=names).scan_batches():
                batch, part = tagged.record_batch, Path(tagged.fragment.path).name
                batches.append(batch.append_column("part", pa.array([part] * len(batch), pa.string())))
        except pa.ArrowInvalid as error:
            reason = _one_line(error)
            raise StoreError(
                f"{self.path} has a part that cannot be read ({reason}): move it away"
            ) from error
        empty = pa.schema([schema.field(name) for name in names]).append(pa.field("part", pa.string()))
        return pa.Table.from_batches(batches, empty)

    def _write_part(self, folder: str, name: str, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        table = table.cast(_SCHEMAS[folder]).replace_schema_metadata(_metadata())
        pq.write_table(table, sink, compression="zstd")
        _write_whole(self.path / folder / name, sink.getvalue())


def _place(rows: pa.Table) -> pa.Array:
    return pc.binary_join_element_wise(rows["cell_id"], rows["part"], "/").combine_chunks()


def _winners(cells: pa.Table) -> tuple[pa.Array, bool]:
    """Row numbers that count, one per cell, and whether that is all of them.

    The first of the results, else the last of the failures, by the name of the part. However
    many parts a writer has seen, none ever removes the row that wins over all of them.
    """
    if pc.count_distinct(cells["cell_id"]).as_py() == cells.num_rows:
        return pa.array(range(0)), True
    ids, parts = cells["cell_id"].to_pylist(), cells["part"].to_pylist()
    ok = [status == "ok" for status in cells["status"].to_pylist()]
    best: dict[str, int] = {}
    for row, cell_id in enumerate(ids):
        rival = best.setdefault(cell_id, row)
        wins = ok[row] > ok[rival] or (
            ok[row] == ok[rival] and (parts[row] < parts[rival] if ok[row] else parts[row] > parts[rival])
        )
        if wins:
            best[cell_id] = row
    return pa.array(sorted(best.values())), False


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _check_marker(marker: Path) -> None:
    try:
        found: Mapping[str, Any] = json.loads(marker.read_text())
        program, schema = found["program"], int(found["schema"])
    except (OSError, ValueError, KeyError, TypeError):
        raise StoreError(f"{marker} cannot be read as the mark of a study; choose another study=…") from None
    if program != "sweep":
        raise StoreError(f"{marker.parent} is a study of '{program}', not of sweep; choose another study=…")
    if schema > SCHEMA_VERSION:
        raise StoreError(
            f"{marker.parent} has schema {schema}, newer than this program's {SCHEMA_VERSION}: "
            "upgrade sweep or choose another study=…"
        )


def _metadata() -> dict[str, str]:
    return {"schema": str(SCHEMA_VERSION)} | provenance()


def _write_whole(path: Path, content: Any) -> None:
    """Write under a hidden name, then rename: a reader sees all of it or nothing."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with hidden.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        hidden.replace(path)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
