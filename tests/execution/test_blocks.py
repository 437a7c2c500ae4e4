"""Networks of blocks, from the command to what is stored, told and advised."""

import json

import pandas as pd
import pytest

import sweep
from sweep.execution.plan.tasks import chains_of
from sweep.experiment.batches import Cells
from sweep.store import tables, upkeep
from sweep.store.study import Study
from tests.make import cell, packed
from tests.studies import older, part, result_of, write

GRID = (
    "-m", "init=xavier", "act=tanh,relu", "depth=2,4", "width=20", "seed=0,1", "batch=30",
    "block=plain,residual,gpt2,bn", "block.alpha=1,depth**-0.5", "report=false",
)  # fmt: skip


def test_a_grid_of_blocks_is_planned_run_resumed_told_and_verified(sweep_command, tmp_path):
    # alpha is no parameter of plain and bn, whose cells are there once.
    count = 2 * 2 * 2 * (1 + 2 + 2 + 1)
    one = sweep_command(*GRID, "shard=2/3")
    assert one.returncode == 0, one.stderr
    done = sweep_command(*GRID[:-1])
    assert done.returncode == 0, done.stderr
    stored = sweep.load(tmp_path / "outputs" / "standard")
    assert (len(stored), set(stored["status"])) == (count, {"ok"})
    assert "all stored already: nothing to compute" in sweep_command(*GRID).stderr
    assert "residual(alpha=depth**-0.5)" in done.stdout
    told = sweep_command("outputs/standard", module="sweep.status")
    for line in ("block", "block.alpha", "pre_ln", "bn"):
        assert line in told.stdout
    verified = sweep_command("outputs/standard", "--cells", "60", module="sweep.verify")
    assert verified.returncode == 0, verified.stdout
    report = tmp_path / "outputs" / "standard" / "report"
    assert (report / "blocks.png").stat().st_size > 10_000
    assert "residual(alpha=depth**-0.5)" in (report / "index.html").read_text(encoding="utf-8")


def test_a_study_is_extended_by_blocks_and_every_row_then_has_the_column(tmp_path):
    plain = [cell(depth=2, width=12, batch=20, seed=seed) for seed in range(3)]
    study = Study(tmp_path / "study")
    study.create()
    write(study, "a", plain)
    older(study, part("a"), version=4)
    assert "block" not in pd.read_parquet(study.path / "cells").columns
    assert set(sweep.load(study.path)["block"]) == {"plain"}
    upkeep.modernise(study)
    write(study, "b", [cell(depth=2, width=12, batch=20, block={"name": "mlp"})])
    found = pd.read_parquet(study.path / "cells")
    assert found["block"].value_counts().to_dict() == {"plain": 3, "mlp": 1}
    assert set(found.loc[found["block"] == "plain", "block_params"]) == {"{}"}
    assert {one.id for one in plain} <= set(found["cell_id"])
    layers = pd.read_parquet(study.path / "layers")
    assert layers.loc[layers["cell_id"].isin([one.id for one in plain]), "grad_out_rms"].isna().all()


def test_cells_of_one_block_share_a_chain_down_to_the_greatest_depth_unless_it_depends_on_it():
    def chains(block):
        (task,) = packed([cell(depth=depth, width=8, batch=20, block=block) for depth in (2, 4)])
        return [len(one) for stack in task.stacks for one in chains_of(stack.block.specs)]

    assert chains({"name": "mlp"}) == [2]
    assert chains({"name": "mlp", "alpha": "depth**-0.5"}) == [1, 1]


def test_a_dry_run_counts_the_second_matrix():
    def flops(**block):
        (task,) = packed([cell(depth=4, width=64, batch=50, block=block)])
        return sum(stack.flops for stack in task.stacks)

    assert flops(name="mlp") == 2 * flops(name="residual") == 2 * flops(name="plain")
    assert flops(name="mlp", expand=3) == 3 * flops(name="mlp")


def test_what_is_stored_of_a_block_makes_the_same_cell_again(tmp_path):
    cells = [cell(depth=3, width=8, batch=20, block={"name": "pre_ln", "v_scale": "depth**-0.5"})]
    rows = tables.tables(result_of(cells), "run")[0].to_pylist()
    assert [row["cell_id"] for row in rows] == [one.id for one in Cells.of(cells)]
    assert json.loads(rows[0]["block_params"])["v_scale"] == "depth**-0.5"


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("block.alpha=-1", "block.alpha=-1: alpha must be a number of at least 0, or C*depth**P"),
        ("block=pre-ln", "unknown block 'pre-ln': did you mean 'pre_ln'?"),
        ("block.expand=0", "block.expand=0: block.expand must be a whole number, at least 1"),
        ("block.alpha=depth", "as in depth**-0.5"),
        ("block.alpha=depth**2000", "depth**2000 is beyond all numbers at depth 2"),
        ("block.alpha=1e300*depth**300", "1e300*depth**300 is beyond all numbers at depth 2"),
        ("widths=[8,8,4]", "layer 2 goes from 8 to 4 neurons, and block mlp adds the one to the other"),
    ],
)
def test_a_wrong_block_is_one_line_and_status_2_and_writes_nothing(sweep_command, tmp_path, typed, says):
    chosen = [] if typed.startswith("block=") else ["block=mlp"]
    done = (
        sweep_command(*chosen, typed, "depth=2", "width=8")
        if "widths" not in typed
        else sweep_command(*chosen, typed)
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []
