"""The parts of a study as they are read: many of them together, each opened once, and none trusted.

A study that many runs have added to has many small parts, which take longer to open than to read: what
decides which rows count, what makes an experiment and what shows that a run could have written it is then
read at once, and kept for as long as the same parts are asked for.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import pyarrow as pa

from sweep.store.parts import digests, integrity, part_file, rows
from sweep.store.parts.commits import PASSES, STATE
from sweep.store.parts.integrity import DamagedError
from sweep.store.parts.part_file import BadBytesError, PartFile
from sweep.store.places import Place
from sweep.store.records import reading
from sweep.store.tables import SCHEMAS

RANK = ("cell_id", "status", "run_id")  # what decides which row of a cell counts, with the part's name
_LOOK = rows.KEYS  # read together from small parts: who asks for some of these asks for others next
_MANY = 16  # small parts are read several at a time
_TOGETHER, _ROWS = 256, 50_000  # parts, and rows, in one piece of memory
_SMALL_BYTES, _SMALL_ROWS = 1 << 16, 200_000  # of a small part; of all that are kept

_T = TypeVar("_T")
_Made = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class _Known:
    """What the footer of a part's commit says."""

    version: int
    state: str
    passes: str


class Scan:
    """Reads the parts of one place; as they never change, what is known of one is kept."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._known: dict[str, _Known] = {}
        self._possible: dict[str, bool] = {}
        self._look: tuple[frozenset[str], pa.Table] | None = None

    def read(
        self,
        folder: str,
        parts: Iterable[str],
        columns: list[str] | None = None,
        repeated: Collection[str] = (),
    ) -> pa.Table:
        """The rows of some parts, with the name of each row's part as the last column, `part`.

        repeated: columns of a few repeated texts, to return as dictionaries, as `part` is.
        Raises FileNotFoundError where a part has gone, DamagedError where one is not what was written or its
        layers are not those that it was committed with, UnreadableError where one cannot be read.
        """
        fields = SCHEMAS[folder].names if columns is None else columns

        def made(table: pa.Table) -> pa.Table:
            for name in repeated:
                index = table.column_names.index(name)
                table = table.set_column(index, name, table[name].dictionary_encode())
            return table

        return self._scanned(folder, parts, fields, made)

    def ranks(self, parts: Iterable[str]) -> pa.Table:
        """What decides which row of a cell counts, a few bytes a row: RANK, kernel_version, part.

        cell_id is ID_BYTES of binary, the others are dictionaries. Raises what `read` does.
        """
        names = [*RANK, "kernel_version"]

        def made(table: pa.Table) -> pa.Table:
            ids = digests.of_texts(table["cell_id"].combine_chunks())
            columns = [ids, *(table[name].dictionary_encode() for name in names[1:]), table["part"]]
            return pa.table(columns, names=[*names, "part"])

        return self._scanned("cells", parts, names, made)

    def states(self, parts: Iterable[str]) -> dict[str, str]:
        """Name -> the state of the revisions at which a part was computed, '' for the first parts of all.

        Raises as `read` does.
        """
        return {name: known.state for name, known in self._footers(parts)}

    def passes(self, parts: Iterable[str]) -> list[str]:
        """The kinds of passes that computed these parts, as far as they say; raises as `read` does."""
        said = {kind for _, known in self._footers(parts) for kind in known.passes.split(", ") if kind}
        return sorted(said)

    def versions(self, parts: Iterable[str]) -> dict[str, int]:
        """Name -> the schema version of a part; raises as `read` does."""
        return {name: known.version for name, known in self._footers(parts)}

    def possible(self, name: str) -> bool:
        """Whether a run could have written every row of a part; if not, it is named and left out."""
        if name not in self._possible:
            table = PartFile(self.place, "cells", name).read(rows.KEYS)
            part_file.validate(table)
            self._judge({name: table})
        return self._possible[name]

    def _footers(self, parts: Iterable[str]) -> Iterator[tuple[str, _Known]]:
        broken: dict[str, str] = {}
        for name in sorted(parts):
            if name not in self._known:
                with integrity.noting(self.place, name, broken):
                    self._learn(name, PartFile(self.place, "cells", name))
            if name in self._known:
                yield name, self._known[name]
        if broken:
            raise DamagedError(self.place.root, broken)

    def _learn(self, name: str, commit: PartFile) -> None:
        self._known[name] = _Known(
            commit.footer.version, commit.footer.text(STATE), commit.footer.text(PASSES)
        )

    def _scanned(self, folder: str, parts: Iterable[str], fields: list[str], made: _Made) -> pa.Table:
        """These columns and `part`, passed through `made`; every damaged part is found."""
        chosen = frozenset(parts)
        names = [*fields, "part"]
        if folder == "cells" and self._look and self._look[0] == chosen and {*fields} <= {*_LOOK}:
            return made(self._look[1].select(names)).unify_dictionaries()
        nothing = pa.schema([SCHEMAS[folder].field(name) for name in fields]).empty_table()
        done = [made(nothing.append_column("part", pa.array([], pa.string()).dictionary_encode()))]
        small = self._are_small(chosen, folder)
        kept: list[pa.Table] | None = [] if folder == "cells" and small else None
        broken: dict[str, str] = {}
        more = _LOOK if kept is not None else ()
        count = 0
        columns = list(dict.fromkeys((*fields, *more)))
        for table in self._groups(folder, sorted(chosen), columns, small, broken):
            done.append(made(table.select(names)))
            if kept is not None:
                kept.append(table.select([*_LOOK, "part"]))
                count += table.num_rows
                kept = kept if count <= _SMALL_ROWS else None
        if broken:
            raise DamagedError(self.place.root, broken)
        if kept:
            self._look = chosen, pa.concat_tables(kept).unify_dictionaries()
        return pa.concat_tables(done).unify_dictionaries()

    def _are_small(self, parts: Collection[str], folder: str) -> bool:
        if len(parts) < 2:
            return False
        sizes = self.place.files(folder)
        return sum(sizes.get(name, 0) for name in parts) < len(parts) * _SMALL_BYTES

    def _attempts(
        self, attempt: Callable[[str], _T], parts: list[str], small: bool
    ) -> Iterator[tuple[str, Callable[[], _T]]]:
        """Every part with a function that reads it; many small ones are read several at a time."""
        if len(parts) < _MANY or not small:
            yield from ((name, partial(attempt, name)) for name in parts)
            return
        with ThreadPoolExecutor(self.place.readers) as pool:
            for start in range(0, len(parts), _TOGETHER):
                group = parts[start : start + _TOGETHER]
                for name, future in zip(group, [pool.submit(attempt, name) for name in group], strict=True):
                    yield name, future.result

    def _groups(
        self, folder: str, parts: list[str], columns: list[str], small: bool, broken: dict[str, str]
    ) -> Iterator[pa.Table]:
        """These columns and `part` of the possible parts, in pieces of many small parts or a large one."""
        if folder == "layers":
            unknown = [name for name in parts if name not in self._possible]
            for _ in self._groups("cells", unknown, list(rows.KEYS), small, broken):
                pass
        sizes = self.place.files("layers") if folder == "cells" else {}
        keys = [name for name in rows.KEYS if name not in columns] if folder == "cells" else []
        tables: dict[str, pa.Table] = {}
        count = 0

        def attempt(name: str) -> tuple[PartFile, pa.Table]:
            file = PartFile(self.place, folder, name)
            if folder == "cells":
                integrity.check_layers(self.place, name, file, sizes)
            return file, file.read([*columns, *keys])

        for name, attempted in self._attempts(attempt, parts, small):
            with integrity.noting(self.place, name, broken):
                file, tables[name] = attempted()
                count += tables[name].num_rows
                if folder == "cells":
                    self._learn(name, file)
            if len(tables) >= _TOGETHER or count >= _ROWS:
                yield self._checked(folder, tables, broken).select([*columns, "part"])
                tables, count = {}, 0
        if tables:
            yield self._checked(folder, tables, broken).select([*columns, "part"])

    def _checked(self, folder: str, tables: dict[str, pa.Table], broken: dict[str, str]) -> pa.Table:
        """Parts in one piece of memory, without those that are damaged or impossible."""
        together = pa.concat_tables(tables.values())
        try:
            part_file.validate(together)
        except BadBytesError:
            for name in list(tables):
                with integrity.noting(self.place, name, broken):
                    part_file.validate(tables[name])
        known = {*self._possible, *broken}
        if unknown := {name: table for name, table in tables.items() if name not in known}:
            self._judge(unknown)
        fine = [name for name in tables if name not in broken and self._possible[name]]
        if len(fine) < len(tables):
            nothing = next(iter(tables.values())).slice(0, 0)
            together = pa.concat_tables([nothing, *(tables[name] for name in fine)])
        if len(fine) > 1:
            together = together.combine_chunks()
        numbers = np.repeat(np.arange(len(fine), dtype=np.int32), [tables[name].num_rows for name in fine])
        texts = pa.array(fine, pa.string())
        return together.append_column("part", pa.DictionaryArray.from_arrays(pa.array(numbers), texts))

    def _judge(self, each: dict[str, pa.Table]) -> None:
        """Note which of the parts are possible; each: at least the columns of KEYS, by name."""
        whys = dict.fromkeys(each, rows.impossible(pa.concat_tables(each.values())))
        if any(whys.values()) and len(each) > 1:
            whys = {name: rows.impossible(table) for name, table in each.items()}
        for name, why in whys.items():
            self._possible[name] = not why
            if why:
                reading.leave_out(self.place, f"cells/{name}", why)


def distinct(ranks: pa.Table, column: str) -> list[str]:
    """The distinct values of a column that is a dictionary."""
    chunks = ranks[column].chunks
    values: list[str] = chunks[0].dictionary.to_pylist() if chunks else []
    return values
