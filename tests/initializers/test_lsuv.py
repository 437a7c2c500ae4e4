import dataclasses
from itertools import pairwise

import numpy as np
import pytest

import sweep
from sweep import activations, initializers, kernel
from sweep.base.errors import PrecisionError, RequestError
from sweep.experiment.predictions.prediction import predicted
from sweep.kernel.draws import streams
from tests.make import alone, cell, chain
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


def z_of(one, **options):
    """z by layer of a chain of tanh or identity, of the first seed."""
    seen = {}

    def observe(kind, index, depth, layer, values):
        if kind == "h":
            seen[layer] = values.astype(float)

    alone(one, observe=observe, **options)
    undo = np.arctanh if one.act.name == "tanh" else np.asarray
    return {layer: undo(h) for layer, h in seen.items() if layer}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_with_its_mean_step_every_neuron_has_mean_0_and_the_layer_unit_variance(dtype):
    one = chain("lsuv", "tanh", 8, backward=(), tolerance=1e-4, mean=True)
    for z in z_of(one, width=40, batch=200, dtype=dtype).values():
        assert np.abs(z.mean(axis=0)).max() < 1e-5
        assert z.var() == pytest.approx(1, abs=2e-4)


@pytest.mark.parametrize("act", ["relu", "sigmoid", "softplus"])
def test_the_mean_step_keeps_inputs_apart_where_the_mean_of_h_would_bring_them_together(act):
    plain, centred = (
        alone(chain("lsuv", act, 20, tolerance=0.01, mean=mean), 100, batch=200) for mean in (False, True)
    )
    assert plain.forward["sample_cosine"][20] > centred.forward["sample_cosine"][20] + 0.1
    assert centred.forward["pre_rms"][1:] ** 2 == pytest.approx(np.ones(20), abs=0.011)


def test_the_mean_step_against_a_plain_loop_in_float64():
    """W = s Q and b = -mean of s h Q: forward, and gradients through them."""
    widths, batch = [30, 20, 25, 10], 60
    one = chain("lsuv", "relu", 3, tolerance=1e-9, mean=True)
    measured = alone(one, widths=widths, batch=batch, dtype="float64")
    h = [streams.inputs([0], batch, widths[0])[0].astype(float)]
    weights, masks = [], []
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
        z = h[-1] @ streams.weights([0], one.scheme.base, layer, fan_in, fan_out)[0].astype(float)
        z -= z.mean(axis=0)
        s = 1 / z.std()
        weights.append(s * streams.weights([0], one.scheme.base, layer, fan_in, fan_out)[0].astype(float))
        masks.append(z > 0)
        h.append(np.maximum(s * z, 0))
    np.testing.assert_allclose(measured.forward["rms"], [np.sqrt(np.mean(x**2)) for x in h], rtol=1e-8)
    delta = streams.upstream_gradient([0], batch, widths[-1])[0].astype(float)
    sizes = [np.sqrt(np.mean(delta**2))]
    for mask, w in zip(masks[::-1], weights[::-1], strict=True):
        delta = (delta * mask) @ w.T
        sizes.append(np.sqrt(np.mean(delta**2)))
    np.testing.assert_allclose(measured.backward[3]["delta_rms"][::-1], sizes, rtol=1e-8)


def test_inputs_that_are_all_alike_leave_nothing_once_their_mean_is_off():
    """hardtanh of a bias of 20 has saturated: all inputs are the same from layer 1 on."""
    one = dataclasses.replace(
        chain("orthogonal", "hardtanh", 2, bias_std=2000.0, backward=()),
        last=initializers.get("lsuv", mean=True),
    )
    for dtype in ("float32", "float64"):
        forward = alone(one, widths=[2, 2, 3], seed=2, batch=10, dtype=dtype).forward
        assert forward["pre_rms"][1] > 100
        assert forward["pre_rms"][2] == forward["rms"][2] == 0


@pytest.mark.parametrize("act", ["relu", "gelu", "elu"])
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_mean_step_far_out_of_float32(act, scale):
    one = dataclasses.replace(
        chain("lsuv", act, 4, mean=True, tolerance=1e-6), first=initializers.get("normal", std=scale)
    )
    narrow, wide = (alone(one, 30, batch=50, dtype=dtype) for dtype in ("float32", "float64"))
    np.testing.assert_allclose(narrow.forward["rms"], wide.forward["rms"], rtol=1e-3)
    assert narrow.forward["pre_rms"][2:] == pytest.approx(np.ones(3), rel=1e-3)


def test_cells_without_the_mean_step_are_what_they_were_and_with_it_set_their_own_biases():
    plain = cell(init={"name": "lsuv"})
    assert plain.init_params == '{"tolerance":0.1}'
    assert cell(init={"name": "lsuv", "mean": False}) == plain
    assert plain.id == "0e009cd6ca194dde1f7aecd36d1ad44c"
    centred = cell(init={"name": "lsuv", "mean": True})
    assert (centred.init_params, centred.bias_std) == ('{"mean":true,"tolerance":0.1}', None)
    assert centred.id != plain.id
    assert initializers.stored("lsuv", centred.init_params) == centred.scheme
    with pytest.raises(RequestError, match=r"bias_std=0\.1: init lsuv draws its layer's biases itself"):
        cell(init={"name": "lsuv", "mean": True}, bias_std=0.1)
    with pytest.raises(RequestError, match=r"init\.mean=1: init\.mean must be true or false"):
        cell(init={"name": "lsuv", "mean": 1})
    assert all(np.isnan(values).all() for values in predicted(centred).values())


def test_in_a_stack_and_as_a_first_layer_alone_the_mean_step_changes_no_other_chain():
    stack = [
        chain("lsuv", "relu", 6, backward=(3, 6)),
        chain("lsuv", "relu", 6, backward=(3, 6), mean=True),
        dataclasses.replace(chain("orthogonal", "relu", 5), first=initializers.get("lsuv", mean=True)),
        dataclasses.replace(
            chain("orthogonal", "relu", 5, bias_std=0.2), first=initializers.get("lsuv", mean=True)
        ),
    ]
    together = kernel.propagate(stack, [30] * 7, [0, 4], 100)
    for one, measured in zip(stack, together, strict=True):
        for index, seed in enumerate((0, 4)):
            assert_same(alone(one, 30, seed, 100), measured.of_seed(index), 1e-5)
