"""Finite width of blocks against measured networks: 15 %, and the sampling error of that many seeds."""

import math

import numpy as np
import pytest

from sweep import activations, initializers, kernel, theory
from sweep.base.blocks import REGISTRY
from sweep.base.errors import RequestError
from sweep.theory.gaussian.moments import gaussian

CLOSE = 0.15
KAIMING = math.sqrt(2)


def measured(block, act, sigma_w, width, depth, batch, seeds, sigma_b=0.0, **parameters):
    """log rms² of the last layer less the mean field's, by seed."""
    scheme = initializers.get("variance_scaling", scale=sigma_w**2)
    one = REGISTRY.get(block, **parameters).at(depth)
    chain = kernel.Chain(scheme, activations.get(act), sigma_b, depth, block=one)
    (found,) = kernel.propagate([chain], (width,) * (depth + 1), range(seeds), batch)
    expected = theory.predict(act, sigma_w, sigma_b, depth=depth, block=one, batch=batch)["rms"].iloc[-1]
    return 2 * np.log(found.forward["rms"][:, -1] / expected)


@pytest.mark.parametrize(
    ("block", "act", "sigma_w", "width", "depth", "batch", "parameters"),
    [
        ("mlp", "relu", KAIMING, 32, 12, 50, {}),  # depth / width 0.375
        ("mlp", "tanh", 1.0, 32, 12, 2, {}),
        ("mlp", "gelu", KAIMING, 32, 12, 50, {}),
        ("mlp", "relu", KAIMING, 32, 12, 50, {"expand": 4}),
        ("mlp", "relu", 1.0, 32, 12, 2, {"skip": 0.5, "alpha": 0.7}),
        ("pre_ln", "relu", KAIMING, 32, 12, 50, {}),
        ("pre_ln", "silu", 1.0, 32, 12, 2, {}),
        ("pre_rms", "gelu", KAIMING, 32, 12, 50, {"v_scale": "depth**-0.5"}),
        ("preact", "relu", KAIMING, 64, 8, 50, {}),  # 1/8
        ("preact", "silu", KAIMING, 64, 8, 50, {}),
        ("preact", "tanh", 1.0, 64, 8, 2, {}),
        ("residual", "tanh", KAIMING, 32, 12, 2, {}),
        ("residual", "sin", 1.0, 32, 12, 50, {}),
        ("ln", "relu", 1.0, 32, 12, 50, {}),
        ("rms", "relu", 1.0, 32, 12, 50, {}),
        ("rms", "gelu", 1.0, 32, 12, 2, {}),
    ],
)
def test_the_spread_over_seeds_is_the_measured_one(block, act, sigma_w, width, depth, batch, parameters):
    strays = measured(block, act, sigma_w, width, depth, batch, 400, **parameters)
    one = REGISTRY.get(block, **parameters).at(depth)
    predicted = theory.finite_width(act, sigma_w, 0.0, depth, width, batch, block=one).iloc[-1]
    mean, std = np.mean(strays), np.std(strays)
    # Two standard errors: of the mean, and of the std by the fourth moment of what was drawn.
    mean_error = 2 * std / math.sqrt(len(strays))
    std_error = math.sqrt((np.mean((strays - mean) ** 4) / std**4 - 1) / len(strays))
    assert abs(predicted["shift"] - mean) <= CLOSE * max(abs(mean), std) + mean_error
    assert abs(predicted["std"] / std - 1) <= CLOSE + std_error
    within = np.mean(np.abs(strays - predicted["shift"]) <= 2 * predicted["std"])
    assert within >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / len(strays))


def test_biases_share_what_all_inputs_see():
    strays = measured("mlp", "tanh", 1.0, 32, 8, 20, 400, sigma_b=0.8)
    predicted = theory.finite_width("tanh", 1.0, 0.8, 8, 32, 20, block="mlp").iloc[-1]
    assert predicted["std"] == pytest.approx(np.std(strays), rel=CLOSE)


@pytest.mark.parametrize("block", ["post_ln", "post_rms"])
def test_a_norm_after_the_sum_leaves_nothing_to_stray(block):
    found = theory.finite_width("gelu", 1.0, depth=300, width=64, block=block)
    assert (found[["shift", "std"]].iloc[1:] == 0).all(axis=None)


def test_one_block_of_gaussian_neurons_is_the_sum_of_chi_squares():
    """identity × pre_rms: h' = h + norm(h) W V, of equal parts: what varies of |h|², h · y and |y|²."""
    n = 200
    found = theory.finite_width("identity", 1.0, depth=1, width=n, batch=1, block="pre_rms").iloc[-1]
    p = 0.5
    inputs, added = (1 - p) ** 2 * 2 / n, (4 * p - 2 * p * p) / n + p * p * 2 / n
    assert found["std"] ** 2 == pytest.approx(inputs + added, rel=1e-6)


@pytest.mark.parametrize("act", ["relu", "gelu"])
def test_without_a_skip_a_block_is_a_layer_of_act_and_one_of_none(act):
    found = theory.finite_width(act, KAIMING, depth=1, width=256, batch=1, block="mlp", skip=0.0)
    own, elasticity = theory.gaussian_moments(act, variance=2.0), gaussian(act).at(KAIMING).elasticity
    x, weights = np.polynomial.hermite_e.hermegauss(150)
    fourth = weights @ activations.get(act).f(KAIMING * x) ** 4 / math.sqrt(2 * math.pi)
    o = fourth / own.second**2 - 1
    expected = (2 * elasticity**2 + o + 2) / 256
    assert found["std"][1] ** 2 == pytest.approx(expected, rel=0.02)  # of a quadrature across a kink


def test_without_a_branch_a_network_is_its_inputs():
    found = theory.finite_width("gelu", 1.0, depth=4, width=256, batch=1, block="rezero")
    np.testing.assert_allclose(found["std"] ** 2, 2 / 256, rtol=1e-12)
    np.testing.assert_allclose(found["shift"], -1 / 256, rtol=1e-12)


@pytest.mark.parametrize(
    ("block", "act", "depth", "known"),
    [
        ("mlp", "relu", 25, True),
        ("mlp", "relu", 26, False),  # of width 64: beyond 0.4
        ("preact", "relu", 8, True),
        ("preact", "relu", 9, False),
        ("residual", "relu", 1, False),  # its branch has a mean
        ("bn", "relu", 1, False),
        ("ln", "tanh", 2, True),
        ("ln", "tanh", 24, False),  # cosines stray as far as they can
    ],
)
def test_beyond_its_reach_nothing_is_said(block, act, depth, known):
    last = theory.finite_width(act, 1.0, depth=depth, width=64, block=block).iloc[-1]
    assert np.isfinite(last["std"]) == known == np.isfinite(last["shift"])


def test_what_is_wrong_is_one_line():
    with pytest.raises(RequestError, match="width=1: block pre_ln"):
        theory.finite_width("relu", 1.0, depth=3, width=1, block="pre_ln")
    with pytest.raises(RequestError, match="batch=2: block bn"):
        theory.finite_width("relu", 1.0, depth=3, width=16, batch=2, block="bn")
