"""`executor=slurm`: what it can be told."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.base.process import machine
from sweep.execution.plan.compilers import Compiler, Nodes
from sweep.execution.workers.executor import Capacity, Remaining, Work
from sweep.experiment.outcomes.outcome import Result
from sweep.store.places import is_url

if TYPE_CHECKING:
    from sweep.execution.options import Options
    from sweep.store.records.runs import RunRecord

_SET_BY = {  # options of sbatch that are set by keys of their own
    "partition": "executor.partition", "account": "executor.account", "cpus-per-task": "executor.cores",
    "mem": "executor.mem_gb", "mem-per-cpu": "executor.mem_gb", "time": "executor.walltime",
    "array": "executor.max_jobs and executor.array_parallelism",
}  # fmt: skip
_OURS = {  # and those that an element of this program needs as they are
    "nodes", "ntasks", "ntasks-per-node", "job-name", "output", "error", "open-mode", "signal", "wrap",
    "requeue", "no-requeue", "chdir", "wait", "test-only", "parsable", "quiet", "input",
}  # fmt: skip
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Slurm:
    """What to ask Slurm for.

    walltime: seconds. sbatch: options that are handed on, name and value; True: without one. wait: None
    stands for 'where there is a terminal'.
    """

    partition: str | None
    account: str | None
    cores: int
    mem_gb: float
    walltime: int
    max_jobs: int
    array_parallelism: int | None
    min_seconds: float
    requeues: int
    setup: tuple[str, ...]
    sbatch: tuple[tuple[str, str | bool], ...]
    wait: bool | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Slurm":
        parallel, wait = values["array_parallelism"], values["wait"]
        return cls(
            partition=checks.optional_text("executor.partition", values["partition"]),
            account=checks.optional_text("executor.account", values["account"]),
            cores=checks.whole("executor.cores", values["cores"], 1),
            mem_gb=checks.real("executor.mem_gb", values["mem_gb"], 0.0, strictly=True),
            walltime=_seconds("executor.walltime", values["walltime"]),
            max_jobs=checks.whole("executor.max_jobs", values["max_jobs"], 1),
            array_parallelism=None
            if parallel is None
            else checks.whole("executor.array_parallelism", parallel, 1),
            min_seconds=checks.real("executor.min_seconds", values["min_seconds"], 0.0),
            requeues=checks.whole("executor.requeues", values["requeues"], 0),
            setup=_lines("executor.setup", values["setup"]),
            sbatch=_sbatch(values["sbatch"]),
            wait=None if wait is None else checks.flag("executor.wait", wait),
        )

    def capacity(self, options: "Options", needed: bool) -> Capacity:
        if is_url(options.root):
            raise RequestError(
                f"root={options.root}: executor=slurm keeps shares and logs beside the results: root must be "
                "a folder that the nodes share; shard=k/n needs none"
            )
        if needed and not options.dry_run:
            from sweep.execution.workers.slurm import array  # noqa: PLC0415  submitit is an extra

            array.check(self)
        held = int(self.mem_gb * 1e9)
        return Capacity(
            workers=self.cores * self.max_jobs,
            memory=held // 2 * self.max_jobs,
            here=False,
            most=held - machine.DRIVER_BYTES,
            refusal=f"executor.mem_gb={self.mem_gb:g}: {{}}; raise it, or ask for less",
        )

    def compiler(self) -> Compiler:
        return Nodes()

    def outcomes(self, work: Work, record: "RunRecord", remaining: Remaining) -> Iterator[Result]:
        from sweep.execution.workers.slurm import array  # noqa: PLC0415  submitit is an extra

        return array.outcomes(work, self, record)


def _seconds(name: str, value: object) -> int:
    """A time as Slurm writes it (minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM:SS), or like 90m, 2h, 1d."""
    text = "" if value is None or isinstance(value, bool) else str(value).strip()
    total = 0
    if found := re.fullmatch(r"(\d+)([smhd])", text):
        total = int(found[1]) * _UNITS[found[2]]
    elif re.fullmatch(r"\d+", text):
        total = int(text) * 60
    elif found := re.fullmatch(r"(\d+)-(\d+)(?::(\d+))?(?::(\d+))?", text):
        days, hours, minutes, rest = (int(part or 0) for part in found.groups())
        total = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    elif found := re.fullmatch(r"(?:(\d+):)?(\d+):(\d+)", text):
        hours, minutes, rest = (int(part or 0) for part in found.groups())
        total = (hours * 60 + minutes) * 60 + rest
    if total < 1:
        given = "null" if value is None else value
        raise RequestError(
            f"{name}={given}: give a time as Slurm writes it (minutes, HH:MM:SS, D-HH:MM:SS) "
            f"or with its unit, as in {name}=90m"
        )
    return total


def _lines(name: str, value: object) -> tuple[str, ...]:
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise RequestError(
            f"{name}={value}: {name} must be a list of shell lines, as in {name}='[module load python]'"
        )
    return tuple(lines)


def _sbatch(values: object) -> tuple[tuple[str, str | bool], ...]:
    """Options of sbatch by name, dashes for underscores; those that are false or null are left out."""
    options: dict[str, str | bool] = {}
    for key, value in checks.mapping("executor.sbatch", values).items():
        name, given = key.replace("_", "-"), f"executor.sbatch.{key}={checks.shown(value)}"
        if not re.fullmatch(r"[a-z][a-z0-9-]+", name):
            raise RequestError(
                f"{given}: give an option of sbatch by its long name, as in executor.sbatch.qos=long"
            )
        if name in _SET_BY:
            raise RequestError(f"{given}: set {_SET_BY[name]} instead")
        if name in _OURS:
            raise RequestError(f"{given}: this program sets --{name} itself: drop it")
        if not isinstance(value, str | int | float | None):
            raise RequestError(f"{given}: give a string, a number, or true for an option without a value")
        if isinstance(value, str) and (not value or not value.isprintable()):
            raise RequestError(f"{given}: give a string of one line")
        if value is not None and value is not False:
            options[name] = value is True or value == "true" or str(value)
    return tuple(options.items())
