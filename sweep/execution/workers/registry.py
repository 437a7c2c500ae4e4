"""What `executor=dask` and `executor=slurm` can be told; every value against its rule."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sweep.base import checks
from sweep.base.errors import RequestError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Dask:
    """Where the scheduler is; a local cluster is started where neither address nor file is given.

    timeout: seconds to wait for a scheduler that does not answer, or for a worker when there is none.
    """

    address: str | None
    scheduler_file: str | None
    timeout: float

    @property
    def local(self) -> bool:
        """Whether the cluster is one of this process."""
        return self.address is None and self.scheduler_file is None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Dask":
        """The settings of a config's `executor`; RequestError where a value breaks its rule."""
        address = _text("executor.address", values["address"])
        file = _text("executor.scheduler_file", values["scheduler_file"])
        if address and file:
            raise RequestError(
                "executor.address and executor.scheduler_file name one scheduler: give one of them"
            )
        if file and not Path(file).is_file():
            raise RequestError(
                f"executor.scheduler_file={file}: no such file; 'dask scheduler --scheduler-file' writes it"
            )
        if address and not re.fullmatch(r"[a-z]+://\S+", address):
            raise RequestError(
                f"executor.address={address}: give a scheduler's address, as in executor.address=tcp://host:8786"
            )
        timeout = checks.real("executor.timeout", values["timeout"], 0.0, strictly=True)
        return cls(address, file, timeout)


@dataclass(frozen=True)
class Slurm:
    """What to ask Slurm for. walltime: seconds. wait: None stands for 'where there is a terminal'."""

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
    wait: bool | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Slurm":
        """The settings of a config's `executor`; RequestError where a value breaks its rule."""
        parallel, wait = values["array_parallelism"], values["wait"]
        return cls(
            partition=_text("executor.partition", values["partition"]),
            account=_text("executor.account", values["account"]),
            cores=checks.whole("executor.cores", values["cores"], 1),
            mem_gb=checks.real("executor.mem_gb", values["mem_gb"], 0.0, strictly=True),
            walltime=seconds("executor.walltime", values["walltime"]),
            max_jobs=checks.whole("executor.max_jobs", values["max_jobs"], 1),
            array_parallelism=None
            if parallel is None
            else checks.whole("executor.array_parallelism", parallel, 1),
            min_seconds=checks.real("executor.min_seconds", values["min_seconds"], 0.0),
            requeues=checks.whole("executor.requeues", values["requeues"], 0),
            setup=_lines("executor.setup", values["setup"]),
            wait=None if wait is None else checks.flag("executor.wait", wait),
        )


Settings = Dask | Slurm


def of(executor: str, values: Mapping[str, Any]) -> Settings | None:
    """The settings of an executor that has some, from its part of the config."""
    kinds: dict[str, type[Dask] | type[Slurm]] = {"dask": Dask, "slurm": Slurm}
    kind = kinds.get(executor)
    allowed = [field.name for field in fields(kind)] if kind else []
    checks.parameters("executor", executor, values.keys() - {"name"}, allowed)
    return kind.of(values) if kind else None


def seconds(name: str, value: object) -> int:
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


def _text(name: str, value: object) -> str | None:
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise RequestError(f"{name}={value}: {name} must be a text, or null")


def _lines(name: str, value: object) -> tuple[str, ...]:
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise RequestError(
            f"{name}={value}: {name} must be a list of shell lines, as in {name}='[module load python]'"
        )
    return tuple(lines)
