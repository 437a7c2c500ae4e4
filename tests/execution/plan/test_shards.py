import hashlib
import random
import subprocess
import sys
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sweep
from sweep.base.errors import RequestError
from sweep.execution.plan import shards, tasks
from sweep.execution.plan.shards import Shard
from sweep.experiment.batches import Cells
from tests.make import cell, grid

SMALL = ("-m", "grid=smoke", "batch=20", "report=false")


def family(one):
    return one.scheme.base, one.width, one.seed


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_every_cell_is_in_one_share_whatever_the_order_of_the_cells(count, shuffler):
    cells = grid(widths=(8, 64), seeds=(0, 1, 2))
    parts = shards.shares(Cells.of(cells), count)
    assert len(parts) == count
    assert Counter(one for part in parts for one in part) == Counter(cells)
    shuffled = shuffler.sample(cells, len(cells))
    assert [set(part) for part in shards.shares(Cells.of(shuffled), count)] == [set(part) for part in parts]


def standard(seeds):
    inits = ("xavier", "kaiming", "small_normal", "big_normal")
    acts = [{"name": "tanh"}, {"name": "relu"}]
    many = {"inits": inits, "depths": (5, 10, 20, 50), "widths": (64, 128, 256, 512), "seeds": range(seeds)}
    return Cells.of(one for act in acts for one in grid(act=act, **many))


@pytest.mark.parametrize("count", [2, 8, 32])
def test_shares_cost_about_the_same_and_seldom_draw_the_same_weights_twice(count):
    cells = standard(seeds=16)
    parts = shards.shares(cells, count)
    costs = [shards.seconds_of(part) for part in parts]
    assert max(costs) <= 1.1 * sum(costs) / count
    assert sum(costs) <= 1.1 * shards.seconds_of(cells)


def test_cells_that_share_their_draws_stay_together_where_that_keeps_the_balance():
    parts = shards.shares(Cells.of(grid(inits=("xavier", "kaiming", "zeros"), seeds=range(20))), 4)
    homes = [{family(one) for one in part} for part in parts]
    assert all(not homes[a] & homes[b] for a in range(4) for b in range(a))


def test_one_long_chain_is_parted_where_there_is_nothing_else_to_part():
    chain = Cells.of(cell(depth=depth, width=64) for depth in range(1, 41))
    assert min(map(len, shards.shares(chain, 2))) >= 1


def test_more_shares_than_cells_leave_some_empty():
    sizes = sorted(map(len, shards.shares(Cells.of(grid(depths=(2,), widths=(8,), seeds=(0,))), 5)))
    assert sizes == [0, 0, 0, 1, 1]


def test_another_process_and_hash_seed_make_the_same_shares():
    code = (
        "from sweep.execution.plan.shards import shares; from tests.make import grid; import random;"
        "from sweep.experiment.batches import Cells;"
        "cells = grid(widths=(8, 64)); random.shuffle(cells);"
        "print([sorted(one.id for one in part) for part in shares(Cells.of(cells), 3)])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        ).stdout
        for seed in ("1", "2")
    }
    here = shards.shares(Cells.of(grid(widths=(8, 64))), 3)
    assert seen == {f"{[sorted(one.id for one in part) for part in here]}\n"}


def digest(parts):
    text = "|".join(",".join(sorted(one.id for one in part)) for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("seeds", "count", "pin"),
    [(4, 8, "2817f7f19778fc4a"), (40, 5, "a0351f518daa437f"), (1, 32, "cbb647556c07e171")],
)
def test_shares_stay_what_they_are_however_the_plan_is_tuned(monkeypatch, seeds, count, pin):
    """Half of an array may have run before an upgrade: the other half is to be the other cells."""
    monkeypatch.setattr(
        tasks, "_LIMITS", tasks.Limits(0.1, 100, 1, tasks.Rates(1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    )
    monkeypatch.setattr(tasks, "_TASK_ROWS", 100)
    assert digest(shards.shares(standard(seeds), count)) == pin


@pytest.mark.parametrize("value", ["0/4", "5/4", "a/b", "1", "1/0", "-1/4", "1/4/2", 3, True, "1.5/2"])
def test_what_names_no_share_is_refused(value):
    with pytest.raises(RequestError, match=r"shard must be k/n with 1 ≤ k ≤ n, as in shard=3/32"):
        Shard.of(value)


@pytest.mark.parametrize("count", ["30000000", "100001", "9" * 5000])
def test_shares_beyond_all_bounds_are_refused_before_any_is_found(count):
    with pytest.raises(RequestError, match=r"n ≤ 100,000|1 ≤ k ≤ n"):
        Shard.of(f"1/{count}")
    assert Shard.of("100000/100000").count == 100_000


def test_a_wrong_share_is_one_line_and_status_2(sweep_command, tmp_path):
    for given_ in ("shard=0/4", "shard=5/4", "shard=a/b", "shard=1/30000000"):
        done = sweep_command(*SMALL, given_)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert given_ in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_all_shares_together_are_the_whole_grid_and_each_resumes(sweep_command, tmp_path):
    numbers = [1, 2, 3]
    random.Random(0).shuffle(numbers)
    for number in numbers:
        done = sweep_command(*SMALL, f"shard={number}/3", "root=shared")
        assert done.returncode == 0, done.stderr
        assert f"share {number}/3" in done.stderr
    again = sweep_command(*SMALL, "shard=2/3", "root=shared")
    assert "all stored already: nothing to compute" in again.stderr
    assert sweep_command(*SMALL, "root=whole").returncode == 0

    def table(root):
        cells = sweep.load(tmp_path / root / "smoke").set_index("cell_id").sort_index()
        return cells.drop(columns=["seconds", "run_id"])

    pd.testing.assert_frame_equal(table("shared"), table("whole"), rtol=1e-5)
    everything = sweep_command(*SMALL, "root=shared")
    assert "32 cells, all stored already" in everything.stderr
