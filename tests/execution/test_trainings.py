"""Trained networks, from the command to what is stored, told, verified and refused."""

import gzip
import importlib.util
import json
import sys

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.base.errors import RequestError
from sweep.execution.plan.tasks import pack
from sweep.execution.workers import local
from sweep.execution.workers.compute import run_task
from sweep.experiment.batches import Block, Cells
from sweep.kernel.training.outcomes import OUTCOMES
from sweep.store import tables, upkeep
from sweep.store.records import plans
from sweep.store.study import Study
from tests import processes
from tests.make import cell, packed
from tests.studies import older, part, result_of, write

SGD = {"name": "sgd", "data": "mixture", "steps": 12, "batch": 32}
GRID = (
    "-m", "init=variance_scaling", "init.scale=0.5,2", "act=tanh,relu", "depth=2,4", "width=20", "seed=0,1",
    "batch=30", "block=plain,pre_ln", "train=none,sgd", "train.data=mixture", "train.steps=12",
    "train.lr=auto,0.05", "report=false",
)  # fmt: skip
COLUMNS = ["train_lr", *OUTCOMES, "learned"]


def of(**values):
    return cell(**{"depth": 3, "width": 16, "batch": 20, "train": SGD} | values)


def values_of(results):
    found = {}
    for result in results:
        for row in tables.tables(result, "")[0].to_pylist():
            found[row["cell_id"]] = {name: row[name] for name in (*COLUMNS, "status")}
    return found


def test_a_grid_of_them_is_planned_run_resumed_told_and_verified(sweep_command, tmp_path):
    count = 2 * 2 * 2 * 2 * 2 * (1 + 2)
    one = sweep_command(*GRID, "shard=2/3")
    assert one.returncode == 0, one.stderr
    done = sweep_command(*GRID[:-1])
    assert done.returncode == 0, done.stderr
    stored = sweep.load(tmp_path / "outputs" / "standard")
    assert (len(stored), set(stored["status"])) == (count, {"ok"})
    assert "all stored already: nothing to compute" in sweep_command(*GRID).stderr
    trained = stored["train"] == "sgd"
    assert stored.loc[~trained, COLUMNS].isna().all(axis=None)
    assert stored.loc[trained, ["train_lr", "train_loss", "learned"]].notna().all(axis=None)
    of_blocks = stored[trained & (stored["block"] == "pre_ln")]
    assert set(of_blocks["train_lr"]) == {0.01, 0.05}  # theory knows no step, and auto is the usual one
    assert (of_blocks["train_params"].map(lambda text: json.loads(text)["lr"]) == of_blocks["train_lr"]).all()
    told = sweep_command("outputs/standard", module="sweep.status")
    for line in ("train ", "train.lr", "sgd", "none"):
        assert line in told.stdout
    verified = sweep_command("outputs/standard", "--cells", "20", module="sweep.verify")
    assert verified.returncode == 0, verified.stdout
    report = tmp_path / "outputs" / "standard" / "report"
    assert (report / "trainability.png").stat().st_size > 10_000


def test_what_was_measured_is_as_if_nobody_had_trained():
    plain, trained = (result_of([of(train=train)]) for train in ({"name": "none"}, SGD))
    for name, values in plain.statistics.items():
        assert values.tolist() == pytest.approx(trained.statistics[name].tolist(), abs=0, nan_ok=True)


def test_one_job_and_two_jobs_and_any_split_have_the_same_bits():
    cells = Cells.of(
        of(init={"name": "variance_scaling", "scale": scale}, seed=seed, act={"name": act})
        for scale in (0.5, 1.5, 3.0)
        for seed in (0, 1, 2)
        for act in ("tanh", "gelu")
    )
    one = values_of(local.run(pack(cells, 1), 1, False))
    two = values_of(local.run(pack(cells, 2), 2, False))
    alone = values_of(run_task(task, False) for each in cells for task in packed([each]))
    assert one == two == alone
    assert {row["status"] for row in one.values()} == {"ok"}


def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_numbers(sweep_command, tmp_path):
    command = (
        "-m", "init=xavier", "act=tanh", "depth=6,8,10,12", "width=64", "seed=range(0,4)", "batch=50",
        "train=sgd", "train.data=mixture", "train.steps=60", "report=false", "n_jobs=1", "study=killed",
    )  # fmt: skip
    parts = tmp_path / "outputs" / "killed" / "cells"
    with processes.start([sys.executable, "-m", "sweep", *command], tmp_path) as process:
        process.until(lambda: any(parts.glob("[!.]*.parquet")), "its first part")
        process.kill()
    done = sweep_command(*command)
    assert done.returncode == 0, done.stderr
    again = sweep_command(*command[:-1], "study=whole")
    assert again.returncode == 0, again.stderr
    killed, whole = (
        sweep.load(tmp_path / "outputs" / name).set_index("cell_id").sort_index()
        for name in ("killed", "whole")
    )
    pd.testing.assert_frame_equal(killed[COLUMNS], whole[COLUMNS], check_exact=True)
    assert len(killed) == 16


def test_a_dry_run_counts_the_steps():
    def stack(train):
        (task,) = packed([of(width=64, train=train)])
        return task.stacks[0]

    plain, short, long = (stack(train) for train in ({"name": "none"}, SGD, SGD | {"steps": 1200}))
    assert plain.flops < short.flops < long.flops
    assert long.seconds > 20 * plain.seconds
    assert long.seconds < 110 * short.seconds
    # Three products a step for each weight, forward and back.
    weights = 3 * 64 * 64 + 640
    steps = (long.flops - short.flops) / (1200 - 12)
    assert steps == pytest.approx(6 * 32 * weights)
    assert long.bytes >= plain.bytes


def test_networks_of_one_shape_are_trained_in_one_stack_and_others_apart():
    cells = [
        of(init={"name": "variance_scaling", "scale": scale}, depth=depth)
        for scale in (1.0, 2.0)
        for depth in (2, 3)
    ]
    blocks = [stack.block for task in packed(cells) for stack in task.stacks]
    assert sorted(len(block) for block in blocks) == [2, 2]
    assert all(len({spec.depth for spec in block.specs}) == 1 for block in blocks)


def test_a_study_is_extended_by_trainings_and_every_row_then_has_the_column(tmp_path):
    plain = [cell(depth=2, width=12, batch=20, seed=seed) for seed in range(3)]
    study = Study(tmp_path / "study")
    study.create()
    write(study, "a", plain)
    older(study, part("a"), version=5)
    assert "train" not in pd.read_parquet(study.path / "cells").columns
    assert set(sweep.load(study.path)["train"]) == {"none"}
    upkeep.modernise(study)
    write(study, "b", [of()])
    found = pd.read_parquet(study.path / "cells")
    assert found["train"].value_counts().to_dict() == {"none": 3, "sgd": 1}
    assert set(found.loc[found["train"] == "none", "train_params"]) == {"{}"}
    assert {one.id for one in plain} <= set(found["cell_id"])
    assert found.loc[found["train"] == "none", COLUMNS].isna().all(axis=None)


def test_a_network_that_diverges_is_an_ok_row_with_the_verdict_of_its_start():
    result = result_of([of(init={"name": "normal", "std": 1e30}, act={"name": "relu"})])
    (row,) = tables.tables(result, "")[0].to_pylist()
    assert (row["status"], row["diverged_at"], row["learned"]) == ("ok", 1, False)
    assert row["train_loss"] == np.inf
    assert row["verdict"] == "exploding"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("train.lr=-1", "train.lr=-1: train.lr must be a finite number above 0, or auto"),
        ("train.lr=fast", "train.lr=fast: train.lr must be a finite number above 0, or auto"),
        ("train.data=mnist", "unknown train.data 'mnist': options: digits, mixture"),
        ("train.steps=0", "train.steps=0: train.steps must be a whole number, at least 1"),
        ("width=32", "train.data=digits: its inputs have 64 numbers, and the network's input only 32"),
        ("train.batch=2000", "train.batch=2000: a batch of digits has at most its 1,438 training inputs"),
        ("train.momentum=0.9", "train 'sgd' has no parameter 'momentum'"),
    ],
)
def test_a_wrong_training_is_one_line_and_status_2_and_writes_nothing(sweep_command, tmp_path, typed, says):
    done = sweep_command("train=sgd", typed, "depth=2")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_scikit_learn_digits_are_refused_with_the_extra_that_has_them(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "sklearn" else found(name, *more)
    )
    with pytest.raises(RequestError, match=r"pip install 'sweep\[train\]', or choose train.data=mixture"):
        of(width=64, train={"name": "sgd"})
    of(width=64)


def test_scikit_learn_is_imported_where_digits_are_learned_and_nowhere_else(tmp_path):
    pytest.importorskip("sklearn", reason="the train extra is not installed: pip install -e '.[train]'")
    ends = "print('sklearn' in sys.modules, 'sweep.kernel.training.descent' in sys.modules)"
    code = f"import sys; from sweep.__main__ import _main; _main(sys.argv[1:]); {ends}"
    common = ["depth=2", "width=64", "batch=9", "report=false", "n_jobs=1", "train.steps=2"]
    for more, imported in (
        (common[:-1], "False False"),
        ([*common, "train=sgd", "train.data=mixture"], "False True"),
        ([*common, "train=sgd"], "True True"),
    ):
        command = [sys.executable, "-c", code, *more, f"root={tmp_path}"]
        with processes.start(command, tmp_path) as process:
            done = process.ended()
        assert done.stdout.splitlines()[-1] == imported, done.stderr


def test_one_network_says_what_it_has_learned(sweep_command):
    done = sweep_command("train=sgd", "train.data=mixture", "depth=2", "width=32", "batch=50")
    assert done.returncode == 0, done.stderr
    assert "trained 300 steps of 128 inputs of the mixture, step 0.01:" in done.stdout


def test_python_takes_them_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = sweep.run(
        init="xavier", act="tanh", depth=2, width=16, seed=0, batch=20, study="mine", report=False,
        train="sgd", train_params={"data": "mixture", "steps": [2, 4]}, quiet=True,
    )  # fmt: skip
    assert sorted(found["train.steps"]) == [2, 4]
    assert found["train_epochs"].max() == pytest.approx(4 * 128 / 1600)


def test_a_plan_of_a_program_that_knew_no_trainings_is_read():
    specs = (cell(depth=2, width=12, batch=20).spec,)
    content = plans.pack([(Block(specs, (0, 1)), 1.0)])
    rows = [json.loads(line) for line in gzip.decompress(content).splitlines()]
    earlier = [{key: value for key, value in row.items() if not key.startswith("train")} for row in rows]
    packed_again = gzip.compress(b"".join(json.dumps(row).encode() + b"\n" for row in earlier))
    assert list(plans.read(packed_again)) == [(Block(specs, (0, 1)), 1.0)]


def without_slope(z):
    """A line that turns back so often that no difference quotient converges."""
    return np.where(np.sin(1e12 * z) > 0, z, -z)


def smooth(z):
    return z / (1 + np.abs(z))


def test_a_users_own_act_is_trained_and_one_without_a_slope_is_a_row_that_says_so():
    own = [
        of(act={"name": "custom", "function": f"{__name__}.{f.__name__}"}) for f in (smooth, without_slope)
    ]
    rows = [tables.tables(result_of([one]), "")[0].to_pylist()[0] for one in own]
    assert [row["status"] for row in rows] == ["ok", "failed"]
    assert rows[0]["train_loss"] is not None
    assert "it cannot be trained: the slope of" in rows[1]["error"]
    assert "give act.derivative" in rows[1]["error"]
