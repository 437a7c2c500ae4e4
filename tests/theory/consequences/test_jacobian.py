import math
from itertools import pairwise

import numpy as np
import pytest

from sweep import RequestError, activations, theory
from sweep.theory.consequences.jacobian import of_maps
from sweep.theory.maps import layers_of, prediction

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


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("widths", [(200, 300, 100), (100, 300, 150, 400)])
def test_a_tapered_network_has_as_many_singular_values_as_its_narrower_end(widths, weights):
    rng, act = np.random.default_rng(0), activations.get("tanh")
    each = []
    for _ in range(4):
        h, jacobian = rng.standard_normal(widths[0]), np.eye(widths[0])
        for below, above in pairwise(widths):
            w = rng.standard_normal((below, above)) / math.sqrt(below)
            if weights == "orthogonal":
                w = np.linalg.qr(w if below > above else w.T)[0]
                w = (w if below > above else w.T) * math.sqrt(max(above / below, 1))
            z = h @ w
            h = act.f(z)
            jacobian = jacobian @ (w * act.derivative(z, h))
        each.append(np.linalg.svd(jacobian, compute_uv=False) ** 2)
    layers = layers_of([1 / math.sqrt(below) for below in widths[:-1]], widths)
    found = of_maps("tanh", prediction("tanh", layers, 0.0, 1), layers, widths, (weights,) * len(layers))
    assert np.mean(each) == pytest.approx(found.mean_square, rel=0.1)
    spread = np.mean([s.var() / s.mean() ** 2 for s in each])
    assert spread == pytest.approx(found.spread, rel=0.1)


def test_a_spread_is_told_however_small_the_gradient_is():
    """Each layer takes a factor of 1000: of so many nothing is left in float64."""
    assert theory.jacobian("identity", 1e-3, depth=120).mean_square == 0
    assert theory.jacobian("identity", 1e-3, depth=120).spread == pytest.approx(120)
