"""How much memory there is under the limits of control groups of both versions, in files and for real."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import joblib
import pytest

from sweep.base.errors import RequestError
from sweep.base.process import machine
from tests.processes import ROOT

MEMINFO = "MemTotal:       20000000 kB\nMemFree:         1000000 kB\nMemAvailable:   10000000 kB\n"
MOUNT = "31 23 0:28 {top} {at} rw,relatime - {kind} {kind} rw{options}\n"
BATCH = "/jobs/batch"


@pytest.fixture
def host(tmp_path):
    """Make a machine's files: where groups are mounted, which one this process is in, and their numbers."""

    def make(kind, own, groups, top="/", at="/sys/fs/cgroup", options=""):
        (tmp_path / "proc" / "self").mkdir(parents=True)
        (tmp_path / "proc" / "meminfo").write_text(MEMINFO)
        mounts = MOUNT.format(top="/", at="/proc", kind="proc", options="")
        mounts += MOUNT.format(top=top, at=at, kind=kind, options=options)
        (tmp_path / "proc" / "self" / "mountinfo").write_text(mounts)
        named = f"0::{own}\n" if kind == "cgroup2" else f"5:cpu:/elsewhere\n4:memory:{own}\n0::/\n"
        (tmp_path / "proc" / "self" / "cgroup").write_text(named)
        for group, files in groups.items():
            folder = tmp_path / at.strip("/") / group.strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (folder / name).write_text(f"{text}\n")
        return tmp_path

    return make


def second(most, used=0, freeable=0):
    return {"memory.max": most, "memory.current": used, "memory.stat": f"anon 1\ninactive_file {freeable}"}


def first(most, used=0, freeable=0):
    return {
        "memory.limit_in_bytes": most,
        "memory.usage_in_bytes": used,
        "memory.stat": f"inactive_file 7\ntotal_inactive_file {freeable}",
    }


def test_without_a_group_the_machine_itself_is_the_limit(host):
    root = host("cgroup2", "/", {"/": {}})
    assert machine.memory(root) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert machine.available_memory(root) == 10_000_000 << 10
    assert machine.available_memory() <= machine.memory()
    assert machine.memory() > 10**8


@pytest.mark.parametrize("numbers", [second, first])
def test_the_own_group_and_all_above_it_bound_what_is_left(host, numbers):
    kind, options = ("cgroup2", "") if numbers is second else ("cgroup", ",memory")
    unlimited = numbers("max" if numbers is second else 9223372036854771712)
    groups = {"/": unlimited, "/jobs": numbers(900_000_000, 700_000_000, 300_000_000)}
    root = host(kind, BATCH, groups | {BATCH: numbers(800_000_000, 100_000_000)}, options=options)
    assert machine.memory(root) == 800_000_000
    assert machine.available_memory(root) == 500_000_000, "of the group above, less what it can free"


@pytest.mark.parametrize("top", [BATCH, "/"])
def test_a_container_sees_its_own_group_at_the_mount(host, top):
    own = BATCH if top == BATCH else "/"
    root = host("cgroup2", own, {"/": second(600_000_000, 200_000_000)}, top=top)
    assert (machine.memory(root), machine.available_memory(root)) == (600_000_000, 400_000_000)


def test_a_group_above_what_is_mounted_is_not_looked_for(host):
    root = host("cgroup2", "/../../other", {"/": second(600_000_000)})
    assert machine.available_memory(root) == 10_000_000 << 10


def test_a_machine_that_says_nothing_of_groups_has_its_memory(tmp_path):
    assert machine.memory(tmp_path) == machine.available_memory(tmp_path) > 10**8


def test_workers_and_stacks_share_what_is_left(monkeypatch):
    monkeypatch.setattr(machine, "memory", lambda: 500_000_000)
    monkeypatch.setattr(machine, "available_memory", lambda: 450_000_000)
    monkeypatch.setattr(machine, "worker_bytes", lambda: 90_000_000)
    assert machine.workers_in_memory(16) == 2
    assert machine.stack_memory(2) == 90_000_000
    monkeypatch.setattr(machine, "available_memory", lambda: 10_000_000)
    assert (machine.workers_in_memory(16), machine.stack_memory(1)) == (1, 0)


def test_a_worker_is_larger_where_there_is_numba_to_load(monkeypatch):
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)
    machine.worker_bytes.cache_clear()
    without = machine.worker_bytes()
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: name)
    machine.worker_bytes.cache_clear()
    assert machine.worker_bytes() > without
    machine.worker_bytes.cache_clear()


@pytest.mark.parametrize(
    ("kind", "files", "cores"),
    [
        ("cgroup2", {BATCH: {"cpu.max": "150000 100000"}}, 2),
        ("cgroup2", {BATCH: {"cpu.max": "max 100000"}, "/jobs": {"cpu.max": "300000 100000"}}, 3),
        ("cgroup2", {BATCH: {"cpu.max": "max 100000"}, "/": {}}, 64),
        ("cgroup2", {BATCH: {"cpu.max": "1000 100000"}}, 1),
        ("cgroup", {"/elsewhere": {"cpu.cfs_quota_us": "200000", "cpu.cfs_period_us": "100000"}}, 2),
        ("cgroup", {"/elsewhere": {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}}, 64),
    ],
)
def test_a_quota_of_processor_time_is_so_many_cores(host, monkeypatch, kind, files, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    assert (
        machine.cores(host(kind, BATCH, files, options=",cpu,cpuacct" if kind == "cgroup" else "")) == cores
    )


@pytest.mark.parametrize("most", ["1", "2", "1000", None])
def test_workers_are_counted_as_joblib_counts_them(monkeypatch, most):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", most) if most else monkeypatch.delenv(
        "LOKY_MAX_CPU_COUNT", False
    )
    assert machine.cores() == joblib.cpu_count()
    for n_jobs in (-1, -2, 1, 7):
        assert machine.workers(n_jobs) == joblib.effective_n_jobs(n_jobs)


def test_a_limit_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "all")
    with pytest.raises(RequestError, match="LOKY_MAX_CPU_COUNT=all: it must be a whole number of cores"):
        machine.workers(-1)


@pytest.fixture
def group():
    """A control group of 500 MB below this process's own; the line of shell that enters it."""
    for kind, folder, path in machine._hierarchies(Path("/"), "memory"):
        files = machine._VERSIONS[kind]
        own = folder / path.relative_to("/") / f"sweep-{uuid.uuid4().hex[:8]}"
        try:
            own.mkdir()
        except OSError:
            continue
        try:
            if (own / files.limit).exists():  # else its parent does not hand the controller on
                (own / files.limit).write_text("500000000")
                yield f"echo $$ > {own}/cgroup.procs && exec"
                return
        finally:
            own.rmdir()
    pytest.skip("no control group can be made here")


def test_a_run_stays_within_the_limit_of_its_own_group(group, tmp_path):
    grid = "grid=smoke init=xavier,kaiming act=tanh depth=8 width=700 batch=1000 seed=0,1,2,3"
    command = f"{group} {sys.executable} -m sweep -m {grid} n_jobs=8 report=false"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "8 cells" in done.stderr
    assert "0 failed" in done.stderr
    refused = subprocess.run(
        ["sh", "-c", command.replace("width=700", "width=8000") + " study=large"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2, refused.stderr
    assert "width=8000 batch=1000 needs" in refused.stderr
    assert not (tmp_path / "outputs" / "large").exists()


@pytest.mark.parametrize(
    ("load", "workers", "crowding"),
    [(0.0, 4, 1.0), (2.0, 2, 1.0), (0.0, 8, 2.0), (6.0, 2, 2.0), (None, 9, 1.0)],
)
def test_a_machine_is_crowded_where_load_and_workers_exceed_its_cores(monkeypatch, load, workers, crowding):
    def average():
        if load is None:
            raise OSError  # a system that does not say
        return load, 100.0, 100.0

    monkeypatch.setattr(os, "getloadavg", average)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert machine.crowding(workers) == crowding
