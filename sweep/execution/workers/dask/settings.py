"""`executor=dask`: what it can be told."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.base.process import machine
from sweep.execution.plan.compilers import Compiler, Here
from sweep.execution.workers.executor import Capacity, Remaining, Work, this_machine
from sweep.experiment.outcomes.outcome import Result

if TYPE_CHECKING:
    from sweep.execution.options import Options
    from sweep.store.records.runs import RunRecord


@dataclass(frozen=True)
class Dask:
    """Where the scheduler is; a local cluster is started where neither address nor file is given.

    timeout: seconds to wait for a scheduler that does not answer, or for a worker when there is none.
    """

    address: str | None
    scheduler_file: str | None
    timeout: float

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Dask":
        address = checks.optional_text("executor.address", values["address"])
        file = checks.optional_text("executor.scheduler_file", values["scheduler_file"])
        if address and file:
            raise RequestError(
                "executor.address and executor.scheduler_file both name the scheduler: give only one of them"
            )
        if file and not Path(file).is_file():
            raise RequestError(
                f"executor.scheduler_file={file}: no such file; 'dask scheduler --scheduler-file' writes it"
            )
        if address and "@" in address:
            raise RequestError(
                "executor.address=…@…: an address must not hold a user or password, as it is recorded with "
                "the results: set up Dask's certificates in its own configuration"
            )
        if address and not re.fullmatch(r"[a-z]+://\S+", address):
            raise RequestError(
                f"executor.address={address}: give a scheduler's address, as in executor.address=tcp://host:8786"
            )
        timeout = checks.real("executor.timeout", values["timeout"], 0.0, strictly=True)
        if not (address or file or machine.may_start_processes()):
            raise RequestError(
                "executor=dask: a daemonic process may not start workers: give it the scheduler's "
                "executor.address, or use executor=local"
            )
        return cls(address, file, timeout)

    @property
    def local(self) -> bool:
        """Whether the cluster is one of this process."""
        return self.address is None and self.scheduler_file is None

    def capacity(self, options: "Options", needed: bool) -> Capacity:
        mine = this_machine(machine.workers(options.n_jobs))
        unknown = mine if self.local else Capacity(mine.workers, mine.memory, here=False)
        if not needed:
            return unknown
        from sweep.execution.workers.dask import futures  # noqa: PLC0415  distributed is an extra

        try:
            return futures.capacity(self) or unknown
        except RequestError:
            if options.dry_run:
                return unknown
            raise

    def compiler(self) -> Compiler:
        if self.local:
            return Here()
        from sweep.execution.workers.dask.loops import Cluster  # noqa: PLC0415  distributed is an extra

        return Cluster(self)

    def outcomes(self, work: Work, record: "RunRecord", remaining: Remaining) -> Iterator[Result]:
        from sweep.execution.workers.dask import futures  # noqa: PLC0415  distributed is an extra

        left = (task for task in map(remaining, work.tasks) if task is not None)
        # Workers may store themselves what goes into a folder that they see.
        folder, thresholds = work.study.place.folder, work.options.thresholds
        store = futures.WorkerStore.of(folder, record.name, thresholds) if folder else None
        return futures.run(left, self, work.capacity.workers, work.histogram, work.passes, store)
