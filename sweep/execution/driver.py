"""Tasks to stored results, whatever happens meanwhile: failures, interrupts, other runs."""

import contextlib
import json
import platform
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from sweep.base.errors import ClusterError, RequestError, StoreError
from sweep.base.process import interrupts, machine
from sweep.execution import screen
from sweep.execution.plan import estimate, pieces
from sweep.execution.plan.tasks import Task
from sweep.execution.workers.executor import Leave, Work
from sweep.experiment.outcomes.outcome import Failures, Result
from sweep.experiment.outcomes.probed import Probed
from sweep.experiment.outcomes.verdict import Thresholds
from sweep.report.frames import text
from sweep.store import probed_tables, tables, upkeep
from sweep.store.index import StoredIndex
from sweep.store.parts import commits
from sweep.store.parts.integrity import DamagedError
from sweep.store.records import files, runs

_TELLING_SECONDS = 1.0  # a run shorter than this teaches nothing about the next one
_LOOK_SECONDS = 1.0  # between two looks at what other runs have stored


def run(
    work: Work,
    record: Mapping[str, str],
    counts: estimate.Counts,
    expected: estimate.Expected,
    failures: Failures,
) -> int | None:
    """Compute and store the cells, and leave the study tidy; the exit status, None where all are stored.

    record: what is written down about the run, file name -> text. failures: where failed cells go.
    """
    study, options = work.study, work.options
    study.create()
    if options.overwrite:
        study.outrank(work.stored.newest_run)
    kept = {**record, files.THRESHOLDS: json.dumps(vars(options.thresholds)) + "\n"}
    with commits.writing(study.place.root), interrupts.held():  # from here on it is closed, whatever happens
        made = runs.RunRecord(study, kept)
    status: int | None = 1
    try:
        made.log.info("started on %s, Python %s", platform.machine(), platform.python_version())
        made.log.info("passes: %s", work.passes)
        with contextlib.suppress(DamagedError):  # it is named when it is read
            upkeep.modernise(study)
        with commits.writing(study.place.root):
            made.write_plan(work.tasks, _plan(work, counts, expected))
        others = runs.living(study)
        if others:
            # Whoever is at work here began with the longest tasks: two that go the same way would meet
            # at every one of them.
            made.log.info("other runs at work: %s", " ".join(others))
            work = replace(work, tasks=random.Random(made.name).sample(work.tasks, len(work.tasks)))
        status = _Storing(work, made, failures).run(expected)
        # While the record is open: what a run writes after it has ended is anybody's to remove.
        with contextlib.suppress(DamagedError):  # it is named when it is read
            upkeep.tidy(study, runs.has_ended(study))
    except RequestError as error:
        made.log.info("%s", error)
        status = 2
        raise
    except BrokenPipeError:
        status = interrupts.BROKEN_PIPE
        raise
    finally:
        with interrupts.held():
            made.close(status or (1 if len(failures) else 0))
    return status


def _plan(work: Work, counts: estimate.Counts, expected: estimate.Expected) -> dict[str, object]:
    """What a run's record says of its plan."""
    machinery = {"passes": work.passes} | machine.identity()
    return asdict(counts) | {"expected": asdict(expected)} | machinery


def _rows(outcome: Result | Probed, run_id: str, thresholds: Thresholds) -> tuple[Any, Any]:
    """A result as rows of `cells` and `layers`."""
    if isinstance(outcome, Probed):
        return probed_tables.tables(outcome, run_id)
    return tables.tables(outcome, run_id, thresholds)


class _Storing:
    """What the executor computes, stored as it comes."""

    def __init__(self, work: Work, made: runs.RunRecord, failures: Failures) -> None:
        self._work, self._made, self._failures = work, made, failures
        self._total, self._done = sum(map(len, work.tasks)), 0
        self._others = _Others(work.stored, made.name, not work.options.overwrite)
        self._said: set[str | None] = {None}  # reasons why gradients are null

    @property
    def _left(self) -> int:
        return self._total - self._done - self._others.count

    def run(self, expected: estimate.Expected) -> int | None:
        """Store all of it, and say how it went; the exit status, None where nothing is left."""
        log, start = self._made.log, time.perf_counter()
        try:
            if not self._store_all(expected):
                return 1
        except (KeyboardInterrupt, interrupts.Terminated) as stopped:
            word, status = interrupts.ending(stopped)
            log.info(word)
            stored = f"{self._done} cells are stored, {self._left} are left"
            screen.say(f"{word}: {stored}; run the same command to continue")
            return status
        except ClusterError as error:
            log.info("%s", error)
            screen.say(f"sweep: {error} ({self._done} cells are stored, {self._left} are left)")
            return 1
        except Leave as leave:
            log.info("%s", leave)
            screen.say(str(leave))
            return leave.status
        self._say_how_long(time.perf_counter() - start, expected)
        if lost := self._left:  # no executor should end so; if one does, it is said
            screen.say(
                f"{text.cells(lost)} did not come back from the workers; run the same command to continue"
            )
            log.info("%d cells did not come back", lost)
            return 1
        return None

    def _store_all(self, expected: estimate.Expected) -> bool:
        """Store every outcome; whether nothing failed that should have stopped it."""
        work = self._work
        outcomes = work.options.executor.outcomes(work, self._made, self._others.left)
        with screen.progress(
            self._total, sum(task.seconds for task in work.tasks), expected.time
        ) as progress:
            for number, outcome in enumerate(outcomes):
                self._store(number, outcome)
                progress.advance(len(outcome), outcome.estimate)
                self._tell(outcome)
                if outcome.errors and work.options.fail_fast:
                    screen.say(
                        f"stopped at the first failure; {self._done} of {self._total} cells are stored, "
                        f"{len(self._failures)} of them as failed"
                    )
                    screen.show_failures(self._failures)
                    return False
        return True

    def _store(self, number: int, outcome: Result | Probed) -> None:
        with interrupts.held():
            if not outcome.stored:
                rows = _rows(outcome, self._made.name, self._work.options.thresholds)
                self._work.study.write(f"{self._made.name}-{number:06d}.parquet", *rows, self._work.passes)
            self._done += len(outcome)

    def _tell(self, outcome: Result | Probed) -> None:
        log = self._made.log
        for error in outcome.errors.values():
            self._failures.add(error)
        for reason in {facts.without_slope for facts in outcome.facts.values()} - self._said:
            self._said.add(reason)
            screen.say(f"gradients are null: {reason}")
            log.info("gradients are null: %s", reason)
        log.info("%d of %d cells stored, %d failed", self._done, self._total, len(self._failures))

    def _say_how_long(self, seconds: float, expected: estimate.Expected) -> None:
        done, others = self._done, self._others.count
        off = seconds / expected.seconds if expected.seconds else 1.0
        predicted = expected.seconds, expected.time
        self._made.log.info("done in %.1f s, %.2f times the predicted %.1f s (%s)", seconds, off, *predicted)
        took: dict[str, object] = {"seconds": seconds, "computed": done}
        # Only what this machine has computed teaches what it will take.
        if done == self._total and seconds >= _TELLING_SECONDS and self._work.capacity.here:
            took["factor"] = max(seconds - expected.overhead, 0.0) / expected.model_seconds
        with contextlib.suppress(OSError):  # the results are stored: that counts
            self._made.add_to_summary(took)
        line = f"{text.cells(done)} in {seconds:.1f} s ({done / seconds:,.1f} cells/s)"
        line += f", {len(self._failures)} failed"
        if others:
            line += f"; {text.cells(others)} stored by another run in the meantime"
        screen.say(line)


class _Others:
    """What other runs have stored since this one started: nobody need compute it again."""

    def __init__(self, stored: StoredIndex, own: str, ask: bool) -> None:
        self.count = 0
        self._stored, self._own, self._ask = stored, own, ask
        self._ids: set[bytes] = set()
        self._every = _LOOK_SECONDS * stored.study.place.distance
        self._next = time.monotonic() + self._every

    def left(self, task: Task) -> Task | None:
        """What of a task is still to be computed."""
        if not self._ask:
            return task
        if time.monotonic() >= self._next:
            with contextlib.suppress(FileNotFoundError, StoreError):  # the next look sees it, or the end
                self._ids |= self._stored.look(self._own)
            self._next = time.monotonic() + self._every
        smaller = pieces.without(task, self._ids)
        self.count += len(task) - (len(smaller) if smaller else 0)
        return smaller
