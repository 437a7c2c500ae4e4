"""One run from cells to report: plan, execute, store, draw."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweep import check, estimate, execute, plan, shards, verdict
from sweep.blocks import Cells
from sweep.cell import SPEC
from sweep.cluster import settings
from sweep.errors import Failures, RequestError, StoreError
from sweep.places import is_url, refuse_secrets
from sweep.shards import Shard
from sweep.verdict import Thresholds

if TYPE_CHECKING:
    from sweep.store import Study
    from sweep.stored import Stored

EXECUTORS = ("local", "serial", "dask", "slurm")
_SHELL = re.compile(r"""[*?\[\]{}$`"'\\;|&<>()!~#\x00-\x1f\x7f]""")
_HISTOGRAM_CELLS = 100  # histograms are kept by default up to so many cells: they are for looking at

# What the tables at the end of a run are made of.
_MEASURED = ("status", "std", "rms", "theory_std", "theory_rms", "verdict", "verdict_layer")
_SHOWN = (*SPEC, "seed", "kernel_version", *_MEASURED)
_MOST_SPECS_JUDGED = 200  # of a run that is larger: theory would take longer than it is worth


@dataclass(frozen=True)
class Options:
    """How to run; nothing here changes a number. Raises RequestError where a value breaks its rule."""

    study: str
    root: str = "outputs"
    executor: str = "local"
    cluster: settings.Settings | None = None
    n_jobs: int = -1
    max_memory: int | None = None
    shard: Shard | None = None
    dry_run: bool = False
    retry_failed: bool = True
    overwrite: bool = False
    fail_fast: bool = False
    report: bool = True
    histogram: bool | None = None
    thresholds: Thresholds = verdict.DEFAULT
    show: bool = True  # the table at the end; a share on a cluster's node shows none

    @classmethod
    def of(cls, values: Mapping[str, Any], default_study: str) -> "Options":
        """The options among the values of a config."""
        study = default_study if values["study"] is None else str(values["study"])
        parts = PurePath(study).parts
        if not parts or ".." in parts or PurePath(study).is_absolute() or study.startswith("."):
            raise RequestError(f"study={study}: a study is a folder's name under root, as in study=my_grid")
        if study.startswith("-") or _SHELL.search(study):
            raise RequestError(
                f"study={study}: a shell would take this name for something else: use letters and digits"
            )
        n_jobs = values["n_jobs"]
        if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
            raise RequestError(f"n_jobs={n_jobs}: give the number of workers, or -1 for one per core")
        histogram, memory = values["histogram"], values["max_memory"]
        executor = check.option("executor", values["executor"]["name"], EXECUTORS)
        return cls(
            study=study,
            root=_root(values["root"]),
            executor=executor,
            cluster=settings.of(executor, values["executor"]),
            n_jobs=n_jobs,
            max_memory=None if memory is None else check.memory("max_memory", memory),
            shard=None if values["shard"] is None else Shard.of(values["shard"]),
            dry_run=check.flag("dry_run", values["dry_run"]),
            retry_failed=check.flag("retry_failed", values["retry_failed"]),
            overwrite=check.flag("overwrite", values["overwrite"]),
            fail_fast=check.flag("fail_fast", values["fail_fast"]),
            report=check.flag("report", values["report"]),
            histogram=None if histogram is None else check.flag("histogram", histogram),
            thresholds=Thresholds.of(values["verdict"]),
        )

    @property
    def path(self) -> str | Path:
        """The study's folder, or its URL."""
        if is_url(self.root):
            return f"{self.root.rstrip('/')}/{self.study}"
        return Path(self.root.removeprefix("file://")).expanduser() / self.study


def _root(root: object) -> str:
    if not isinstance(root, str) or not root:
        given = "null" if root is None else root
        raise RequestError(
            f"root={given}: root must be a folder or a URL, as in root=outputs, root=s3://bucket"
        )
    refuse_secrets(root)
    return root


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
    from sweep import drive, runs, terminal  # noqa: PLC0415  rich, pyarrow: not for a wrong request
    from sweep.parts import DamagedError  # noqa: PLC0415
    from sweep.store import Study  # noqa: PLC0415

    study = Study(options.path)
    study.check(writes=not options.dry_run)
    histogram = len(cells) <= _HISTOGRAM_CELLS if options.histogram is None else options.histogram
    if options.shard:  # first the share, then what of it is missing: else a resumed share is another one
        cells = shards.share(cells, options.shard)
    stored = _stored(study, options)
    held = stored.of(cells)
    missing = cells.where(_missing(held, options))
    tasks, workers, options = _tasks(options, missing)
    _, failed, ok = np.bincount(held, minlength=3).tolist()
    counts = estimate.Counts(len(cells), duplicates, ok, failed, len(missing))
    if options.dry_run:
        factor = estimate.calibrated(tasks, options.executor, options.n_jobs) if tasks else 1.0
        expected = estimate.expected(tasks, workers, histogram, factor)
        terminal.show_plan(str(options.path), counts, expected)
        return 0
    expected = estimate.expected(tasks, workers, histogram, runs.learned(study) if tasks else 1.0)
    terminal.say(_summary(options, counts, expected))
    failures = Failures()
    if missing:
        study.create()
        if options.overwrite:
            study.outrank(stored.newest_run)
        executor = options.cluster or options.executor
        job = drive.Job(study, stored, tasks, histogram, executor, options.n_jobs, options.thresholds)
        kept = dict(record) | {"verdict.json": json.dumps(vars(options.thresholds)) + "\n"}
        if isinstance(options.cluster, settings.Slurm):
            from sweep.cluster import slurm  # noqa: PLC0415

            share = _share(options, options.cluster.cores, histogram)
            ended = slurm.run(study, missing, tasks, options.cluster, kept, run, share, failures)
            if ended is not None:
                return ended
        elif status := drive.run(job, kept, counts, expected, failures, options.fail_fast, options.overwrite):
            return status
    else:  # a run that was killed may have stored everything and tidied nothing
        with contextlib.suppress(StoreError):
            study.tidy(runs.dead(study))
    left = 0 if options.retry_failed or options.overwrite else counts.failed
    if left:
        terminal.say(f"{estimate.counted(left)} failed earlier; retry_failed=true computes them again")
    if len(failures):
        terminal.show_failures(failures)
    if options.show and len(failures) + left < len(cells):
        try:
            _show(study, cells, options, single)
        except DamagedError as error:
            _set_aside(study, error.parts)
            terminal.say("run the same command again to compute what they held")
            return 1
    return 1 if len(failures) or left else 0


def _tasks(options: Options, missing: Cells) -> tuple[list[plan.Task], int, Options]:
    """The missing cells as tasks, for how many workers, and the options with as many."""
    workers, memory = _capacity(options, bool(missing) and not options.dry_run)
    memory = options.max_memory or memory
    tasks = plan.tasks(missing, workers, memory)
    _check_memory(tasks, options.max_memory)
    if options.cluster:
        return tasks, workers, options
    if (fitting := plan.fitting(tasks, workers, memory)) < workers:
        workers = fitting  # fewer, for what one network needs cannot be split
        tasks = plan.tasks(missing, workers, memory)
    return tasks, workers, replace(options, n_jobs=workers)


def _check_memory(tasks: Sequence[plan.Task], allowed: int | None) -> None:
    """Raise RequestError where one network by itself needs more than is allowed."""
    stacks = [stack for task in tasks for stack in task.stacks]
    largest = max(stacks, key=lambda stack: stack.bytes, default=None)
    if allowed and largest and largest.bytes > allowed:
        one = max(largest.block.specs, key=lambda spec: spec.depth)
        raise RequestError(
            f"max_memory={estimate.si(allowed)}B: depth={one.depth} width={max(one.profile)} "
            f"batch={one.batch} needs {estimate.si(largest.bytes)}B at once; give it as much, or ask for less"
        )


def _capacity(options: Options, needed: bool) -> tuple[int, int | None]:
    """How many workers there are, and bytes for all of them; RequestError where a cluster has none."""
    local = execute.workers(options.n_jobs)
    if isinstance(options.cluster, settings.Dask) and needed:
        from sweep.cluster import dask  # noqa: PLC0415

        found = dask.check(options.cluster, local)
        return (found.workers, found.memory) if found else (local, None)
    if isinstance(options.cluster, settings.Slurm):
        if is_url(options.root):
            raise RequestError(
                f"root={options.root}: executor=slurm keeps shares and logs beside the results: root must be "
                "a folder that the nodes share; shard=k/n needs none"
            )
        if needed:
            from sweep.cluster import slurm  # noqa: PLC0415

            slurm.check(options.cluster)
        return options.cluster.cores * options.cluster.max_jobs, None
    return local, None


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
    from sweep.stored import Status  # noqa: PLC0415

    again = options.overwrite | (options.retry_failed & (held == Status.FAILED))
    missing: NDArray[np.bool_] = (held == Status.MISSING) | again
    return missing


def _stored(study: "Study", options: Options) -> "Stored":
    """What is stored; damaged parts are named and set aside, which a dry run leaves to others."""
    from sweep.parts import DamagedError  # noqa: PLC0415
    from sweep.stored import Stored  # noqa: PLC0415

    while True:
        try:
            return Stored(study)
        except DamagedError as error:
            if options.dry_run:
                raise
            _set_aside(study, error.parts)


def _set_aside(study: "Study", damaged: Mapping[str, str]) -> None:
    from sweep.terminal import say  # noqa: PLC0415

    for name, why in damaged.items():
        say(f"damaged part {name} ({why}): set aside in {study.path}/quarantine, its cells are planned again")
    study.set_aside(damaged)


def _summary(options: Options, counts: estimate.Counts, expected: estimate.Expected) -> str:
    share = f", share {options.shard}" if options.shard else ""
    line = f"study {options.path}{share}: {estimate.counted(counts.cells)}"
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
    from sweep import results, terminal  # noqa: PLC0415
    from sweep.agreement import agreement  # noqa: PLC0415

    first = next(iter(cells))
    if len(cells) == 1:
        layers = results.load(study.path, "layers")
        terminal.show_layers(first, layers[layers["cell_id"] == first.id])
    else:
        frame = results.of_cells(study, cells, _SHOWN, options.thresholds)
        terminal.show_grid(frame)
        terminal.say(str(agreement(frame, _MOST_SPECS_JUDGED)))
    cell_id = first.id if single else None
    if options.shard:
        terminal.say(f"once all shares are done: python -m sweep.report {study.path}")
    elif options.report and _outdated(study, cell_id):
        from sweep.report import drawn_where  # noqa: PLC0415

        figures = drawn_where(study.path, cell_id)
        terminal.say(f"figures: {', '.join(path for path in figures if path.endswith('.png'))}")
        for page in (path for path in figures if path.endswith(".html")):
            terminal.say(f"page: {page}")
    terminal.say(f"table: {study.path}/cells (pandas.read_parquet reads it)")


def _outdated(study: "Study", cell_id: str | None) -> bool:
    """Whether the figures are missing, or older than the results that they show."""
    drawn = [name for name in study.place.files("report") if name.endswith(".svg")]
    if cell_id:
        return not any(name.startswith("cell-") and name.endswith(f"-{cell_id[:8]}.svg") for name in drawn)
    times = (study.place.modified(f"report/{name}") for name in drawn if not name.startswith("cell-"))
    return min(times, default=0.0) < study.newest()
