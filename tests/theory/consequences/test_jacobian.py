import math

import numpy as np
import pytest

from sweep import RequestError, activations, theory

WIDTH, DEPTH = 400, 6


def squares(act, sigma_w, sigma_b, weights, seed):
    """The squared singular values of dh_L / dh_0 of one network."""
    rng, act = np.random.default_rng(seed), activations.get(act)
    h, jacobian = rng.standard_normal(WIDTH), np.eye(WIDTH)
    for _ in range(DEPTH):
        w = rng.standard_normal((WIDTH, WIDTH)) / math.sqrt(WIDTH)
        w = sigma_w * (w if weights == "gaussian" else np.linalg.qr(w)[0])
        z = h @ w + sigma_b * rng.standard_normal(WIDTH)
        h = act.f(z)
        jacobian = jacobian @ (w * act.derivative(z, h))
    return np.linalg.svd(jacobian, compute_uv=False) ** 2


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize(
    ("act", "sigma_w", "sigma_b"), [("relu", math.sqrt(2), 0.0), ("tanh", 1.2, 0.2), ("hardtanh", 1.1, 0.1)]
)
def test_singular_values_are_those_of_wide_networks(act, sigma_w, sigma_b, weights):
    found = theory.jacobian(act, sigma_w, sigma_b, DEPTH, weights)
    each = [squares(act, sigma_w, sigma_b, weights, seed) for seed in range(3)]
    assert np.mean(each) == pytest.approx(found.mean_square, rel=0.15)  # of 3 networks of width 400
    spread = np.mean([s.var() / s.mean() ** 2 for s in each])
    assert spread == pytest.approx(found.spread, rel=0.15)


def test_a_linear_orthogonal_network_is_an_isometry():
    found = theory.jacobian("identity", 1.0, depth=50, weights="orthogonal")
    assert (found.mean_square, found.spread) == (1.0, 0.0)
    assert theory.jacobian("identity", 1.0, depth=50).spread == 50.0


def test_the_mean_square_is_chi1_a_layer_and_gaussian_weights_add_one_a_layer_to_the_spread():
    found = theory.jacobian("tanh", 1.5, 0.3, 30)
    chi1 = theory.fixed_point("tanh", 1.5, 0.3).chi1
    deeper = theory.jacobian("tanh", 1.5, 0.3, 31)
    assert deeper.mean_square / found.mean_square == pytest.approx(chi1, rel=1e-3)  # close to the fixed point
    orthogonal = theory.jacobian("tanh", 1.5, 0.3, 30, weights="orthogonal")
    assert found.spread - orthogonal.spread == pytest.approx(30)
    assert found.mean_square == orthogonal.mean_square


@pytest.mark.parametrize(("sigma_w", "expected"), [(1e-3, 1.0), (100.0, 1.5)])
def test_the_slopes_of_a_sine_are_alike_for_small_signals_and_any_phase_for_large_ones(sigma_w, expected):
    """E[cos⁴] / E[cos²]² = (3/8) / (1/2)² at phases all alike."""
    spread = theory.jacobian("sin", sigma_w, depth=1, weights="orthogonal").spread
    assert spread == pytest.approx(expected - 1, abs=1e-5)


def test_a_network_that_passes_nothing_has_no_spread():
    found = theory.jacobian("tanh", 0.0, depth=2)
    assert found.mean_square == 0
    assert math.isnan(found.spread)


def test_other_weights_are_refused_with_the_options():
    with pytest.raises(RequestError, match="unknown weights 'ortogonal': did you mean 'orthogonal'"):
        theory.jacobian("tanh", 1.0, weights="ortogonal")
