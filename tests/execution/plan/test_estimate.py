from dataclasses import replace

import pytest

from sweep.execution.plan import estimate
from sweep.execution.workers import calibration
from sweep.report.frames import text
from tests.make import cell, grid, packed


def test_the_estimate_grows_with_the_work_and_shrinks_with_the_workers():
    tasks = packed(grid(widths=(64, 512), depths=(5, 50)), workers=2)
    one, two = (estimate.expected(tasks, workers, False, 1.0) for workers in (1, 2))
    assert one.model_seconds == pytest.approx(sum(task.seconds for task in tasks))
    assert one.model_seconds / 2 <= two.model_seconds < one.model_seconds
    assert one.flops == two.flops == sum(stack.flops for task in tasks for stack in task.stacks)
    assert estimate.expected(tasks, 1, False, 3.0).seconds > 2 * one.seconds
    assert estimate.expected(tasks, 1, True, 1.0).bytes > one.bytes
    assert estimate.expected([], 2, False, 1.0).seconds == 0


def test_products_are_counted_as_forward_and_two_backward():
    (task,) = packed([cell(depth=3, width=10, batch=7)], 1)
    assert estimate.expected([task], 1, False, 1.0).flops == 3 * (2 + 4) * 7 * 10 * 10


def test_a_calibration_runs_work_like_the_plans_and_no_users_function():
    own = {"name": "custom", "function": "tests.execution.plan.test_estimate.never"}
    cells = grid(widths=(8, 300), depths=(2, 20))
    cells += [cell(init=own, act={"name": "custom", "function": "numpy.arctan"}, depth=2, width=8, batch=50)]
    tasks = packed(cells, 1)
    sample = calibration._sample(tasks, 0.05)
    assert 0 < sum(task.seconds for task in sample) < 0.2
    assert {one.width for task in sample for one in task.cells} <= {8, 300}
    assert calibration.calibrate(tasks, 1) > 0  # by how much, the machine and its load decide


def never(rng, fan_in, fan_out):
    raise AssertionError("a dry run must not run this")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "less than a second"), (31.4, "about 31 s"), (600, "about 10 min"), (36_000, "about 10.0 h")],
)
def test_times_are_said_as_people_say_them(seconds, words):
    assert text.duration(seconds) == words


def test_large_numbers_are_said_in_thousands():
    assert [text.si(x) for x in (0, 999, 1234, 6.1e12)] == ["0 ", "999 ", "1.2 k", "6.1 T"]
    nothing = replace(estimate.expected([], 1, False, 1.0), tasks=1)
    assert str(nothing).startswith("1 task, less than a second")
