"""One run from cells to report: what is missing, as tasks, computed and stored, shown and drawn."""

import contextlib
from collections.abc import Mapping, Sequence

import numpy as np

from sweep.base.errors import RequestError, StoreError
from sweep.base.process import machine
from sweep.execution import driver, screen
from sweep.execution.options import Options
from sweep.execution.plan import capacity, estimate, factor, missing, passes, shards
from sweep.execution.plan.factor import Factor
from sweep.execution.plan.tasks import Task
from sweep.execution.workers import calibration
from sweep.execution.workers.executor import Capacity, Work
from sweep.experiment.batches import Cells
from sweep.experiment.outcomes.outcome import Failures
from sweep.store import upkeep
from sweep.store.parts.integrity import DamagedError
from sweep.store.records import runs
from sweep.store.study import Study

_HISTOGRAM_CELLS = 100  # histograms are kept by default up to so many cells: they are for looking at


def run(
    cells: Cells,
    options: Options,
    record: Mapping[str, str],
    single: bool = False,
    duplicates: int = 0,
) -> int:
    """Compute what is missing, store it, draw the report; returns the exit status.

    record: what is written down about the run, file name -> text. single: one cell was asked for,
    and its own picture, not a grid of one. duplicates: how many cells the axes named once more.
    0: all cells stored. 1: some failed, their rows say why. 130: interrupted. 143: terminated.
    """
    study = Study(options.path)
    study.check(writes=False)
    histogram = len(cells) <= _HISTOGRAM_CELLS if options.histogram is None else options.histogram
    if options.shard:  # first the share, then what of it is missing: else a resumed share is another one
        cells = shards.share(cells, options.shard)

    stored = missing.look_up(study, options.dry_run)
    held = stored.of(cells)
    wanted = cells.where(missing.to_compute(held, options.retry_failed, options.overwrite))
    _, failed, ok = np.bincount(held, minlength=3).tolist()
    counts = estimate.Counts(len(cells), duplicates, ok, failed, len(wanted))
    if wanted and not options.dry_run:
        study.check()  # a complete study may be anybody's to read

    there = options.executor.capacity(options, needed=bool(wanted))
    tasks, there = capacity.tasks_of(wanted, there, options.max_memory)
    too_much = capacity.too_much(tasks, there, options.max_memory)
    if too_much and not options.dry_run:
        raise RequestError(too_much)
    expected = estimate.expected(
        tasks, there.workers, histogram, _factor(tasks, there, options, study), there.here
    )
    if options.dry_run:
        warning = f"a run would be refused: {too_much}" if too_much else ""
        screen.show_plan(str(options.path), counts, expected, warning)
        return 0
    screen.say(screen.summary(options, counts, expected))
    if wanted and options.histogram is None and not histogram:
        screen.say(
            f"histograms are kept in runs of at most {_HISTOGRAM_CELLS} cells; histogram=true keeps them, "
            "if it is given before the cells are stored"
        )
    if options.histogram and counts.stored and not options.overwrite:
        screen.say("cells that are stored already get no histograms: overwrite=true computes them again")

    failures = Failures()
    if wanted:
        kind, starts = _passes(tasks, wanted, expected.seconds, options, study)
        expected = expected.after(starts)
        work = Work(study, stored, wanted, tasks, there, histogram, options, kind)
        ended = driver.run(work, record, counts, expected, failures)
        if ended is not None:
            return ended
    else:  # a run that was killed may have stored everything and tidied nothing
        with contextlib.suppress(StoreError):
            upkeep.tidy(study, runs.has_ended(study))

    left = 0 if options.retry_failed or options.overwrite else counts.failed
    screen.show_failures(failures, left)
    if options.show and len(failures) + left < len(cells):
        try:
            screen.show_results(study, cells, options, single)
        except DamagedError as error:
            missing.set_aside(study, error.parts)
            screen.say("run the same command again to compute what they held")
            return 1
    return 1 if len(failures) or left else 0


def _passes(
    tasks: Sequence[Task], wanted: Cells, seconds: float, options: Options, study: Study
) -> tuple[str, float]:
    """The kind of passes of this run, and the seconds that every worker takes to load them."""
    compiler = options.executor.compiler()
    before = passes.of_unfinished(study, wanted) if options.compiled is None else None
    choice = passes.choose(tasks, compiler, seconds, options.compiled, before)
    for line in choice.lines:
        screen.say(line)
    made = passes.ready(choice, compiler)
    for line in made.lines:
        screen.say(line)
    return made.kind, made.loads


def _factor(tasks: Sequence[Task], there: Capacity, options: Options, study: Study) -> Factor:
    """How many times as long as planned the tasks take: a dry run measures it, a run goes by earlier ones."""
    if not tasks or not there.here:
        return factor.of_runs([])
    if options.dry_run:
        return calibration.calibrate(tasks, there.workers)
    return factor.of_runs(runs.factors(study), machine.crowding(min(there.workers, len(tasks))))
