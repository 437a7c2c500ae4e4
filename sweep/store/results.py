"""The stored tables as pandas frames, as users read them."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep import activations
from sweep.base import checks
from sweep.base.errors import RequestError, StoreError, SweepError, SweepWarning, unknown
from sweep.experiment.batches import Cells
from sweep.experiment.verdict import DEFAULT, JUDGED, Thresholds, flat_share_of, verdicts
from sweep.store.parts.digests import among
from sweep.store.records import files, reading, runs
from sweep.store.study import Study
from sweep.store.tables import SCHEMAS

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def load(
    path: str | Path,
    table: str = "cells",
    thresholds: Thresholds | Mapping[str, Any] | None = None,
    versions: str = "newest",
    columns: Sequence[str] | None = None,
) -> "pd.DataFrame":
    """The results of a study, each cell (or each cell and layer) once.

    path: the study's folder or URL, as in 'outputs/standard'. table: 'cells' (a row per cell, with the
    last layer's statistics) or 'layers' (a row per cell and layer). thresholds: where the words of
    `verdict` begin, as in {"vanishing": 1e-3}; the defaults otherwise, whatever the run was given.
    versions: 'newest' has each experiment once, by the newest kernel and revision that computed it; 'all'
    has the older results too. columns: the ones to read, where millions of rows do not fit the memory.
    Raises StoreError where there is no study, RequestError for an unknown table, column or threshold.
    """
    checks.option("table", table, ("cells", "layers"))
    checks.option("versions", versions, ("newest", "all"))
    wanted = Thresholds.of(thresholds)
    study = Study(path)
    study.check_readable()
    names = SCHEMAS[table].names if columns is None else _names(columns, table)
    each = list(dict.fromkeys(names))
    if table == "layers":
        frame = _as_frame(study.read(table, each, versions))
    else:
        frame = _frame(study, lambda needed: study.read(table, needed, versions), each, wanted)
    return frame if names == each else frame[names]


def _names(columns: Sequence[str], table: str) -> list[str]:
    rule = f"columns={checks.shown(columns)}: columns must be a list of names, as in ['cell_id', 'std']"
    if isinstance(columns, str | bytes | Mapping):
        raise RequestError(rule)
    try:
        names = list(columns)
    except TypeError:
        raise RequestError(rule) from None
    for name in names:
        if not isinstance(name, str) or name not in SCHEMAS[table].names:
            raise unknown(f"column of {table}", name, SCHEMAS[table].names)
    return names


def of_cells(study: Study, cells: Cells, columns: Sequence[str], wanted: Thresholds) -> "pd.DataFrame":
    """These columns of the rows of these cells, with verdicts by these thresholds."""

    def read(needed: list[str]) -> "pa.Table":
        rows = study.read("cells", needed, "all", _REPEATED.intersection(needed))
        if rows.num_rows > len(cells):  # the study has others besides
            rows = study.read("cells", [*needed, *{"cell_id"}.difference(needed)], "all")
            rows = rows.filter(among(rows["cell_id"], cells)).select(needed)
        return rows

    return _frame(study, read, columns, wanted)


def _frame(
    study: Study, read: Callable[[list[str]], "pa.Table"], names: Sequence[str], wanted: Thresholds
) -> "pd.DataFrame":
    def made(more: Sequence[str]) -> "pd.DataFrame":
        return _as_frame(read([*names, *(name for name in more if name not in names)]))

    if _JUDGED_BY.isdisjoint(names):
        return made([])
    cells = made(("status", "verdict_thresholds"))
    if _otherwise(cells, wanted).any():
        cells = _judged(made(_TO_JUDGE), study, wanted)
    return cells[list(names)]


def _as_frame(rows: "pa.Table") -> "pd.DataFrame":
    """The rows as a frame; they are used up column by column, so that memory never holds them twice."""
    frame: pd.DataFrame = rows.to_pandas(split_blocks=True, self_destruct=True)
    return frame


_REPEATED = {"init", "init_params", "act", "act_params", "dtype", "kernel_version", "status"}
_JUDGED_BY = {"verdict", "verdict_layer", "verdict_thresholds"}
_OF_ACT = ("act", "act_params", "flat_share", "histogram_low")
_TO_JUDGE = ("cell_id", "depth", "status", *_OF_ACT, *sorted(_JUDGED_BY))


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


def _otherwise(cells: "pd.DataFrame", wanted: Thresholds) -> "pd.Series[bool]":
    """Which cells were judged with other thresholds."""
    return (cells["status"] == "ok") & (cells["verdict_thresholds"].fillna("") != (wanted.text or ""))


def _judged(cells: "pd.DataFrame", study: Study, wanted: Thresholds) -> "pd.DataFrame":
    """The cells with verdicts by these thresholds; only those stored with others are judged again.

    Cells of a user's own activation keep theirs where the row does not hold its flat share.
    """
    other = _otherwise(cells, wanted)
    mute = other & (cells["act"] == activations.CUSTOM) & cells["histogram_low"].isna()
    if mute.any():
        warnings.warn(
            f"{mute.sum():,} cells of activations of your own keep the verdicts that they were stored with: "
            "their rows are of an older program, and lack what other thresholds need",
            SweepWarning,
            stacklevel=5,
        )
        other &= ~mute
    layers: pd.DataFrame = study.read("layers", ["cell_id", "layer", *JUDGED], "all").to_pandas()
    layers = layers[layers["cell_id"].isin(cells.loc[other, "cell_id"])].sort_values(["cell_id", "layer"])
    again = cells[other].sort_values("cell_id")
    if not _complete(again, layers):  # some part is not what a run writes: leave out its cells
        counts = cells["cell_id"].map(layers["cell_id"].value_counts()).fillna(0)
        cut = other & (counts != cells["depth"] + 1)
        warnings.warn(
            f"{cut.sum():,} cells keep the verdicts that they were stored with: layers are missing",
            SweepWarning,
            stacklevel=5,
        )
        other &= ~cut
        layers = layers[layers["cell_id"].isin(cells.loc[other, "cell_id"])]
        again = cells[other].sort_values("cell_id")
        if not _complete(again, layers):
            raise StoreError(f"{study.path} has layers of no network: see python -m sweep.verify")
    columns = {name: layers[name].to_numpy(float) for name in JUDGED}
    sizes = again["depth"].to_numpy(int) + 1
    starts = np.cumsum(sizes) - sizes
    words, since = np.empty(len(again), object), np.empty(len(again))
    shares = [
        share if act == activations.CUSTOM else _flat_share(act, params)
        for act, params, share in zip(again["act"], again["act_params"], again["flat_share"], strict=True)
    ]
    groups: dict[Any, Any] = again.assign(share=shares).groupby(["depth", "share"], dropna=False).indices
    for (depth, share), places in groups.items():
        rows = starts[places][:, None] + np.arange(depth + 1)
        of_group = {name: values[rows] for name, values in columns.items()}
        words[places], since[places] = verdicts(of_group, share, wanted)
    cells = cells.copy()
    cells.loc[again.index, "verdict"] = words
    cells.loc[again.index, "verdict_layer"] = since
    cells.loc[again.index, "verdict_thresholds"] = wanted.text
    return cells


def _complete(cells: "pd.DataFrame", layers: "pd.DataFrame") -> bool:
    """Whether these are the layers 0 .. depth of every cell; both in the order of their ids."""
    sizes = cells["depth"].to_numpy(int) + 1
    starts = np.cumsum(sizes) - sizes
    if len(layers) != sizes.sum():
        return False
    numbers = np.arange(len(layers)) - np.repeat(starts, sizes)
    same = layers["cell_id"].to_numpy()[starts] == cells["cell_id"].to_numpy()
    return bool(np.all(same) and np.array_equal(layers["layer"].to_numpy(), numbers))


@lru_cache(maxsize=4096)
def _flat_share(act: str, params: str) -> float:
    try:
        return flat_share_of(activations.stored(act, params))
    except SweepError:  # another program's
        return float("nan")
