"""What is written down about a run: its command, config, plan, prediction and log; and whether it lives.

runs/<run>/command.txt, config.yaml, overrides.yaml
runs/<run>/summary.json    what was planned and predicted, and in the end what became of it
runs/<run>/plan.jsonl.gz   the cells it was to compute, by spec and seeds
runs/<run>/log.txt
runs/<run>/alive           locked while the run lives, where the file system has locks
"""

import contextlib
import io
import json
import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import IO, TYPE_CHECKING, Any

from sweep.base import machine
from sweep.experiment.batches import Block
from sweep.store.places import Local
from sweep.store.records import plans, reading
from sweep.store.study import Study

if TYPE_CHECKING:
    from sweep.execution.plan.tasks import Task

_LOG_SECONDS = 10.0  # between two PUTs of a log that cannot be appended to
_LESSONS = 9  # runs to learn from
_LARGEST = 2.0**63
_NUMBERS = {"computed", "status", "factor"}
_MOST_OF_A_NAME = 1 << 10  # bytes
_MOST_OF_A_PLAN = 1 << 28  # bytes


class Run:
    """The record of one run, open while it runs."""

    def __init__(self, study: Study, files: Mapping[str, str]) -> None:
        self.study = study
        self.name = study.writer
        self._lock = _locked(study, self.name)
        for name, text in files.items():
            self._put(name, text.encode())
        self.log = _logger(study, self.name)
        self._summary: dict[str, Any] = {"started": datetime.now(UTC).isoformat(timespec="seconds")}

    def planned(self, tasks: Sequence["Task"], summary: Mapping[str, Any]) -> None:
        """Write down which cells are to be computed, and what is expected of it."""
        blocks = [stack.block for task in tasks for stack in task.stacks]
        seconds = [stack.seconds / len(stack.block) for task in tasks for stack in task.stacks]
        self._put(plans.NAME, plans.written(zip(blocks, seconds, strict=True)))
        self.summarised(summary)

    def summarised(self, summary: Mapping[str, Any]) -> None:
        """Add to summary.json."""
        self._summary |= summary
        self._put("summary.json", json.dumps(self._summary, indent=1).encode())

    def close(self, status: int) -> None:
        """The run has ended."""
        with contextlib.suppress(OSError):  # a full disk: whoever sees it first has said so
            self.summarised({"ended": datetime.now(UTC).isoformat(timespec="seconds"), "status": status})
        for handler in list(self.log.handlers):
            handler.close()
            self.log.removeHandler(handler)
        if self._lock is not None:
            self._lock.close()

    def _put(self, name: str, content: Any) -> None:
        self.study.place.write(f"runs/{self.name}/{name}", content)


def names(study: Study) -> list[str]:
    """The runs that this study has seen, the first one first."""
    try:
        return sorted(study.place.folders("runs"))
    except OSError as error:
        reading.left_out(study.place, "runs", error.strerror or str(error))
        return []


def summary(study: Study, name: str) -> dict[str, Any]:
    """What was written down about a run; empty where nothing was, without what no run writes."""
    found = reading.mapping(study.place, f"runs/{name}/summary.json") or {}
    return {key: value for key, value in found.items() if key not in _NUMBERS or _is_number(value, key)}


def _is_number(value: object, key: str) -> bool:
    """Whether it is a number such as stands there: of a size that makes sense, and whole where it counts."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 <= value < _LARGEST and (isinstance(value, int) or key == "factor")


def command(study: Study, name: str) -> str:
    """The command that was typed."""
    return (reading.text(study.place, f"runs/{name}/command.txt") or "").strip()


def planned(study: Study, name: str) -> list[tuple[Block, float]]:
    """The cells that a run was to compute with this kernel, with the seconds of each."""
    path = f"runs/{name}/{plans.NAME}"
    content = reading.content(study.place, path, _MOST_OF_A_PLAN)
    earlier = f"runs/{name}/plan.parquet"
    if content is None and reading.content(study.place, earlier, _MOST_OF_A_PLAN) is not None:
        reading.left_out(study.place, earlier, "an earlier program's plan of a run")
    try:
        return [] if content is None else list(plans.read(content))
    except ValueError as error:
        reading.left_out(study.place, path, " ".join(str(error).split()))
        return []


def learned(study: Study) -> float:
    """What runs on this machine have taken over what their plan said: the middle of the last few."""
    here = machine.identity()
    factors = []
    for name in reversed(names(study)[-_LESSONS:]):
        found = summary(study, name)
        if found.get("factor") and here.items() <= found.items():
            factors.append(float(found["factor"]))
    return median(factors) if factors else 1.0


def dead(study: Study) -> Callable[[str], bool | None]:
    """Whether a run of this study has ended: its lock says so; None where there is none to ask.

    The lock is the operating system's, which frees it however the run ends.
    """
    known: dict[str, bool | None] = {study.writer: True}  # who asks is about to end

    def ask(name: str) -> bool | None:
        if name not in known:
            known[name] = _is_dead(study, name)
        return known[name]

    return ask


def living(study: Study) -> list[str]:
    """The other runs that are at work on this study now, as far as their locks say."""
    others = [name for name in names(study) if name != study.writer]
    return [name for name in others if _is_dead(study, name) is False]


def _is_dead(study: Study, name: str) -> bool | None:
    if not isinstance(study.place, Local) or not name:
        return None
    fcntl = _fcntl()
    try:
        with study.place.opened(f"runs/{name}/alive") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            # A lock that is free says little where another machine's locks are not seen.
            return True if file.read(_MOST_OF_A_NAME) == platform.node().encode() else None
    except (OSError, AttributeError):  # no such file, no such locks
        return None


def _locked(study: Study, name: str) -> IO[bytes] | None:
    if study.remote:
        return None
    folder = study.path / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    fcntl = _fcntl()
    if fcntl is None:
        return None
    # Locked before it has its name: nobody ever finds it free while this run lives.
    hidden = folder / ".alive"
    file = hidden.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a file system without locks
        file.close()
        hidden.unlink()
        return None
    file.write(platform.node().encode())
    file.flush()
    hidden.rename(folder / "alive")
    locked: IO[bytes] = file
    return locked


def _fcntl() -> Any:
    try:
        import fcntl  # noqa: PLC0415
    except ImportError:  # not POSIX
        return None
    return fcntl


def _logger(study: Study, name: str) -> logging.Logger:
    log = logging.getLogger(f"sweep.{name}")
    log.setLevel(logging.INFO)
    log.propagate = False
    handler: logging.Handler
    if study.remote:
        handler = _PutHandler(lambda text: study.place.write(f"runs/{name}/log.txt", text))
    else:
        handler = _FileHandler(study.path / "runs" / name / "log.txt")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    return log


class _FileHandler(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        """A log is no reason to lose a run, nor a traceback: the disk is full, which is said elsewhere."""


class _PutHandler(logging.StreamHandler[io.StringIO]):
    """A log in an object store, where nothing can be appended to: all of it again, now and then."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        super().__init__(io.StringIO())
        self._upload = put
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if time.monotonic() >= self._next:
            self._send()

    def close(self) -> None:
        self._send()
        super().close()

    def _send(self) -> None:
        self._next = time.monotonic() + _LOG_SECONDS
        with contextlib.suppress(OSError):  # a log is no reason to lose a run
            self._upload(self.stream.getvalue().encode())
