"""The executors by name: a new one is a line here, a folder beside this file and a file in conf/executor/."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sweep.base import checks
from sweep.execution.workers.dask.settings import Dask
from sweep.execution.workers.executor import Executor
from sweep.execution.workers.local import Local, Serial
from sweep.execution.workers.slurm.settings import Slurm

EXECUTORS: Mapping[str, type[Executor]] = {"local": Local, "serial": Serial, "dask": Dask, "slurm": Slurm}


def executor_of(values: Mapping[str, Any]) -> Executor:
    """The executor that a config's `executor` describes; RequestError where it describes none."""
    name = checks.option("executor", values["name"], EXECUTORS)
    kind = EXECUTORS[name]
    checks.parameters("executor", name, values.keys() - {"name"}, [field.name for field in fields(kind)])
    return kind.of(values)
