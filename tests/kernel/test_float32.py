"""`leaves_float32_layer`: the first layer whose largest entry rounds to inf or to 0 in float32."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sweep
from sweep import kernel
from sweep.kernel.statistics import float32
from sweep.store import upkeep
from tests.make import alone, cell, chain
from tests.studies import older, part, write

LARGEST, SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_subnormal)


@given(st.floats(0, allow_nan=False, allow_infinity=False), st.sampled_from([0, 1, 77, -300]))
def test_what_float32_cannot_hold_is_what_rounds_to_inf_or_to_0(largest, log2):
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.float32(largest)
    scaled = largest / 2.0**log2 if log2 else largest
    if largest and (scaled == 0 or math.isinf(scaled) or scaled < 1e-300):
        return  # float64 itself has lost digits
    assert float32.cannot_hold(scaled, log2) == (math.isinf(rounded) or (rounded == 0) != (largest == 0))


@pytest.mark.parametrize(
    ("largest", "lost"),
    [
        (LARGEST, False), (2.0**128, True), (SMALLEST, False), (SMALLEST / 1.99, False), (SMALLEST / 2, True),
        (0.0, False), (math.inf, True), (math.nan, True),
    ],
)  # fmt: skip
def test_the_ends_of_float32(largest, lost):
    assert float32.cannot_hold(largest) is lost


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20), st.integers(-1200, 1000))
def test_rms_bounds_the_largest_entry_and_decides_only_what_is_so(entries, log2):
    with np.errstate(under="ignore"):
        values = np.ldexp(np.array(entries) / 1e300, log2)
    largest = np.abs(values).max()
    rms = largest * np.sqrt(np.square(values / largest).mean()) if largest else 0.0
    must, may = float32.bounds(np.array(rms), len(values))
    lost = float32.cannot_hold(largest)
    assert must <= lost <= may


def looked_at(one, **options):
    """The layers of a chain whose largest observed entry float32 cannot hold, by the entries themselves."""
    seen = {}

    def observe(kind, index, depth, layer, values):
        if kind == "h":
            seen[layer] = np.abs(values.astype(np.longdouble)).max()

    measured = alone(one, observe=observe, **options)
    return [
        float32.cannot_hold(seen[layer]) if layer in seen else True for layer in range(one.depth + 1)
    ], measured


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("act", "std", "depth"),
    [
        ("identity", 40.0, 30), ("identity", 4e-3, 40), ("gelu", 30.0, 30), ("elu", 1e-3, 40),
        ("tanh", 1e-3, 30), ("squared_relu", 3.0, 12), ("softsign", 1e-4, 20), ("sin", 1e3, 4),
        ("selu", 1e-30, 3), ("silu", 1e20, 4),
    ],
)  # fmt: skip
def test_every_layer_is_judged_by_its_entries(act, std, depth, dtype):
    one = chain("normal", act, depth, std=std, backward=())
    lost, measured = looked_at(one, width=20, batch=30, dtype=dtype)
    assert measured.unheld.tolist() == lost
    assert any(lost) == (act != "sin")


def test_between_the_bounds_the_entries_decide():
    """The largest entry is about 4.6 times the rms, while the bound allows 100 times."""
    for factor, lost in ((1 / 30, False), (0.5, True)):
        std = LARGEST * factor / math.sqrt(100)
        one = chain("normal", "identity", 1, std=std, backward=())
        must, may = float32.bounds(alone(one, 100, batch=100).forward["rms"][1], 10_000)
        assert (bool(must), bool(may)) == (False, True)
        assert alone(one, 100, batch=100).unheld.tolist() == [False, lost]


def test_chains_that_one_law_covers_leave_float32_each_at_its_own_layer():
    stds = [1e-3, 0.1, 30.0, 200.0]
    chains = [chain("normal", "relu", 40, std=std, backward=()) for std in stds]
    together = kernel.propagate(chains, [30] * 41, [0, 1], 40)
    firsts = [float32.first(one.unheld).tolist() for one in together]
    for one, measured in zip(chains, together, strict=True):
        for seed in (0, 1):
            assert alone(one, 30, seed, 40).unheld.tolist() == measured.unheld[seed].tolist()
    assert [all(map(math.isnan, first)) for first in firsts] == [False, True, False, False]
    assert firsts[3][0] < firsts[2][0]


EXPLODING = {"init": {"name": "normal", "std": 40.0}, "act": {"name": "relu"}, "width": 16, "batch": 20}


def test_the_column_is_of_each_depth_and_null_where_nothing_is_lost(study):
    cells = [cell(**EXPLODING, depth=depth) for depth in (5, 20, 40)]
    cells += [cell(width=8, batch=20), cell(init={"name": "zeros"}, width=8, batch=20)]
    write(study, "a", cells)
    found = sweep.load(study.path).set_index("cell_id")["leaves_float32_layer"]
    values = [found[one.id] for one in cells]
    assert 10 < values[1] == values[2] < 20
    assert np.isnan([values[0], *values[3:]]).all(), "zeros are held, and so is what stays near 1"
    assert sweep.load(study.path)["first_nonfinite_layer"].isna().all()


def test_a_vanishing_signal_leaves_it_too_and_float64_says_the_same(study):
    vanishing = EXPLODING | {"init": {"name": "normal", "std": 1e-4}, "depth": 30}
    write(study, "a", [cell(**vanishing, dtype=dtype) for dtype in ("float32", "float64")])
    one, other = sweep.load(study.path)["leaves_float32_layer"]
    assert one == other > 5


def test_a_row_of_before_takes_what_its_layers_tell_and_else_null(study):
    cells = [cell(**EXPLODING, depth=30, seed=seed) for seed in range(20)]
    write(study, "a", [*cells, cell(widths=[9, 8, 7], batch=20)])
    now = sweep.load(study.path).set_index("cell_id")["leaves_float32_layer"]
    older(study, part("a"))
    before = sweep.load(study.path).set_index("cell_id")["leaves_float32_layer"]
    known = before.notna()
    assert 5 < known.sum() < 21
    assert (before[known] == now[known]).all()
    upkeep.modernise(study)
    stored = study.read("cells").to_pandas().set_index("cell_id")["leaves_float32_layer"]
    assert stored[known].equals(before[known])
    assert stored[~known].isna().all()
