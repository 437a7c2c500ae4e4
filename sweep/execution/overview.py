"""What a study holds, what it still lacks, who is at work on it."""

import time
from collections import Counter
from typing import Any

from rich.markup import escape
from rich.table import Table

from sweep.base.command import show
from sweep.execution.workers.slurm import follow
from sweep.experiment.batches import Cells
from sweep.report.frames import text
from sweep.store import excerpts
from sweep.store.index import Older, Status, StoredIndex, older
from sweep.store.parts import commits
from sweep.store.records import runs
from sweep.store.study import Study

_RECENT_SECONDS = 120.0
_MOST_VALUES = 12  # of an axis that are shown
_MOST_RUNS = 10
_AXES = ("init", "act", "depth", "width", "seed")
Counts = dict[str, Counter[tuple[Any, str]]]  # axis -> (value, status) -> stored cells
_WORDS = {0: "well", 1: "with failures", 2: "refused", 130: "interrupted", 143: "terminated"}


def show_study(path: str) -> None:
    """Tables of a study, by axis and by run, on stdout; StoreError where there is none."""
    study = Study(path)
    study.check_readable()
    stored = excerpts.counts(study, _AXES)
    old = older(study)
    left, seconds = _left(study, old)
    table = _by_axis(stored, left)
    caption = _caption(study, _total(stored, "failed"), len(left), seconds, old)
    show(table, f"study {study.path}", caption, spare=("planned", "left", "failed"))
    show(_runs(study), "runs", "")


def _left(study: Study, old: Older) -> tuple[Cells, float]:
    """What runs were to compute and is not there, or not any more, and its seconds of one core.

    What is there at an older revision counts as stored.
    """
    planned = runs.read_plans(study)
    cells = Cells.joined(block for block, _ in planned)
    left = cells.where(StoredIndex(study).of(cells) == Status.MISSING)
    left = left.where(~old.among(left))
    each = {spec: seconds for block, seconds in planned for spec in block.specs}
    return left, sum(each[spec] * len(block.seeds) for block in left.blocks for spec in block.specs)


def _total(stored: Counts, status: str) -> int:
    return sum(count for (_, own), count in stored[_AXES[0]].items() if own == status)


def _by_axis(stored: Counts, left: Cells) -> Table:
    table = Table()
    for name in ("axis", "value"):
        table.add_column(name, no_wrap=True)
    for name in ("planned", "stored", "failed", "left"):
        table.add_column(name, justify="right", no_wrap=True)

    def row(axis: str, value: str, ok: int, failed: int, missing: int) -> None:
        table.add_row(axis, escape(value), *(f"{n:,}" for n in (ok + failed + missing, ok, failed, missing)))

    row("all", "", _total(stored, "ok"), _total(stored, "failed"), len(left))
    for axis, done in stored.items():
        missing = _counted_left(left, axis)
        values = sorted(missing.keys() | {value for value, _ in done})
        for value in values[:_MOST_VALUES]:
            row(axis, str(value), done[value, "ok"], done[value, "failed"], missing[value])
        if len(values) > _MOST_VALUES:
            table.add_row(axis, f"and {len(values) - _MOST_VALUES} more", "", "", "", "")
    return table


def _counted_left(left: Cells, axis: str) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for block in left.blocks:
        if axis == "seed":
            found.update(dict.fromkeys(block.seeds, len(block.specs)))
            continue
        for spec in block.specs:
            found[getattr(spec, axis)] += len(block.seeds)
    return found


def _caption(study: Study, failed: int, left: int, seconds: float, old: Older) -> str:
    alive = runs.living(study)
    lines = [f"running: {', '.join(alive)}"] if alive else []
    newest = study.newest()
    if newest and time.time() - newest < _RECENT_SECONDS:
        lines.append(f"the last part was written {time.time() - newest:.0f} s ago")
    if left:
        needs = text.duration(runs.learned_factor(study) * seconds)
        again = "" if alive else ": run the command again"
        lines.append(f"{text.cells(left)} left, {needs} of one core{again}")
    if failed:
        lines.append(f"{text.cells(failed)} failed: the same command computes them again")
    if len(old.counting):
        are = f"{text.cells(len(old.counting))} of an older revision"
        lines.append(f"{are}: the command that made them computes them anew")
    if old.superseded:
        rows = f"{old.superseded:,} {'row' if old.superseded == 1 else 'rows'}"
        lines.append(f"{rows} of an older revision superseded: the next run or compact removes them")
    lines += commits.describe_strangers(study.place)
    lines += follow.news(study, bool(left))
    return "\n".join(lines)


def _runs(study: Study) -> Table:
    table = Table()
    for name in ("run", "computed", "ended", "command"):
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
        table.add_row(f"and {len(names) - _MOST_RUNS} before", "", "", "")
    return table
