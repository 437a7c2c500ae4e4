"""What a study holds, what it still lacks, who is at work on it."""

import time
from collections.abc import Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from rich.markup import escape
from rich.table import Table

from sweep.base.process import interrupts
from sweep.base.process.command import show
from sweep.execution.plan import factor
from sweep.execution.workers.slurm import follow
from sweep.experiment.batches import Cells
from sweep.experiment.ingredients.choices import KEY_OF
from sweep.report.frames import text
from sweep.store.index import Older, Status, StoredIndex, older
from sweep.store.parts import commits
from sweep.store.query import excerpts
from sweep.store.records import runs
from sweep.store.records.plans import Costed
from sweep.store.study import Study

_RECENT_SECONDS = 120.0
_MOST_VALUES = 12  # of an axis that are shown
_MOST_RUNS = 10
_STATUSES = ("ok", "failed", "left")
_NONE = "–"
_DAY = 86_400.0
_WORDS = {
    0: "complete",
    1: "with failures",
    2: "refused",
    130: "interrupted",
    interrupts.BROKEN_PIPE: "output closed",
    143: "terminated",
}


def show_study(path: str) -> None:
    """Tables of a study, by axis and by run, on stdout; StoreError where there is none."""
    study = Study(path)
    study.check_readable()
    old = older(study)
    stored, planned = StoredIndex(study), runs.read_plans(study)
    left, seconds = _left(stored, list(chain(*planned.values())), old)
    counts = excerpts.counts(study, left)
    alive = [_alive(name, stored, planned.get(name, []), study, old) for name in runs.living(study)]
    caption = _caption(study, alive, counts.total["failed"], len(left), seconds, old)
    show(_by_axis(counts), f"study {study.path}", caption, spare=("planned", "left", "failed"))
    show(_runs(study), "runs", "")


def _left(stored: StoredIndex, planned: Sequence[Costed], old: Older) -> tuple[Cells, float]:
    """What was to be computed and is not there, or not any more, and its seconds of one core.

    What is there at an older revision counts as stored.
    """
    cells = Cells.joined(block for block, _ in planned)
    left = cells.where(stored.of(cells) == Status.MISSING)
    left = left.where(~old.among(left))
    return left, _seconds(left, planned)


def _seconds(cells: Cells, planned: Sequence[Costed]) -> float:
    each = {spec: seconds for block, seconds in planned for spec in block.specs}
    return sum(each[spec] * len(block.seeds) for block in cells.blocks for spec in block.specs)


def _alive(name: str, stored: StoredIndex, planned: Sequence[Costed], study: Study, old: Older) -> str:
    """A run at work, with the time that it will still take where that can be told.

    By what it has done so far, and by what it expected while that is nothing.
    """
    left, seconds = _left(stored, planned, old)
    total = _seconds(Cells.joined(block for block, _ in planned), planned)
    if not left or not total:
        return name
    began = runs.began(study, name)
    expected = runs.expected_seconds(study, name)
    if began is not None and seconds < total:
        needs = max(time.time() - began, 0.0) * seconds / (total - seconds)
    elif expected is not None:
        needs = max(expected - (time.time() - began if began is not None else 0.0), 0.0)
    else:
        return name
    ends = datetime.fromtimestamp(time.time() + needs).strftime("%H:%M" if needs < _DAY else "%d %b %H:%M")
    return f"{name} ({text.duration(needs)} left, done at {ends})"


def _by_axis(counts: excerpts.Counts) -> Table:
    table = Table()
    for name in ("axis", "value"):
        table.add_column(name, no_wrap=True)
    for name in ("planned", "stored", "failed", "left"):
        table.add_column(name, justify="right", no_wrap=True)

    def row(axis: str, value: str, ok: int, failed: int, left: int) -> None:
        table.add_row(axis, escape(value), *(f"{n:,}" for n in (ok + failed + left, ok, failed, left)))

    row("all", "", *(counts.total[status] for status in _STATUSES))
    for axis, counted in counts.axes.items():
        values = sorted({value for value, _ in counted}, key=_order)
        for value in values[:_MOST_VALUES]:
            shown = _NONE if value is None else text.short(value)
            row(KEY_OF.get(axis, axis), shown, *(counted[value, status] for status in _STATUSES))
        if len(values) > _MOST_VALUES:
            table.add_row(KEY_OF.get(axis, axis), f"and {len(values) - _MOST_VALUES} more", "", "", "", "")
    return table


def _order(value: Any) -> tuple[int, Any]:
    """Nothing first, then numbers by size and texts by their letters."""
    if value is None:
        return 0, 0
    return (2, value) if isinstance(value, str) else (1, value)


def _caption(study: Study, alive: Sequence[str], failed: int, left: int, seconds: float, old: Older) -> str:
    lines = [f"running: {', '.join(alive)}"] if alive else []
    newest = study.newest()
    if newest and time.time() - newest < _RECENT_SECONDS:
        lines.append(f"the last part was written {time.time() - newest:.0f} s ago")
    if left:
        by = factor.of_runs(runs.factors(study))
        needs = text.between(by.middle * seconds / by.below, by.middle * seconds * by.above)
        again = "" if alive else ": run the command again"
        lines.append(f"{text.cells(left)} left, {needs} on one core{again}")
    if failed:
        lines.append(f"{text.cells(failed)} failed: the same command tries them again")
    if len(old.counting):
        are = f"{text.cells(len(old.counting))} of an older revision"
        lines.append(f"{are}: the command that made them computes them again")
    if old.superseded:
        rows = f"{old.superseded:,} {'row' if old.superseded == 1 else 'rows'}"
        lines.append(f"{rows} of an older revision, superseded: the next run or compact removes them")
    lines += commits.describe_strangers(study.place)
    lines += follow.news(study, bool(left))
    return "\n".join(lines)


def _runs(study: Study) -> Table:
    table = Table()
    for name in ("run", "computed", "outcome", "command"):
        table.add_column(name, overflow="fold")
    alive = set(runs.living(study))
    names = runs.names(study)
    for name in names[-_MOST_RUNS:]:
        found = runs.summary(study, name)
        status = found.get("status")
        word = "died" if found else ""
        ended = (
            "running" if name in alive else _WORDS.get(status, str(status)) if status is not None else word
        )
        computed = f"{found['computed']:,}" if "computed" in found else ""
        table.add_row(name, computed, ended, escape(runs.command(study, name)))
    if len(names) > _MOST_RUNS:
        table.add_row(f"and {len(names) - _MOST_RUNS} earlier", "", "", "")
    return table
