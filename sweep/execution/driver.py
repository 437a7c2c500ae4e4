"""Tasks to stored results, whatever happens meanwhile: failures, interrupts, other runs."""

import contextlib
import platform
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from sweep.base import interrupts, machine
from sweep.base.errors import ClusterError, StoreError
from sweep.execution import screen
from sweep.execution.plan import estimate, pieces
from sweep.execution.plan.tasks import Task
from sweep.execution.workers import local, registry
from sweep.experiment.outcome import Failures, Result
from sweep.experiment.thresholds import Thresholds
from sweep.report.frames import text
from sweep.store import tables, upkeep
from sweep.store.index import StoredIndex
from sweep.store.parts import commits
from sweep.store.parts.integrity import DamagedError
from sweep.store.records import runs
from sweep.store.study import Study

_TELLING_SECONDS = 1.0  # a run shorter than this teaches nothing about the next one
_LOOK_SECONDS = 1.0  # between two looks at what other runs have stored


@dataclass(frozen=True)
class Job:
    """What is to be computed, by whom, where it goes, and where its verdicts begin.

    stored: what is there already.
    """

    study: Study
    stored: StoredIndex
    tasks: Sequence[Task]
    histogram: bool
    executor: str | registry.Settings
    n_jobs: int
    thresholds: Thresholds


def run(
    job: Job,
    record: Mapping[str, str],
    counts: estimate.Counts,
    expected: estimate.Expected,
    failures: Failures,
    fail_fast: bool = False,
    overwrite: bool = False,
) -> int:
    """Compute and store the job's cells, and leave the study tidy; returns the exit status.

    record: what is written down about the run, file name -> text. failures: where failed cells go.
    """
    root = job.study.place.root
    with commits.writing(root), interrupts.held():  # from here on the record is closed, whatever happens
        made = runs.RunRecord(job.study, record)
    status = 1
    try:
        made.log.info("started on %s, Python %s", platform.machine(), platform.python_version())
        with contextlib.suppress(DamagedError):  # it is named when it is read
            upkeep.modernise(job.study)
        with commits.writing(root):
            made.write_plan(job.tasks, asdict(counts) | {"expected": asdict(expected)} | machine.identity())
        others = runs.living(job.study)
        if others:
            # Whoever is at work here began with the longest tasks: two that go the same way would meet
            # at every one of them.
            made.log.info("other runs at work: %s", " ".join(others))
            shuffled = random.Random(made.name).sample(job.tasks, len(job.tasks))
            job = replace(job, tasks=shuffled)
        status = _compute(job, made, expected, failures, fail_fast, overwrite)
        # While the record is open: what a run writes after it has ended is anybody's to remove.
        with contextlib.suppress(DamagedError):  # it is named when it is read
            upkeep.tidy(job.study, runs.has_ended(job.study))
    finally:
        with interrupts.held():
            made.close(status or (1 if len(failures) else 0))
    return status


def _compute(
    job: Job,
    made: runs.RunRecord,
    expected: estimate.Expected,
    failures: Failures,
    fail_fast: bool,
    overwrite: bool,
) -> int:
    log = made.log
    tasks, study = job.tasks, job.study
    total = sum(map(len, tasks))
    start, done = time.perf_counter(), 0
    others = _Others(job.stored, made.name, not overwrite)
    said: set[str | None] = {None}  # reasons why gradients are null
    results = _results(job, made.name, others.left)
    try:
        with screen.progress(total, sum(task.seconds for task in tasks)) as progress:
            for number, result in enumerate(results):
                with interrupts.held():
                    if result.statistics:  # else its worker has stored it
                        rows = tables.tables(result, made.name, job.thresholds)
                        study.write(f"{made.name}-{number:06d}.parquet", *rows)
                    done += len(result)
                progress.advance(len(result), result.estimate)
                for error in result.errors.values():
                    failures.add(error)
                for reason in {own.without_slope for own in result.own.values()} - said:
                    said.add(reason)
                    screen.say(f"gradients are null: {reason}")
                    log.info("gradients are null: %s", reason)
                log.info("%d of %d cells stored, %d failed", done, total, len(failures))
                if result.errors and fail_fast:
                    screen.say(
                        f"stopped at the first failure; {done} of {total} cells are stored, "
                        f"{len(failures)} of them as failed"
                    )
                    screen.show_failures(failures)
                    return 1
    except (KeyboardInterrupt, interrupts.Terminated) as stopped:
        word, status = ("interrupted", 130) if isinstance(stopped, KeyboardInterrupt) else ("terminated", 143)
        log.info(word)
        left = total - done - others.count
        screen.say(f"{word}: {done} cells are stored, {left} are left; run the same command to go on")
        return status
    except ClusterError as error:
        log.info("%s", error)
        left = total - done - others.count
        screen.say(f"sweep: {error} ({done} cells are stored, {left} are left)")
        return 1
    seconds = time.perf_counter() - start
    _say_how_far_off(made, expected, seconds, done, total)
    line = f"{text.cells(done)} in {seconds:.1f} s ({done / seconds:,.1f} cells/s), {len(failures)} failed"
    if others.count:
        line += f"; {text.cells(others.count)} stored by another run meanwhile"
    screen.say(line)
    if lost := total - done - others.count:  # no executor should end so; if one does, it is said
        screen.say(f"{text.cells(lost)} did not come back from the workers; run the same command to go on")
        log.info("%d cells did not come back", lost)
        return 1
    return 0


def _results(job: Job, name: str, wanted: Callable[[Task], Task | None]) -> Iterator[Result]:
    if isinstance(job.executor, registry.Dask):
        from sweep.execution.workers.dask import futures  # noqa: PLC0415

        left = (task for task in map(wanted, job.tasks) if task is not None)
        # Workers may store themselves what goes into a folder that they see.
        folder = job.study.place.folder
        place = futures.Place.of(folder, name, job.thresholds) if folder else None
        return futures.run(left, job.executor, machine.workers(job.n_jobs), job.histogram, place)
    assert isinstance(job.executor, str)
    return local.run(job.tasks, job.executor, job.n_jobs, job.histogram, wanted)


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
        smaller = pieces.remaining(task, self._ids)
        self.count += len(task) - (len(smaller) if smaller else 0)
        return smaller


def _say_how_far_off(
    made: runs.RunRecord, expected: estimate.Expected, seconds: float, done: int, total: int
) -> None:
    off = seconds / expected.seconds if expected.seconds else 1.0
    made.log.info("done in %.1f s, %.2f of the predicted %.1f s", seconds, off, expected.seconds)
    took: dict[str, object] = {"seconds": seconds, "computed": done}
    if done == total and seconds >= _TELLING_SECONDS:
        took["factor"] = max(seconds - expected.overhead, 0.0) / expected.model_seconds
    with contextlib.suppress(OSError):  # the results are stored: that counts
        made.add_to_summary(took)
