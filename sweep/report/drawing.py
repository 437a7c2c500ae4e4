"""What a report draws of a study, from the stored tables to the files, wherever the study is."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from sweep.base import checks
from sweep.base.errors import RequestError, StoreError
from sweep.report import KINDS, page
from sweep.report.figures import curves, gradients, heatmap, histograms, phase, style, theory
from sweep.report.frames import layout
from sweep.report.frames.layout import Layout
from sweep.report.frames.measures import MEASURES, Measure, measure
from sweep.store import places, results
from sweep.store.places import Place
from sweep.store.study import Study

_PAGES = 3  # of heatmaps that nobody asked for by name: the page shows all cells anyway
_ALL_PAGES = 100


def write(
    path: str | Path,
    cell_id: str | None,
    values: Sequence[str],
    only: Sequence[str],
    axes: Mapping[str, str | None],
    to: str | Path | None,
) -> list[Path | str]:
    """Draw and write what `sweep.report.draw` is asked for; returns the files."""
    for kind in only:
        checks.option("only", kind, KINDS)
    if to is not None:
        places.check_folder(to)
    study = Study(path)
    thresholds = results.thresholds(path)
    cells = results.load(path, thresholds=thresholds)
    measures = [measure(value, cells.columns) for value in values]
    cells = cells[cells["cell_id"] == cell_id] if cell_id else cells
    if cells.empty:
        raise StoreError(f"{study.path} has no results to draw: run python -m sweep study={study.name} first")
    arrangement = layout.choose(cells, **axes)
    ok = cells[cells["status"] == "ok"]
    layers = results.load(path, "layers")
    if cell_id or len(layers) > int((ok["depth"] + 1).sum()):  # another writer has added to it
        layers = layers[layers["cell_id"].isin(ok["cell_id"])]
    whole = set(only) == set(KINDS)
    plain = whole and not any(axes.values()) and list(values) == ["std"]
    with style.applied():
        figures: dict[str, Figure] = {}
        if len(cells) == len(ok) == 1 and plain:
            one = ok.iloc[0]
            name = f"cell-{one['init']}-{one['act']}-{one['cell_id'][:8]}"
            figures[name] = histograms.picture(one, layers)
        else:
            drawings = _drawings(cells, ok, layers, arrangement, measures, _PAGES if plain else _ALL_PAGES)
            for kind in only:
                figures |= drawings[kind]() if kind in drawings else {}
        place = _elsewhere(to, study) if to else study.report
        files = style.write(figures, place, alone=plain and cell_id is None and not to)
    if "page" in only and cell_id is None:
        files.append(page.write(study, place, cells, layers, thresholds))
    return [place.at(file) for file in files]


def _elsewhere(to: str | Path, study: Study) -> Place:
    """The folder that was asked for, if it is one of this machine and none of the study's own."""
    place, own = places.place(to), study.place.folder
    if place.folder is None:
        raise RequestError(f"to={to}: figures go to a folder of this machine, as in --to figures")
    asked = place.folder.resolve()
    if own and asked.is_relative_to(own.resolve()) and asked != Path(study.report.root).resolve():
        raise RequestError(f"to={to}: figures do not go among a study's tables; choose another folder")
    return place


def _drawings(
    cells: pd.DataFrame,
    ok: pd.DataFrame,
    layers: pd.DataFrame,
    arrangement: Layout,
    measures: Sequence[Measure],
    pages: int,
) -> dict[str, Callable[[], dict[str, Figure]]]:
    """What draws each kind; all but the maps need a cell that was computed."""

    def heatmaps() -> dict[str, Figure]:
        figures: dict[str, Figure] = {}
        for one in measures:
            figures |= heatmap.figures(cells, one, arrangement, pages)
        return figures

    def of_layers(figures: Callable[[pd.DataFrame, pd.DataFrame], dict[str, Figure]]) -> dict[str, Figure]:
        return {} if ok.empty else figures(ok, layers)

    return {
        "heatmap": heatmaps,
        "verdict": lambda: heatmap.figures(cells, MEASURES["verdict"], arrangement, pages),
        "layers": lambda: of_layers(curves.figures),
        "gradients": lambda: of_layers(gradients.figures),
        "histograms": lambda: of_layers(histograms.figures),
        "theory": lambda: of_layers(theory.figures),
        "phase": lambda: of_layers(phase.figures),
    }
