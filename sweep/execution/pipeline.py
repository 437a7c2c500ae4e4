"""One run from cells to report: plan, execute, store, draw."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sweep.base.errors import RequestError, StoreError
from sweep.execution.options import Options
from sweep.execution.plan import capacity, estimate, shards
from sweep.execution.workers import registry
from sweep.experiment.batches import Cells
from sweep.experiment.cell import SPEC
from sweep.experiment.outcome import Failures
from sweep.report.frames import text
from sweep.store.records import files

if TYPE_CHECKING:
    from sweep.execution import driver
    from sweep.store.index import StoredIndex
    from sweep.store.study import Study

_HISTOGRAM_CELLS = 100  # histograms are kept by default up to so many cells: they are for looking at

# What the tables at the end of a run are made of.
_MEASURED = ("status", "std", "rms", "theory_std", "theory_rms", "verdict", "verdict_layer")
_SHOWN = (*SPEC, "seed", "kernel_version", *_MEASURED)
_MOST_SPECS_JUDGED = 200  # of a run that is larger: theory would take longer than it is worth


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
    from sweep.execution import (  # noqa: PLC0415  rich, pyarrow: not for a wrong request
        driver,
        screen,
    )
    from sweep.store import upkeep  # noqa: PLC0415  rich, pyarrow: not for a wrong request
    from sweep.store.parts.integrity import DamagedError  # noqa: PLC0415
    from sweep.store.records import runs  # noqa: PLC0415  rich, pyarrow: not for a wrong request
    from sweep.store.study import Study  # noqa: PLC0415

    study = Study(options.path)
    study.check(writes=False)
    histogram = len(cells) <= _HISTOGRAM_CELLS if options.histogram is None else options.histogram
    if options.shard:  # first the share, then what of it is missing: else a resumed share is another one
        cells = shards.share(cells, options.shard)
    stored = _stored(study, options)
    held = stored.of(cells)
    missing = cells.where(_missing(held, options))
    if missing and not options.dry_run:
        study.check()  # a complete study may be anybody's to read
    tasks, workers, options = capacity.tasks_of(options, missing)
    _, failed, ok = np.bincount(held, minlength=3).tolist()
    counts = estimate.Counts(len(cells), duplicates, ok, failed, len(missing))
    too_much = capacity.too_much(tasks, workers, options)
    if options.dry_run:
        factor = estimate.calibrated(tasks, options.executor, options.n_jobs) if tasks else 1.0
        expected = estimate.expected(tasks, workers, histogram, factor)
        warning = f"a run would be refused: {too_much}" if too_much else ""
        screen.show_plan(str(options.path), counts, expected, warning)
        return 0
    if too_much:
        raise RequestError(too_much)
    expected = estimate.expected(tasks, workers, histogram, runs.learned_factor(study) if tasks else 1.0)
    screen.say(_summary(options, counts, expected))
    failures = Failures()
    if missing:
        executor = options.cluster or options.executor
        job = driver.Job(study, stored, tasks, histogram, executor, options.n_jobs, options.thresholds)
        ended = _compute(job, missing, options, record, counts, expected, failures)
        if ended is not None:
            return ended
    else:  # a run that was killed may have stored everything and tidied nothing
        with contextlib.suppress(StoreError):
            upkeep.tidy(study, runs.has_ended(study))
    left = 0 if options.retry_failed or options.overwrite else counts.failed
    if left:
        screen.say(f"{text.cells(left)} failed earlier; retry_failed=true computes them again")
    if len(failures):
        screen.show_failures(failures)
    if options.show and len(failures) + left < len(cells):
        try:
            _show(study, cells, options, single)
        except DamagedError as error:
            _set_aside(study, error.parts)
            screen.say("run the same command again to compute what they held")
            return 1
    return 1 if len(failures) or left else 0


def _compute(
    job: "driver.Job",
    missing: Cells,
    options: Options,
    record: Mapping[str, str],
    counts: estimate.Counts,
    expected: estimate.Expected,
    failures: Failures,
) -> int | None:
    """Compute and store what is missing; the exit status where that did not end as it should."""
    from sweep.execution import driver  # noqa: PLC0415

    job.study.create()
    if options.overwrite:
        job.study.outrank(job.stored.newest_run)
    kept = dict(record) | {files.THRESHOLDS: json.dumps(vars(options.thresholds)) + "\n"}
    if isinstance(options.cluster, registry.Slurm):
        from sweep.execution.workers.slurm import array  # noqa: PLC0415

        share = _share(options, options.cluster.cores, job.histogram)
        return array.run(job.study, missing, job.tasks, options.cluster, kept, run, share, failures)
    return driver.run(job, kept, counts, expected, failures, options.fail_fast, options.overwrite) or None


def _share(options: Options, cores: int, histogram: bool) -> Options:
    """The options of a share on a node: the same run, on that machine alone."""
    return replace(
        options,
        root=str(Path(options.root.removeprefix("file://")).expanduser().absolute()),
        executor="local",
        cluster=None,
        n_jobs=cores,
        shard=None,
        report=False,
        histogram=histogram,
        show=False,
    )


def _missing(held: NDArray[np.int8], options: Options) -> NDArray[np.bool_]:
    """Which cells are to be computed; held: what is stored of each."""
    from sweep.store.index import Status  # noqa: PLC0415

    again = options.overwrite | (options.retry_failed & (held == Status.FAILED))
    missing: NDArray[np.bool_] = (held == Status.MISSING) | again
    return missing


def _stored(study: "Study", options: Options) -> "StoredIndex":
    """What is stored; damaged parts are named and set aside, which a dry run leaves to others."""
    from sweep.store.index import StoredIndex  # noqa: PLC0415
    from sweep.store.parts.integrity import DamagedError  # noqa: PLC0415

    while True:
        try:
            return StoredIndex(study)
        except DamagedError as error:
            if options.dry_run:
                raise
            _set_aside(study, error.parts)


def _set_aside(study: "Study", damaged: Mapping[str, str]) -> None:
    from sweep.execution.screen import say  # noqa: PLC0415

    for name, why in damaged.items():
        say(f"damaged part {name} ({why}): set aside in {study.path}/quarantine, its cells are planned again")
    study.set_aside(damaged)


def _summary(options: Options, counts: estimate.Counts, expected: estimate.Expected) -> str:
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


def _show(study: "Study", cells: Cells, options: Options, single: bool) -> None:
    from sweep.execution import screen  # noqa: PLC0415
    from sweep.report import terminal  # noqa: PLC0415
    from sweep.report.frames.agreement import agreement  # noqa: PLC0415
    from sweep.store import results  # noqa: PLC0415

    first = next(iter(cells))
    if len(cells) == 1:
        frame = results.load(study.path, "layers")
        frame = frame[frame["cell_id"] == first.id]
    else:
        frame = results.of_cells(study, cells, _SHOWN, options.thresholds)
    if frame.empty:  # a store may list late
        screen.say(f"what was stored is not listed yet; look again: python -m sweep.status {study.path}")
        return
    if len(cells) == 1:
        terminal.show_layers(first, frame)
    else:
        terminal.show_grid(frame)
        screen.say(str(agreement(frame, _MOST_SPECS_JUDGED)))
    cell_id = first.id if single else None
    if options.shard:
        screen.say(f"once all shares are done: python -m sweep.report {study.path}")
    elif options.report and _outdated(study, cell_id):
        from sweep.report import draw  # noqa: PLC0415

        try:
            figures = [str(file) for file in draw(study.path, cell_id)]
        except StoreError as error:  # the results are there, whoever may write to the study
            screen.say(str(error))
            figures = []
        if pictures := [path for path in figures if path.endswith(".png")]:
            screen.say(f"figures: {', '.join(pictures)}")
        for page in (path for path in figures if path.endswith(".html")):
            screen.say(f"page: {page}")
    screen.say(f"table: {study.path}/cells (pandas.read_parquet reads it)")


def _outdated(study: "Study", cell_id: str | None) -> bool:
    """Whether the figures are missing, or older than the results that they show."""
    drawn = [name for name in study.report.files("") if name.endswith(".svg")]
    if cell_id:
        return not any(name.startswith("cell-") and name.endswith(f"-{cell_id[:8]}.svg") for name in drawn)
    times = (study.report.modified(name) for name in drawn if not name.startswith("cell-"))
    return min(times, default=0.0) < study.newest()
