"""One style for all figures: readable at column width, in greyscale and by the colour-blind."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from sweep.errors import StoreError

INK = "#22303c"
FAINT = "#8a97a3"
# Told apart by hue for most, by lightness for all; line styles and direct labels do the rest.
LINES = ("#0b6e99", "#d1495b", "#5b8c5a", "#e0a030", "#6f5f90", "#3b4a54", "#b07156", "#7fa8c9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 1)), (0, (7, 2)), (0, (3, 1, 1, 1, 1, 1)))

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sweep",  # the same figure is the same file
}


# The figures of a whole study by name: a page that the study no longer fills is removed.
_OURS = re.compile(r"(std(-\d+)?|layers|histograms)\.(png|svg)")


def headline(figure: Figure, text: str) -> None:
    """The figure's title: what it is about, at the top left."""
    figure.suptitle(text, x=0.01, ha="left", fontsize=12, weight="bold")


def caption(figure: Figure, *lines: str) -> None:
    """What a reader must know to trust the figure, below it."""
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=7.5, color=INK)


@contextmanager
def applied() -> Iterator[None]:
    """Draw in this style within the block."""
    with mpl.rc_context(_RC):
        yield


def log_std_colours() -> Colormap:
    """Paper where the std is 1; towards ink-blue where it shrinks, towards ochre where it grows.

    The low end is far darker than the high end, so that they differ in greyscale too.
    """
    stops = ["#0b1f3a", "#27598b", "#8fb8d6", "#fbfaf5", "#f0c987", "#d98c3f", "#b8621b"]
    return LinearSegmentedColormap.from_list("log_std", stops)


def saved(figures: Mapping[str, Figure], folder: Path, alone: bool) -> list[Path]:
    """Write each figure as PNG (200 dpi) and SVG; returns the files.

    alone: figures of an earlier drawing that are not among these are removed.
    Raises StoreError where the folder cannot be written to.
    """
    try:
        return _saved(figures, folder, alone)
    except OSError as error:
        raise StoreError(f"cannot write the figures to {folder}: {error.strerror}") from error


def _saved(figures: Mapping[str, Figure], folder: Path, alone: bool) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in figures.items():
        plain = re.sub(r"[^\w.-]+", "-", name)  # a scheme may be called torch/normal
        for kind in ("png", "svg"):
            file = folder / f"{plain}.{kind}"
            hidden = file.with_name(f".{file.name}.{os.getpid()}")
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(
                hidden, format=kind, dpi=200, bbox_inches="tight", pad_inches=0.12, metadata=metadata
            )
            hidden.replace(file)
            files.append(file)
    if alone:
        ours = [file for file in folder.iterdir() if _OURS.fullmatch(file.name)]
        for stale in set(ours) - set(files):
            stale.unlink(missing_ok=True)
    return files
