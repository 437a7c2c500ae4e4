"""The figures and the page of a study, drawn from what is stored."""

from collections.abc import Collection, Mapping
from pathlib import Path

KINDS = ("heatmap", "verdict", "layers", "gradients", "histograms", "theory", "phase", "page")


def draw(
    study: str | Path,
    cell_id: str | None = None,
    *,
    values: Collection[str] = ("std",),
    only: Collection[str] = KINDS,
    axes: Mapping[str, str | None] | None = None,
) -> list[Path]:
    """Draw the figures of a study, or of one of its cells; returns the files: PNG and SVG, and
    the page, index.html.

    values: the statistics of the heatmaps. only: some of KINDS. axes: which axis is the heatmaps'
    'rows', 'cols', 'x' and 'y'; those left open get the other axes that vary.
    Raises StoreError where there is no study, or none with results, and RequestError for an unknown
    statistic, kind or axis.
    """
    from sweep.report.drawing import drawn  # noqa: PLC0415  matplotlib is not for --help

    return drawn(Path(study), cell_id, list(values), list(only), dict(axes or {}))
