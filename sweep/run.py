"""One run from cells to report: plan, execute, store, draw."""

import json
import logging
import platform
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from sweep import check, execute, plan, shards, verdict
from sweep.cell import Cell
from sweep.cluster import settings
from sweep.compute import Result
from sweep.errors import ClusterError, RequestError
from sweep.shards import Shard
from sweep.verdict import Thresholds

if TYPE_CHECKING:
    from sweep.store import Study

EXECUTORS = ("local", "serial", "dask", "slurm")
_HISTOGRAM_CELLS = 100  # histograms are kept by default up to so many cells: they are for looking at


@dataclass(frozen=True)
class Options:
    """How to run; nothing here changes a number. Raises RequestError where a value breaks its rule."""

    study: str
    root: str = "outputs"
    executor: str = "local"
    cluster: settings.Settings | None = None
    n_jobs: int = -1
    shard: Shard | None = None
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
        root = values["root"]
        if not isinstance(root, str) or not root or "://" in root:
            given = "null" if root is None else root
            raise RequestError(f"root={given}: root must be the path of a local folder, as in root=outputs")
        n_jobs = values["n_jobs"]
        if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
            raise RequestError(f"n_jobs={n_jobs}: give the number of workers, or -1 for one per core")
        histogram = values["histogram"]
        executor = check.option("executor", values["executor"]["name"], EXECUTORS)
        return cls(
            study=study,
            root=root,
            executor=executor,
            cluster=settings.of(executor, values["executor"]),
            n_jobs=n_jobs,
            shard=None if values["shard"] is None else Shard.of(values["shard"]),
            fail_fast=check.flag("fail_fast", values["fail_fast"]),
            report=check.flag("report", values["report"]),
            histogram=None if histogram is None else check.flag("histogram", histogram),
            thresholds=Thresholds.of(values["verdict"]),
        )

    @property
    def path(self) -> Path:
        """The study's folder."""
        return Path(self.root).expanduser() / self.study


def run(cells: Sequence[Cell], options: Options, record: Mapping[str, str], single: bool = False) -> int:
    """Compute what is missing, store it, draw the report; returns the exit status.

    record: what is written down about the run, file name -> text. single: one cell was asked for,
    and its own picture, not a grid of one.
    0: all cells stored. 1: some failed, their rows say why. 130: interrupted.
    """
    from sweep import terminal  # noqa: PLC0415  rich and pyarrow are not for a request that is wrong
    from sweep.store import Study  # noqa: PLC0415

    study = Study(options.path)
    study.check()
    histogram = len(cells) <= _HISTOGRAM_CELLS if options.histogram is None else options.histogram
    if options.shard:  # first the share, then what of it is missing: else a resumed share is another one
        cells = shards.share(cells, options.shard)
    stored = study.statuses()
    missing = [cell for cell in cells if stored.get(cell.id) != "ok"]
    workers, memory = _capacity(options, bool(missing))
    on_slurm = isinstance(options.cluster, settings.Slurm)
    tasks = [] if on_slurm else plan.tasks(missing, workers, memory)
    if missing:
        study.create()
    terminal.say(_summary(options, len(cells), len(missing), tasks, workers))
    failures: dict[str, str] = {}
    if missing:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        thresholds = {"verdict.json": json.dumps(vars(options.thresholds)) + "\n"}
        log = _open_log(study.path / "runs" / name, dict(record) | thresholds)
        if isinstance(options.cluster, settings.Slurm):
            ended = _submit(study, missing, options.cluster, options, histogram, name, record, failures)
            if ended is not None:
                return ended
        elif status := _compute(study, tasks, options, workers, histogram, name, failures, log):
            return status
        study.tidy()
    if failures:
        terminal.show_failures(failures)
    if options.show and len(failures) < len(cells):
        _show(study, cells, options, single)
    return 1 if failures else 0


def _compute(
    study: "Study",
    tasks: Sequence[plan.Task],
    options: Options,
    workers: int,
    histogram: bool,
    name: str,
    failures: dict[str, str],
    log: logging.Logger,
) -> int:
    from sweep import tables, terminal  # noqa: PLC0415

    total = sum(len(task.cells) for task in tasks)
    start, done = time.perf_counter(), 0
    results = _results(study, tasks, options, workers, histogram, name)
    try:
        with terminal.progress(total, sum(task.seconds for task in tasks)) as progress:
            for number, result in enumerate(results):
                if result.statistics:  # else its worker has stored it
                    rows = tables.tables(result, name, options.thresholds)
                    study.write(f"{name}-{number:06d}.parquet", *rows)
                done += len(result.cells)
                progress.advance(len(result.cells), result.estimate)
                failed = {
                    cell.id: error for cell, error in zip(result.cells, result.errors, strict=True) if error
                }
                failures |= failed
                log.info("%d of %d cells stored, %d failed", done, total, len(failures))
                if failed and options.fail_fast:
                    terminal.say(f"stopped at the first failure; {done} of {total} cells are stored")
                    terminal.show_failures(failures)
                    return 1
    except KeyboardInterrupt:
        log.info("interrupted")
        left = total - done
        terminal.say(f"interrupted: {done} cells are stored, {left} are left; run the same command to go on")
        return 130
    except ClusterError as error:
        log.info("%s", error)
        terminal.say(f"sweep: {error} ({done} cells are stored, {total - done} are left)")
        return 1
    seconds = time.perf_counter() - start
    log.info("done in %.1f s", seconds)
    terminal.say(f"{_cells(done)} in {seconds:.1f} s ({done / seconds:,.1f} cells/s), {len(failures)} failed")
    return 0


def _submit(
    study: "Study",
    cells: Sequence[Cell],
    cluster: settings.Slurm,
    options: Options,
    histogram: bool,
    name: str,
    record: Mapping[str, str],
    failures: dict[str, str],
) -> int | None:
    """Have Slurm compute the cells; the exit status, or None when they are stored."""
    from sweep.cluster import slurm  # noqa: PLC0415

    share = replace(
        options,
        root=str(Path(options.root).expanduser().absolute()),
        executor="local",
        cluster=None,
        n_jobs=cluster.cores,
        shard=None,
        report=False,
        histogram=histogram,
        show=False,
    )
    status = slurm.run(study, cells, cluster, name, record["command.txt"].strip(), run, share)
    if status is None:
        table = study.read("cells", ["cell_id", "status", "error"])
        wanted = {cell.id for cell in cells}
        failures |= {
            row["cell_id"]: row["error"]
            for row in table.to_pylist()
            if row["status"] == "failed" and row["cell_id"] in wanted
        }
    return status


def _capacity(options: Options, needed: bool) -> tuple[int, int | None]:
    """How many workers there are, and bytes for all of them; RequestError where a cluster has none."""
    local = execute.workers(options.n_jobs)
    if needed and isinstance(options.cluster, settings.Dask):
        from sweep.cluster import dask  # noqa: PLC0415

        found = dask.check(options.cluster, local)
        if found:
            return found.workers, found.memory
    if needed and isinstance(options.cluster, settings.Slurm):
        from sweep.cluster import slurm  # noqa: PLC0415

        slurm.check(options.cluster)
    return local, None


def _results(
    study: "Study", tasks: Sequence[plan.Task], options: Options, workers: int, histogram: bool, name: str
) -> Iterator[Result]:
    if isinstance(options.cluster, settings.Dask):
        from sweep.cluster import dask  # noqa: PLC0415

        folder = study.path.absolute()
        place = dask.Place(folder, folder / "runs" / name, name, options.thresholds)
        return dask.run(tasks, options.cluster, workers, histogram, place)
    return execute.run(tasks, options.executor, options.n_jobs, histogram)


def _summary(options: Options, cells: int, missing: int, tasks: Sequence[plan.Task], workers: int) -> str:
    line = f"study {options.path}{f', share {options.shard}' if options.shard else ''}: {_cells(cells)}"
    if not missing:
        return f"{line}, all stored already: nothing to compute"
    if missing < cells:
        line += f", {cells - missing} stored already, {missing} to compute"
    if not tasks:  # a cluster's nodes cut them
        return line
    seconds = sum(task.seconds for task in tasks) / min(workers, len(tasks))
    about = f"about {seconds:.0f} s" if seconds >= 1 else "less than a second"
    return f"{line}; {len(tasks)} {'task' if len(tasks) == 1 else 'tasks'}, {about}"


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count:,} cells"


def _show(study: "Study", cells: Sequence[Cell], options: Options, single: bool) -> None:
    from sweep import results, terminal  # noqa: PLC0415

    if len(cells) == 1:
        layers = results.load(study.path, "layers")
        terminal.show_layers(cells[0], layers[layers["cell_id"] == cells[0].id])
    else:
        wanted = {cell.id for cell in cells}
        frame = results.load(study.path, thresholds=options.thresholds)
        terminal.show_grid(frame[frame["cell_id"].isin(wanted)])
    cell_id = cells[0].id if single else None
    if options.shard:
        terminal.say(f"once all shares are done: python -m sweep.report {study.path}")
    elif options.report and _outdated(study, cell_id):
        from sweep.report import draw  # noqa: PLC0415

        figures = draw(study.path, cell_id)
        terminal.say(f"figures: {', '.join(str(path) for path in figures if path.suffix == '.png')}")
    terminal.say(f"table: {study.path / 'cells'} (pandas.read_parquet reads it)")


def _outdated(study: "Study", cell_id: str | None) -> bool:
    """Whether the figures are missing, or older than the results that they show."""
    drawn = list((study.path / "report").glob(f"cell-*-{cell_id[:8]}.svg" if cell_id else "*.svg"))
    if cell_id:
        return not drawn
    oldest = min((path.stat().st_mtime for path in drawn if not path.name.startswith("cell-")), default=0.0)
    return oldest < study.newest()


def _open_log(folder: Path, record: Mapping[str, str]) -> logging.Logger:
    folder.mkdir(parents=True)
    for name, text in record.items():
        (folder / name).write_text(text)
    log = logging.getLogger(f"sweep.{folder.name}")
    log.setLevel(logging.INFO)
    log.propagate = False
    handler = logging.FileHandler(folder / "log.txt")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.info("started on %s, Python %s", platform.machine(), platform.python_version())
    return log
