import math
from dataclasses import replace

import numpy as np
import pytest

from sweep.execution.plan import estimate, factor
from sweep.execution.workers import calibration
from sweep.report.frames import text
from tests.make import cell, grid, packed

AS_PLANNED = factor.Factor(1.0, 1.0, 1.0)
THREE = 4 ** (1 / 3) ** 0.5  # of three that agree: (ln 2)² (1 + 1/3) / 4


def test_the_estimate_grows_with_the_work_and_shrinks_with_the_workers():
    tasks = packed(grid(widths=(64, 512), depths=(5, 50)), workers=2)
    one, two = (estimate.expected(tasks, workers, False, AS_PLANNED) for workers in (1, 2))
    assert one.model_seconds == pytest.approx(sum(task.seconds for task in tasks))
    assert one.model_seconds / 2 <= two.model_seconds < one.model_seconds
    assert one.flops == two.flops == sum(stack.flops for task in tasks for stack in task.stacks)
    assert estimate.expected(tasks, 1, False, replace(AS_PLANNED, middle=3.0)).seconds > 2 * one.seconds
    assert estimate.expected(tasks, 1, True, AS_PLANNED).bytes > one.bytes
    assert estimate.expected([], 2, False, AS_PLANNED).seconds == 0


def test_products_are_counted_as_forward_and_two_backward():
    (task,) = packed([cell(depth=3, width=10, batch=7)], 1)
    assert estimate.expected([task], 1, False, AS_PLANNED).flops == 3 * (2 + 4) * 7 * 10 * 10


def test_a_calibration_runs_work_like_the_plans_and_no_users_function():
    own = {"name": "custom", "function": "tests.execution.plan.test_estimate.never"}
    cells = grid(widths=(8, 300), depths=(2, 20))
    cells += [cell(init=own, act={"name": "custom", "function": "numpy.arctan"}, depth=2, width=8, batch=50)]
    tasks = packed(cells, 1)
    sample = calibration._sample(tasks, 0.05)
    assert 0 < sum(task.seconds for task in sample) < 0.2
    assert {one.width for task in sample for one in task.cells} <= {8, 300}
    assert calibration.calibrate(tasks, 1).middle > 0  # by how much, the machine and its load decide


def never(rng, fan_in, fan_out):
    raise AssertionError("a dry run must not run this")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "less than a second"), (31.4, "about 31 s"), (600, "about 10 min"), (36_000, "about 10.0 h")],
)
def test_times_are_said_as_people_say_them(seconds, words):
    assert text.duration(seconds) == words


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [
        (0.1, 0.9, "less than a second"),
        (0.6, 3.4, "up to 3 s"),
        (8.2, 30.9, "8 to 30 s"),
        (44, 109, "45 to 110 s"),
        (31.4, 30.1, "about 30 s"),
        (40, 300, "40 s to 5 min"),
        (200, 2000, "3 to 35 min"),
        (7300, 9e6, "2 to 2,500 h"),
    ],
)
def test_a_range_of_time_is_said_as_people_say_it(least, most, words):
    assert text.between(least, most) == words


def test_a_range_spans_what_the_factor_does_and_of_other_machines_says_when_it_begins():
    tasks = packed(grid(), 1)
    wide = factor.Factor(middle=3.0, below=2.0, above=5.0)
    here = estimate.expected(tasks, 1, False, wide)
    assert (here.least, here.most) == pytest.approx((here.seconds / 2, here.seconds * 5))
    assert here.time == text.between(here.least, here.most)
    assert f", {here.time}, " in str(here)
    there = estimate.expected(tasks, 1, False, wide, here=False)
    assert there.time == f"{here.time} once 1 worker has started"
    assert "once 64 workers have started" in replace(there, workers=64).time


@pytest.mark.parametrize(
    ("factors", "crowding", "middle", "below", "above"),
    [
        ([], 1, 1, 4, 4),  # nothing known: two deviations of a factor of two
        ([], 3, 1, 4, 12),  # and no core free
        ([2.0] * 3, 1, 2, THREE, THREE),
        ([2.0] * 8, 1, 2, 4 ** (1 / 8) ** 0.5, 4 ** (1 / 8) ** 0.5),  # (ln 2)² (1 + 1/8) / 9
        ([1.0, 2.0, 4.0], 1, 2, 4, 4),  # two off by two, and the model: 3/4 · 4/3 of (ln 2)²
        ([6.0] * 3, 4, 6, 4 * THREE, THREE),  # slow as the load makes them: it may end, it adds nothing
        ([1.5] * 3, 6, 1.5, 1.5 * THREE, 4 * THREE),
        ([1e-300, 1.0, 1e15], 1, 1, 100, 100),  # nobody's figures
    ],
)
def test_earlier_runs_give_a_median_and_a_range_as_wide_as_they_strayed(
    factors, crowding, middle, below, above
):
    found = factor.of_runs(factors, crowding)
    assert (found.middle, found.below, found.above) == pytest.approx((middle, below, above))


def test_samples_give_the_ratio_of_their_sums_and_a_range_as_wide_as_they_stray():
    level = factor.of_samples([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert (level.middle, level.below, level.above) == pytest.approx((2, 1.5, 1.5))
    astray = factor.of_samples([1.0, 3.0], [1.0, 1.0])  # 2 ± 1: an error of √(2 · 2)/4 = 1/2
    assert (astray.middle, astray.below, astray.above) == pytest.approx((2, math.e, math.e))
    assert factor.of_samples([2.0], [1.0]).above == pytest.approx(4)  # of one nobody knows how far it strays
    assert factor.of_samples([], []) == factor.of_runs([])


def test_four_ranges_in_five_hold_the_run_that_follows():
    """Lessons and run alike off by a lognormal factor, of the spread that the model is thought to have."""
    rng = np.random.default_rng(0)
    for count in (0, 1, 3, 9):
        held = 0
        for _ in range(2000):
            *before, now = np.exp(rng.normal(1.0 if count else 0.0, factor._UNKNOWN, count + 1))
            found = factor.of_runs(before)
            held += found.middle / found.below < now < found.middle * found.above
        assert held > 1600


def test_large_numbers_are_said_in_thousands():
    assert [text.si(x) for x in (0, 999, 1234, 6.1e12)] == ["0 ", "999 ", "1.2 k", "6.1 T"]
    nothing = replace(estimate.expected([], 1, False, AS_PLANNED), tasks=1)
    assert str(nothing).startswith("1 task, less than a second")
