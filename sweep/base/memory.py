"""How much memory there is: the machine's, and what the control groups of this process leave of it.

A group is bounded by its own limit and by that of every group above it (cgroups(7)); who exceeds one is
killed by the kernel, whatever else the machine has.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")
DRIVER_BYTES = 180_000_000
WORKER_BYTES = 90_000_000  # an idle worker
_LEAST_WORK = 30_000_000  # of a worker that is worth starting
_SHARE = 2  # stacks may hold one part in so many of all


@dataclass(frozen=True)
class _Files:
    """Where a version of the control groups says its limit, its use, and the part of it that can be freed."""

    limit: str
    usage: str
    freeable: str


_VERSIONS = {
    "cgroup2": _Files("memory.max", "memory.current", "inactive_file"),
    "cgroup": _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def limit(root: Path = ROOT) -> int:
    """Bytes of this machine's memory, or of what this process may use of it."""
    return min([_physical(root), *(most for most, _ in _groups(root))])


def available(root: Path = ROOT) -> int:
    """Bytes that this process, and those that it starts, may take now."""
    found = _meminfo(root)
    return min(
        [found.get("MemAvailable", _physical(root)), *(max(most - used, 0) for most, used in _groups(root))]
    )


def workers(wanted: int) -> int:
    """How many worker processes there is memory for, at least 1 and at most `wanted`."""
    return max(1, min(wanted, (available() - DRIVER_BYTES) // (WORKER_BYTES + _LEAST_WORK)))


def for_stacks(workers: int) -> int:
    """Bytes that the stacks of so many workers may hold together."""
    return max(0, min(limit() // _SHARE, available() - DRIVER_BYTES - workers * WORKER_BYTES))


def _physical(root: Path) -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, AttributeError):  # not POSIX
        return _meminfo(root).get("MemTotal", 1 << 33)


def _meminfo(root: Path) -> dict[str, int]:
    lines = re.findall(r"^(\w+): +(\d+) kB$", _text(root / "proc" / "meminfo"), re.MULTILINE)
    return {name: int(number) << 10 for name, number in lines}


def _groups(root: Path) -> Iterator[tuple[int, int]]:
    """The limit of every group above this process, and what of it cannot be freed."""
    for files, folder, path in _hierarchies(root):
        for own in (path, *path.parents):
            place = folder / own.relative_to("/")
            most = _text(place / files.limit).strip()
            if most.isdecimal():
                freeable = re.search(rf"^{files.freeable} (\d+)$", _text(place / "memory.stat"), re.MULTILINE)
                used = int(_text(place / files.usage) or 0) - int(freeable[1] if freeable else 0)
                yield int(most), max(used, 0)


def _hierarchies(root: Path) -> Iterator[tuple[_Files, Path, PurePosixPath]]:
    """Where the groups for memory are mounted, and this process's own below it."""
    own = dict(re.findall(r"^\d+:([^:]*):(/.*)$", _text(root / "proc/self/cgroup"), re.MULTILINE))
    for line in _text(root / "proc/self/mountinfo").splitlines():
        fields, _, source = line.partition(" - ")
        kind, *_, options = source.split(" ")
        if kind not in _VERSIONS or (kind == "cgroup" and "memory" not in options.split(",")):
            continue
        named = next((path for names, path in own.items() if _is_of(names, kind)), "/")
        top, mounted = fields.split(" ")[3:5]
        path = PurePosixPath(named)
        # In a container the mount may begin at the process's own group, or hide what lies above.
        path = PurePosixPath("/") / path.relative_to(top) if path.is_relative_to(top) else PurePosixPath("/")
        if ".." not in path.parts:
            yield _VERSIONS[kind], root / mounted.lstrip("/"), path


def _is_of(controllers: str, kind: str) -> bool:
    return controllers == "" if kind == "cgroup2" else "memory" in controllers.split(",")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
