"""What every executor of the table keeps to. A new one needs a line in EXECUTORS, and one in `ready` here."""

import re

import pytest
import yaml

from sweep.execution.workers.registry import EXECUTORS, executor_of
from tests.execution.workers.conftest import Commands, assert_equal
from tests.processes import ROOT

GRID = ("-m", "grid=smoke", "depth=2", "width=8", "batch=20", "seed=range(0,4)", "report=false")
OWN = (
    "-m", "grid=smoke", "init=custom,xavier", "init.function=tests.users.wrong", "act=tanh", "depth=1",
    "width=8,13", "batch=20", "seed=0", "report=false",
)  # fmt: skip
SLURM = ("executor.cores=1", "executor.mem_gb=0.4", "executor.min_seconds=0", "executor.max_jobs=1")


def ready(name, fixture):
    """What an executor needs to be at work, and then how it is asked for: (environment, arguments)."""
    if name == "dask":
        cluster = fixture("dask")
        cluster.worker()
        return {}, [f"executor.address={cluster.address}"]
    if name == "slurm":
        return fixture("slurm").environment, [*SLURM, "executor.wait=true"]
    return {"local": ({}, ["n_jobs=2"]), "serial": ({}, [])}[name]


@pytest.fixture(params=EXECUTORS)
def executor(request, warm, tmp_path):
    """The command, asking this executor."""
    environment, arguments = ready(request.param, request.getfixturevalue)
    commands = Commands(tmp_path, environment, warm.begins)
    commands.asking = (f"executor={request.param}", *arguments)
    return commands


def test_the_same_cells_give_the_same_table_and_are_not_computed_twice(executor, computed_here):
    done = executor(*GRID, *executor.asking)
    assert done.returncode == 0, done.stderr
    assert_equal(executor, computed_here(*GRID))
    assert re.search(r"^16 cells in .*, 0 failed$", done.stderr, re.MULTILINE), done.stderr
    again = executor(*GRID, *executor.asking)
    assert again.returncode == 0, again.stderr
    assert "all stored already: nothing to compute" in again.stderr
    assert again.stdout == done.stdout


def test_a_cell_that_fails_is_a_row_and_its_neighbours_are_stored(executor):
    done = executor(*OWN, *executor.asking)
    assert done.returncode == 1, done.stderr
    assert re.search(r"1 failed: .*thirteen", done.stderr), done.stderr
    table = executor.table()
    assert table["status"].value_counts().to_dict() == {"ok": 3, "failed": 1}
    (failed,) = table[table["status"] == "failed"].itertuples()
    assert (failed.init, failed.width) == ("custom", 13)
    assert "thirteen" in failed.error


@pytest.mark.parametrize("name", EXECUTORS)
def test_an_unknown_setting_is_one_line_and_status_2_and_writes_nothing(commands, name):
    done = commands(*GRID, f"executor={name}", "executor.sped=3")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"executor '{name}' has no parameter 'sped'" in done.stderr
    assert list(commands.folder.iterdir()) == []


def test_every_conf_file_is_an_executor_of_the_table_and_names_all_of_its_settings():
    files = {path.stem: path for path in (ROOT / "conf" / "executor").glob("*.yaml")}
    assert files.keys() == EXECUTORS.keys()
    for name, path in files.items():
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert values["name"] == name
        made = executor_of(values)
        assert type(made) is EXECUTORS[name]
        assert vars(made).keys() == values.keys() - {"name"}
