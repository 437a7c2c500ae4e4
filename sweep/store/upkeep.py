"""Keeping a study small and plain: superseded rows go, small parts are put together, old ones brought up.

Anybody may do this, any number at a time: a part is removed once its rows that count are in another one.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from sweep.base.process import interrupts
from sweep.store.parts import ages, commits, merge
from sweep.store.parts.scan import RANK
from sweep.store.query import judging
from sweep.store.records import files, runs
from sweep.store.study import Study
from sweep.store.tables import SCHEMA_VERSION

# A writer of which nothing is known is taken to be dead once its leftovers are this old.
_ORPHAN_SECONDS = 3600.0
_TIDYINGS = 5
_SMALL, _MANY = 1 << 17, 64  # bytes of layers of a small part; how many small parts are left as they are
_TOGETHER = 1 << 24  # bytes of layers of a part that small ones are put into
_COMPACTED = 100_000_000  # the same, where asked for: about two million rows, and 200 MB in memory

Dead = Callable[[str], bool | None]


def tidy(study: Study, dead: Dead = lambda writer: None) -> None:
    """Remove superseded rows, and what dead writers left, so that plain readers see each cell once.

    Many small parts, as many runs leave, are put together: opening one costs more than reading its rows.
    dead: whether the writer of that name has ended; None where nobody knows.
    """
    with commits.writing(study.place.root):
        _remove_leftovers(study, dead)
        for _ in range(_TIDYINGS):  # another writer that tidies as well may leave copies of the same rows
            if not study.exists() or not _remove_superseded(study):
                break
        sizes = study.place.files("layers")
        small = [name for name in commits.names(study.place) if sizes.get(name, _SMALL) < _SMALL]
        if len(small) > _MANY:
            _put_together(study, {name: sizes[name] for name in small}, _TOGETHER)


def compact(study: Study, size: int) -> None:
    """Put small parts together, into parts of about so many bytes of layers each."""
    modernise(study)
    with commits.writing(study.place.root):
        sizes = study.place.files("layers")
        small = {name for name in commits.names(study.place) if sizes.get(name, size) < size / 2}
        _put_together(study, {name: sizes[name] for name in small}, size)


def compact_study(path: str) -> None:
    """Put small parts together, and say what became of them; StoreError where there is no study."""
    study = Study(path)
    study.check_readable()
    study.check()
    with interrupts.held():
        run = runs.RunRecord(study, {files.COMMAND: f"python -m sweep.compact {study.path}\n"})
    status = 1
    try:
        tidy(study, runs.has_ended(study))
        before = len(commits.names(study.place))
        compact(study, _COMPACTED)
        tidy(study, runs.has_ended(study))
        print(f"{study.path}: {before:,} parts before, {len(commits.names(study.place)):,} now")
        for line in commits.describe_strangers(study.place):
            print(line)
        status = 0
    finally:
        run.close(status)


def modernise(study: Study) -> None:
    """Bring parts of an older schema to the present one; a crash half-way loses nothing."""
    if not study.is_older():
        return
    with commits.writing(study.place.root):
        versions = study.retry(lambda: study.scan.versions(commits.names(study.place)))
        sizes = study.place.files("layers")
        older = [name for name, version in versions.items() if version < SCHEMA_VERSION]
        _put_together(study, {name: sizes.get(name, 0) for name in older}, _TOGETHER, least=1)
        study.mark(older=False)


def replace(study: Study, sources: list[str], without: pa.Array | None = None) -> str | None:
    """Put the rows of some parts into one new part, without the cells of `without`; returns its name.

    A crash half-way leaves rows twice, of which one wins.
    """
    tables = {folder: study.scan.read(folder, sources) for folder in ("cells", "layers")}
    keep, unique = merge.winners(tables["cells"])
    if not unique:
        tables["cells"] = tables["cells"].take(keep)
        kept = pc.is_in(merge.row_keys(tables["layers"]), value_set=merge.row_keys(tables["cells"]))
        tables["layers"] = merge.once(tables["layers"].filter(kept))
    if without is not None:
        for folder, table in tables.items():
            tables[folder] = table.filter(pc.invert(pc.is_in(table["cell_id"], without)))
    if judging.stale(tables["cells"], None).any():  # rows of an older schema
        tables["cells"] = judging.judged(tables["cells"], tables["layers"], None, study.name)
    name: str | None = None
    state = ages.common(study.scan.states(sources).values())
    if tables["cells"].num_rows:
        name = study.copy_name(sources)
        cells, layers = (tables[folder].drop_columns(["part"]) for folder in ("cells", "layers"))
        commits.write(study.place, name, cells, layers, state, ", ".join(study.scan.passes(sources)))
    for source in sources:
        if study.scan.possible(source):  # a part that was left out is left alone
            commits.remove(study.place, source)
    return name


def _put_together(study: Study, sizes: dict[str, int], most: int, least: int = 2) -> None:
    """Put parts of one state of revisions together, into parts of at most `most` bytes of layers.

    sizes: bytes of layers of each. least: how many parts are worth it.
    """
    try:
        states = study.scan.states(sizes)
    except FileNotFoundError:  # somebody else tidies: next time
        return
    groups: dict[str, list[list[str]]] = defaultdict(list)
    for name in sorted(states):
        alike = groups[states[name]]
        if not alike or sum(sizes[other] for other in alike[-1]) + sizes[name] > most:
            alike.append([])
        alike[-1].append(name)
    for group in (group for alike in groups.values() for group in alike if len(group) >= least):
        with contextlib.suppress(FileNotFoundError):
            replace(study, group)


def _remove_superseded(study: Study) -> bool:
    try:
        names = commits.names(study.place)
        ranks = study.scan.ranks(names)
        old = set(merge.outdated(study.scan, names, ranks, by_revision=True).to_pylist())
        if merge.winners(ranks)[1] and not old:
            return False
        cells = study.scan.read("cells", names, list(RANK))
    except FileNotFoundError:  # another writer is at it too
        return True
    keep, _ = merge.winners(cells)
    rows = list(zip(cells["cell_id"].to_pylist(), cells["part"].to_pylist(), strict=True))
    kept = {row for row in keep.to_pylist() if rows[row][0] not in old}
    winning = {rows[row] for row in kept}
    doomed: dict[str, list[str]] = {}
    for row, (cell_id, part) in enumerate(rows):
        if row not in kept:
            # A cell that the same part also has the winner of stays: `replace` keeps one of the two.
            doomed.setdefault(part, []).extend([] if (cell_id, part) in winning else [cell_id])
    for part, ids in doomed.items():
        with contextlib.suppress(FileNotFoundError):  # another writer was quicker
            replace(study, [part], without=pa.array(ids, pa.string()))
    return True


def _remove_leftovers(study: Study, dead: Dead) -> None:
    for folder in ("layers", "cells"):
        # Where there is no commit at all, the commits themselves may be away.
        parts = commits.names(study.place, folder) if commits.names(study.place) else set()
        committed = commits.names(study.place) if folder == "layers" else parts
        hidden = filter(commits.is_unfinished, study.place.files(folder))
        abandoned = [
            name
            for name in (*hidden, *parts)
            if name not in committed and _abandoned(study, f"{folder}/{name}", dead(commits.writer_of(name)))
        ]
        # Once its writer has ended, what is not committed will never be.
        committed = commits.names(study.place) if abandoned else committed
        for name in abandoned:
            # A store may list late: ask for the commit itself.
            if name not in committed and not (folder == "layers" and study.modified(f"cells/{name}")):
                study.place.remove(f"{folder}/{name}")


def _abandoned(study: Study, path: str, dead: bool | None) -> bool:
    if dead is not None:
        return dead
    modified = study.modified(path)
    return modified > 0 and time.time() - modified > _ORPHAN_SECONDS
