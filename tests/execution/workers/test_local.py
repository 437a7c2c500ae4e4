import os
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

from sweep import kernel
from sweep.base.process import machine
from sweep.execution.plan import estimate, tasks
from sweep.execution.workers import local
from tests.make import cell, grid, packed


def computed(tasks, workers=1):
    """cell -> statistics by name."""
    found = {}
    for result in local.run(tasks, workers, histogram=False):
        start = 0
        assert not result.errors
        for one in result.cells:
            rows = slice(start, start + one.depth + 1)
            found[one] = {name: values[rows] for name, values in result.statistics.items()}
            start += one.depth + 1
    return found


def assert_equal(one, other, rtol=0.0):
    assert one.keys() == other.keys()
    for key, statistics in one.items():
        for name, values in statistics.items():
            # mean and the correlations are near 0: they are compared on the scale of rms, of 1.
            np.testing.assert_allclose(values, other[key][name], rtol=rtol, atol=100 * rtol, err_msg=name)


CELLS = grid(widths=(16, 40), batch=80) + grid(inits=("zeros",), batch=80)


def test_one_worker_and_two_give_the_same_bits(monkeypatch):
    monkeypatch.setattr(estimate, "_WORTH_WORKERS", 0.0)  # start workers however short the work
    monkeypatch.setattr(tasks, "_TASK_SECONDS", (0.0, 0.0))  # a task for every stack
    some = packed(CELLS, workers=2)
    assert len(some) > 2
    assert_equal(computed(some, 1), computed(some, 2))
    assert_equal(computed(some, 1), computed(some[::-1], 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_grouping_and_order_do_not_matter(dtype):
    cells = grid(widths=(16, 40), batch=80, dtype=dtype)
    together = computed(packed(cells, workers=1))
    shuffled = computed(packed(cells[::-1], workers=3))
    alone = {}
    for one in cells:
        alone |= computed(packed([one], workers=1))
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert_equal(together, shuffled, tolerance)
    assert_equal(together, alone, tolerance)


def test_a_cell_that_fails_is_a_row_and_the_others_are_computed(monkeypatch):
    cells = grid(widths=(8,), seeds=(0,), batch=20)
    propagate = kernel.propagate

    def failing(chains, *arguments, **named):
        if any(chain.depth == 5 and chain.scheme == cells[-1].scheme for chain in chains):
            raise MemoryError("no room")
        return propagate(chains, *arguments, **named)

    monkeypatch.setattr(kernel, "propagate", failing)
    (result,) = local.run(packed(cells, 1), 1, histogram=True)
    errors = {c: str(result.errors.get(place)) for place, c in enumerate(result.cells)}
    assert errors == {c: "MemoryError: no room" if c == cells[-1] else "None" for c in cells}
    rows = sum(c.depth + 1 for c in cells[:-1])
    assert all(len(values) == rows for values in result.statistics.values())
    assert result.histogram.shape == (rows, 30)


def test_backward_false_leaves_the_gradients_undefined():
    with_gradients, without = cell(depth=3, width=8), cell(depth=3, width=8, backward=False)
    found = computed(packed([with_gradients, without], 1))
    assert np.isnan(found[without]["delta_std"]).all()
    assert np.isfinite(found[with_gradients]["delta_std"]).all()
    np.testing.assert_array_equal(found[with_gradients]["std"], found[without]["std"])


def whereabouts(rng, fan_in, fan_out, path):
    """A user's scheme that notes which process draws it, and with how many BLAS threads."""
    threads = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()} {max(threads)}\n")
    return rng.standard_normal((fan_in, fan_out))


def test_two_workers_are_two_other_processes_of_one_thread_each(monkeypatch, tmp_path):
    monkeypatch.setattr(estimate, "_WORTH_WORKERS", 0.0)
    monkeypatch.setattr(tasks, "_TASK_SECONDS", (0.0, 0.0))
    init = {
        "name": "custom",
        "function": "tests.execution.workers.test_local.whereabouts",
        "kwargs": {"path": str(tmp_path / "p")},
    }
    cells = [cell(init=init, depth=3, width=300, batch=500, seed=seed) for seed in range(12)]
    assert len(computed(packed(cells, 2), 2)) == 12
    seen = [line.split() for line in (tmp_path / "p").read_text().splitlines()]
    processes = {int(pid) for pid, _ in seen}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert {threads for _, threads in seen} == {"1"}


def test_workers_are_counted_as_joblib_counts_them():
    assert machine.workers(3) == 3
    assert machine.workers(-1) >= 1
    assert machine.workers(-1000) == 1
