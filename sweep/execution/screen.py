"""How a run talks: its plan, a bar, failures and results; lines on stderr, tables on stdout."""

import re
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn
from rich.progress import Task as BarTask
from rich.table import Table
from rich.text import Text

from sweep.base.errors import ReportError, StoreError
from sweep.base.process.command import is_quiet, show, visible
from sweep.execution.plan.estimate import Counts, Expected
from sweep.experiment.axes import UNTRAINED
from sweep.experiment.batches import Cells
from sweep.experiment.cell import SPEC
from sweep.experiment.outcomes.outcome import Failures
from sweep.experiment.outcomes.verdict import Thresholds
from sweep.kernel.training.outcomes import OUTCOMES
from sweep.report import PAGE
from sweep.report.frames import text
from sweep.report.frames.text import si

if TYPE_CHECKING:
    import pandas as pd

    from sweep.execution.options import Options
    from sweep.store.study import Study

_PLAIN_SECONDS = 5.0  # between two lines of progress where the output is no terminal
_AVERAGED = ("std", "verdict_layer")  # what the tables at the end of a run are made of
# What is said of a single cell.
_SHOWN = (
    *SPEC,
    "verdict",
    "verdict_layer",
    "delta_std_first",
    "jac_spread",
    "theory_jac_spread",
    "train_lr",
    *OUTCOMES,
)


def say(line: str) -> None:
    """One line about the run, on stderr; never wrapped or coloured."""
    if not is_quiet():
        print(visible(line), file=sys.stderr, flush=True)


def answer(line: str) -> None:
    """One line that was asked for, on stdout."""
    if not is_quiet():
        print(line, flush=True)


class Advance(Protocol):
    """A progress display."""

    def advance(self, cells: int, seconds: float) -> None:
        """So many cells more are stored, which were estimated at so many seconds of one core."""


@contextmanager
def progress(cells: int, seconds: float, expected: str = "") -> Iterator[Advance]:
    """A bar with cells done, cells/s and the time left; plain lines where there is no terminal.

    The bar and the time left go by the estimated seconds, for cells differ a thousandfold. expected: the time
    that all of it should take, which is shown until the first cells are done.
    """
    console = Console(stderr=True)
    pace = _Pace(cells, seconds)
    if is_quiet() or not console.is_terminal:
        yield _Lines(pace)
        return
    columns = (BarColumn(), _Column(lambda: pace.done), _Column(lambda: pace.left() or expected))
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(bar, pace)


class _Pace:
    """What is done, how quickly, and how long the rest will take if it goes on like this."""

    def __init__(self, cells: int, seconds: float) -> None:
        self._cells, self.seconds = cells, seconds
        self._cells_done, self._seconds_done = 0, 0.0
        self._start = self._last = time.monotonic()

    def advance(self, cells: int, seconds: float) -> None:
        self._cells_done += cells
        self._seconds_done += seconds
        self._last = time.monotonic()

    @property
    def done(self) -> str:
        rate = self._cells_done / max(self._last - self._start, 1e-9)
        return f"{self._cells_done:,}/{self._cells:,} cells, {rate:,.1f} cells/s"

    def left(self) -> str:
        """The time left, which runs while nothing is heard; empty while nothing can be said."""
        if self._seconds_done <= 0:  # cells that failed count as no time
            return ""
        left = (self._last - self._start) * (self.seconds / self._seconds_done - 1)
        left -= time.monotonic() - self._last
        return f"{text.duration(left)} left" if left >= 0 else "longer than expected"


class _Column(ProgressColumn):
    """A text that is asked for whenever the bar is drawn."""

    def __init__(self, says: Callable[[], str]) -> None:
        super().__init__()
        self._says = says

    def render(self, task: BarTask) -> Text:
        return Text(self._says())


class _Bar:
    def __init__(self, bar: Progress, pace: _Pace) -> None:
        self._bar, self._pace = bar, pace
        self._task = bar.add_task("", total=pace.seconds)

    def advance(self, cells: int, seconds: float) -> None:
        self._pace.advance(cells, seconds)
        self._bar.update(self._task, advance=seconds)


class _Lines:
    def __init__(self, pace: _Pace) -> None:
        self._pace = pace
        self._next = time.monotonic() + _PLAIN_SECONDS

    def advance(self, cells: int, seconds: float) -> None:
        self._pace.advance(cells, seconds)
        if time.monotonic() >= self._next:
            say(", ".join(filter(None, (self._pace.done, self._pace.left()))))
            self._next = time.monotonic() + _PLAIN_SECONDS


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
        ("time to compute", expected.time),
    ):
        table.add_row(name, value)
    caption = "nothing was written; to run it, drop dry_run=true"
    show(table, f"study {study}: what would run", f"{caption}\n{warning}".strip())


def summary(options: "Options", counts: Counts, expected: Expected) -> str:
    """What a run is about to do, in a line."""
    share = f", share {options.shard}" if options.shard else ""
    line = f"study {options.path}{share}: {text.cells(counts.cells)}"
    if counts.duplicates:
        line += f" ({counts.duplicates} named more than once)"
    if not counts.cells:
        return f"{line}: this share is empty, nothing to compute"
    if not counts.missing:
        return f"{line}, all stored already: nothing to compute"
    if counts.missing < counts.cells:
        line += f", {counts.cells - counts.missing} stored already, {counts.missing} to compute"
    if counts.failed and options.retry_failed:
        line += f" ({counts.failed} failed earlier)"
    return f"{line}; {expected}"


def show_failures(failures: Failures, earlier: int = 0) -> None:
    """Failed cells by cause, the most frequent first, on stderr; earlier: how many others were left alone."""
    if earlier:
        say(f"{text.cells(earlier)} failed earlier; retry_failed=true tries them again")
    for count, one, differ in sorted(failures.causes.values(), key=lambda cause: -cause[0]):
        line = " ".join(str(one).split())
        at = re.findall(r'File "(.*)", line (\d+)', one.traceback)
        where = f" [{at[-1][0].rpartition('/')[2]}:{at[-1][1]}]" if at else ""
        say(f"{count:,} failed: {line}{' (and the like, with other numbers)' if differ else ''}{where}")
    if len(failures):
        say("each is a row of the table: sweep.load(…).query(\"status == 'failed'\")[['error', 'traceback']]")


def show_results(study: "Study", cells: Cells, options: "Options", single: bool) -> None:
    """Tables of these cells, the report where it is to be drawn, and where all of it is.

    single: one cell was asked for, and its own picture. Raises DamagedError where a part is damaged.
    """
    from sweep.report import terminal  # noqa: PLC0415  pandas: not for a share on a node
    from sweep.report.frames.agreement import agreement  # noqa: PLC0415
    from sweep.report.frames.fates import fate_of  # noqa: PLC0415
    from sweep.report.frames.networks import measured_once  # noqa: PLC0415
    from sweep.store.query import results  # noqa: PLC0415

    first = next(iter(cells))
    fate, own = "", dict[Any, Any]()
    if len(cells) == 1:
        frame = results.of_cells(study, cells, _SHOWN, options.thresholds)
    else:
        frame = _networks(study, cells, options.thresholds)
    if frame.empty:  # a store may list late
        say(f"the store does not list the results yet; look again with: python -m sweep.status {study.path}")
        return
    if len(cells) == 1:
        (own,) = frame.to_dict("records")
        layers = results.load(study.path, "layers")
        fate = fate_of(
            own["verdict"],
            own["verdict_layer"],
            options.thresholds,
            first.depth,
            own["delta_std_first"] >= 0,
            first.format,
        )
        terminal.show_layers(first, layers[layers["cell_id"] == first.id])
    else:
        terminal.show_grid(frame)
        say(str(agreement(measured_once(frame, copies=False))))
    # The page is a study's, the picture is one network's.
    cell_id = first.id if single and options.report != (PAGE,) else None
    if options.shard:
        say(f"once all shares are done, run: python -m sweep.report {study.path}")
    elif options.report and _is_outdated(study, cell_id, options.report):
        _draw(study, cell_id, options.report)
    say(f"table: {study.path}/cells (read it with pandas.read_parquet)")
    if fate:  # the answer, after all that was said of files
        answer(fate)
    if own and own["jacobian"]:
        from sweep.report.frames.isometry import told  # noqa: PLC0415  seldom asked for

        answer(told(own))
    if own and own["train"] != UNTRAINED:
        from sweep.report.frames.trained import learned  # noqa: PLC0415  theory: only for what is trained

        answer(learned(own))


def show_models(study: "Study", cells: Cells, options: "Options") -> None:
    """The same of cells of a model of one's own: by init, or of one cell layer by layer."""
    from sweep.report import of_models  # noqa: PLC0415  pandas, as above
    from sweep.store.query import results  # noqa: PLC0415

    wanted = {cell.id for cell in cells}
    frame = results.load(study.path, thresholds=options.thresholds)
    layers = results.load(study.path, "layers", columns=["cell_id", "module", "kind", *of_models.SHOWN])
    frame, layers = (table[table["cell_id"].isin(wanted)] for table in (frame, layers))
    (of_models.show_layers if len(cells) == 1 else of_models.show_inits)(frame, layers)
    if options.report and _is_outdated(study, None, options.report):
        _draw(study, None, options.report)
    say(f"table: {study.path}/cells (read it with pandas.read_parquet)")


def _networks(study: "Study", cells: Cells, thresholds: Thresholds) -> "pd.DataFrame":
    """The networks of these cells."""
    from sweep.report.frames import stored  # noqa: PLC0415
    from sweep.report.frames.measures import MEASURES  # noqa: PLC0415
    from sweep.store.query.batches import View  # noqa: PLC0415

    shown = [MEASURES[name] for name in _AVERAGED]
    return study.retry(lambda: stored.read(View(study, cells), thresholds, shown)).rows


def _draw(study: "Study", cell_id: str | None, kinds: Collection[str]) -> None:
    from sweep.report import draw  # noqa: PLC0415

    try:
        files = draw(study.path, cell_id, only=kinds)
    except StoreError as error:  # the results are there, whoever may write to the study
        say(str(error))
        return
    except ReportError as error:  # and whatever cannot be drawn here
        say(f"{error}; try again with: python -m sweep.report {study.path}")
        files = error.files
    figures = [str(file) for file in files]
    if pictures := [path for path in figures if path.endswith(".png")]:
        say(f"figures: {', '.join(pictures)}")
    for page in (path for path in figures if path.endswith(".html")):
        say(f"page: {page}")


def _is_outdated(study: "Study", cell_id: str | None, kinds: Collection[str]) -> bool:
    """Whether what is to be drawn is missing, or older than the results that it shows."""
    names = study.report.files("")
    figures = [name for name in names if name.endswith(".svg")]
    page = [name for name in names if name.endswith(".html")]
    if PAGE in kinds and not cell_id and not page:
        return True
    drawn = page if kinds == (PAGE,) else [*figures, *(page if PAGE in kinds else [])]
    if cell_id:
        return not any(name.startswith("cell-") and name.endswith(f"-{cell_id[:8]}.svg") for name in drawn)
    times = (study.report.modified(name) for name in drawn if not name.startswith("cell-"))
    return min(times, default=0.0) < study.newest()
