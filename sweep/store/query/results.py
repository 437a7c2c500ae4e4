"""The stored tables as pandas frames, as users read them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.base import checks
from sweep.base.errors import RequestError, unknown
from sweep.experiment.batches import Cells
from sweep.experiment.outcomes.verdict import DEFAULT, Thresholds
from sweep.store.parts import ages
from sweep.store.parts.digests import among
from sweep.store.query import axis_columns, judging
from sweep.store.query.filters import Filter
from sweep.store.records import files, reading, runs
from sweep.store.study import Study
from sweep.store.tables import SCHEMAS

if TYPE_CHECKING:
    import pandas as pd


def load(
    path: str | Path,
    table: str = "cells",
    thresholds: Thresholds | Mapping[str, Any] | None = None,
    versions: str = "newest",
    columns: Sequence[str] | None = None,
    filters: Sequence[Any] | None = None,
) -> "pd.DataFrame":
    """The results of a study, each cell (or each cell and layer) once.

    path: the study's folder or URL, as in 'outputs/standard'. table: 'cells' (a row per cell, with the
    last layer's statistics) or 'layers' (a row per cell and layer). thresholds: those of the
    verdicts, as in {"vanishing": 1e-3}; otherwise the defaults, whatever the run was given.
    versions: 'newest' has each experiment once, by the newest kernel and revision that computed it; 'all'
    has the older results too. columns: the ones to read, where millions of whole rows would not fit into
    memory.
    filters: the rows to keep, as pandas.read_parquet takes them: [("act", "==", "tanh"), ("depth", ">", 5)]
    for rows that meet all conditions, a list of such lists for rows that meet any of the lists.

    Beside the stored columns there is one for each parameter that schemes and activations of the study have,
    named as on the command line ('init.std', 'act.negative_slope', 'init.kwargs.power'), null where
    those of a cell have no such parameter; and `layers` has all axes of its cell.
    Raises StoreError where there is no study, RequestError for an unknown table, column, threshold or filter.
    """
    checks.option("table", table, ("cells", "layers"))
    checks.option("versions", versions, ("newest", "all"))
    wanted = Thresholds.of(thresholds)
    chosen = None if filters is None else Filter.of(filters)
    names = None if columns is None else _names(columns)
    study = Study(path)
    study.check_readable()
    stored = [*SCHEMAS[table].names, *(axis_columns.OF_CELLS if table == "layers" else ())]
    known = list(dict.fromkeys((*stored, *axis_columns.PARAMETERS)))
    asked = dict.fromkeys((*(known if names is None else names), *(chosen.names if chosen else ())))
    for name in asked:
        if name not in known and not axis_columns.is_parameter(name):
            raise unknown(f"column of {table}", name, known)
    read = {name if name in known else axis_columns.source(name) for name in asked}
    needed = [name for name in known if name in read]
    if table == "layers":
        rows = _layers(study, needed, versions)
    else:
        rows = _judged(study, lambda each: study.read(table, each, versions), needed, wanted)
    rows = axis_columns.with_parameters(rows)
    for name in asked:
        if name not in rows.column_names:
            raise unknown(f"column of {table}", name, [*known, *rows.column_names[len(needed) :]])
    rows = chosen.rows(rows) if chosen else rows
    shown = [*stored, *rows.column_names[len(needed) :]] if names is None else names
    frame = as_frame(_plain(rows.select(list(dict.fromkeys(shown)))))
    return frame if len(set(shown)) == len(shown) else frame[shown]


def _plain(rows: "pa.Table") -> "pa.Table":
    """The same rows with texts where they are dictionaries."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            rows = rows.set_column(index, field.name, rows[field.name].cast(field.type.value_type))
    return rows


def _layers(study: Study, names: Sequence[str], versions: str) -> "pa.Table":
    """These columns of `layers`, those of their cells among them."""
    of_cells = [name for name in names if name not in SCHEMAS["layers"].names]
    own = [name for name in names if name in SCHEMAS["layers"].names]
    if not of_cells:
        return study.read("layers", own, versions)
    layers = study.read("layers", [*own, *{"cell_id"}.difference(own)], versions)
    cells = study.any_rows(["cell_id", *of_cells], _REPEATED.intersection(of_cells))
    return axis_columns.with_axes(layers, cells, of_cells).select(names)


def _names(columns: Sequence[str]) -> list[str]:
    rule = f"columns={checks.shown(columns)}: columns must be a list of names, as in ['cell_id', 'std']"
    if isinstance(columns, str | bytes | Mapping):
        raise RequestError(rule)
    try:
        names = list(columns)
    except TypeError:
        raise RequestError(rule) from None
    for name in names:
        if not isinstance(name, str):
            raise RequestError(rule)
    return names


def of_cells(study: Study, cells: Cells, columns: Sequence[str], wanted: Thresholds) -> "pd.DataFrame":
    """These columns of the rows of these cells, with verdicts by these thresholds."""

    def read(needed: list[str]) -> "pa.Table":
        rows = study.read("cells", needed, "all", _REPEATED.intersection(needed))
        if rows.num_rows > len(cells):  # the study has others besides
            rows = study.read("cells", [*needed, *{"cell_id"}.difference(needed)], "all")
            rows = rows.filter(among(rows["cell_id"], cells)).select(needed)
        return rows

    return as_frame(_judged(study, read, columns, wanted))


def _judged(
    study: Study, read: Callable[[list[str]], "pa.Table"], names: Sequence[str], wanted: Thresholds
) -> "pa.Table":
    """These columns of the rows that `read` returns, with verdicts by these thresholds."""

    def with_more(more: Sequence[str]) -> "pa.Table":
        return read(list(dict.fromkeys((*names, *more))))

    if set(judging.FROM_LAYERS).isdisjoint(names):
        return with_more([])
    cells = with_more(judging.STALE_NEEDED)
    if judging.stale(cells, wanted).any():
        cells = with_more(judging.CELLS_NEEDED)
        layers = study.read("layers", list(judging.LAYERS_NEEDED), "all")
        cells = judging.judged(cells, layers, wanted, study.name)
    return cells.select(names)


def as_frame(rows: "pa.Table") -> "pd.DataFrame":
    """The rows as a frame; they are used up column by column, so that memory never holds them twice."""
    words = rows["verdicts"] if "verdicts" in rows.column_names else None
    if words is not None:
        index = rows.column_names.index("verdicts")
        rows = rows.set_column(index, "verdicts", pa.nulls(rows.num_rows))
    frame: pd.DataFrame = rows.to_pandas(split_blocks=True, self_destruct=True)
    if words is not None:
        frame["verdicts"] = np.array([*_lists(words), None], object)[:-1]  # else numpy sees a table
    return frame


def _lists(words: "pa.ChunkedArray") -> "list[list[str] | None]":
    """A list for each row; the words are few, and so are their combinations."""
    texts = pc.binary_join(words, ",").dictionary_encode().combine_chunks()
    lists = [text.split(",") for text in texts.dictionary.to_pylist()]
    return [None if number is None else lists[number].copy() for number in texts.indices.to_pylist()]


_REPEATED = {*ages.REPEATED, "kernel_version", "status"}


def thresholds(path: str | Path) -> Thresholds:
    """The thresholds of the study's newest run; the defaults where none is recorded."""
    study = Study(path)
    for name in reversed(runs.names(study)):
        file = files.path(name, files.THRESHOLDS)
        try:
            if (written := reading.mapping(study.place, file)) is not None:
                return Thresholds.of(written)
        except RequestError as error:
            reading.leave_out(study.place, file, str(error))
    return DEFAULT
