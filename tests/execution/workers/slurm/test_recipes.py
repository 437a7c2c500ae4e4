"""The recipes for other schedulers, run as far as they can be without one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import sweep
from sweep.execution.plan.shards import Shard
from tests.processes import ROOT, start

RECIPES = ROOT / "docs" / "cluster"
# The variable in which each scheduler tells a job its number.
INDEX = {
    "lsf.sh": "LSB_JOBINDEX",
    "pbs.sh": "PBS_ARRAY_INDEX",
    "sge.sh": "SGE_TASK_ID",
    "slurm.sh": "SLURM_ARRAY_TASK_ID",
}


@pytest.fixture
def commands_of(tmp_path):
    """What a script runs, with a `python` that only writes down how it is called."""
    for name, line in (("python", 'echo "$@"'), ("srun", '"${@:2}"')):
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{line}\n")
        path.chmod(0o755)

    def run(script, **environment):
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"} | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    return run


def test_every_recipe_is_in_the_table_and_tried_here():
    files = {path.name for path in RECIPES.iterdir()} - {"README.md"}
    assert files == {*INDEX, "kubernetes.yaml", "parallel.sh"}
    table = (RECIPES / "README.md").read_text(encoding="utf-8")
    assert all(f"({name})" in table for name in files)


@pytest.mark.parametrize("name", sorted(path.name for path in RECIPES.glob("*.sh")))
def test_a_script_is_bash(name):
    read = subprocess.run(["/bin/bash", "-n", RECIPES / name], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize(("name", "index"), INDEX.items())
def test_the_jobs_of_an_array_are_the_shares_of_the_grid(commands_of, name, index):
    script = (RECIPES / name).read_text(encoding="utf-8")
    (first, last) = re.search(r"(\d+)-(\d+)", script).groups()
    given = {"SLURM_CPUS_PER_TASK": "8", "PBS_O_WORKDIR": "/"}
    seen = set()
    for number in range(int(first), int(last) + 1):
        (line,) = commands_of(script, **{index: str(number)} | given)
        assert re.fullmatch(r"-m sweep -m grid=standard shard=(\S+) n_jobs=8", line)
        seen.add(Shard.of(re.search(r"shard=(\S+)", line)[1]))
    assert seen == {Shard(number, int(last)) for number in range(1, int(last) + 1)}


def test_the_pods_of_a_kubernetes_job_are_the_shares_of_the_grid(commands_of):
    job = yaml.safe_load((RECIPES / "kubernetes.yaml").read_text(encoding="utf-8"))
    assert (job["kind"], job["spec"]["completionMode"]) == ("Job", "Indexed")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    count = job["spec"]["completions"]
    seen = set()
    for number in range(count):
        (line,) = commands_of(container["args"][0], JOB_COMPLETION_INDEX=str(number))
        seen.add(Shard.of(re.search(r"shard=(\S+)", line)[1]))
    assert seen == {Shard(number, count) for number in range(1, count + 1)}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {re.search(r"root=(\S+)", line)[1]} == mounts


def test_gnu_parallel_computes_the_whole_grid(tmp_path):
    if not shutil.which("parallel"):
        pytest.skip("GNU parallel is not installed")
    script = (RECIPES / "parallel.sh").read_text(encoding="utf-8")
    small = (
        script.replace("grid=standard", "grid=smoke batch=20 depth=2")
        .replace("/8", "/2")
        .replace("seq 8", "seq 2")
    )
    here = Path(sys.executable).parent
    environment = {"PATH": f"{here}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = start(["/bin/bash", "-c", small], tmp_path, environment=environment).ended()
    assert done.returncode == 0, done.stderr
    assert len(sweep.load(tmp_path / "outputs" / "smoke")) == 16
