"""This machine: which one it is, and the cores and the memory that it has for workers.

Both are what the control groups of this process leave of the machine's. A group is bounded by its own limit
and by that of every group above it (cgroups(7)); the kernel kills whatever exceeds one, however much the
machine has.
"""

import importlib.util
import multiprocessing
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from sweep.base.errors import RequestError

ROOT = Path("/")
DRIVER_BYTES = 180_000_000
_WORKER_BYTES = 90_000_000  # an idle worker
_LOOPS_BYTES = 130_000_000  # numba, and what it has compiled
_LEAST_WORK = 30_000_000  # bytes of work that make a worker worth starting
_SHARE = 2  # stacks may hold one part in so many of the memory


@dataclass(frozen=True)
class _Files:
    """Where one version of control groups tells its limit, its use and, in memory.stat, what can be freed."""

    limit: str
    usage: str
    freeable: str


_VERSIONS = {
    "cgroup2": _Files("memory.max", "memory.current", "inactive_file"),
    "cgroup": _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def identity() -> dict[str, str]:
    """The machine that a measured time is true for."""
    return {"host": platform.node(), "cores": str(os.cpu_count())}


def workers(n_jobs: int) -> int:
    """How many workers n_jobs stands for, counted as joblib does: -1 is every core that this process has."""
    return n_jobs if n_jobs > 0 else max(1, cores() + 1 + n_jobs)


def cores(root: Path = ROOT) -> int:
    """Cores of this process: as many as its affinity, its control groups and LOKY_MAX_CPU_COUNT leave it."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get("LOKY_MAX_CPU_COUNT") or there
    try:
        most = int(told)
    except ValueError:
        raise RequestError(
            f"LOKY_MAX_CPU_COUNT={told}: it must be a whole number of cores, or unset"
        ) from None
    return max(1, min(there, most, *_quotas(root)))


def crowding(workers: int) -> float:
    """How many times as long so many workers take because of what else runs now; 1 if all find a core.

    The load that counts is the last minute's, of the whole machine, and so are the cores.
    """
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # a system that does not say
        return 1.0
    return max(1.0, (load + workers) / (os.cpu_count() or 1))


def may_start_processes() -> bool:
    """Whether this process may start others; one of Celery's, or of multiprocessing.Pool, may not."""
    return not multiprocessing.current_process().daemon


@cache
def worker_bytes() -> int:
    """Bytes of a worker before its first task; where there is numba it may load it."""
    return _WORKER_BYTES + (_LOOPS_BYTES if importlib.util.find_spec("numba") else 0)


def workers_in_memory(workers: int) -> int:
    """How many of these workers there is memory for, at least 1."""
    return max(1, min(workers, (available_memory() - DRIVER_BYTES) // (worker_bytes() + _LEAST_WORK)))


def stack_memory(workers: int) -> int:
    """Bytes that the stacks of so many workers may hold together."""
    return max(0, min(memory() // _SHARE, available_memory() - DRIVER_BYTES - workers * worker_bytes()))


def memory(root: Path = ROOT) -> int:
    """Bytes of memory that this process may use, at most the machine's."""
    return min([_physical(root), *(limit for limit, _ in _groups(root))])


def available_memory(root: Path = ROOT) -> int:
    """Bytes that this process, and those that it starts, may take now."""
    left = [max(limit - used, 0) for limit, used in _groups(root)]
    return min([_meminfo(root).get("MemAvailable", _physical(root)), *left])


def _physical(root: Path) -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, AttributeError):  # not POSIX
        return _meminfo(root).get("MemTotal", 1 << 33)


def _meminfo(root: Path) -> dict[str, int]:
    lines = re.findall(r"^(\w+): +(\d+) kB$", _text(root / "proc" / "meminfo"), re.MULTILINE)
    return {name: int(number) << 10 for name, number in lines}


def _groups(root: Path) -> Iterator[tuple[int, int]]:
    """The limit of this process's group and of each above it, and what it uses that cannot be freed."""
    for kind, mount, path in _hierarchies(root, "memory"):
        files = _VERSIONS[kind]
        for group in (path, *path.parents):
            folder = mount / group.relative_to("/")
            limit = _text(folder / files.limit).strip()
            if limit.isdecimal():
                freeable = re.search(
                    rf"^{files.freeable} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE
                )
                used = int(_text(folder / files.usage) or 0) - int(freeable[1] if freeable else 0)
                yield int(limit), max(used, 0)


def _quotas(root: Path) -> Iterator[int]:
    """How many cores the processor time of this process's group, and of each above it, is; rounded up."""
    for kind, mount, path in _hierarchies(root, "cpu"):
        for group in (path, *path.parents):
            folder = mount / group.relative_to("/")
            if kind == "cgroup2":
                written = _text(folder / "cpu.max").split()
            else:
                written = [_text(folder / f"cpu.cfs_{word}_us").strip() for word in ("quota", "period")]
            if len(written) == 2 and all(number.isdecimal() and int(number) for number in written):
                yield -(-int(written[0]) // int(written[1]))


def _hierarchies(root: Path, controller: str) -> Iterator[tuple[str, Path, PurePosixPath]]:
    """Where the groups of a controller are mounted, and the path of this process's group below that."""
    groups = dict(re.findall(r"^\d+:([^:]*):(/.*)$", _text(root / "proc/self/cgroup"), re.MULTILINE))
    for line in _text(root / "proc/self/mountinfo").splitlines():
        fields, _, source = line.partition(" - ")
        kind, *_, options = source.split(" ")
        if kind not in _VERSIONS or (kind == "cgroup" and controller not in options.split(",")):
            continue
        own = (path for names, path in groups.items() if _is_of(names, kind, controller))
        path = PurePosixPath(next(own, "/"))
        top, mounted = fields.split(" ")[3:5]
        # In a container the mount may begin at the process's own group, or hide what lies above.
        path = PurePosixPath("/") / path.relative_to(top) if path.is_relative_to(top) else PurePosixPath("/")
        if ".." not in path.parts:
            yield kind, root / mounted.lstrip("/"), path


def _is_of(controllers: str, kind: str, controller: str) -> bool:
    return controllers == "" if kind == "cgroup2" else controller in controllers.split(",")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
