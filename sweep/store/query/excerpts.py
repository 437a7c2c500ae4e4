"""Excerpts of a study as plain Python values: counts, failures, a sample of the rows."""

import random
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.base import checks
from sweep.base.registry import CUSTOM
from sweep.experiment.axes import BESIDE, CELL_KEYS, GROUPS, MODEL
from sweep.experiment.batches import Cells
from sweep.experiment.cell import SPEC
from sweep.experiment.ingredients.choices import OPTIONS
from sweep.experiment.outcomes.outcome import Failure
from sweep.kernel import KERNEL_VERSION
from sweep.store.index import Older
from sweep.store.parts import ages
from sweep.store.parts.digests import among
from sweep.store.query import axis_columns
from sweep.store.study import Study
from sweep.store.tables import CELLS

Row = dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """How many cells there are, each once. axes: axis -> (value, status) -> their number.

    total: status -> their number. A status is 'ok', 'failed' or 'left'. A parameter of some schemes alone is
    an axis of theirs; where all others have no value, their value is None.
    """

    total: Counter[str]
    axes: dict[str, Counter[tuple[Any, str]]]


def counts(study: Study, left: Cells) -> Counts:
    """How many cells are stored, and how many of `left` are not, by every axis that has several values."""
    rows = study.read("cells", [*SPEC, "seed", "status"], repeated=_TEXTS)
    stored = rows.drop_columns(["seed"]).append_column("cells", pa.array(np.ones(rows.num_rows, np.int64)))
    table = pa.concat_tables([stored, _specs_of(left)]).unify_dictionaries()
    table = axis_columns.with_parameters(table).drop_columns(list(axis_columns.PARAMETERS))
    axes = {name: _by_value(table, name) for name in table.column_names if name not in ("status", "cells")}
    total: Counter[str] = Counter()
    for (_, status), number in axes["init"].items():
        total[status] += number
    seeds = rows.group_by(["seed", "status"]).aggregate([([], "count_all")]).to_pylist()
    axes["seed"] = Counter({(row["seed"], row["status"]): row["count_all"] for row in seeds})
    for block in left.blocks:
        axes["seed"].update({(seed, "left"): len(block.specs) for seed in block.seeds})
    swept = {name: counted for name, counted in axes.items() if len({value for value, _ in counted}) > 1}
    order = [*SPEC_AXES, *(name for name in swept if name not in SPEC_AXES)]
    return Counts(total, {name: swept[name] for name in order if name in swept})


_TEXTS = (*ages.REPEATED, "status")
SPEC_AXES = (*GROUPS, *BESIDE, *CELL_KEYS)


def _specs_of(cells: Cells) -> pa.Table:
    """Their specs as rows, with the number of cells that each stands for."""
    specs = [(spec, len(block.seeds)) for block in cells.blocks for spec in block.specs]
    rows = [spec.row for spec, _ in specs]
    columns = {name: pa.array([row[name] for row in rows], CELLS.field(name).type) for name in SPEC}
    columns["status"] = pa.array(["left"] * len(specs), pa.string())
    columns |= {name: columns[name].dictionary_encode() for name in _TEXTS}
    columns["cells"] = pa.array([number for _, number in specs], pa.int64())
    return pa.table(columns)


def _by_value(table: pa.Table, axis: str) -> Counter[tuple[Any, str]]:
    """(value, status) -> the number of cells; a parameter's null is no value."""
    column = table[axis]
    if pa.types.is_list(column.type):
        texts = pc.binary_join(column.cast(pa.list_(pa.string())), ",")
        column = pc.binary_join_element_wise("[", texts, "]", "")
    pairs = pa.table({"value": column, "status": table["status"], "cells": table["cells"]})
    rows = pairs.group_by(["value", "status"]).aggregate([("cells", "sum")]).to_pylist()
    own = axis in SPEC_AXES
    return Counter({(r["value"], r["status"]): r["cells_sum"] for r in rows if own or r["value"] is not None})


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
    models: how many are of models of one's own, which are left out. of_other_kernels: how many are results of
    another kernel. forged: the ids of those among them whose id is
    not that of their values.
    """

    rows: list[Row]
    foreign: int
    functions: set[str]
    failed: int
    of_other_kernels: int
    forged: list[str]
    models: int = 0


def sample(study: Study, old: Older, allowed: set[str], count: int, seed: int) -> Sample:
    """At most `count` rows of results of the present kernel and revision, chosen by the seed.

    allowed: the users' functions that a row may name.
    """
    stored = study.read("cells", versions="all")
    ok, present = pc.equal(stored["status"], "ok"), pc.equal(stored["kernel_version"], KERNEL_VERSION)
    cells = stored.filter(pc.and_(ok, present))
    others = stored.select(ages.NEEDED).filter(pc.and_(ok, pc.invert(present)))
    cells = cells.filter(pc.invert(pc.is_in(cells["cell_id"], value_set=old.ids)))
    models = cells.num_rows
    cells = cells.filter(pc.is_null(cells[MODEL]))
    models -= cells.num_rows
    foreign, functions = _foreign(cells, allowed)
    cells = cells.filter(pc.invert(foreign))
    rows = random.Random(seed).sample(range(cells.num_rows), min(count, cells.num_rows))
    chosen: list[Row] = cells.take(pa.array(rows, pa.int64())).to_pylist()
    forged = others["cell_id"].filter(pa.array(ages.ages(others) < 0)).to_pylist()
    failed = stored.num_rows - pc.sum(ok).as_py() if stored.num_rows else 0
    left_out = pc.sum(foreign).as_py() or 0
    return Sample(chosen, left_out, functions, failed, others.num_rows, forged, models)


def layers_of(study: Study, ids: Collection[str]) -> list[Row]:
    """The rows of `layers` of some cells, whatever computed them."""
    layers = study.read("layers", versions="all")
    chosen = pc.is_in(layers["cell_id"], value_set=pa.array(list(ids), pa.string()))
    return list(layers.filter(chosen).to_pylist())


def _foreign(cells: pa.Table, allowed: set[str]) -> tuple[pa.ChunkedArray, set[str]]:
    """Whether each row names a function that is not allowed, or without its source; and all names."""
    foreign, named = pa.chunked_array([pa.nulls(cells.num_rows, pa.bool_()).fill_null(False)]), set()
    for column in OPTIONS:
        custom, texts = pc.fill_null(pc.equal(cells[column], CUSTOM), False), cells[f"{column}_params"]
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
