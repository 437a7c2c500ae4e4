"""One style for all figures: readable at column width, in greyscale and by the colour-blind."""

import re
import textwrap
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, TypeVar, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes as Axes  # noqa: PLC0414  `sweep.plot` has it from here
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from sweep.base.arrays import Array
from sweep.base.errors import RequestError, StoreError
from sweep.base.provenance import provenance
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.shortening import shortened
from sweep.store.places import Place

_T = TypeVar("_T")
INK = "#22303c"
FAINT = "#8a97a3"
_ENTRY = 48  # characters of a legend's entry
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
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a scheme may be called a_b$c$
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sweep",  # the same figure is the same file
}


# The figures of a whole study by name: a page that the study no longer fills is removed.
_OURS = re.compile(
    r"({})(-\d+)?\.(png|svg)".format(
        "|".join(
            [
                *MEASURES,
                "layers",
                "histograms",
                "gradients",
                "theory",
                "phase",
                "blocks",
                "precision",
                "trainability",
                "step",
                "isometry",
            ]
        )
    )
)


def numbered(name: str, pages: Sequence[Figure]) -> dict[str, Figure]:
    """The pages of a figure by file name: 'std', or 'std-1', 'std-2' … where there are several."""
    return {name: pages[0]} if len(pages) == 1 else {f"{name}-{n}": page for n, page in enumerate(pages, 1)}


def slices(values: Sequence[_T], most: int) -> list[Sequence[_T]]:
    """The values in order, at most `most` in each slice."""
    return [values[start : start + most] for start in range(0, len(values), most)]


def with_legend(width: float, height: float, labels: Iterable[str]) -> tuple[Figure, SubFigure, SubFigure]:
    """A figure whose panels take this width and height in inches, and a legend above them, below the title.

    labels: those of the legend. Returns the figure, the part for the legend and that for the panels.
    """
    entries = list(shortened(labels, _ENTRY).values())
    above = 0.19 * -(-len(entries) // _columns(entries, width)) + 0.1
    figure = Figure(figsize=(width, height + above), layout="constrained")
    top, panels = cast("NDArray[Any]", figure.subfigures(2, 1, height_ratios=(above, height)))
    return figure, top, panels


def _columns(entries: Collection[str], width: float) -> int:
    """How many of a legend's entries stand side by side in so many inches."""
    longest = max(map(len, entries), default=0)
    return max(1, min(len(entries), int(width / (0.75 + 0.075 * longest))))


def legend(part: SubFigure, axes: Iterable[Axes], handlelength: float = 3.0) -> None:
    """In its part of the figure, an entry for each label in any of the panels."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    names = list(shortened(handles, _ENTRY).values())
    look: dict[str, Any] = {"loc": "center left", "frameon": False, "fontsize": 8, "columnspacing": 1.6}
    look |= {"ncols": _columns(names, part.get_figure(root=True).get_figwidth()), "borderaxespad": 0.0}
    part.legend(handles.values(), names, handlelength=handlelength, bbox_to_anchor=(0.01, 0.5), **look)


def headline(figure: Figure, text: str) -> None:
    """The figure's title: what it is about, at the top left."""
    figure.suptitle(_wrapped(figure, text, 9.5), x=0.01, ha="left", fontsize=12, weight="bold")


def caption(figure: Figure, *lines: str) -> None:
    """What a reader must know to trust the figure, below it; ends with the program's version."""
    told = [line for line in lines if line]
    signed = [*told[:-1], f"{told[-1]}; sweep {provenance()['version']}"]
    text = "\n".join(_wrapped(figure, line, 16.0) for line in signed)
    figure.supxlabel(text, x=0.01, ha="left", fontsize=7.5, color=INK)


def _wrapped(figure: Figure, text: str, per_inch: float) -> str:
    width = max(30, int(per_inch * figure.get_figwidth()))
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def titles(names: Iterable[str], most: int = 34, lines: int = 2) -> dict[str, str]:
    """Every name as a title of at most so many characters a line, if it can be: no two read the same."""
    short = shortened(names, lines * most)
    return {name: _broken(text.replace(" × ", " ×\N{NO-BREAK SPACE}"), most) for name, text in short.items()}


def _broken(text: str, most: int) -> str:
    """The text in lines, none of which ends with ×."""
    return textwrap.fill(text, most, break_on_hyphens=False).replace("\N{NO-BREAK SPACE}", " ")


EXITS = "▲ ▼: a curve leaves the axes here"


def mark_exits(ax: Axes, hidden: bool = False) -> bool:
    """Put a triangle where a curve leaves the axes above or below; whether any does.

    The limits must be set. hidden: of curves too that no legend names, as theory's.
    """
    low, high = ax.get_ylim()
    logarithmic = ax.get_yscale() == "log"
    found = False
    for line in ax.get_lines():
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        if len(x) < 2 or (str(line.get_label()).startswith("_") and not hidden):
            continue
        for place, above in exits(x, y, low, high, logarithmic):
            look: dict[str, Any] = {"marker": "^" if above else "v", "ms": 5, "mew": 0, "ls": "none"}
            ax.plot(
                [place], [high if above else low], color=line.get_color(), clip_on=False, zorder=4, **look
            )
            found = True
    return found


def exits(x: Array, y: Array, low: float, high: float, logarithmic: bool) -> list[tuple[float, bool]]:
    """Where a curve crosses from within the limits to beyond, and whether above; a NaN is a gap.

    x, y: (points,). Of every crossing one point lies within the limits, and its neighbour beyond.
    """
    with np.errstate(all="ignore"):
        heights, ends = (np.log(v) if logarithmic else np.asarray(v) for v in (y, np.array([low, high])))
    within = (heights >= ends[0]) & (heights <= ends[1])
    found = []
    for i in range(len(x) - 1):
        inside, outside = (i, i + 1) if within[i] else (i + 1, i)
        start, end = heights[inside], heights[outside]
        if within[i] == within[i + 1] or np.isnan(end):
            continue
        share = 0.0 if np.isinf(end) else float((ends[int(end > start)] - start) / (end - start))
        found.append((float(x[inside] + share * (x[outside] - x[inside])), bool(end > start)))
    return found


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def decade(value: float) -> str:
    """A tick of a logarithmic axis as text: '0.01', '0.2', '1', '10⁻⁶'."""
    if not np.isclose(value, 10.0 ** np.round(np.log10(value)), rtol=1e-9):
        return f"{value:g}"
    exponent = round(float(np.log10(value)))
    return f"{10.0**exponent:g}" if -2 <= exponent <= 2 else f"10{str(exponent).translate(_SUPERSCRIPTS)}"


class _Decades(LogLocator):
    """Ticks at powers of ten, up to the last that a float holds; between them where fewer than two show."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        low, high = sorted((vmin, vmax))
        with np.errstate(over="ignore"):
            ticks = np.asarray(super().tick_values(vmin, vmax))
            if ((low <= ticks) & (ticks <= high)).sum() < 2:
                ticks = np.asarray(LogLocator(subs=(1.0, 2.0, 5.0)).tick_values(vmin, vmax))
        return ticks[np.isfinite(ticks)]


def logarithmic(ax: Axes, which: str = "y") -> None:
    """A logarithmic axis with plain text at whole decades."""
    with np.errstate(over="ignore"):  # it adds margins, and those of 1e300 are infinite
        (ax.set_yscale if which == "y" else ax.set_xscale)("log")
    axis = ax.yaxis if which == "y" else ax.xaxis
    axis.set_major_locator(_Decades(base=10, numticks=7))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: decade(value)))


def given_or_current(ax: object) -> Axes:
    """The axes to draw on: the current ones where None is given. Raises RequestError for anything else."""
    if ax is None:
        from matplotlib import pyplot  # noqa: PLC0415  a report needs none

        return pyplot.gca()
    if not isinstance(ax, Axes):
        raise RequestError("ax must be one matplotlib Axes, such as plt.subplots()[1]")
    return ax


def verbatim(ax: Axes) -> Axes:
    """No text of these axes is read as mathematics: a scheme may be called a_b$c$."""
    for text in ax.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
    return ax


@contextmanager
def applied() -> Iterator[None]:
    """Draw in this style within the block, whatever the user's own is."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        # A function may be called in any script; what the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # A signal of 1e300 is drawn, though the margins of its axis are not to be computed.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"matplotlib\.|seaborn\.")
        yield


@contextmanager
def writing(what: str, place: Place) -> Iterator[None]:
    """What goes wrong while the figures or the page are written, as one clear line."""
    try:
        yield
    except OSError as error:
        why = f"{error.strerror or error}; elsewhere: python -m sweep.report STUDY --to FOLDER"
        raise StoreError(f"cannot write {what} to {place.root}: {why}") from error


def rendered(name: str, figure: Figure) -> dict[str, bytes]:
    """A figure as PNG (200 dpi) and SVG, by the files' names."""
    plain = re.sub(r"[^\w.-]+", "-", name)  # a scheme may be called torch/normal
    return {f"{plain}.{kind}": _drawn(figure, kind) for kind in ("png", "svg")}


def remove_others(files: Sequence[str], place: Place) -> None:
    """Remove the figures of an earlier drawing that are not among these files."""
    for stale in {*filter(_OURS.fullmatch, place.entries(""))} - {*files}:
        place.remove(stale)


def _drawn(figure: Figure, kind: str) -> bytes:
    content = BytesIO()
    figure.savefig(content, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
    figure.set_layout_engine("none")  # laid out once is enough
    return content.getvalue()
