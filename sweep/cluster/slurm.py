"""Cells to a Slurm array: few large elements, each the local run of one share on its node.

submitit writes the script, submits it and puts an element whose time is up into the queue again. Its
own word on a job's state is not asked: it needs accounting, and without it a cancelled job is waited
for for ever (submitit 1.5.4). A share is done when its cells are stored, and lost when its element is
no longer in the queue.
"""

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from sweep import interrupts, runs, shards, terminal
from sweep.blocks import Cells
from sweep.cluster import element, squeue
from sweep.cluster.settings import Slurm
from sweep.errors import Failure, Failures, RequestError
from sweep.store import Study
from sweep.stored import Status, Stored

_JOB = "job.json"
_POLL_SECONDS = (1.0, 30.0)  # between two looks: short at first, and kind to the scheduler in a long run
_READING_SHARE = 0.05  # of the time at most goes into reading what is stored
_SILENCE_SECONDS = 600.0  # without any answer of Slurm and any new cell
_STUCK_SECONDS = 60.0  # without a new cell, where all elements wait for somebody to act
_LATE_SECONDS = 5.0  # for files of an ended element to be seen here
_NOTICE_SECONDS = 90  # before the time limit: to store what is done


@dataclass(frozen=True)
class Job:
    """A submitted array. folder: where its shares, scripts and logs are. count: of elements."""

    id: str
    count: int
    folder: Path


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
    settings: Slurm,
    record: Mapping[str, str],
    local: Callable[..., int],
    options: Any,
    failures: Failures,
) -> int | None:
    """Submit what is not at work already, and follow it; the exit status, or None when all is stored.

    record: what is written down about the run, file name -> text. local, options: the local run of a
    share. failures: where failed cells go.
    """
    at_work = running(study)
    made = runs.Run(study, record)
    status: int | None = 1
    try:
        status = _run(study, cells, settings, made, record["command.txt"].strip(), local, options, at_work)
    finally:
        made.close(status or 0, status is None)
    if status is None:
        study.tidy(runs.dead(study))
        for failure in _failures(study, cells):
            failures.add(failure)
    return status


def _run(
    study: Study,
    cells: Cells,
    settings: Slurm,
    made: runs.Run,
    command: str,
    local: Callable[..., int],
    options: Any,
    at_work: Mapping[Job, set[str]],
) -> int | None:
    jobs = list(at_work)
    busy = {cell_id for ids in at_work.values() for cell_id in ids}
    for earlier in jobs:
        terminal.say(f"job {earlier.id} of an earlier command is still at work on this study")
    fresh = cells.where(np.array([cell.id not in busy for cell in cells]))
    if len(fresh):
        folder = study.path.absolute() / "runs" / made.name / "slurm"
        job = submit(fresh, settings, folder, study.path.name, local, options)
        jobs.append(job)
        terminal.say(
            f"job {job.id}: {job.count} {'element' if job.count == 1 else 'elements'} of {settings.cores} "
            f"{'core' if settings.cores == 1 else 'cores'} and at most {_minutes(settings)} min; "
            f"{len(fresh):,} cells (logs: {folder})"
        )
    numbers = ",".join(job.id for job in jobs)
    made.log.info("Slurm jobs: %s", numbers)
    hints = f"follow: squeue -j {numbers}; cancel: scancel {numbers.replace(',', ' ')}; result: {command}"
    if not (sys.stderr.isatty() if settings.wait is None else settings.wait):
        terminal.say(hints)
        return 0
    each = shards.seconds_of(cells) / len(cells)
    try:
        with terminal.progress(len(cells), each * len(cells)) as progress:
            said = follow(jobs, study, cells, lambda more: progress.advance(more, more * each))
    except (KeyboardInterrupt, interrupts.Terminated) as stopped:
        word, status = ("interrupted", 130) if isinstance(stopped, KeyboardInterrupt) else ("terminated", 143)
        terminal.say(f"{word}: the job goes on; {hints}")
        return status
    if said is None:
        return None
    left = int((Stored(study).of(cells) != Status.OK).sum())
    made.log.info("%s; %d cells are left", said, left)
    terminal.say(f"sweep: {said}; {len(cells) - left} cells are stored, {left} are left; finish: {command}")
    return 1


def _failures(study: Study, cells: Cells) -> Iterator[Failure]:
    rows = study.read("cells", ["cell_id", "status", "error", "error_type", "traceback"])
    wanted = {cell.id for cell in cells}
    for row in rows.filter(pc.equal(rows["status"], "failed")).to_pylist():
        if row["cell_id"] in wanted:
            message = row["error"].removeprefix(f"{row['error_type']}: ")
            yield Failure(row["error_type"], message, row["traceback"] or "")


def running(study: Study) -> dict[Job, set[str]]:
    """The jobs of earlier commands that are still at work on this study, and the ids of their cells."""
    found = {}
    for file in sorted((study.path / "runs").glob(f"*/slurm/{_JOB}")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            written = json.loads(file.read_text(encoding="utf-8"))
            job = Job(str(written["job"]), int(written["count"]), file.parent)
            alive = [number for number, one in (squeue.elements(job.id) or {}).items() if one.alive]
            if alive:
                found[job] = {cell.id for number in alive for cell in element.load(job.folder, number)}
    return found


def submit(
    cells: Cells, settings: Slurm, folder: Path, name: str, run: Callable[..., int], options: Any
) -> Job:
    """Cut the cells into shares and submit them as one array; RequestError in Slurm's own words.

    run, options: the local run of a share, called as run(cells, options, record).
    """
    from submitit import SlurmExecutor  # noqa: PLC0415
    from submitit.core.utils import FailedJobError  # noqa: PLC0415

    count = elements(shards.seconds_of(cells), len(cells), settings, squeue.largest_array())
    parts = [part for part in shards.shares(cells, count) if len(part)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts):
        element.save(folder, number, part)
    executor = SlurmExecutor(folder, max_num_timeout=settings.requeues)
    optional = {"partition": settings.partition, "account": settings.account}
    executor.update_parameters(
        job_name=f"sweep-{name}",
        time=_minutes(settings),
        cpus_per_task=settings.cores,
        mem=f"{round(settings.mem_gb * 1024)}MB",
        array_parallelism=settings.array_parallelism or len(parts),
        setup=list(settings.setup),
        signal_delay_s=min(_NOTICE_SECONDS, settings.walltime // 4),
        srun_args=[f"--cpus-per-task={settings.cores}"],  # since Slurm 22.05 a step does not inherit it
        **{key: value for key, value in optional.items() if value is not None},
    )
    try:
        submitted = executor.map_array(element.Element(folder, run, options), range(len(parts)))[0]
    except (FailedJobError, OSError) as error:
        raise RequestError(f"Slurm refuses the job: {_one_line(str(error))}") from error
    job = Job(submitted.job_id.split("_")[0], len(parts), folder)
    text = json.dumps({"job": job.id, "count": job.count})
    (folder / _JOB).write_text(text + "\n", encoding="utf-8")
    return job


def elements(seconds: float, cells: int, settings: Slurm, limit: int | None) -> int:
    """How many elements: as many as may be, but none with less work than `min_seconds`.

    seconds: of one core; limit: the site's, of one array.
    """
    worth = int(seconds / settings.cores / settings.min_seconds) if settings.min_seconds else cells
    return max(1, min(settings.max_jobs, limit or settings.max_jobs, cells, worth))


def follow(jobs: Sequence[Job], study: Study, cells: Cells, advance: Callable[[int], None]) -> str | None:
    """Wait until the jobs have stored the cells; None then, else what became of them, in a line.

    advance: told how many cells more are stored. The wait ends when Slurm no longer has an element
    that could compute anything, or has not been heard of for long while nothing more was stored.
    """
    before = _makers(study)
    wanted = {cell.id: before.get(cell.id) for cell in cells}
    known: dict[str, dict[int, squeue.Element]] = {job.id: {} for job in jobs}
    heard = progressed = time.monotonic()
    pause, longest = _POLL_SECONDS
    while True:
        began = time.monotonic()
        stored = _tick_off(study, wanted, advance)
        if not wanted:
            _clear(known)
            return None
        if stored:
            progressed = time.monotonic()
        took = time.monotonic() - began
        answers = {job.id: squeue.elements(job.id) for job in jobs}
        for job, answer in answers.items():
            if answer is not None:  # what the queue has forgotten has ended, however it ended
                ended = {number: one for number, one in known[job].items() if not one.alive}
                known[job] = ended | dict(answer)
        silent = None in answers.values()
        if stored or not silent:
            heard = time.monotonic()
        elif time.monotonic() - heard > _SILENCE_SECONDS:
            return f"Slurm has not answered for {_SILENCE_SECONDS / 60:.0f} minutes"
        queued = [one for answer in answers.values() for one in (answer or {}).values()]
        # A slurmctld that lost its memory may take elements that still compute for failed ones.
        stuck = any(one.stuck for one in queued) and time.monotonic() - progressed < _STUCK_SECONDS
        if not silent and not stuck and not any(one.alive for one in queued):
            break
        time.sleep(max(pause, took / _READING_SHARE))
        pause = min(pause * 1.3, longest)
    late = time.monotonic() + _LATE_SECONDS
    while _tick_off(study, wanted, advance) >= 0 and wanted:
        if time.monotonic() > late:
            return _lost(jobs, known)
        time.sleep(0.5)
    return None


def _clear(known: Mapping[str, Mapping[int, squeue.Element]]) -> None:
    """Take elements that wait, and would find nothing to do, out of the queue."""
    for job, found in known.items():
        if any(one.state == "PENDING" for one in found.values()):
            squeue.ask("scancel", "--state=PENDING", job)


def _makers(study: Study) -> dict[str, str]:
    """cell_id -> the run that stored it."""
    table = study.read("cells", ["cell_id", "run_id"])
    return dict(zip(table["cell_id"].to_pylist(), table["run_id"].to_pylist(), strict=True))


def _tick_off(study: Study, wanted: dict[str, str | None], advance: Callable[[int], None]) -> int:
    """Take out of `wanted` (cell_id -> the run that stored it before) what another run has stored."""
    makers = _makers(study)
    stored = [one for one, before in wanted.items() if makers.get(one, before) != before]
    for cell_id in stored:
        del wanted[cell_id]
    if stored:
        advance(len(stored))
    return len(stored)


def _lost(jobs: Sequence[Job], known: Mapping[str, Mapping[int, squeue.Element]]) -> str:
    parts = []
    for job in jobs:
        begun = sum(element.started(job.folder, number).exists() for number in range(job.count))
        ends = squeue.described(known[job.id]) or "no longer in the queue"
        parts.append(f"job {job.id}: {ends}")
        if not begun:
            parts.append(
                f"none of its elements could be seen to start: do the nodes see {job.folder}? "
                "Choose a root=… on a file system that they share"
            )
    return "; ".join(parts) + f" (logs: {jobs[-1].folder})"


def _minutes(settings: Slurm) -> int:
    return -(-settings.walltime // 60)


def _one_line(text: str) -> str:
    return " ".join(text.split())
