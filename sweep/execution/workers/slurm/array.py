"""Cells to a Slurm array: few large elements, each the local run of one share on its node.

submitit writes the script, submits it and puts an element whose time is up into the queue again. Its
own word on a job's state is not asked: it needs accounting, and without it a cancelled job is waited
for for ever (submitit 1.5.4).
"""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweep.base import interrupts
from sweep.base.errors import RequestError
from sweep.execution import screen
from sweep.execution.plan import shards
from sweep.execution.plan.tasks import Task
from sweep.execution.workers.registry import Slurm
from sweep.execution.workers.slurm import element, follow, marker, private, squeue
from sweep.execution.workers.slurm.follow import Job
from sweep.experiment.batches import Cells
from sweep.experiment.outcome import Failures
from sweep.store import excerpts, upkeep
from sweep.store.index import Status, StoredIndex
from sweep.store.records import files, runs
from sweep.store.study import Study

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
    done = squeue.ask("sbatch", "--test-only", *flags, "--wrap=true")
    if done is None:
        raise RequestError("executor=slurm: Slurm does not answer here; try again, or use executor=local")
    if done.returncode:
        raise RequestError(
            f"Slurm refuses the job: {_one_line(done.stderr)}; without Slurm: executor=local, executor=dask, "
            "or shard=k/n"
        )


def run(
    study: Study,
    cells: Cells,
    tasks: Sequence[Task],
    settings: Slurm,
    record: Mapping[str, str],
    local: Callable[..., int],
    options: Any,
    failures: Failures,
) -> int | None:
    """Submit what is not at work already, and follow it; the exit status, or None when all is stored.

    tasks: the cells as tasks. record: what is written down about the run, file name -> text. local,
    options: the local run of a share. failures: where failed cells go.
    Raises RequestError where Slurm refuses the job, or its nodes do not see the study.
    """
    at_work = follow.running(study)
    unseen = follow.unseen(study)
    made = runs.RunRecord(study, record)
    status: int | None = 1
    try:
        made.write_plan(tasks, {"planned": len(cells)})
        if unseen:
            screen.say(f"an earlier command's {unseen}")
        status = _run(study, cells, settings, made, record[files.COMMAND].strip(), local, options, at_work)
        if status is None:
            upkeep.tidy(study, runs.has_ended(study))
    except RequestError as error:
        made.log.info("%s", error)
        status = 2
        raise
    finally:
        made.close(status or 0)
    if status is None:
        for failure in excerpts.failures(study, cells):
            failures.add(failure)
    return status


def _run(
    study: Study,
    cells: Cells,
    settings: Slurm,
    made: runs.RunRecord,
    command: str,
    local: Callable[..., int],
    options: Any,
    at_work: Mapping[Job, set[str]],
) -> int | None:
    followed = list(at_work)
    busy = {cell_id for ids in at_work.values() for cell_id in ids}
    for earlier in followed:
        screen.say(f"job {earlier.id} of an earlier command is still at work on this study")
    fresh = cells.where(np.array([cell.id not in busy for cell in cells])) if busy else cells
    if len(fresh):
        folder = Path(study.place.at(files.path(made.name, files.SLURM))).absolute()
        job = submit(fresh, settings, folder, study.name, local, options)
        followed.append(job)
        screen.say(
            f"job {job.id}: {job.count} {'element' if job.count == 1 else 'elements'} of {settings.cores} "
            f"{'core' if settings.cores == 1 else 'cores'} and at most {_minutes(settings)} min; "
            f"{len(fresh):,} cells (logs: {job.own})"
        )
    numbers = ",".join(job.id for job in followed)
    made.log.info("Slurm jobs: %s", numbers)
    hints = (
        f"follow: squeue -j {numbers}; how far it is: python -m sweep.status {study.path}; "
        f"cancel: scancel {numbers.replace(',', ' ')}; result: {command}"
    )
    if not (sys.stderr.isatty() if settings.wait is None else settings.wait):
        screen.say(hints)
        return 0
    each = shards.seconds_of(cells) / len(cells)
    try:
        with screen.progress(len(cells), each * len(cells)) as progress:
            said = follow.follow(
                followed, study, cells, lambda more: progress.advance(more, more * each), options.overwrite
            )
    except (KeyboardInterrupt, interrupts.Terminated) as stopped:
        word, status = ("interrupted", 130) if isinstance(stopped, KeyboardInterrupt) else ("terminated", 143)
        screen.say(f"{word}: the job goes on; {hints}")
        return status
    if said is None:
        return None
    left = int((StoredIndex(study).of(cells) != Status.OK).sum())
    made.log.info("%s; %d cells are left", said, left)
    screen.say(f"sweep: {said}; {len(cells) - left} cells are stored, {left} are left; finish: {command}")
    return 1


def submit(
    cells: Cells, settings: Slurm, folder: Path, name: str, run: Callable[..., int], options: Any
) -> Job:
    """Cut the cells into shares and submit them as one array; RequestError in Slurm's own words.

    folder: in the study, for what others may know. run, options: the local run of a share, called as
    run(cells, options, record).
    """
    from submitit import SlurmExecutor  # noqa: PLC0415
    from submitit.core.utils import FailedJobError  # noqa: PLC0415

    count = elements(shards.seconds_of(cells), len(cells), settings, squeue.largest_array())
    parts = [part for part in shards.shares(cells, count) if len(part)]
    own = private.made(folder.parent.name)
    for number, part in enumerate(parts):
        element.save(folder, own, number, part)
    executor = SlurmExecutor(own, max_num_timeout=settings.requeues)
    optional = {"partition": settings.partition, "account": settings.account}
    executor.update_parameters(
        job_name=f"sweep-{name}",
        time=_minutes(settings),
        cpus_per_task=settings.cores,
        mem=f"{round(settings.mem_gb * 1024)}MB",
        array_parallelism=settings.array_parallelism or len(parts),
        setup=[marker.line(folder), private.line(own), *settings.setup],
        signal_delay_s=min(_NOTICE_SECONDS, settings.walltime // 4),
        srun_args=[f"--cpus-per-task={settings.cores}"],  # since Slurm 22.05 a step does not inherit it
        **{key: value for key, value in optional.items() if value is not None},
    )
    try:
        submitted = executor.map_array(element.Element(folder, own, run, options), range(len(parts)))[0]
    except (FailedJobError, OSError) as error:
        raise RequestError(f"Slurm refuses the job: {_one_line(str(error))}") from error
    job = Job(submitted.job_id.split("_")[0], len(parts), folder)
    job.written()
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
