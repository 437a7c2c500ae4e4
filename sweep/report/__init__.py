"""The figures of a study, drawn from what is stored."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(study: str | Path, cell_id: str | None = None) -> list[Path]:
    """Draw the figures of a study, or of one of its cells; returns the files, PNG and SVG.

    Raises StoreError where there is no study, or none with results.
    """
    from sweep import results  # noqa: PLC0415
    from sweep.errors import StoreError  # noqa: PLC0415
    from sweep.report import curves, heatmap, histograms, style  # noqa: PLC0415

    path = Path(study)
    cells = results.load(path)
    layers = results.load(path, "layers")
    cells = cells[cells["cell_id"] == cell_id] if cell_id else cells
    ok = cells[cells["status"] == "ok"]
    if ok.empty:
        raise StoreError(f"{path} has no results to draw: run python -m sweep study={path.name} first")
    layers = layers[layers["cell_id"].isin(ok["cell_id"])]
    figures: dict[str, Figure] = {}
    with style.applied():
        if len(ok) == 1:
            one = ok.iloc[0]
            figures[f"cell-{one['init']}-{one['act']}-{one['cell_id'][:8]}"] = histograms.picture(one, layers)
        else:
            figures |= heatmap.figures(cells)
            figures |= curves.figures(ok, layers)
            figures |= histograms.figures(ok, layers)
        return style.saved(figures, path / "report", alone=cell_id is None)
