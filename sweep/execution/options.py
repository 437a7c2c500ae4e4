"""How a run is to be done: everything of a request that changes no number."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.execution.plan.shards import Shard
from sweep.execution.workers.executor import Executor
from sweep.execution.workers.local import Local
from sweep.execution.workers.registry import executor_of
from sweep.experiment.outcomes.verdict import DEFAULT, Thresholds
from sweep.report import KINDS, PAGE
from sweep.store.places import check_kept, study_path

_SHELL = re.compile(r"""[*?\[\]{}$`"'\\;|&<>()!~#\x00-\x1f\x7f]""")


@dataclass(frozen=True)
class Options:
    """How to run; nothing here changes a number. Raises RequestError where a value breaks its rule."""

    study: str
    root: str = "outputs"
    executor: Executor = Local()  # noqa: RUF009  it never changes
    n_jobs: int = -1
    max_memory: int | None = None
    shard: Shard | None = None
    dry_run: bool = False
    retry_failed: bool = True
    overwrite: bool = False
    fail_fast: bool = False
    report: tuple[str, ...] = KINDS
    histogram: bool | None = None
    compiled: bool | None = None  # None: where it is worth it
    thresholds: Thresholds = DEFAULT
    show: bool = True  # the table at the end; a share on a cluster's node shows none

    @classmethod
    def of(cls, values: Mapping[str, Any], default_study: str) -> "Options":
        """The options among the values of a config."""
        study = default_study if values["study"] is None else values["study"]
        if isinstance(study, Mapping | list):
            raise RequestError(
                f"study={checks.shown(study)}: a study is a folder name under root, as in study=my_grid"
            )
        study = str(study)
        check_kept(study)
        folder = PurePath(study)
        elsewhere = folder.is_absolute() or ".." in folder.parts or "://" in study
        if not folder.parts or elsewhere or study.startswith("."):
            raise RequestError(f"study={study}: a study is a folder name under root, as in study=my_grid")
        if "=" in study:  # DuckDB, dask and others read a column from a folder of such a name
            raise RequestError(
                f"study={study}: Parquet readers take a folder 'name=value' for a column of the table: "
                f"use another name, as in study={study.replace('=', '-')}"
            )
        if study.startswith("-") or _SHELL.search(study):
            raise RequestError(f"study={study}: a shell would misread this name: use letters and digits")
        n_jobs = values["n_jobs"]
        if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
            raise RequestError(f"n_jobs={n_jobs}: give the number of workers, or -1 for one per core")
        histogram, compiled, most = values["histogram"], values.get("compiled"), values["max_memory"]
        return cls(
            study=study,
            root=_root(values["root"]),
            executor=executor_of(values["executor"]),
            n_jobs=n_jobs,
            max_memory=None if most is None else checks.memory("max_memory", most),
            shard=None if values["shard"] is None else Shard.of(values["shard"]),
            dry_run=checks.flag("dry_run", values["dry_run"]),
            retry_failed=checks.flag("retry_failed", values["retry_failed"]),
            overwrite=checks.flag("overwrite", values["overwrite"]),
            fail_fast=checks.flag("fail_fast", values["fail_fast"]),
            report=_report(values["report"]),
            histogram=None if histogram is None else checks.flag("histogram", histogram),
            compiled=None if compiled is None else checks.flag("compiled", compiled),
            thresholds=Thresholds.of(values["verdict"]),
        )

    @property
    def path(self) -> str | Path:
        """The study's folder, or its URL."""
        return study_path(self.root, self.study)


def _report(report: object) -> tuple[str, ...]:
    """The kinds of what is drawn: all of them, the figures or the page alone, or nothing."""
    kinds = {True: KINDS, False: (), PAGE: (PAGE,), "figures": tuple(kind for kind in KINDS if kind != PAGE)}
    if not isinstance(report, bool | str) or report not in kinds:
        raise RequestError(f"report={report}: report must be true, false, page or figures")
    return kinds[report]


def _root(root: object) -> str:
    if not isinstance(root, str) or not root:
        given = "null" if root is None else root
        raise RequestError(
            f"root={given}: root must be a folder or a URL, as in root=outputs, root=s3://bucket"
        )
    check_kept(root)
    return root
