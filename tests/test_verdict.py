import numpy as np
import pytest

from sweep import activations, plan, tables
from sweep.execute import run_task
from sweep.verdict import WORDS, verdict
from tests.test_cell import cell

HEALTHY = {
    "rms": np.ones(5),
    "flat": np.full(5, 0.1),
    "sample_cosine": np.full(5, 0.5),
    "neuron_corr": np.full(5, 0.1),
    "delta_std": np.ones(5),
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ("healthy", None)),
        ({"neuron_corr": [0.1, 1, 1, 1, 1]}, ("symmetric", 1)),
        ({"rms": [1, 1e2, 1e4, np.inf, np.inf]}, ("exploding", 2)),
        ({"rms": [1, 1e-1, 1e-3, 1e-4, 1e-5]}, ("vanishing", 2)),
        ({"rms": [1, 1e-3, 1, 1, 1]}, ("healthy", None)),  # it recovered
        ({"flat": [np.nan, 0.5, 0.9, 0.9, 0.9]}, ("saturated", 2)),
        ({"sample_cosine": [0, 0.5, 0.9, 0.9995, 0.9999]}, ("collapsed", 3)),
        ({"delta_std": [1e-3, 5e-3, 0.1, 0.5, 1]}, ("gradient-vanishing", 1)),
        ({"delta_std": [1e4, 1e3, 50, 10, 1]}, ("gradient-exploding", 1)),
        ({"delta_std": [np.nan] * 5}, ("healthy", None)),  # not measured
    ],
)
def test_the_first_rule_that_fits_and_the_layer_where_it_begins(change, expected):
    layers = HEALTHY | {name: np.array(values, dtype=float) for name, values in change.items()}
    word, since = verdict(layers, flat_share=0.0)
    assert (word, since) == expected
    assert word in WORDS


@pytest.mark.parametrize(
    ("init", "act", "depth", "expected"),
    [
        ("zeros", "tanh", 10, "symmetric"),
        ("constant", "tanh", 10, "symmetric"),
        ("small_normal", "tanh", 10, "vanishing"),
        ("big_normal", "tanh", 10, "saturated"),
        ("huge_normal", "tanh", 10, "saturated"),
        ("big_normal", "relu", 10, "exploding"),
        ("xavier", "tanh", 10, "healthy"),
        ("kaiming", "relu", 50, "healthy"),
        ("xavier", "relu", 50, "vanishing"),
    ],
)
def test_the_textbooks_claims_hold_at_width_500(init, act, depth, expected):
    one = cell(init={"name": init}, act={"name": act}, depth=depth, batch=300)
    (task,) = plan.tasks([one], 1)
    rows, _ = tables.tables(run_task(task, False), "run")
    assert rows["verdict"].to_pylist() == [expected]


def test_flat_share_is_that_of_unit_variance():
    assert activations.flat_share(activations.get("relu")) == pytest.approx(0.5, abs=1e-3)
    # abs(tanh(z)) > 0.99 beyond abs(z) = 2.6467
    assert activations.flat_share(activations.get("tanh")) == pytest.approx(0.00813, abs=1e-4)
    assert activations.flat_share(activations.get("identity")) == 0
