"""What a report draws of a study, from the stored tables to the files, wherever the study is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from sweep.base import checks
from sweep.base.errors import ReportError, RequestError, StoreError
from sweep.experiment.outcomes.verdict import Thresholds
from sweep.kernel.statistics.table import COPIED
from sweep.report import KINDS, PAGE, gather
from sweep.report.attempts import attempt
from sweep.report.figures import (
    blocks,
    curves,
    gradients,
    histograms,
    isometry,
    network,
    phase,
    precision,
    style,
    theory,
    trainability,
)
from sweep.report.frames import layout
from sweep.report.frames.measures import MEASURES, OF_TRAINING, THEORY, WORD, Measure, measure
from sweep.report.frames.networks import measured_once
from sweep.report.sheets import Sheet, drawn
from sweep.store import places
from sweep.store.places import Place
from sweep.store.query import results
from sweep.store.study import Study
from sweep.store.tables import CELLS

_PAGES, _ALL_PAGES = 3, 100  # of heatmaps: a whole report has fewer, for its page shows all cells anyway
# What is drawn of the layers, for which a cell must have been computed.
_OF_LAYERS: Mapping[str, Callable[[pd.DataFrame, pd.DataFrame], dict[str, Figure]]] = {
    "layers": curves.figures,
    "gradients": gradients.figures,
    "histograms": histograms.drawn,
    "theory": theory.figures,
    "phase": phase.figures,
    "blocks": blocks.figures,
    "precision": precision.figures,
    "trainability": trainability.figures,
    "isometry": isometry.figures,
}


def write(
    path: str | Path,
    cell_id: str | None,
    values: Sequence[str],
    only: Sequence[str],
    axes: Mapping[str, str | None],
    to: str | Path | None,
) -> list[Path | str]:
    """Draw and write what `sweep.report.draw` is asked for; returns the files.

    Raises ReportError at the end where some of it could not be drawn.
    """
    for kind in only:
        checks.option("only", kind, KINDS)
    if to is not None:
        places.check_folder(to)
    study = Study(path)
    study.check_readable()
    measures = [measure(value, CELLS.names) for value in values]
    thresholds = results.thresholds(path)
    found = _gathered(study, thresholds, measures, only, cell_id)
    cells = found.cells
    if cells.empty:
        raise StoreError(f"{study.path} has no results to draw: run python -m sweep study={study.name} first")
    layout.choose(cells, **axes)  # refused before anything is drawn
    ok = cells[cells["status"] == "ok"]
    plain = {*only, PAGE} == set(KINDS) and not any(axes.values()) and list(values) == ["std"]
    sheets: list[Sheet] = []
    if found.totals.cells == len(ok) == 1 and plain:
        cell = ok.iloc[0]
        name = f"cell-{cell['init']}-{cell['act']}-{cell['cell_id'][:8]}"
        sheets.append(Sheet(name, _of_one, (name, cell, found.layers)))
    else:
        sheets += _sheets(found, only, measures, axes, plain)
    place = _elsewhere(to, study) if to else study.report
    failed: dict[str, str] = {}
    files: list[str] = []
    with style.writing("the figures", place):
        for each in drawn(sheets, len(ok)):
            failed |= each.failed
            for file, content in each.contents.items():
                place.write(file, content)
            files += each.contents
        if plain and cell_id is None and not to:
            style.remove_others(files, place)
    if PAGE in only and cell_id is None:
        with attempt("the page", failed):
            from sweep.report import page  # noqa: PLC0415  one network has none

            files.append(page.write(study, place, cells, found.layers, thresholds, found.totals))
    written = [place.at(file) for file in files]
    if failed:
        named = "; ".join(f"{what} ({why})" for what, why in failed.items())
        raise ReportError(f"not drawn: {named}; the tables are complete", written)
    return written


def _sheets(
    found: gather.Gathered,
    only: Sequence[str],
    measures: Sequence[Measure],
    axes: Mapping[str, str | None],
    plain: bool,
) -> Iterator[Sheet]:
    """What is drawn of several networks; plain: a whole report as it usually is.

    Those that differ in their trainings alone are one, but where that is what is shown.
    """
    cells, maps = found.cells, {"heatmap": measures, "verdict": [MEASURES["verdict"]]}
    once = cells if "train" in axes.values() else measured_once(cells)
    exact = once if "format" in axes.values() else measured_once(once, copies=False)
    for kind in only:
        for shown in maps.get(kind, ()):
            its = cells if shown.name in OF_TRAINING else once if _of_copies(shown) else exact
            most = _PAGES if plain else _ALL_PAGES
            yield Sheet(shown.name, _maps, (its, shown, layout.choose(its, **axes), most))
        if kind == "step":
            roles = layout.choose(exact, **axes) if any(axes.values()) else None
            yield from _steps(exact[exact["status"] == "ok"], roles, plain)
        if kind in _OF_LAYERS and (cells["status"] == "ok").any():
            its = {"trainability": cells, "precision": once}.get(kind, exact)
            frames = (its[its["status"] == "ok"], found.layers)
            yield Sheet(kind, _OF_LAYERS[kind], found.kept if kind == "histograms" else frames)


def _of_copies(shown: Measure) -> bool:
    """Whether it is of rounded copies, or of a verdict, which has words for them."""
    return shown.scale == WORD or shown.name.removeprefix(THEORY) in COPIED


def _gathered(
    study: Study,
    thresholds: Thresholds,
    measures: Sequence[Measure],
    only: Sequence[str],
    cell_id: str | None,
) -> gather.Gathered:
    if cell_id:
        return gather.of_cell(study, thresholds, cell_id)
    found = study.retry(lambda: gather.of_study(study, thresholds, measures, only))
    if found.totals.cells == 1:
        return gather.of_cell(study, thresholds, found.cells["cell_id"].iloc[0])
    return found


def _of_one(name: str, cell: "pd.Series[Any]", layers: pd.DataFrame) -> dict[str, Figure]:
    return {name: network.picture(cell, layers)}


def _maps(cells: pd.DataFrame, shown: Measure, arrangement: layout.Layout, most: int) -> dict[str, Figure]:
    from sweep.report.figures import heatmap  # noqa: PLC0415  seaborn imports scipy.stats; one network needs neither

    return heatmap.figures(cells, shown, arrangement, most)


def _steps(cells: pd.DataFrame, arrangement: layout.Layout | None, whole: bool) -> list[Sheet]:
    """The map of the largest step, if there is one to draw.

    arrangement: the axes that were asked for. whole: for a whole report, which has one page of it.
    """
    from sweep.report.figures import step  # noqa: PLC0415  as above

    if not step.told(cells, whole):
        return []
    roles = arrangement or step.arrangement(cells)
    return [Sheet("step", step.figures, (cells, roles, 1 if whole else _ALL_PAGES))]


def _elsewhere(to: str | Path, study: Study) -> Place:
    """The folder `to`, if it is one of this machine and none of the study's own."""
    place, folder = places.place(to), study.place.folder
    if place.folder is None:
        raise RequestError(f"to={to}: figures must go to a folder on this machine, as in --to figures")
    target = place.folder.resolve()
    if folder and target.is_relative_to(folder.resolve()) and target != Path(study.report.root).resolve():
        raise RequestError(f"to={to}: figures must not go among a study's tables; choose another folder")
    return place
