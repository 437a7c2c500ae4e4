"""Which row of a cell counts, and the parts of a study as one table of the rows that do.

Rows compete. Of all rows of a cell one wins (`winners`), by an order that depends only on the rows and the
names of their parts; of all cells of one experiment that of the newest kernel and revision wins (`outdated`).
A row is only ever removed by a writer that sees one that beats it: so the best row stays, whoever tidies and
however stale the view.
"""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.store.parts import ages, digests
from sweep.store.parts.ages import EXPERIMENT, NEEDED, REPEATED
from sweep.store.parts.commits import level, rank
from sweep.store.parts.scan import RANK, Scan, distinct
from sweep.store.tables import SCHEMAS


def read(
    scan: Scan,
    parts: set[str],
    table: str,
    columns: list[str] | None,
    versions: str,
    repeated: Collection[str],
) -> pa.Table:
    """The rows of 'cells' or 'layers' in these parts that count; see `Study.read`. Raises as `Scan.read`."""
    # First what is asked for: with small parts, what the rest needs is read along with it.
    cells = scan.read("cells", parts, columns, repeated) if table == "cells" else None
    ranks = scan.ranks(parts)
    keep, unique = winners(ranks)
    old = outdated(scan, parts, ranks) if versions == "newest" else []
    if cells is not None:
        if not unique:
            cells, ranks = cells.take(keep), ranks.take(keep)
        if len(old):
            cells = cells.filter(pc.invert(pc.is_in(ranks["cell_id"], value_set=digests.of_texts(old))))
        return cells.drop_columns(["part"])
    del ranks
    if unique and not len(old):
        return scan.read("layers", parts, columns, repeated).drop_columns(["part"])
    rows = scan.read("cells", parts, list(RANK)).take(keep)
    needed = None if columns is None else list(dict.fromkeys((*columns, "cell_id", "layer")))
    layers = scan.read("layers", parts, needed, repeated)
    layers = once(layers.filter(pc.is_in(row_keys(layers), value_set=row_keys(rows))))
    if len(old):
        layers = layers.filter(pc.invert(pc.is_in(layers["cell_id"], value_set=old)))
    return layers.select(SCHEMAS[table].names if columns is None else columns)


def winners(cells: pa.Table) -> tuple[pa.Array, bool]:
    """The numbers of the rows that count, one per cell, and whether these are all rows.

    cells: with the columns of RANK and `part`. A result wins over a failure; then the later run
    (`commits.rank`); then the part that was rewritten more often, whose rows are copies; then the part's
    name.
    """
    if pc.count_distinct(cells["cell_id"]).as_py() == cells.num_rows:
        return pa.array(np.arange(cells.num_rows)), True
    ids = cells["cell_id"].to_pylist()
    ranks = list(
        zip(
            (status == "ok" for status in cells["status"].to_pylist()),
            map(rank, cells["run_id"].to_pylist()),
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


def outdated(scan: Scan, parts: set[str], ranks: pa.Table, by_revision: bool = False) -> pa.Array:
    """The ids of cells that have a result of a newer kernel or revision: see `ages.outdated`."""
    nothing = pa.array([], pa.string())
    one_kernel = len(distinct(ranks, "kernel_version")) < 2
    if one_kernel and not ages.apart(scan.states(parts).values()):
        return nothing
    rows = scan.read("cells", parts, list(EXPERIMENT), REPEATED)
    if not len(ages.repeated(rows)):
        return nothing
    rows = scan.read("cells", parts, [*NEEDED, "status"], REPEATED)
    return ages.outdated(rows.take(pa.array(ages.repeated(rows))), by_revision)


def once(layers: pa.Table) -> pa.Table:
    """Each layer once, also where a part has a cell twice."""
    number = ages.numbered(layers, ("cell_id", "layer"))
    _, first = np.unique(number, return_index=True)
    return layers if len(first) == len(number) else layers.take(pa.array(np.sort(first)))


def row_keys(rows: pa.Table) -> pa.Array:
    """A key for each row that tells it from all others, its copies in other parts included."""
    return pc.binary_join_element_wise(rows["cell_id"], rows["part"].cast(pa.string()), "/").combine_chunks()
