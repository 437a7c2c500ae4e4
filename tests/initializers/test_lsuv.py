import numpy as np
import pytest

import sweep
from sweep import activations, initializers, kernel
from sweep.base.errors import PrecisionError
from sweep.kernel import streams
from tests.make import alone, chain
from tests.same import assert_same


@pytest.mark.parametrize("act", ["tanh", "relu", "gelu", "sigmoid"])
@pytest.mark.parametrize("bias_std", [0.0, 0.3])
def test_every_layer_has_unit_variance_to_the_tolerance(act, bias_std):
    seen = {}

    def observe(kind, index, depth, layer, values):
        if kind == "h":
            seen[layer] = values.copy()

    one = chain("lsuv", act, depth=8, bias_std=bias_std, backward=(), tolerance=0.02)
    measured = alone(one, 60, batch=200, observe=observe)
    if act == "tanh":  # z is not shown, but tanh can be undone where it is not saturated
        for layer in range(1, 9):
            assert np.arctanh(np.clip(seen[layer], -1 + 1e-7, 1 - 1e-7)).var() == pytest.approx(1, abs=0.03)
    # pre_rms² = Var z + (E z)²
    assert (measured.forward["pre_rms"][1:] ** 2 > 1 - 0.021).all()


def test_the_loosest_tolerance_leaves_the_orthogonal_weights_alone():
    lsuv, orthogonal = (alone(chain(n, "tanh", 5, backward=(5,), **p), 40) for n, p in
                        (("lsuv", {"tolerance": 1e9}), ("orthogonal", {})))  # fmt: skip
    assert_same(lsuv, orthogonal, 1e-12)


def test_it_shares_its_draws_with_orthogonal_and_a_stack_changes_nothing():
    stack = [chain("orthogonal", "tanh", 4), chain("lsuv", "relu", 6, backward=(3, 6))]
    together = kernel.propagate(stack, [30] * 7, [0], 100)
    for one, measured in zip(stack, together, strict=True):
        assert_same(alone(one, 30, 0, 100), measured.of_seed(0), 1e-5)


def test_gradients_are_those_of_the_rescaled_weights():
    """With identity, dL/dh_0 = G W_L^T … W_1^T, so rms follows from the product of the scales."""
    measured = alone(chain("lsuv", "identity", depth=1, tolerance=1e-3), 50, batch=300)
    z_std = measured.forward["std"][1]
    assert z_std == pytest.approx(1, abs=1e-3)
    # A square orthogonal Q keeps every norm: h_1 = s x Q and delta_0 = s G Q^T have the same s.
    s = measured.forward["rms"][1] / measured.forward["rms"][0]
    back = measured.backward[1]["delta_rms"]
    assert back[0] / back[1] == pytest.approx(s, rel=1e-5)


@pytest.mark.parametrize("bias_std", [1.0, 1e7, 1e18, 1e25])
def test_the_scale_of_one_neuron_does_not_drown_in_its_bias(bias_std):
    """Var z of one neuron knows nothing of a constant; with identity dL/dh_0 = G s Q^T has the same s."""
    fan_in, batch = 20, 100
    one = chain("lsuv", "identity", 1, bias_std=bias_std, tolerance=1e-6)
    back = alone(one, widths=[fan_in, 1], batch=batch, dtype="float64").backward[1]["delta_rms"]
    x = streams.inputs([0], batch, fan_in)[0].astype(np.longdouble)
    q = streams.weights([0], one.scheme.base, 1, fan_in, 1)[0].astype(np.longdouble)
    expected = np.sqrt(np.square(q).mean()) / (x @ q).std()  # one step is exact
    assert back[0] / back[1] == pytest.approx(float(expected), rel=1e-12)


def test_a_layer_whose_inputs_are_all_alike_keeps_its_first_scale():
    """hardtanh has saturated: rounding is no variance of a constant z (mpmath, 120 digits)."""
    one = chain("lsuv", "hardtanh", 2, bias_std=20.0, backward=())
    for dtype in ("float32", "float64"):
        forward = alone(one, widths=[2, 2, 1], seed=2, batch=10, dtype=dtype).forward
        assert forward["pre_rms"][2] == pytest.approx(0.84928376, rel=1e-6)
        assert forward["flat"][2] == 0


@pytest.mark.parametrize(
    ("act", "bias_std", "widths"),
    [("identity", 100.0, [8, 8, 1]), ("relu", 100.0, [4, 8, 1, 4]), ("relu", 1000.0, [10, 10, 10, 1])],
)
def test_a_layer_that_varies_by_less_than_can_be_told_has_no_scale(act, bias_std, widths):
    with pytest.raises(PrecisionError, match=r"^layer [23]: its inputs are too nearly equal"):
        sweep.propagate("lsuv", act, widths=widths, batch=10, bias_std=bias_std)
    shallow = sweep.propagate("lsuv", act, widths=widths[:2], batch=10, bias_std=bias_std)
    assert np.isfinite(shallow["rms"]).all()


def test_vanished_data_is_left_as_it_is():
    scheme = initializers.get("lsuv")
    assert scheme.fit(0.5, lambda std: 0.0) == 0.5
    assert scheme.fit(0.5, lambda std: np.inf) == 0.5
    assert scheme.fit(0.5, lambda std: 4 * std) == pytest.approx(0.25)
    assert scheme.fit(1.0, lambda std: 1e-232 * std) == pytest.approx(1e232), "its square is no number"


def test_a_tapered_network_is_fitted_layer_by_layer():
    one = kernel.Chain(initializers.get("lsuv", tolerance=0.01), activations.get("relu"), 0.0, 3, (3,))
    measured = alone(one, widths=[100, 60, 30, 10], batch=400)
    assert np.isfinite(measured.backward[3]["delta_rms"]).all()
    assert (measured.forward["pre_rms"][1:] > 0.99).all()
