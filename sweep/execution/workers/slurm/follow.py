"""What becomes of submitted jobs: followed by what is stored, and by the queue, until nobody is at work.

A share is done when its cells are stored, and lost when its element is no longer in the queue. Every wait
has an end: of a job that the queue has forgotten, of elements that wait for somebody to act, of a Slurm
that does not answer.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.base.errors import ClusterError, RequestError
from sweep.execution.workers.slurm import element, marker, private, squeue
from sweep.store.index import Watch
from sweep.store.places.local import Local
from sweep.store.records import files, reading, runs
from sweep.store.study import Study

_JOB = "job.json"
_POLL_SECONDS = (1.0, 30.0)  # between two looks: short at first, and kind to the scheduler in a long run
_SLOWER = 1.1  # from one look to the next: a tenth of the time passed goes by unseen
_READING_SHARE = 0.05  # of the time at most goes into reading what is stored
_SILENCE_SECONDS = 600.0  # without any answer of Slurm and any new cell
_STUCK_SECONDS = 60.0  # without a new cell, where all elements wait for somebody to act
_LATE_SECONDS = 5.0  # for files of an ended element to be seen here
_BEGIN_SECONDS = 30.0  # for an element that runs to begin, where another one has not seen the folder
_WITHOUT_A_LOG = "Slurm has forgotten them, or the nodes cannot see {}"
_MOST_TOLD = 3  # jobs
_MOST_ELEMENTS = 1_000_000  # of an array, more than any Slurm takes


@dataclass(frozen=True)
class ArrayJob:
    """A submitted array. folder: in the study, where others see how far it is. count: of elements."""

    id: str
    count: int
    folder: Path

    def save(self) -> None:
        """Write the job down, for later commands to find."""
        text = json.dumps({"job": self.id, "count": self.count}) + "\n"
        for folder in (self.own, self.folder):
            Local(folder).write(_JOB, text.encode())

    @property
    def own(self) -> Path:
        """The folder of this user alone, with its shares, scripts and logs, if he submitted it."""
        return private.of(self.folder.parent.name)

    @property
    def ours(self) -> bool:
        """Whether this user submitted it: a study that names a job may be anybody's."""
        return (reading.mapping(Local(self.own), _JOB) or {}).get("job") == self.id

    @property
    def study(self) -> Path:
        """The study's folder."""
        return self.folder.parents[2]

    @property
    def begun(self) -> int:
        """How many of its elements could be seen to begin."""
        return sum(element.started(self.folder, number) for number in range(self.count))


def running(study: Study) -> dict[ArrayJob, set[str]]:
    """The jobs of earlier commands that are still at work on this study, and the ids of their cells."""
    found = {}
    for job in _submitted(study):
        with contextlib.suppress(OSError):
            known = squeue.elements(job.id) or {}
            if alive := [number for number in range(job.count) if number in known and known[number].alive]:
                found[job] = set().union(*(element.ids(job.folder, number) for number in alive))
    return found


def news(study: Study, left: bool) -> list[str]:
    """The newest jobs, a line each: those at work, and the last one that failed.

    left: whether cells are to be computed still; else what became of an ended job is of no interest.
    """
    lines = []
    submitted = list(_submitted(study))
    for job in submitted[-_MOST_TOLD:]:
        found = squeue.elements(job.id)
        if found is None:  # no Slurm here, or none that answers
            break
        if any(one.alive for one in found.values()):
            lines.append(f"job {job.id}: {squeue.summary(found)}; {job.begun} of {job.count} have begun")
        elif left and job is submitted[-1]:
            lines.append(_fate(job, found))
    return lines


def refused(study: Study) -> str | None:
    """What became of the newest job, in a line, where nodes could not begin."""
    job = next(iter(reversed(list(_submitted(study)))), None)
    found = (job and squeue.elements(job.id)) or {}
    return _fate(job, found) if job and marker.refusal(found.values(), job.study, job.own) else None


def _submitted(study: Study) -> Iterator[ArrayJob]:
    folder = study.place.folder  # an object store keeps no jobs
    for name in runs.names(study) if folder else ():
        path = f"{files.path(name, files.SLURM)}/{_JOB}"
        if (written := reading.mapping(study.place, path)) is None:
            continue
        job, count = written.get("job"), written.get("count")
        named = isinstance(job, str) and job.isdecimal()
        if named and isinstance(count, int) and 0 < count <= _MOST_ELEMENTS:
            yield ArrayJob(str(job), count, Path(study.place.at(path)).parent.absolute())
        else:
            reading.leave_out(study.place, path, "it does not name a job")


def follow(jobs: Sequence[ArrayJob], watch: Watch) -> Iterator[NDArray[np.bool_]]:
    """Wait until the jobs have stored the cells; yields which more are stored, (cells,), as it is seen.

    The wait ends when Slurm no longer has an element that could compute anything, or has not been heard of
    for long while nothing more was stored: then ClusterError says what became of the jobs.
    Raises RequestError where the nodes do not see the study, and cancels the jobs.
    """
    yield watch.stored  # an earlier command's job may have stored some meanwhile
    known: dict[str, dict[int, squeue.QueueEntry]] = {job.id: {} for job in jobs}
    heard = progressed = time.monotonic()
    refused_since: float | None = None
    pause, longest = _POLL_SECONDS
    while True:
        began = time.monotonic()
        stored = watch.look()
        yield stored
        if not watch.left:
            _clear(jobs, known)
            return
        if stored.any():
            progressed = time.monotonic()
        took = time.monotonic() - began
        answers = {job.id: squeue.elements(job.id) for job in jobs}
        _remember(known, answers)
        silent = None in answers.values()
        if stored.any() or not silent:
            heard = time.monotonic()
        elif time.monotonic() - heard > _SILENCE_SECONDS:
            raise ClusterError(f"Slurm has not answered for {_SILENCE_SECONDS / 60:.0f} minutes")
        if any(marker.refusal(known[job.id].values(), job.study, job.own) for job in jobs):
            refused_since = refused_since or time.monotonic()
            patient = time.monotonic() - refused_since < _BEGIN_SECONDS
            running = any(one.state == "RUNNING" for found in known.values() for one in found.values())
            if not any(job.begun for job in jobs) and not (running and patient):
                raise _refused(jobs, known)
        queued = [one for answer in answers.values() for one in (answer or {}).values()]
        # A slurmctld that lost its memory may take elements that still compute for failed ones.
        stuck = any(one.stuck for one in queued) and time.monotonic() - progressed < _STUCK_SECONDS
        if not silent and not stuck and not any(one.alive for one in queued):
            break
        time.sleep(max(pause, took / _READING_SHARE))
        pause = min(pause * _SLOWER, longest)
    late = time.monotonic() + _LATE_SECONDS
    while True:
        yield watch.look()
        if not watch.left:
            return
        if time.monotonic() > late:
            raise ClusterError(_lost(jobs, known))
        time.sleep(0.5)


def _remember(
    known: dict[str, dict[int, squeue.QueueEntry]],
    answers: Mapping[str, Mapping[int, squeue.QueueEntry] | None],
) -> None:
    """Keep what the queue says now; what it has forgotten has ended, however it ended."""
    for job, answer in answers.items():
        if answer is not None:
            ended = {number: one for number, one in known[job].items() if not one.alive}
            known[job] = ended | dict(answer)


def _clear(jobs: Sequence[ArrayJob], known: Mapping[str, Mapping[int, squeue.QueueEntry]]) -> None:
    """Take elements that wait, and would find nothing to do, out of the queue."""
    for job in jobs:
        if job.ours and any(one.state == "PENDING" for one in known[job.id].values()):
            squeue.ask("scancel", "--state=PENDING", job.id)


def _refused(jobs: Sequence[ArrayJob], known: Mapping[str, Mapping[int, squeue.QueueEntry]]) -> RequestError:
    """Cancel the jobs, of which no element could begin."""
    if ours := [job.id for job in jobs if job.ours]:
        squeue.ask("scancel", *ours)
    elements = [one for found in known.values() for one in found.values()]
    why = marker.refusal(elements, jobs[-1].study, jobs[-1].own)
    ends = [*(f"job {job} is cancelled" for job in ours), "nothing was computed"]
    return RequestError(f"{why}; {', '.join(ends)}")


def _lost(jobs: Sequence[ArrayJob], known: Mapping[str, Mapping[int, squeue.QueueEntry]]) -> str:
    fates = "; ".join(_fate(job, known[job.id]) for job in jobs)
    return f"{fates} (logs: {jobs[-1].own})"


def _fate(job: ArrayJob, found: Mapping[int, squeue.QueueEntry]) -> str:
    """What became of the elements of a job, and why, as far as can be said."""
    parts = [f"job {job.id}: {squeue.summary(found) or 'no longer in the queue'}"]
    if refusal := marker.refusal(found.values(), job.study, job.own):
        parts.append(refusal)
    elif not job.begun:
        why = "their logs say why" if any(job.own.glob("*_log.*")) else _WITHOUT_A_LOG.format(job.study)
        parts.append(f"none of its elements was seen to start: {why}")
    return "; ".join(parts)
