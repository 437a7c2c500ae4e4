"""The figures and the page of a study, drawn from what is stored."""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sweep.base.errors import ReportError
from sweep.report.attempts import in_a_line

PAGE = "page"
KINDS = (
    "heatmap", "verdict", "layers", "gradients", "histograms", "theory", "phase", "blocks", "precision",
    "trainability", "step", "isometry", PAGE,
)  # fmt: skip

# What is drawn only where it is there, and what it takes.
NEEDS = {
    "histograms": "cells that were run with histogram=true",
    "theory": "networks that theory applies to",
    "phase": "plain networks over at least 3 × 3 values of sigma_w and bias_std",
    "blocks": "several blocks",
    "precision": "copies in a number format, as of format=bfloat16",
    "step": "plain networks of several depths or widths, of which theory knows the largest step",
    "isometry": "networks that were run with jacobian=true",
    "trainability": "trained networks (train=sgd) of schemes that have a sigma_w, as lsuv and zeros have not",
}


def draw(
    study: str | Path,
    cell_id: str | None = None,
    *,
    values: Collection[str] = ("std",),
    only: Collection[str] = KINDS,
    axes: Mapping[str, str | None] | None = None,
    to: str | Path | None = None,
) -> list[Path | str]:
    """Draw the figures of a study, or of one of its cells; returns the files, by path or URL: PNG and
    SVG, and the page, index.html.

    study: its folder or URL. values: the statistics of the heatmaps. only: some of KINDS. axes: which
    axis is the heatmaps' 'rows', 'cols', 'x' and 'y'; those left open get the other axes that vary.
    to: the folder for the files, by path or as file://…; the study's own `report` by default.
    Raises StoreError where there is no study, or none with results, and RequestError for an unknown
    statistic, kind or axis; ReportError where something could not be drawn, once all else was.
    """
    try:
        with _quiet("matplotlib"):  # it reads the user's settings, which a report leaves alone
            from sweep.report.drawing import write  # noqa: PLC0415  matplotlib is not for --help
    except Exception as error:
        raise ReportError(f"nothing can be drawn here: {in_a_line(error)}") from error

    return write(study, cell_id, list(values), list(only), dict(axes or {}), to)


@contextmanager
def _quiet(library: str) -> Iterator[None]:
    """What a library logs within the block is of interest where it is an error."""
    logger = logging.getLogger(library)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
