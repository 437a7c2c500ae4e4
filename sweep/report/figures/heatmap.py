"""Heatmaps of any statistic of the last layer, on any four axes, and of the verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from sweep.experiment.outcomes.verdict import ORDER, WORDS
from sweep.kernel.statistics.table import SHARE
from sweep.report.figures import style
from sweep.report.figures.colours import Scale, scale_of, takes_dark_ink
from sweep.report.frames import layout
from sweep.report.frames.fates import gradients_unmeasured
from sweep.report.frames.labels import common, listed
from sweep.report.frames.layout import Layout
from sweep.report.frames.measures import OF_THEORY, WORD, Measure
from sweep.report.frames.seeds import MARKS
from sweep.report.frames.text import counted, number, short, spread

_ROWS_PER_PAGE = 6
_COLUMNS_PER_PAGE = 6
_OVERVIEW_ROWS = 24  # of a panel whose rows are inits
_MOST_VALUES = 40  # along an axis of a panel: more are thinned, and the caption says so
_MOST_TEXTS = (12, 24)  # across and down: a panel with more shows colours and marks alone
_SQUARE, _WORD = (0.62, 0.46), 0.74  # of a number, and across of a word, in inches
_TITLE, _LINE = 11, 0.16  # characters of a title to an inch, and the height of one more line of it
_BARE = "#eceff1"  # where a network is in no square
# A mark where there is no room for text: the marker that looks like it, and whether it is hollow.
_MARKERS = {
    "×": ("X", False), "=": ("$=$", False), "▲": ("^", False), "▼": ("v", False), "■": ("s", False),
    "●": ("o", False), "△": ("^", True), "▽": ("v", True), "◆": ("D", False), "◇": ("D", True),
    "≈": ("$≈$", False),
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """What every panel of a figure shares."""

    measure: Measure
    layout: Layout
    scale: Scale
    caption: str
    words: bool = True  # verdicts are written as words, else as letters


def figures(
    cells: pd.DataFrame, measure: Measure, arrangement: Layout, most_pages: int = 100
) -> dict[str, Figure]:
    """Heatmaps by file name, over several pages where there are many panels.

    most_pages: panels beyond are left out, and the last page says how many.
    """
    frame, thinned = _thinned(layout.assign_roles(cells, arrangement, measure))
    seeds = f"{_averaged(measure)} {counted(frame['seeds'])}"
    fixed = [
        f"{n} {cells[n].iloc[0]}" for n in ("depth", "width") if cells[n].nunique() == 1 and cells[n].max()
    ]
    caption = listed(seeds, common(cells), *fixed) + thinned
    living = frame[frame["mark"] == ""] if measure.name in OF_THEORY else frame
    shown = frame if living.empty else living  # a dead network's step is of any size
    picture = Picture(measure, arrangement, scale_of(measure, shown["value"]), caption)
    pages = _pages(frame, arrangement)
    left_out = sum(page.groupby(["row", "rest", "col"]).ngroups for page in pages[most_pages:])
    *others, last = pages[:most_pages]
    if left_out:
        caption += f"; {left_out} more panels are left out: choose the axes with --rows, --cols, --x and --y"
    drawn = [*(_page(page, picture) for page in others), _page(last, replace(picture, caption=caption))]
    return style.numbered(measure.name, drawn)


def _averaged(measure: Measure) -> str:
    if measure.scale == WORD:
        return "the most frequent of"
    return "geometric mean over" if measure.geometric else "mean over"


def _thinned(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """At most _MOST_VALUES numbers along an axis, evenly spread, and the note that says so."""
    note = ""
    for role in ("x", "y"):
        values = sorted(v for v in frame[role].unique() if not isinstance(v, str))
        if len(values) > _MOST_VALUES:
            frame = frame[frame[role].isin(spread(values, _MOST_VALUES))]
            note += f"; {_MOST_VALUES} of {len(values)} values shown {'across' if role == 'x' else 'down'}"
    return frame, note


def _pages(frame: pd.DataFrame, arrangement: Layout) -> list[pd.DataFrame]:
    """The rows of `frame` that share a page."""
    columns = layout.distinct(frame["col"], arrangement.cols)
    down = layout.distinct(frame["y"], arrangement.y)
    most = _OVERVIEW_ROWS if arrangement.y in ("init", "act") else len(down)
    row_of = list(zip(frame["row"], frame["rest"], strict=True))
    pages = []
    for rows in style.slices(_rows(frame, arrangement), _ROWS_PER_PAGE):
        here = frame[[row in rows for row in row_of]]
        for names, values in product(style.slices(columns, _COLUMNS_PER_PAGE), style.slices(down, most)):
            pages.append(here[here["col"].isin(names) & here["y"].isin(values)])
    return [page for page in pages if not page.empty]


def _rows(frame: pd.DataFrame, arrangement: Layout) -> list[tuple[Any, str]]:
    """The rows of panels, from the top: what `row` and `rest` are in each."""
    order = layout.distinct(frame["row"], arrangement.rows)
    distinct = dict.fromkeys(zip(frame["row"], frame["rest"], strict=True))
    return sorted(distinct, key=lambda row: order.index(row[0]))


def _page(frame: pd.DataFrame, picture: Picture) -> Figure:
    roles = picture.layout
    rows, columns = _rows(frame, roles), layout.distinct(frame["col"], roles.cols)
    by_row = frame.groupby(["row", "rest"])["y"].nunique()
    across = _WORD if picture.measure.scale == WORD else _SQUARE[0]
    by_column = frame.groupby("col")["x"].nunique()
    wide = [_extent(int(by_column[column]), across, 0.14, _MOST_TEXTS[0]) + 0.5 for column in columns]
    titles = _titles(frame, roles, max(16, int(_TITLE * min(wide))))
    lines = {row: max(titles[row, c].count("\n") for c in columns if (row, c) in titles) for row in rows}
    tall = [
        _extent(int(by_row[row]), _SQUARE[1], 0.1, _MOST_TEXTS[1]) + 0.5 + _LINE * lines[row] for row in rows
    ]
    margin = 0.9 + 0.075 * _longest(frame["y"], roles.y)
    figure = Figure(figsize=(max(sum(wide) + margin, 4.2), sum(tall) + 1.3), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False, height_ratios=tall, width_ratios=wide)
    for r, (row, rest) in enumerate(rows):
        here = frame[(frame["row"] == row) & (frame["rest"] == rest)]
        for c, column in enumerate(columns):
            ax = axes[r, c]
            panel = here[here["col"] == column]
            if panel.empty:
                ax.set_axis_off()
                continue
            draw(ax, panel, picture)
            ax.set_title(titles[(row, rest), column], fontsize=9)
            ax.set_ylabel(roles.y if c == 0 and roles.y not in ("init", "act") else "")
            ax.set_xlabel(roles.x if r == len(rows) - 1 and roles.x not in ("init", "act") else "")
    return _finish(figure, axes, frame, picture)


def _titles(frame: pd.DataFrame, roles: Layout, most: int) -> dict[tuple[tuple[Any, str], Any], str]:
    """The title of every panel, which no other has, in lines of at most so many characters if that can be."""
    panels = dict.fromkeys(zip(frame["row"], frame["rest"], frame["col"], strict=True))
    names = {
        ((row, rest), column): (
            " × ".join(filter(None, [layout.title(roles.rows, row), layout.title(roles.cols, column)])),
            rest,
        )
        for row, rest, column in panels
    }
    heads = style.titles((head for head, _ in names.values()), most)
    rests = style.titles((rest for _, rest in names.values()), most)
    return {key: "\n".join(filter(None, [heads[head], rests[rest]])) for key, (head, rest) in names.items()}


def _extent(count: int, each: float, small: float, most: int) -> float:
    return each * max(2, count) if count <= most else max(small * count, 2.4)


def _longest(values: "pd.Series[Any]", axis: str) -> int:
    if axis not in ("init", "act"):
        return 6
    texts = style.titles(map(short, values.unique())).values()
    return max(len(line) for text in texts for line in text.splitlines())


def grids(panel: pd.DataFrame, picture: Picture) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a heatmap shows of a panel: positions on the colour scale (NaN: none), and texts.

    panel: rows of `assign_roles`, each x and y once.
    """
    measure, roles = picture.measure, picture.layout
    down, across = layout.distinct(panel["y"], roles.y), layout.distinct(panel["x"], roles.x)

    def spread_out(name: str) -> pd.DataFrame:
        wide = panel.pivot(index="y", columns="x", values=name)
        return wide.reindex(index=down, columns=across)

    marks, seeds = spread_out("mark"), spread_out("seeds")
    if measure.scale == WORD:
        words = spread_out("value")
        colours = words.map(lambda word: ORDER.index(word) if isinstance(word, str) else np.nan)
        texts = words.map(lambda word: _written(word, picture.words) if isinstance(word, str) else "")
        agree = spread_out("agree")
        shares = (agree * seeds).map("{:.0f}".format) + "/" + seeds.map("{:.0f}".format)
        return colours.astype(float), texts.where(~(agree < 1), texts + "\n" + shares)
    values = spread_out("value").astype(float)
    missing, failed = seeds.isna(), (seeds == 0)
    colours = picture.scale.positions(values).mask(failed | missing)
    digits = 2 if measure.scale == SHARE else 3
    texts = values.map(lambda value: number(value, digits))
    texts += marks.map(lambda mark: f"\n{MARKS[mark]}" if isinstance(mark, str) and mark else "")
    return colours, texts.mask(failed, WORDS["failed"].mark).mask(missing, "")


def _written(word: str, whole: bool) -> str:
    return word.replace("-", "-\n") if whole else WORDS[word].letter


def draw(ax: Axes, panel: pd.DataFrame, picture: Picture) -> None:
    """One panel on given axes; where there is no room for text, a mark says what has died."""
    positions, texts = grids(panel, picture)
    scale, (down, across) = picture.scale, positions.shape
    written = across <= _MOST_TEXTS[0] and down <= _MOST_TEXTS[1]
    ax.set(xscale="linear", yscale="linear")  # curves may have been drawn here before
    sns.heatmap(
        positions,
        ax=ax,
        cmap=scale.colours,
        norm=scale.norm,
        vmin=scale.ends[0],  # the norm's own: seaborn looks for them in panels that may hold none
        vmax=scale.ends[1],
        cbar=False,
        linewidths=0.8 if written else 0,
        linecolor="white",
        xticklabels=False,
        yticklabels=False,
    )
    if written:
        dark = takes_dark_ink(scale.colours(scale.norm(positions.to_numpy()))[..., :3])
        for (y, x), position in np.ndenumerate(positions.to_numpy()):
            ink = "black" if dark[y, x] else "white"
            look: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False}
            look |= {"size": 9} if np.isnan(position) else {"size": 7, "linespacing": 0.9, "color": ink}
            ax.text(x + 0.5, y + 0.5, str(texts.iat[y, x]), **look)
    elif picture.measure.scale != WORD:
        _mark(ax, panel, positions, scale)
    for which, values, most in (("x", positions.columns, 12), ("y", positions.index, 34)):
        names = style.titles(map(short, values), most)
        _ticks(ax, which, [names[short(value)] for value in values], 12 if which == "x" else 24)
    ax.set_facecolor(_BARE)
    ax.tick_params(length=0)
    ax.set(xlabel="", ylabel="")


def _mark(ax: Axes, panel: pd.DataFrame, positions: pd.DataFrame, scale: Scale) -> None:
    """In the squares of networks that died, the mark of what they died of, a collection for each word."""
    x, y = (
        positions.columns.get_indexer(pd.Index(panel["x"])),
        positions.index.get_indexer(pd.Index(panel["y"])),
    )
    grounds = np.where(
        np.isnan(at := positions.to_numpy()[y, x])[:, None], 1.0, scale.colours(scale.norm(at))[:, :3]
    )
    inks = np.where(takes_dark_ink(grounds)[:, None], 0.0, np.ones(3))
    for word in panel.loc[panel["mark"] != "", "mark"].unique():
        marker, hollow = _MARKERS[WORDS[word].mark]
        own = (panel["mark"] == word).to_numpy()
        faces = "none" if hollow else inks[own]
        drawn = ax.scatter(
            x[own] + 0.5, y[own] + 0.5, s=9, marker=marker, facecolors=faces, edgecolors=inks[own], lw=0.6
        )
        drawn.set_gid(word)


def _ticks(ax: Axes, which: str, texts: Sequence[str], most: int) -> None:
    shown = spread(range(len(texts)), most)
    long = which == "x" and max(len(line) for text in texts for line in text.split("\n")) > 6
    (ax.set_xticks if which == "x" else ax.set_yticks)(
        [index + 0.5 for index in shown],
        [texts[index] for index in shown],
        rotation=35 if long else 0,
        ha="right" if long or which == "y" else "center",
    )


def _sizes(frame: pd.DataFrame) -> list[tuple[int, int]]:
    """How many squares every panel has, across and down."""
    of_panels = frame.groupby(["row", "rest", "col"])[["x", "y"]].nunique()
    return list(of_panels.itertuples(index=False, name=None))


def _finish(figure: Figure, axes: Any, frame: pd.DataFrame, picture: Picture) -> Figure:
    measure, scale = picture.measure, picture.scale
    style.headline(figure, f"{measure.question} {measure.title[0].upper() + measure.title[1:]}")
    lines = [measure.note] if measure.note else []
    if measure.scale == WORD:
        present = [WORDS[word] for word in WORDS if (frame["value"] == word).any()]
        told = [f"{word.name}: {word.told}" for word in present if word.told]
        lines += ["; ".join(told)] if told else []
        if (frame["agree"] < 1).any():
            lines.append("a count below a word: how many seeds agree")
        if healthy := gradients_unmeasured(frame):
            lines.append(healthy)
        if any(max(across, down / 2) > _MOST_TEXTS[0] for across, down in _sizes(frame)):
            colours = ListedColormap([word.colour for word in present])
            norm = Normalize(0, len(present))
            bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, fraction=0.03, pad=0.02, aspect=24)
            bar.set_ticks(
                [place + 0.5 for place in range(len(present))], labels=[word.name for word in present]
            )
            bar.ax.tick_params(length=0)
    else:
        bar = figure.colorbar(
            ScalarMappable(scale.norm, scale.colours),
            ax=axes,
            fraction=0.03,
            pad=0.02,
            aspect=24,
            extend=scale.extend,
        )
        bar.set_ticks(scale.ticks, labels=scale.texts)
        bar.outline.set_visible(False)
        used = [WORDS[name].legend for name in MARKS if (frame["mark"] == name).any()]
        used = [text.replace(" ", "\N{NO-BREAK SPACE}", 1) for text in used]  # a mark stays with its word
        if (frame["value"].isna() & (frame["seeds"] > 0)).any():
            used.append("· not defined")
        lines += ["   ".join(used)] if used else []
    squares = sum(across * down for across, down in _sizes(frame))
    lines += ["grey squares: networks that are not in this study"] if squares > len(frame) else []
    style.caption(figure, *lines, picture.caption)
    return figure
