"""Maps of blocks against closed forms, published tables, and integrals done another way."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep import activations, initializers, kernel, theory
from sweep.base.blocks import BLOCKS, REGISTRY
from sweep.base.errors import RequestError
from sweep.theory.gaussian import moments

NOT_PLAIN = [name for name in BLOCKS if name != "plain"]
BRANCHED = [name for name in NOT_PLAIN if REGISTRY.get(name).skipped]
# What a norm costs: the factor of dL/dh, squared, that a layer takes without bias, under LayerNorm and under
# BatchNorm of ever larger batches.
COST = {
    "relu": (1, 1.466942207), "leaky_relu": (1, 1.453370761), "tanh": (1.177807232, 1.177807232),
    "erf": (1.225700004, 1.225700004), "gelu": (1.072031598, 1.318844971), "silu": (1.066634241, 1.212081115),
    "elu": (1.035904719, 1.079013455), "selu": (1.071574992, 1.071574992), "mish": (1.059118001, 1.214259255),
    "sigmoid": (0.152827012, 1.033592390), "softplus": (0.318458984, 1.080528053),
    "hardtanh": (1.322891542, 1.322891542), "softsign": (1.244010371, 1.244010371),
    "sin": (1.313035285, 1.313035285),
}  # fmt: skip
BATCHES = (8, 16, 32, 64, 128, 256)
OF_A_BATCH = {
    "identity": (1.200000, 1.076923, 1.034483, 1.016393, 1.008000, 1.003953),
    "relu": (1.788190, 1.589950, 1.521953, 1.493063, 1.479681, 1.473234),
    "tanh": (1.358548, 1.246258, 1.208303, 1.192264, 1.184853, 1.181286),
}


def predicted(block, act="relu", sigma_w=2**0.5, depth=10, **others):
    return theory.predict(act, sigma_w, depth=depth, block=block, **others)


def rate(frame, layer=3):
    """E[(dL/dh)²] of a layer over that of the next."""
    return (frame["delta_rms"][layer] / frame["delta_rms"][layer + 1]) ** 2


def test_a_residual_mlp_of_relu_doubles_its_signal_and_its_gradient_at_every_block():
    frame = predicted("mlp", sigma_v=1)
    np.testing.assert_allclose(frame["rms"] ** 2, 2.0 ** np.arange(11), rtol=1e-12)
    np.testing.assert_allclose(frame["delta_rms"] ** 2, 2.0 ** np.arange(10, -1, -1), rtol=1e-12)


def test_under_a_norm_before_the_branch_the_signal_grows_by_one_a_block():
    frame = predicted("pre_ln", depth=20, c0=0.3, sigma_v=1)
    np.testing.assert_allclose(frame["rms"] ** 2, 1.0 + np.arange(21), rtol=1e-12)
    assert frame["sample_cosine"].iloc[-1] == pytest.approx(0.6198157511, abs=1e-9)
    assert frame["delta_rms"][0] ** 2 == pytest.approx(21, rel=1e-12)
    pd = pytest.importorskip("pandas")
    pd.testing.assert_frame_equal(frame, predicted("pre_rms", depth=20, c0=0.3, sigma_v=1))


def test_a_branch_over_the_root_of_the_depth_grows_as_compound_interest():
    frame = predicted("preact", alpha="depth**-0.5")
    assert frame["rms"].iloc[-1] ** 2 == pytest.approx((1 + 1 / 10) ** 10, rel=1e-12)


def test_presets_are_predicted_as_the_blocks_with_the_factors_that_they_stand_for():
    pd = pytest.importorskip("pandas")
    of_gpt2 = predicted("gpt2", "gelu", 1.3, depth=16)
    pd.testing.assert_frame_equal(of_gpt2, predicted("pre_ln", "gelu", 1.3, depth=16, sigma_v=1.3 / 4))
    given = predicted("gpt2", "gelu", 1.3, depth=16, sigma_v=0.8, alpha=0.5)
    pd.testing.assert_frame_equal(given, predicted("pre_ln", "gelu", 1.3, depth=16, sigma_v=0.2, alpha=0.5))
    for name in ("fixup", "rezero"):
        np.testing.assert_array_equal(predicted(name)["rms"], 1)
    stable = predicted("stable_resnet", alpha=0.5)
    pd.testing.assert_frame_equal(stable, predicted("preact", alpha=0.5))
    small = (4 * 16) ** -0.25
    of_deepnet, size = predicted("deepnet", "gelu", 1.3, depth=16), 1.3 * small
    wanted = predicted("post_ln", "gelu", size, depth=16, sigma_v=size, skip=2.0)
    pd.testing.assert_frame_equal(of_deepnet, wanted, rtol=1e-12)
    with pytest.raises(RequestError, match="unknown block 'gtp2': did you mean 'gpt2'"):
        predicted("gtp2")


@pytest.mark.parametrize("depth", [12, 24, 96])
def test_a_norm_after_the_branch_keeps_the_gradient_of_a_homogeneous_act(depth):
    for act in ("relu", "leaky_relu", "identity"):
        frame = predicted("post_ln", act, 0.9, depth, sigma_v=1.3, skip=0.7, alpha=2.0)
        np.testing.assert_allclose(frame["delta_rms"], 1, rtol=1e-12)
        np.testing.assert_allclose(frame["rms"], 1, rtol=1e-12)


@pytest.mark.parametrize("act", COST)
def test_what_a_norm_costs_is_what_is_published(act):
    of_samples, of_neurons = COST[act]
    for sigma_w in (0.3, 5.0):  # whatever it is
        for block in ("ln", "rms"):
            assert rate(predicted(block, act, sigma_w)) == pytest.approx(of_samples, rel=1e-8)
        assert rate(predicted("bn", act, sigma_w, batch=10**7)) == pytest.approx(of_neurons, rel=1e-6)


@pytest.mark.parametrize("act", OF_A_BATCH)
def test_what_a_norm_over_a_small_batch_costs_is_what_is_published(act):
    rates = [rate(predicted("bn", act, batch=batch)) for batch in BATCHES]
    np.testing.assert_allclose(rates, OF_A_BATCH[act], rtol=1e-6)


@pytest.mark.parametrize("act", ["relu", "hardtanh", "gelu", "hardswish"])
@pytest.mark.parametrize("batch", [4, 5, 9])
def test_a_norm_over_a_few_inputs_is_that_of_drawn_ones(act, batch):
    """A million draws of z, normalised: errors of some 1e-3; dL/dz of independent and of equal gradients."""
    z = np.random.default_rng(batch).standard_normal((400_000, batch))
    z -= z.mean(axis=1, keepdims=True)
    u = z / np.sqrt(np.square(z).mean(axis=1, keepdims=True))
    of = moments.gaussian(act).act
    h = of.f(u)
    frame = theory.predict(act, 1.0, depth=3, block="bn", batch=batch)
    square, product = np.square(h).mean(), (h[:, 0] * h[:, 1]).mean()
    assert frame["rms"][2] ** 2 == pytest.approx(square, rel=0.01)
    assert frame["mean"][2] == pytest.approx(h.mean(), abs=0.005)
    assert frame["sample_cosine"][2] == pytest.approx(product / square, abs=0.01)
    assert frame["flat"][2] == pytest.approx((np.abs(of.derivative(u, h)) < 0.0199).mean(), abs=0.004)
    slope = of.derivative(u, h) * np.random.default_rng(1).standard_normal(u.shape)
    norm = slope - slope.mean(axis=1, keepdims=True) - u * (slope * u).mean(axis=1, keepdims=True)
    passed = np.square(norm).mean() * batch / (batch - 3)  # 1 / variance of B draws, on average
    below = square * (1 - product / square)
    assert frame["delta_rms"][2] ** 2 == pytest.approx(passed / below, rel=0.02)


@pytest.mark.parametrize("block", BRANCHED)
def test_a_block_without_a_branch_hands_on_what_it_gets(block):
    frame = predicted(block, "tanh", 1.3, depth=6, alpha=0, c0=0.4)
    for name, value in {"rms": 1, "sample_cosine": 0.4, "delta_rms": 1}.items():
        np.testing.assert_allclose(frame[name], value, rtol=1e-12)
    np.testing.assert_array_equal(frame["grad_rms"][1:], 0)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(("relu", "tanh", "gelu")), st.floats(0.2, 3), st.floats(0, 1), st.floats(0.1, 2))
def test_a_residual_block_without_its_skip_is_a_plain_layer(act, sigma_w, sigma_b, q0):
    plain = theory.predict(act, sigma_w, sigma_b, 5, q0, 0.2)
    block = theory.predict(act, sigma_w, sigma_b, 5, q0, 0.2, block="residual", skip=0)
    np.testing.assert_allclose(block, plain, rtol=1e-9, atol=1e-12)


def test_two_matrices_expand_alike_whatever_lies_between_them():
    one, four = (predicted("mlp", "gelu", 1.2, sigma_v=0.8, expand=expand) for expand in (1, 4))
    for name in one.columns.drop("grad_rms"):
        np.testing.assert_allclose(four[name], one[name], rtol=1e-12)
    np.testing.assert_allclose(four["grad_rms"][1:], one["grad_rms"][1:] / 2, rtol=1e-12)  # fan_out Var V


@pytest.mark.parametrize("block", NOT_PLAIN)
def test_numbers_that_float64_cannot_hold_do_not_stop_the_maps(block):
    """From 1e-300 on, a relu's second moment grows by 5e5 a layer and passes 1e308 at layer 107."""
    for act in ("relu", "tanh", "gelu"):
        frame = theory.predict(act, 1e3, 0.5, 250, 1e-300, 0.5, block=block)
        assert np.isfinite(frame["sample_cosine"]).all()
        assert not frame["delta_rms"].isna().any()
        assert (frame["sample_cosine"].abs() <= 1 + 1e-12).all()


def test_means_of_a_branch_and_of_its_signal_add():
    """By hand: q' = q + F + 2 mu M for relu of v = 2 q, M = sqrt(v / 2 pi), F = q."""
    frame = predicted("residual", depth=2)
    square, mean = 1.0, 0.0
    for layer in (1, 2):
        of_act = math.sqrt(2 * square / (2 * math.pi))
        square, mean = square + square + 2 * mean * of_act, mean + of_act
        assert frame["rms"][layer] ** 2 == pytest.approx(square, rel=1e-12)
        assert frame["mean"][layer] == pytest.approx(mean, rel=1e-12)
        assert frame["std"][layer] ** 2 == pytest.approx(square - mean**2, rel=1e-12)


SEEDS, INPUTS, WIDTH, DEPTH = 10, 64, 128, 4


@pytest.mark.parametrize("init", ["xavier", "kaiming"])
@pytest.mark.parametrize("block", NOT_PLAIN)
def test_networks_of_a_depth_far_below_their_width_are_what_theory_says(block, init):
    """Mean squares over 10 seeds, of spreads up to 0.16 each: 12 % is more than two errors of the mean."""
    acts, of = ("relu", "tanh", "gelu"), REGISTRY.get(block).at(DEPTH)
    scheme = initializers.get(init)
    chains = [kernel.Chain(scheme, activations.get(act), 0.0, DEPTH, (DEPTH,), block=of) for act in acts]
    found = kernel.propagate(chains, (WIDTH,) * (DEPTH + 1), range(SEEDS), INPUTS)
    for act, measured in zip(acts, found, strict=True):
        sigma_w = scheme.weight_std(WIDTH, WIDTH) * WIDTH**0.5
        frame = theory.predict(act, sigma_w, depth=DEPTH, block=block, batch=INPUTS)
        columns = measured.forward | measured.backward[DEPTH]
        for name in ("rms", "pre_rms", "delta_rms", "grad_rms", *(["grad_out_rms"] if of.out else [])):
            mean_square = np.square(columns[name]).mean(axis=0)
            wanted = frame[name].to_numpy() ** 2
            np.testing.assert_allclose(mean_square, wanted, rtol=0.12, err_msg=f"{act} {name}")
        for name in ("sample_cosine", "flat", "mean"):
            unit = frame["rms"][1:] if name == "mean" else 1
            found_, wanted = columns[name].mean(axis=0)[1:] / unit, frame[name][1:] / unit
            np.testing.assert_allclose(found_, wanted, atol=0.05, err_msg=f"{act} {name}")


def test_a_wrong_block_is_refused_in_a_line():
    for given_, words in (
        ({"block": "pre-ln"}, "did you mean 'pre_ln'"),
        ({"block": "mlp", "alpha": -1}, r"block.alpha=-1: .* C\*depth\*\*P"),
        ({"block": "mlp", "alpha": "depth"}, r"block.alpha=depth: .* C\*depth\*\*P"),
        ({"block": "mlp", "expand": 0}, "block.expand=0"),
        ({"block": "bn", "batch": 3}, "batch=3: block bn"),
        ({"block": "mlp", "depth": None, "widths": [30, 20]}, "layer 1 goes from 30 to 20 neurons"),
    ):
        with pytest.raises(RequestError, match=words):
            predicted(**given_)
