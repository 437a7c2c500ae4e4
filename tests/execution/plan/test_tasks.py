from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.execution.plan.tasks import chains_of, workers_within
from tests.make import cell, grid, packed


def test_schemes_of_one_distribution_and_all_depths_share_a_stack():
    cells = grid(inits=("xavier", "kaiming", "small_normal"), widths=(8,), seeds=(0,))
    (task,) = packed(cells, workers=1)
    (stack,) = task.stacks
    assert set(stack.block) == set(cells)
    assert stack.profile == (8,) * 6
    assert len(chains_of(stack.block.specs)) == 3


def test_what_draws_differently_shares_no_stack():
    apart = [cell(width=8), cell(width=9), cell(width=8, batch=50)]
    apart += [cell(width=8, dtype="float64"), cell(width=8, init={"name": "zeros"})]
    apart += [
        cell(width=8, init={"name": "variance_scaling", "distribution": "uniform"}),
        cell(widths=[8, 9]),
    ]
    stacks = [stack for task in packed(apart, 1) for stack in task.stacks]
    assert len(stacks) == len(apart)


def test_seeds_that_want_the_same_networks_cross_together():
    cells = grid(widths=(8,), seeds=range(10)) + grid(inits=("xavier",), widths=(8,), seeds=range(10, 13))
    stacks = [stack for task in packed(cells, workers=1) for stack in task.stacks]
    assert sorted(len(stack.block.seeds) for stack in stacks) == [3, 10]
    wide = [s for t in packed(grid(widths=(512,), seeds=range(10)), workers=1) for s in t.stacks]
    assert len(wide) > 1


def test_chains_that_a_law_makes_one_cost_as_one():
    def seconds(act):
        cells = grid(inits=("xavier", "kaiming", "normal"), widths=(256,), seeds=(0,), act={"name": act})
        return sum(task.seconds for task in packed(cells, 1))

    assert seconds("tanh") > 2 * seconds("relu")


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(10**5, 10**8))
def test_every_cell_is_in_exactly_one_task(workers, memory):
    cells = grid(widths=(8, 64), batch=100)
    tasks = packed(cells, workers, memory)
    assert Counter(c for task in tasks for c in task.cells) == Counter(cells)
    assert [task.number for task in tasks] == list(range(len(tasks)))


def test_a_users_own_scheme_shares_nothing_and_lsuv_shares_with_orthogonal():
    def inits(*choices):
        cells = [cell(init=choice, depth=2, width=8) for choice in choices]
        return len([stack for task in packed(cells, 1) for stack in task.stacks])

    own = {"name": "custom", "function": "tests.execution.plan.test_tasks.own_scheme"}
    assert inits(own, {"name": "xavier"}) == 2
    assert inits(own, own | {"kwargs": {"scale": 2.0}}) == 2
    assert inits({"name": "lsuv"}, {"name": "orthogonal"}, {"name": "torch/orthogonal"}) == 1
    assert inits({"name": "he_uniform"}, {"name": "torch/linear_default"}, {"name": "uniform"}) == 1


def own_scheme(rng, fan_in, fan_out, scale=1.0):
    return scale * rng.standard_normal((fan_in, fan_out))


def test_a_stack_too_large_for_the_memory_is_split_by_chains():
    cells = grid(
        inits=("xavier", "kaiming", "small_normal", "big_normal"), depths=(5,), widths=(64,), seeds=(0,)
    )
    (whole,) = packed(cells, 1, memory=10**9)[0].stacks
    parts = [s for task in packed(cells, 1, memory=whole.bytes // 2) for s in task.stacks]
    assert len(parts) > 1
    assert all(part.bytes < whole.bytes for part in parts)


def test_as_many_workers_as_the_largest_stacks_leave_memory_for():
    tasks = packed(grid(widths=(64,)), workers=4)
    largest = max(stack.bytes for task in tasks for stack in task.stacks)
    assert workers_within(3 * largest, tasks, 4) == 3
    assert workers_within(largest // 2, tasks, 4) == 1, "what cannot be split is computed all the same"
    assert workers_within(1, [], 4) == 1


def test_the_longest_tasks_come_first():
    tasks = packed(grid(depths=(5, 50), widths=(64, 512)), workers=2)
    assert len(tasks) > 1
    assert [t.seconds for t in tasks[:-1]] == sorted((t.seconds for t in tasks[:-1]), reverse=True)
