"""Stored cells judged again by their stored layers: with other thresholds, or for what an older row lacks."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sweep import activations
from sweep.base import checks
from sweep.base.errors import RequestError, SweepError, SweepWarning
from sweep.experiment.axes import MODEL
from sweep.experiment.outcomes import verdict
from sweep.experiment.outcomes.verdict import DEFAULT, JUDGED, Thresholds, flat_share_of
from sweep.kernel.statistics import float32
from sweep.store.parts import ages
from sweep.store.tables import FIRST_PREDICTED, SCHEMAS, said

JUDGED_BY = ("verdict", "verdicts", "verdict_layer", "verdict_thresholds")
# Columns of `cells` that can be made of its layers.
FROM_LAYERS = (*JUDGED_BY, *FIRST_PREDICTED, "leaves_float32_layer")
CELLS_NEEDED = (
    "cell_id",
    "depth",
    "width",
    "widths",
    "batch",
    "status",
    "act",
    "act_params",
    "flat_share",
    "histogram_low",
    MODEL,
    *FROM_LAYERS,
)
STALE_NEEDED = ("status", "verdicts", "verdict_thresholds")
LAYERS_NEEDED = ("cell_id", "layer", *dict.fromkeys((*JUDGED, *(of for of, _ in FIRST_PREDICTED.values()))))
_TOLD = (activations.CUSTOM, activations.TRANSFORMED)  # acts whose rows say how much of one is flat
Mask = NDArray[np.bool_]


def stale(cells: pa.Table, wanted: Thresholds | None) -> Mask:
    """Which rows say less than they could: judged by other thresholds, or of an older schema.

    cells: status, verdicts, verdict_thresholds. wanted: None: any thresholds will do.
    """
    ok = pc.equal(cells["status"], "ok")
    other = pc.is_null(cells["verdicts"])
    if wanted is not None:
        text = pc.fill_null(cells["verdict_thresholds"], "")
        other = pc.or_(other, pc.not_equal(text, wanted.text or ""))
    # A failed row of an older schema lacks no more than the word that says so.
    old_failure = pc.and_(pc.invert(ok), pc.is_null(cells["verdicts"]))
    mask: Mask = pc.or_(pc.and_(ok, other), old_failure).combine_chunks().to_numpy(zero_copy_only=False)
    return mask


def judged(cells: pa.Table, layers: pa.Table, wanted: Thresholds | None, where: str) -> pa.Table:
    """What `judge` returns, with a warning where cells keep their verdicts. where: the study."""
    cells, kept = judge(cells, layers, wanted)
    kept.warn(where, 6)
    return cells


@dataclass(frozen=True)
class Kept:
    """How many cells keep the verdict that they were stored with, though another was asked for.

    own: of a user's activation, whose row does not hold its flat share. cut: without all of their layers.
    models: of one's own, which are judged by more than their rows.
    """

    own: int = 0
    cut: int = 0
    models: int = 0

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(self.own + other.own, self.cut + other.cut, self.models + other.models)

    def warn(self, where: str, level: int) -> None:
        """Warn of these cells of a study; level: that of the caller to show."""
        if self.cut:  # some part is not what a run writes
            warnings.warn(
                f"{_keep(self.cut, f'of {where}')}: layers are missing", SweepWarning, stacklevel=level
            )
        if self.models:
            warnings.warn(
                f"{_keep(self.models, 'of models of your own')}: they are judged by the default thresholds",
                SweepWarning,
                stacklevel=level,
            )
        if self.own:
            warnings.warn(
                f"{_keep(self.own, 'of activations of your own')}: rows of an older program lack what other "
                "thresholds need",
                SweepWarning,
                stacklevel=level,
            )


def judge(cells: pa.Table, layers: pa.Table, wanted: Thresholds | None) -> tuple[pa.Table, Kept]:
    """The cells with verdicts by these thresholds, and with what a row of an older schema lacks.

    cells: at least the columns of CELLS_NEEDED; only rows that are `stale` change. layers: the columns of
    LAYERS_NEEDED, of these cells and others. wanted: None: by each row's own. Returned with the cells: those
    that keep their verdicts.
    """
    other = stale(cells, wanted)
    failed = pc.equal(cells["status"], "failed").combine_chunks().to_numpy(zero_copy_only=False)
    texts = _texts(cells, wanted)
    models = cells[MODEL].is_valid().combine_chunks().to_numpy(zero_copy_only=False)
    other &= ~models | failed
    mute = _mute(cells) & other & ~failed
    moved = texts != _texts(cells, None)
    of_cells = _Layers(cells, layers, other & ~failed)
    known = other & ~failed & of_cells.complete
    codes, (since, leaves) = np.full(cells.num_rows, verdict.FAILED), np.full((2, cells.num_rows), np.nan)
    most = _entries(cells)
    for places in _of_one_depth(cells, known):
        leaves[places] = float32.known_first(of_cells.by_layer("rms", places), most[places, None])
    for places, share, text in _alike(cells, known & ~mute, texts):
        of_group = {name: of_cells.by_layer(name, places) for name in JUDGED}
        codes[places], since[places] = verdict.codes(of_group, share, _thresholds(text))
    columns: dict[str, pa.Array] = said(codes)
    columns["verdict_layer"] = pa.array(since, from_pandas=True)
    columns["verdict_thresholds"] = pa.array([text or None for text in texts], pa.string())
    changed = {name: (columns[name], known & ~mute) for name in JUDGED_BY}
    changed["verdicts"] = columns["verdicts"], (known & ~mute) | (other & failed)
    from_layers = {name: of_cells.of_layer(*where) for name, where in FIRST_PREDICTED.items()}
    for name, values in (from_layers | {"leaves_float32_layer": leaves}).items():
        lacks = cells[name].is_null().combine_chunks().to_numpy(zero_copy_only=False)
        changed[name] = (pa.array(values, from_pandas=True), known & lacks)
    for name, (values, mask) in changed.items():
        index = cells.column_names.index(name)
        cells = cells.set_column(index, SCHEMAS["cells"].field(name), _replaced(cells[name], values, mask))
    return cells, Kept(int((moved & mute).sum()), of_cells.cut, int((moved & models & ~failed).sum()))


def _entries(cells: pa.Table) -> NDArray[np.int64]:
    """How many entries a layer of each cell has at most."""
    widest = np.array(pc.fill_null(cells["width"], 0).to_numpy(), np.int64)
    tapered = cells["widths"].is_valid().combine_chunks().to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(tapered):
        widest[row] = max(cells["widths"][int(row)].as_py())
    return widest * np.array(cells["batch"].to_numpy(), np.int64)


def _of_one_depth(cells: pa.Table, mask: Mask) -> Iterator[NDArray[np.int64]]:
    """The rows of the mask by depth: their numbers."""
    depths = cells["depth"].to_numpy()
    for depth in np.unique(depths[mask]):
        yield np.flatnonzero(mask & (depths == depth))


def _replaced(column: pa.ChunkedArray, values: pa.Array, mask: Mask) -> pa.Array:
    """`values` where the mask says so, else those of the column."""
    rows = np.arange(len(column)) + np.where(mask, len(column), 0)
    return pa.concat_arrays([column.combine_chunks(), values.cast(column.type)]).take(pa.array(rows))


class _Layers:
    """The stored layers of some cells; complete: which of the cells have all of theirs; cut: how many not."""

    def __init__(self, cells: pa.Table, layers: pa.Table, chosen: Mask) -> None:
        self._layers = layers
        self._sizes = np.where(chosen, cells["depth"].to_numpy() + 1, 0)
        self._starts = np.cumsum(self._sizes) - self._sizes
        owner = pc.fill_null(pc.index_in(layers["cell_id"], value_set=cells["cell_id"].combine_chunks()), -1)
        owner = owner.to_numpy()
        layer = pc.fill_null(layers["layer"], -1).to_numpy()
        fits = (owner >= 0) & (layer >= 0) & (layer < self._sizes[owner])
        self._rows = np.flatnonzero(fits)
        self._places = (self._starts[owner] + layer)[fits]
        counts = np.bincount(self._places, minlength=self._sizes.sum())
        strange = np.bincount(owner[~fits & (owner >= 0)], minlength=len(self._sizes)) > 0
        once = np.concatenate([[0], np.cumsum(counts != 1)])
        whole = (once[self._starts + self._sizes] - once[self._starts]) == 0
        self.complete = chosen & whole & ~strange
        self.cut = int((chosen & ~self.complete).sum())
        self._known: dict[str, NDArray[np.float64]] = {}

    def by_layer(self, name: str, cells: NDArray[np.int64]) -> NDArray[np.float64]:
        """A statistic of cells of one depth: (cells, depth + 1)."""
        places = self._starts[cells][:, None] + np.arange(self._sizes[cells[0]])
        values: NDArray[np.float64] = self._values(name)[places]
        return values

    def of_layer(self, name: str, layer: int) -> NDArray[np.float64]:
        """A statistic of this layer by cell, NaN where it is not known."""
        values: NDArray[np.float64] = np.append(self._values(name), np.nan)
        return values[np.where(self._sizes > layer, self._starts + layer, len(values) - 1)]

    def _values(self, name: str) -> NDArray[np.float64]:
        if name not in self._known:
            values = np.full(self._sizes.sum(), np.nan)
            values[self._places] = pc.cast(self._layers[name], pa.float64()).to_numpy()[self._rows]
            self._known[name] = values
        return self._known[name]


def _texts(cells: pa.Table, wanted: Thresholds | None) -> NDArray[Any]:
    """The thresholds by which each row is to be judged, '' being the defaults."""
    if wanted is not None:
        return np.full(cells.num_rows, wanted.text or "", object)
    own: NDArray[Any] = pc.fill_null(cells["verdict_thresholds"], "").to_numpy()
    return own.astype(object)


def _mute(cells: pa.Table) -> Mask:
    """Which rows are of an activation of _TOLD of which they do not say how much of it is flat."""
    own = pc.and_(pc.is_in(cells["act"], pa.array(_TOLD)), pc.is_null(cells["histogram_low"]))
    mask: Mask = own.combine_chunks().to_numpy(zero_copy_only=False)
    return mask


def _alike(
    cells: pa.Table, mask: Mask, texts: NDArray[Any]
) -> Iterator[tuple[NDArray[np.int64], float, str]]:
    """The rows of the mask that are judged together: their numbers, flat share and thresholds."""
    rows = np.flatnonzero(mask)
    if not len(rows):
        return
    names = ["depth", "act", "act_params", "flat_share"]
    chosen = cells.select(names).take(pa.array(rows))
    chosen = chosen.append_column("thresholds", pa.array(texts[rows], pa.string()))
    number = ages.numbered(chosen, [*names, "thresholds"])
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    firsts = chosen.take(pa.array(order[starts])).to_pylist()
    for places, first in zip(np.split(rows[order], starts[1:]), firsts, strict=True):
        share = first["flat_share"]
        if first["act"] not in _TOLD:
            share = _flat_share(first["act"], first["act_params"])
        yield places, np.nan if share is None else share, first["thresholds"]


def _keep(count: int, which: str) -> str:
    if count == 1:
        return f"1 cell {which} keeps the verdict that it was stored with"
    return f"{count:,} cells {which} keep the verdicts that they were stored with"


@lru_cache(maxsize=256)
def _thresholds(text: str) -> Thresholds:
    try:
        return Thresholds.of(checks.json_object("verdict_thresholds", text)) if text else DEFAULT
    except RequestError:  # another program's
        return DEFAULT


@lru_cache(maxsize=4096)
def _flat_share(act: str, params: str) -> float:
    try:
        return flat_share_of(activations.stored(act, params))
    except SweepError:  # another program's
        return float("nan")
