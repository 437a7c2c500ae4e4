"""The figures and the page of a study, drawn from what is stored."""

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from sweep.store.places import is_url

KINDS = ("heatmap", "verdict", "layers", "gradients", "histograms", "theory", "phase", "page")


def draw(
    study: str | Path,
    cell_id: str | None = None,
    *,
    values: Collection[str] = ("std",),
    only: Collection[str] = KINDS,
    axes: Mapping[str, str | None] | None = None,
    to: str | Path | None = None,
) -> list[Path]:
    """Draw the figures of a study, or of one of its cells; returns the files: PNG and SVG, and
    the page, index.html.

    values: the statistics of the heatmaps. only: some of KINDS. axes: which axis is the heatmaps'
    'rows', 'cols', 'x' and 'y'; those left open get the other axes that vary. to: the folder for the
    files; the study's own `report` by default.
    Raises StoreError where there is no study, or none with results, and RequestError for an unknown
    statistic, kind or axis.
    """
    from sweep.report.drawing import drawn  # noqa: PLC0415  matplotlib is not for --help

    return drawn(Path(study), cell_id, list(values), list(only), dict(axes or {}), Path(to) if to else None)


def drawn_where(study: str | Path, cell_id: str | None = None, **wanted: Any) -> list[str]:
    """Draw as `draw` does, a study in an object store too: from a copy, and the files taken there."""
    if not is_url(str(study)):
        return [str(path) for path in draw(study, cell_id, **wanted)]
    from sweep.store.study import Study  # noqa: PLC0415

    there = Study(str(study).rstrip("/"))
    there.check_readable()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / str(there.path).rpartition("/")[2]
        there.copied(copy)
        files = draw(copy, cell_id, **wanted)
        if wanted.get("to"):
            return [str(path) for path in files]
        for path in files:
            there.place.write(f"report/{path.name}", path.read_bytes())
        return [f"{there.path}/report/{path.name}" for path in files]
