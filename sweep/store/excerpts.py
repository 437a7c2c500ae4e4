"""Excerpts of a study as plain Python values: counts, failures, a sample of the rows."""

import random
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sweep.base import checks
from sweep.base.registry import CUSTOM
from sweep.experiment.batches import Cells
from sweep.experiment.cell import REGISTRIES
from sweep.experiment.outcome import Failure
from sweep.kernel import KERNEL_VERSION
from sweep.store.index import Older
from sweep.store.parts import ages
from sweep.store.parts.digests import among
from sweep.store.study import Study

Row = dict[str, Any]


def counts(study: Study, axes: Sequence[str]) -> dict[str, Counter[tuple[Any, str]]]:
    """Axis -> (value, status) -> how many cells are stored, each once."""
    stored = study.read("cells", ["status", *axes])
    groups = {axis: stored.group_by([axis, "status"]).aggregate([([], "count_all")]) for axis in axes}
    return {
        axis: Counter({(row[axis], row["status"]): row["count_all"] for row in rows.to_pylist()})
        for axis, rows in groups.items()
    }


def failures(study: Study, cells: Cells) -> Iterator[tuple[str, Failure]]:
    """(cell_id, why it failed) of every one of these cells that failed."""
    rows = study.read("cells", ["cell_id", "status", "error", "error_type", "traceback"], "all")
    rows = rows.filter(pc.equal(rows["status"], "failed"))
    for row in rows.filter(among(rows["cell_id"], cells)).to_pylist():
        message = row["error"].removeprefix(f"{row['error_type']}: ")
        yield row["cell_id"], Failure(row["error_type"], message, row["traceback"] or "")


@dataclass(frozen=True)
class Sample:
    """Some rows of `cells`.

    foreign: how many rows were left out because they name functions that were not allowed. functions: all
    users' functions that rows name, left out or not. failed: how many rows are of failed cells.
    of_other_kernels: how many are results of another kernel. forged: the ids of those among them whose id is
    not that of their values.
    """

    rows: list[Row]
    foreign: int
    functions: set[str]
    failed: int
    of_other_kernels: int
    forged: list[str]


def sample(study: Study, old: Older, allowed: set[str], count: int, seed: int) -> Sample:
    """At most `count` rows of results of the present kernel and revision, chosen by the seed.

    allowed: the users' functions that a row may name.
    """
    stored = study.read("cells", versions="all")
    ok, present = pc.equal(stored["status"], "ok"), pc.equal(stored["kernel_version"], KERNEL_VERSION)
    cells = stored.filter(pc.and_(ok, present))
    others = stored.select(ages.NEEDED).filter(pc.and_(ok, pc.invert(present)))
    cells = cells.filter(pc.invert(pc.is_in(cells["cell_id"], value_set=old.ids)))
    foreign, functions = _foreign(cells, allowed)
    cells = cells.filter(pc.invert(foreign))
    rows = random.Random(seed).sample(range(cells.num_rows), min(count, cells.num_rows))
    chosen: list[Row] = cells.take(pa.array(rows, pa.int64())).to_pylist()
    forged = others["cell_id"].filter(pa.array(ages.ages(others) < 0)).to_pylist()
    failed = stored.num_rows - pc.sum(ok).as_py() if stored.num_rows else 0
    return Sample(chosen, pc.sum(foreign).as_py() or 0, functions, failed, others.num_rows, forged)


def layers_of(study: Study, ids: Collection[str]) -> list[Row]:
    """The rows of `layers` of some cells, whatever computed them."""
    layers = study.read("layers", versions="all")
    chosen = pc.is_in(layers["cell_id"], value_set=pa.array(list(ids), pa.string()))
    return list(layers.filter(chosen).to_pylist())


def _foreign(cells: pa.Table, allowed: set[str]) -> tuple[pa.ChunkedArray, set[str]]:
    """Whether each row names a function that is not allowed, or without its source; and all names."""
    foreign, named = pa.chunked_array([pa.nulls(cells.num_rows, pa.bool_()).fill_null(False)]), set()
    for group in REGISTRIES:
        custom, texts = pc.equal(cells[group], CUSTOM), cells[f"{group}_params"]
        names = {text: _named(text) for text in pc.unique(texts.filter(custom)).to_pylist()}
        named |= set().union(*names.values()) - {""}
        bad = [text for text, called in names.items() if not called <= allowed]
        foreign = pc.or_(foreign, pc.and_(custom, pc.is_in(texts, value_set=pa.array(bad, pa.string()))))
    return foreign, named


def _named(parameters: str) -> set[str]:
    """The functions that the parameters of a user's own scheme or activation name.

    With '', which is never allowed, where they lack the source.
    """
    values = checks.json_object("parameters", parameters)
    names = {str(values[key]) for key in ("function", "derivative") if values.get(key) is not None}
    return names if isinstance(values.get("source"), str) else {*names, ""}
