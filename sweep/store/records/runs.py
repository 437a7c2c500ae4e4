"""The record of a run: its command, config, plan, prediction and log; and whether the run is alive."""

import contextlib
import json
import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import IO, TYPE_CHECKING, Any

from sweep.base.process import machine
from sweep.store.records import files, plans, reading
from sweep.store.study import Study

if TYPE_CHECKING:
    from sweep.execution.plan.tasks import Task

_LESSONS = 9  # how many runs to learn from
_LARGEST = 2.0**63
_NUMBERS = {"computed", "status", "factor"}
_MOST_OF_A_PLAN = 1 << 28  # bytes


class RunRecord:
    """The record of one run, open while it runs."""

    def __init__(self, study: Study, asked: Mapping[str, str]) -> None:
        """asked: what the run was asked for, file name -> text."""
        self.study = study
        self.name = study.writer
        self._lock = study.place.hold(files.path(self.name, files.ALIVE), _here())
        for name, text in asked.items():
            self._put(name, text.encode(errors="backslashreplace"))  # a path need not be UTF-8
        self.log = _logger(study, self.name)
        self._summary: dict[str, Any] = {"started": datetime.now(UTC).isoformat(timespec="seconds")}

    def write_plan(self, tasks: Sequence["Task"], summary: Mapping[str, Any]) -> None:
        """Write down which cells are to be computed, and what that is expected to take."""
        blocks = [stack.block for task in tasks for stack in task.stacks]
        seconds = [stack.seconds / len(stack.block) for task in tasks for stack in task.stacks]
        self._put(files.PLAN, plans.pack(zip(blocks, seconds, strict=True)))
        self.add_to_summary(summary)

    def add_to_summary(self, summary: Mapping[str, Any]) -> None:
        """Add to the summary."""
        self._summary |= summary
        self._put(files.SUMMARY, json.dumps(self._summary, indent=1).encode())

    def close(self, status: int) -> None:
        """Note that the run has ended, and free its lock."""
        with contextlib.suppress(OSError):  # a full disk, which has been reported elsewhere
            self.add_to_summary({"ended": datetime.now(UTC).isoformat(timespec="seconds"), "status": status})
        for handler in list(self.log.handlers):
            handler.close()
            self.log.removeHandler(handler)
        if self._lock is not None:
            self._lock.close()

    def _put(self, name: str, content: Any) -> None:
        self.study.place.write(files.path(self.name, name), content)


def names(study: Study) -> list[str]:
    """The runs that this study has seen, oldest first."""
    try:
        return sorted(study.place.folders(files.FOLDER))
    except OSError as error:
        reading.leave_out(study.place, files.FOLDER, error.strerror or str(error))
        return []


def summary(study: Study, name: str) -> dict[str, Any]:
    """The summary of a run without what no run writes; empty where there is none."""
    written = reading.mapping(study.place, files.path(name, files.SUMMARY)) or {}
    return {key: value for key, value in written.items() if key not in _NUMBERS or _is_number(value, key)}


def _is_number(value: object, key: str) -> bool:
    """Whether a run could have written this number: of a sensible size, and whole but for a factor."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 <= value < _LARGEST and (isinstance(value, int) or key == "factor")


def began(study: Study, name: str) -> float | None:
    """When a run began, in seconds since the epoch; None where that is not known."""
    try:
        return datetime.fromisoformat(str(summary(study, name).get("started"))).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def expected_seconds(study: Study, name: str) -> float | None:
    """How long a run was to take; None where that is not known."""
    expected = summary(study, name).get("expected")
    seconds = expected.get("seconds") if isinstance(expected, Mapping) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < _LARGEST:
        return None
    return float(seconds)


def command(study: Study, name: str) -> str:
    """The command as it was typed."""
    return (reading.text(study.place, files.path(name, files.COMMAND)) or "").strip()


def read_plans(study: Study) -> dict[str, list[plans.Costed]]:
    """By run, the cells that it was to compute with this kernel, with the seconds of each.

    A plan that exceeds MOST_CELLS of all runs together is named and left out.
    """
    planned: dict[str, list[plans.Costed]] = {}
    left = plans.MOST_CELLS
    for name in names(study):
        planned[name] = read_plan(study, name, left)
        left -= sum(len(block) for block, _ in planned[name])
    return planned


def read_plan(study: Study, name: str, most: int = plans.MOST_CELLS) -> list[plans.Costed]:
    """The same of one run; none of a plan that has more than `most` cells."""
    path = files.path(name, files.PLAN)
    content = reading.content(study.place, path, _MOST_OF_A_PLAN)
    earlier = files.path(name, files.EARLIER_PLAN)
    if content is None and reading.content(study.place, earlier, _MOST_OF_A_PLAN) is not None:
        reading.leave_out(study.place, earlier, "a run's plan by an earlier program")
    try:
        return [] if content is None else list(plans.read(content, most))
    except ValueError as error:
        reading.leave_out(study.place, path, " ".join(str(error).split()))
        return []


def factors(study: Study) -> list[float]:
    """How many times as long as planned the last few runs on this machine have taken, each of them."""
    here = machine.identity()
    last = [summary(study, name) for name in names(study)[-_LESSONS:]]
    return [float(one["factor"]) for one in last if one.get("factor") and here.items() <= one.items()]


def has_ended(study: Study) -> Callable[[str], bool | None]:
    """A function that tells by its lock whether a run of this study has ended; None where there is no lock.

    The operating system frees the lock, however the run ends.
    """

    @cache
    def ask(name: str) -> bool | None:
        return name == study.writer or _has_ended(study, name)  # the run that asks is about to end

    return ask


def living(study: Study) -> list[str]:
    """The other runs at work on this study now, as far as locks tell."""
    others = [name for name in names(study) if name != study.writer]
    return [name for name in others if _has_ended(study, name) is False]


def _has_ended(study: Study, name: str) -> bool | None:
    held = study.place.held(files.path(name, files.ALIVE), _here()) if name else None
    return None if held is None else not held


def _here() -> bytes:
    """Which machine this is, in case the lock is seen from another."""
    return platform.node().encode()


def _logger(study: Study, name: str) -> logging.Logger:
    log = logging.getLogger(f"sweep.{name}")
    log.setLevel(logging.INFO)
    log.propagate = False
    handler = _Log(study.place.append(files.path(name, files.LOG)))
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    return log


class _Log(logging.StreamHandler[IO[str]]):
    """A log must not cost a run, nor print a traceback: a full disk is reported elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:
        return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.close()
        super().close()
