"""Cells to a Slurm array: few large elements, each the local run of one share on its node.

submitit writes the script, submits it and puts an element whose time is up into the queue again. Its
own word on a job's state is not asked: it needs accounting, and without it a cancelled job is waited
for for ever (submitit 1.5.4).
"""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from sweep.base.errors import ClusterError, RequestError
from sweep.base.process import interrupts
from sweep.execution import screen
from sweep.execution.plan import shards
from sweep.execution.workers import program
from sweep.execution.workers.executor import Leave, Work
from sweep.execution.workers.slurm import element, follow, marker, private, squeue
from sweep.execution.workers.slurm.follow import ArrayJob
from sweep.execution.workers.slurm.settings import Slurm
from sweep.experiment.batches import Cells
from sweep.experiment.outcomes.outcome import Failure, Result
from sweep.store.index import Status, StoredIndex, Watch
from sweep.store.query import excerpts
from sweep.store.records import files, runs
from sweep.store.records.runs import RunRecord

_NOTICE_SECONDS = 90  # before the time limit: to store what is done


def check(settings: Slurm) -> None:
    """Raise RequestError where there is no Slurm here, or where it refuses such a job."""
    try:
        import submitit  # noqa: F401, PLC0415
    except ImportError:
        raise RequestError("executor=slurm needs submitit: pip install submitit") from None
    if not all(shutil.which(command) for command in ("sbatch", "squeue", "srun")):
        raise RequestError(
            "executor=slurm: there is no Slurm on this machine (no sbatch): run the command on a login node, "
            "or use executor=local, executor=dask, or shard=k/n with another scheduler"
        )
    if (own := private.of("")).exists():
        private.check(own)
    wanted = {
        "partition": settings.partition,
        "account": settings.account,
        "cpus-per-task": settings.cores,
        "mem": f"{round(settings.mem_gb * 1024)}M",
        "time": _minutes(settings),
    }
    flags = [f"--{name}={value}" for name, value in wanted.items() if value is not None]
    flags += [f"--{name}" if value is True else f"--{name}={value}" for name, value in settings.sbatch]
    done = squeue.ask("sbatch", "--test-only", *flags, "--wrap=true")
    if done is None:
        raise RequestError("executor=slurm: Slurm does not answer here; try again, or use executor=local")
    if done.returncode:
        raise RequestError(
            f"Slurm refuses the job: {_one_line(done.stderr)}; without Slurm: executor=local, executor=dask, "
            "or shard=k/n"
        )


def outcomes(work: Work, settings: Slurm, record: RunRecord) -> Iterator[Result]:
    """Submit what is not at work already, and follow it: the cells, as they are seen stored.

    Raises RequestError where Slurm refuses the job, or its nodes do not see the study, and Leave where the
    command does not wait, or what it waits for is lost.
    """
    study = work.study
    if refused := follow.refused(study):
        screen.say(f"an earlier command's {refused}")
    at_work = follow.running(study)
    for earlier in at_work:
        screen.say(f"job {earlier.id} of an earlier command is still working on this study")
    busy = {cell_id for ids in at_work.values() for cell_id in ids}
    fresh = work.cells.where(np.array([cell.id not in busy for cell in work.cells])) if busy else work.cells
    wait = sys.stderr.isatty() if settings.wait is None else settings.wait
    # Before anything is submitted: what an element stores at once is seen, where all is to be stored anew.
    watch = Watch(study, work.cells, work.options.overwrite) if wait else None
    jobs = [*at_work, *([_submit(fresh, work, settings, record)] if len(fresh) else [])]
    numbers = ",".join(job.id for job in jobs)
    record.log.info("Slurm jobs: %s", numbers)
    command = runs.command(study, record.name)
    hints = (
        f"follow: squeue -j {numbers}; progress: python -m sweep.status {study.path}; "
        f"cancel: scancel {numbers.replace(',', ' ')}; result: {command}"
    )
    if watch is None:
        raise Leave(hints, 0)
    return _follow(work, jobs, watch, hints, command)


def _follow(work: Work, jobs: Sequence[ArrayJob], watch: Watch, hints: str, command: str) -> Iterator[Result]:
    """The cells as they are seen stored; those that failed come last, with why."""
    cells, each = work.cells, sum(task.seconds for task in work.tasks) / len(work.cells)
    pending = np.zeros(len(cells), bool)
    try:
        for more in follow.follow(jobs, watch):
            pending |= more
            well = pending & ~watch.failed  # what failed may be stored well by an element that goes on later
            pending &= watch.failed
            if well.any():
                yield _outcome(cells.where(well), each, {})
    except (KeyboardInterrupt, interrupts.Terminated) as stopped:
        word, status = interrupts.ending(stopped)
        raise Leave(f"{word}: the job continues; {hints}", status) from stopped
    except ClusterError as lost:
        left = int((StoredIndex(work.study).of(cells) != Status.OK).sum())
        stored = f"{len(cells) - left} cells are stored, {left} are left"
        raise Leave(f"sweep: {lost}; {stored}; to finish: {command}", 1) from lost
    if pending.any():
        failed = cells.where(pending)
        why = dict(excerpts.failures(work.study, failed))
        yield _outcome(failed, each, {i: why[cell.id] for i, cell in enumerate(failed) if cell.id in why})


def _outcome(cells: Cells, each: float, errors: Mapping[int, Failure]) -> Result:
    count = len(cells)
    unknown = np.full(count, np.nan)
    return Result(cells.blocks, count * each, errors, np.zeros(count), {}, None, unknown, stored=True)


def _submit(cells: Cells, work: Work, settings: Slurm, record: RunRecord) -> ArrayJob:
    """Cut the cells into shares, submit them as one array, and say so; RequestError in Slurm's own words."""
    from submitit import SlurmExecutor  # noqa: PLC0415
    from submitit.core.utils import FailedJobError  # noqa: PLC0415

    count = elements(shards.seconds_of(cells), len(cells), settings, squeue.largest_array())
    parts = [part for part in shards.shares(cells, count) if len(part)]
    folder = Path(
        work.study.place.at(files.path(record.name, files.SLURM))
    ).absolute()  # for what others may know
    own = private.make(record.name)
    for number, part in enumerate(parts):
        element.save(folder, own, number, part)
    executor = SlurmExecutor(own, max_num_timeout=settings.requeues)
    optional = {"partition": settings.partition, "account": settings.account}
    executor.update_parameters(
        job_name=f"sweep-{work.study.name}",
        time=_minutes(settings),
        cpus_per_task=settings.cores,
        mem=f"{round(settings.mem_gb * 1024)}MB",
        array_parallelism=settings.array_parallelism or len(parts),
        setup=[marker.put(folder), private.line(own), *settings.setup, program.shell_check()],
        signal_delay_s=min(_NOTICE_SECONDS, settings.walltime // 4),
        additional_parameters=dict(settings.sbatch),
        srun_args=[f"--cpus-per-task={settings.cores}"],  # since Slurm 22.05 a step does not inherit it
        **{key: value for key, value in optional.items() if value is not None},
    )
    share = element.options_of_share(work.options, settings.cores, work.histogram, work.passes)
    try:
        submitted = executor.map_array(element.ShareRunner(folder, own, share), range(len(parts)))[0]
    except (FailedJobError, OSError) as error:
        raise RequestError(f"Slurm refuses the job: {_one_line(str(error))}") from error
    job = ArrayJob(submitted.job_id.split("_")[0], len(parts), folder)
    job.save()
    screen.say(
        f"job {job.id}: {job.count} {'element' if job.count == 1 else 'elements'} of {settings.cores} "
        f"{'core' if settings.cores == 1 else 'cores'} and at most {_minutes(settings)} min; "
        f"{len(cells):,} cells (logs: {job.own})"
    )
    return job


def elements(seconds: float, cells: int, settings: Slurm, limit: int | None) -> int:
    """How many elements: as many as may be, but none with less work than `min_seconds`.

    seconds: of one core; limit: the site's, of one array.
    """
    worth = int(seconds / settings.cores / settings.min_seconds) if settings.min_seconds else cells
    return max(1, min(settings.max_jobs, limit or settings.max_jobs, cells, worth))


def _minutes(settings: Slurm) -> int:
    return -(-settings.walltime // 60)


def _one_line(text: str) -> str:
    return " ".join(text.split())
