"""What the terminal shows: progress, the layer table of a cell, the table of a grid."""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sweep.base.command import show, visible
from sweep.execution.estimate import Counts, Expected, duration, si
from sweep.experiment.cell import Cell
from sweep.experiment.outcome import Failures
from sweep.report.answer import Fate, answers, counts
from sweep.report.labels import described, labelled, number, profile
from sweep.report.measures import MEASURES
from sweep.report.summary import DepthTable, by_depth, condensed

if TYPE_CHECKING:
    import pandas as pd

_PLAIN_SECONDS = 5.0  # between two lines of progress where the output is no terminal
_MOST_DEPTHS = 6
_MOST_NAMED = 4  # survivors by name


def say(line: str) -> None:
    """One line about the run, on stderr; never wrapped or coloured."""
    print(visible(line), file=sys.stderr, flush=True)


class Advance(Protocol):
    """A progress display."""

    def advance(self, cells: int, seconds: float) -> None:
        """So many cells more are stored, which were estimated at so many seconds of one core."""


@contextmanager
def progress(cells: int, seconds: float) -> Iterator[Advance]:
    """A bar with cells done, cells/s and the time left; plain lines where there is no terminal.

    The bar and the time left go by the estimated seconds, for cells differ a thousandfold.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(cells, seconds)
        return
    rate = TextColumn("{task.fields[rate]:,.0f} cells/s")
    done = TextColumn("{task.fields[done]}/{task.fields[cells]} cells")
    columns = (BarColumn(), done, rate, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(bar, cells, seconds)


class _Bar:
    def __init__(self, bar: Progress, cells: int, seconds: float) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=seconds, cells=cells, done=0, rate=0.0)
        self._start, self._done = time.time(), 0

    def advance(self, cells: int, seconds: float) -> None:
        self._done += cells
        rate = self._done / max(time.time() - self._start, 1e-9)
        self._bar.update(self._task, advance=seconds, done=self._done, rate=rate)


class _Lines:
    def __init__(self, cells: int, seconds: float) -> None:
        self._cells, self._seconds = cells, seconds
        self._cells_done, self._seconds_done = 0, 0.0
        self._start = time.time()
        self._next = self._start + _PLAIN_SECONDS

    def advance(self, cells: int, seconds: float) -> None:
        self._cells_done += cells
        self._seconds_done += seconds
        now = time.time()
        if now >= self._next:
            elapsed = now - self._start
            rate = self._cells_done / elapsed
            line = f"{self._cells_done}/{self._cells} cells, {rate:,.1f} cells/s"
            if self._seconds_done > 0:  # cells that failed count as no time
                left = elapsed * (self._seconds / self._seconds_done - 1)
                line += f", {max(left, 0):.0f} s left"
            say(line)
            self._next = now + _PLAIN_SECONDS


def show_layers(cell: Cell, layers: "pd.DataFrame") -> None:
    """The layer table of one cell, on stdout."""
    widths = "widths " + " ".join(map(str, cell.widths)) if cell.widths else f"width {cell.width}"
    init, act = described(cell.init, cell.init_params), described(cell.act, cell.act_params)
    title = f"{init} × {act}, depth {cell.depth}, {widths}, seed {cell.seed}, batch {cell.batch}"
    columns = ("mean", "std", "rms", "flat", "delta_std", "grad_std")
    table = Table()
    for name in ("layer", *columns):
        table.add_column(name, justify="right", no_wrap=True)
    for row in layers.sort_values("layer").itertuples():
        table.add_row(str(row.layer), *(number(getattr(row, name)) for name in columns))
    spare = ("mean", "grad_std", "flat", "rms", "delta_std")
    show(table, title, "\n".join([*_profiles(layers), _LAYER_CAPTION]), spare)


def _profiles(layers: "pd.DataFrame") -> Iterator[str]:
    """The signal forward and the gradient backward at a glance, from the input to the last layer."""
    layers = layers.sort_values("layer")
    for label, name, arrow in (("rms of h    ", "rms", "→"), ("rms of dL/dh", "delta_rms", "←")):
        values = layers[name].to_numpy(float)
        if not np.isnan(values).all():
            ends = f"{number(values[0], 3)} {arrow} {number(values[-1], 3)}"
            yield f"{label}  {profile(values.tolist(), _MOST_BLOCKS)}  {ends}"


_LAYER_CAPTION = "flat: share of units that pass no gradient; delta, grad: std of dL/dh and dL/dW"
_MOST_BLOCKS = 40  # of a profile: a deeper network's is thinned


# What a narrow terminal is shown: (most depths, with spreads over the seeds). The names stay.
_NARROWER = ((_MOST_DEPTHS, False), (3, False), (2, False), (1, False))


def show_grid(cells: "pd.DataFrame") -> None:
    """Final std by init × act and depth, at the greatest width, on stdout."""
    summary = by_depth(cells, _MOST_DEPTHS)
    others = (by_depth(cells, depths, spreads) for depths, spreads in _NARROWER)
    narrower = ((_grid_table(other), other.title) for other in others)
    show(_grid_table(summary), summary.title, summary.caption, narrower=narrower)
    _show_answer(cells)


def _show_answer(cells: "pd.DataFrame") -> None:
    """Who survives and who dies first, by act; then what becomes of all networks."""
    rows = condensed(labelled(cells), [MEASURES["verdict_layer"]])
    table = Table()
    for name in ("act", "survives", "dies first"):
        table.add_column(name, overflow="fold")
    for answer in answers(rows):
        lost = sorted(answer.casualties + answer.limited, key=lambda fate: (fate.depth or 0, fate.since or 0))
        table.add_row(
            escape(answer.act),
            escape(_survivors(answer.survivors)),
            escape(_death(lost[0])) if lost else "",
        )
    show(table, "What survives, by activation", counts(rows))


def _survivors(fates: Sequence[Fate]) -> str:
    named = [f"{fate.init} to depth {fate.depth}" for fate in fates[:_MOST_NAMED]]
    more = len(fates) - len(named)
    return ", ".join(named) + (f", and {more:,} more" if more else "")


def _death(fate: Fate) -> str:
    since = f" from layer {fate.since}" if fate.since else ""
    return f"{fate.init}: {fate.word}{since}"


def _grid_table(summary: DepthTable) -> Table:
    table = Table()
    for name in summary.keys:
        table.add_column(name, no_wrap=True)
    for depth in summary.depths:
        table.add_column(f"depth {depth}", justify="right", no_wrap=True)
    for key, values in summary.rows:
        table.add_row(*map(escape, key), *values)
    return table


def show_plan(study: str, counts: Counts, expected: Expected, warning: str = "") -> None:
    """What a run would do, on stdout; warning: a line on what speaks against it."""
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in (
        ("cells", f"{counts.cells:,}"),
        ("named more than once", f"{counts.duplicates:,}"),
        ("stored already", f"{counts.stored:,}"),
        ("failed earlier", f"{counts.failed:,}"),
        ("to compute", f"{counts.missing:,}"),
        ("tasks", f"{expected.tasks:,}"),
        ("workers", f"{expected.workers:,}"),
        ("work", f"{si(expected.flops)}FLOP"),
        ("to write", f"{si(expected.bytes)}B"),
        ("peak memory, at most", f"{si(expected.memory)}B"),
        ("time to compute", duration(expected.seconds)),
    ):
        table.add_row(name, value)
    caption = "nothing was computed for keeps, nothing was written; leave dry_run=true away to run it"
    show(table, f"study {study}: what would run", f"{caption}\n{warning}".strip())


def show_failures(failures: Failures) -> None:
    """Failed cells by cause, the most frequent first, on stderr."""
    for count, one, differ in sorted(failures.causes.values(), key=lambda cause: -cause[0]):
        line = " ".join(str(one).split())
        at = re.findall(r'File "(.*)", line (\d+)', one.traceback)
        where = f" [{at[-1][0].rpartition('/')[2]}:{at[-1][1]}]" if at else ""
        say(f"{count:,} failed: {line}{' (and alike, with other numbers)' if differ else ''}{where}")
    say("each is a row: sweep.load(…).query(\"status == 'failed'\")[['error', 'traceback']]")
