"""How a run talks while it runs: a bar, the plan, failures; lines on stderr."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sweep.base.command import show, visible
from sweep.execution.plan.estimate import Counts, Expected
from sweep.experiment.outcome import Failures
from sweep.report.frames.text import duration, si

if TYPE_CHECKING:
    pass


_PLAIN_SECONDS = 5.0  # between two lines of progress where the output is no terminal


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
