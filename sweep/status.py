"""`python -m sweep.status DIR`: what a study holds, what it still lacks, who is at work on it."""

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from sweep.command import Parser, guarded, show

if TYPE_CHECKING:
    from rich.table import Table

    from sweep.store import Study

_RECENT_SECONDS = 120.0
_MOST_VALUES = 12  # of an axis that are shown
_MOST_RUNS = 10


def main() -> int:
    """Parse the command line and show the tables."""
    parser = Parser(prog="python -m sweep.status", description=__doc__)
    parser.add_argument("study", help="the study's folder or URL, as in outputs/standard")
    arguments = parser.parse_args()

    from sweep import runs  # noqa: PLC0415
    from sweep.store import Study  # noqa: PLC0415

    study = Study(arguments.study)
    study.check_readable()
    stored = study.read("cells", ["cell_id", "status", *runs.PLAN_COLUMNS], versions="all").to_pylist()
    seen = {row["cell_id"] for row in stored}
    planned = {row["cell_id"]: row for name in runs.names(study) for row in runs.unfinished(study, name)}
    left = [row for cell_id, row in planned.items() if cell_id not in seen]
    show(_by_axis(stored, left, runs.PLAN_COLUMNS), f"study {study.path}", _caption(study, stored, left))
    show(_runs(study), "runs", "")
    return 0


def _by_axis(stored: list[dict[str, Any]], left: list[dict[str, Any]], axes: tuple[str, ...]) -> "Table":
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table()
    for name in ("axis", "value"):
        table.add_column(name, no_wrap=True)
    for name in ("planned", "stored", "failed", "left"):
        table.add_column(name, justify="right", no_wrap=True)

    def row(axis: str, value: str, done: list[dict[str, Any]], missing: list[dict[str, Any]]) -> None:
        status = Counter(one["status"] for one in done)
        counts = (len(done) + len(missing), status["ok"], status["failed"], len(missing))
        table.add_row(axis, escape(value), *(f"{count:,}" for count in counts))

    row("all", "", stored, left)
    for axis in axes:
        groups: dict[Any, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
        for number, rows in enumerate((stored, left)):
            for one in rows:
                groups.setdefault(one[axis], ([], []))[number].append(one)
        for value in sorted(groups)[:_MOST_VALUES]:
            row(axis, str(value), *groups[value])
        if len(groups) > _MOST_VALUES:
            table.add_row(axis, f"and {len(groups) - _MOST_VALUES} more", "", "", "", "")
    return table


def _caption(study: "Study", stored: list[dict[str, Any]], left: list[dict[str, Any]]) -> str:
    from sweep import estimate, runs  # noqa: PLC0415
    from sweep.cluster import jobs  # noqa: PLC0415

    alive = runs.living(study)
    lines = [f"running: {', '.join(alive)}"] if alive else []
    newest = study.newest()
    if newest and time.time() - newest < _RECENT_SECONDS:
        lines.append(f"the last part was written {time.time() - newest:.0f} s ago")
    if left:
        seconds = runs.learned(study) * sum(row["seconds"] for row in left)
        needs = estimate.duration(seconds)
        lines.append(f"{estimate.counted(len(left))} left, {needs} of one core: run the command again")
    failed = sum(row["status"] == "failed" for row in stored)
    if failed:
        lines.append(f"{estimate.counted(failed)} failed: the same command computes them again")
    if not study.remote:
        lines += jobs.told(study, bool(left))
    return "\n".join(lines)


def _runs(study: "Study") -> "Table":
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from sweep import runs  # noqa: PLC0415

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


_WORDS = {0: "well", 1: "with failures", 2: "refused", 130: "interrupted", 143: "terminated"}


if __name__ == "__main__":
    sys.exit(guarded(main))
