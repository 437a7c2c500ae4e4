"""What a report is drawn of: a study's networks, read in a pass over its cells and one over their layers."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweep.experiment.outcomes.verdict import Thresholds
from sweep.report import PAGE
from sweep.report.figures import blocks, curves, gradients, histograms, phase, precision
from sweep.report.frames import stored
from sweep.report.frames.labels import add_labels
from sweep.report.frames.measures import MEASURES, STEP, Measure
from sweep.report.frames.own import with_stand_ins
from sweep.report.frames.seeds import largest
from sweep.report.frames.stored import Totals
from sweep.store.query import results
from sweep.store.query.batches import View
from sweep.store.study import Study
from sweep.store.tables import CELLS

# The statistics of layers that are shown by each kind; those of the page depend on what it has room for.
_SHOWN = {
    "layers": curves.STANDARD,
    "gradients": (gradients.FORWARD, gradients.BACKWARD),
    "theory": ("delta_rms", "grad_rms"),
    "phase": phase.SHOWN,
    "blocks": tuple(blocks.SHOWN),
    "precision": precision.SHOWN,
    "trainability": (),
    "histograms": (),
}


@dataclass(frozen=True)
class Gathered:
    """What there is to draw: frames of networks, or of one cell.

    layers: empty where none are shown. kept: the cells whose histograms are shown, as `histograms.chosen` has
    them, and their layers.
    """

    cells: pd.DataFrame
    layers: pd.DataFrame
    totals: Totals
    kept: tuple[pd.DataFrame, pd.DataFrame]


def of_study(
    study: Study, thresholds: Thresholds, measures: Sequence[Measure], only: Collection[str]
) -> Gathered:
    """A study's networks. measures: what the heatmaps show. only: the kinds that are drawn.

    Raises as `View` does, and StoreError where a part is damaged.
    """
    view = View(study)
    of_kinds = [STEP] if "step" in only else []
    statistics = {one.name: one for one in (*MEASURES.values(), *of_kinds, *measures)}
    networks = stored.read(view, thresholds, statistics.values(), CELLS.names)
    rows = networks.rows
    ok = rows[rows["status"] == "ok"]
    if networks.totals.cells == 1 or ok.empty or not {*_SHOWN, PAGE} & {*only}:
        return Gathered(rows, pd.DataFrame(), networks.totals, (ok.iloc[:0], pd.DataFrame()))
    whole = np.zeros(len(rows), bool)
    for needed in _whole(rows, ok, only):
        whole[needed["network"]] = True
    names = {name for kind in only for name in _SHOWN.get(kind, ())}
    names |= _of_page(rows) if PAGE in only else set()
    found = stored.layers(view, networks, whole, [one for one in MEASURES.values() if one.name in names])
    kept = (found.kept, pd.DataFrame())
    if "histograms" in only and len(found.kept):
        chosen = histograms.chosen(found.kept)
        first = chosen.head(histograms.MOST_ROWS)
        ids = view.ids(first["piece"].tolist(), first["row"].tolist())
        chosen = chosen.assign(cell_id=pd.Series(ids, first.index))
        kept = (chosen, view.layers_of(ids))
    return Gathered(rows, found.rows, networks.totals, kept)


def of_cell(study: Study, thresholds: Thresholds, cell_id: str) -> Gathered:
    """One cell of a study, with its layers."""
    its = [("cell_id", "==", cell_id)]
    cells = with_stand_ins(results.load(study.path, thresholds=thresholds, filters=its))
    ok = cells[cells["status"] == "ok"]
    layers = results.load(study.path, "layers", filters=its)
    kept = ok[ok["cell_id"].isin(layers.loc[layers["histogram"].notna(), "cell_id"])]
    chosen = kept if kept.empty else histograms.chosen(kept)
    return Gathered(cells, layers, Totals.of(cells), (chosen, layers))


def _whole(rows: pd.DataFrame, ok: pd.DataFrame, only: Collection[str]) -> Iterator[pd.DataFrame]:
    """The networks of which more than the first layers are shown."""
    if {"layers", "gradients"} & {*only}:
        yield largest(add_labels(ok))
    if "blocks" in only and blocks.vary(ok):
        yield largest(add_labels(ok, blocks.APART), blocks.APART)
    if "precision" in only and len(copied := precision.copied(ok)):
        yield largest(add_labels(copied, precision.APART), precision.APART)
    if {"phase", PAGE} & {*only}:
        yield from (plane for plane, _ in phase.planes(ok))
    if PAGE in only:
        from sweep.report.page import data  # noqa: PLC0415  one network has none

        yield data.shown(data.networks(rows))[0]


def _of_page(rows: pd.DataFrame) -> set[str]:
    """The statistics whose curves the page has room for."""
    from sweep.report.page import data  # noqa: PLC0415

    measured = [name for name in data.CURVES if rows[f"value:{name}"].notna().any()]
    return {*data.fitting(data.shown(data.networks(rows))[0], measured)[0], *phase.SHOWN}
