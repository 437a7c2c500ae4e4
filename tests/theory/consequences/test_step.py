import math
from itertools import pairwise

import numpy as np
import pytest

from sweep import RequestError, activations, theory
from sweep.theory.consequences.step import conditioned
from sweep.theory.maps import layers_of


def test_the_published_network_has_its_kernel_and_its_step():
    found = theory.step_size("tanh", sigma_w=1.0, sigma_b=0.3, depth=10, width=512, inputs=8)
    assert (found.ntk_diag, found.ntk_off) == pytest.approx((325.5, 262.8), rel=2e-4)  # as printed
    assert (found.lr_max, found.kappa) == pytest.approx((9.24e-4, 34.6), rel=1e-3)
    alike = theory.step_size("tanh", sigma_w=1.0, sigma_b=0.3, depth=10, width=512, inputs=8, c0=0.5)
    assert alike.kappa == pytest.approx(63, rel=0.01)


def arc_cosine(v, c):
    """E[f f], E[f' f'] of ReLU: Cho and Saul 2009."""
    theta = math.acos(min(c, 1.0))
    return v * (math.sin(theta) + (math.pi - theta) * c) / (2 * math.pi), (math.pi - theta) / (2 * math.pi)


def arc_sine(v, c):
    """E[f f], E[f' f'] of erf: Williams 1997."""
    slopes = 4 / math.pi / math.sqrt((1 + 2 * v) ** 2 - (2 * v * c) ** 2)
    return 2 / math.pi * math.asin(2 * v * c / (1 + 2 * v)), slopes


def closed_form(kernel, sigma_w, sigma_b, depth, width, c0):
    """Theta, forward: what a layer adds and what it does to what is there already."""
    q, k, theta = 1.0, c0, 0.0
    for _ in range(depth):
        v, covariance = sigma_w**2 * q + sigma_b**2, sigma_w**2 * k + sigma_b**2
        added = width * k + (sigma_b > 0)
        (q, _), (k, slopes) = kernel(v, 1.0), kernel(v, covariance / v)
        theta = slopes * (sigma_w**2 * theta + added)
    return theta + width * k


@pytest.mark.parametrize("c0", [0.0, 0.6])
@pytest.mark.parametrize(("act", "kernel"), [("relu", arc_cosine), ("erf", arc_sine)])
@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.4, 0.0), (0.8, 0.5)])
def test_the_kernel_is_that_of_the_closed_forms(act, kernel, sigma_w, sigma_b, c0):
    found = theory.step_size(act, sigma_w, sigma_b, depth=7, width=300, inputs=5, c0=c0)
    one, two = (closed_form(kernel, sigma_w, sigma_b, 7, 300, c) for c in (1.0, c0))
    # The angle of two inputs that are one is known to the root of a rounding.
    assert (found.ntk_diag, found.ntk_off) == pytest.approx((one, two), rel=1e-6)
    eigenvalues = np.linalg.eigvalsh(np.full((5, 5), two) + (one - two) * np.eye(5))
    assert found.lr_max == pytest.approx(2 / eigenvalues[-1], rel=1e-6)
    assert found.kappa == pytest.approx(eigenvalues[-1] / eigenvalues[0], rel=1e-6)


def tangent_kernel(act, widths, sigma_w, sigma_b, c0, seed):
    """Theta of two inputs of cosine c0, of one network: what its own gradients make, in float64."""
    rng, act = np.random.default_rng(seed), activations.get(act)
    x = np.linalg.qr(rng.standard_normal((widths[0], 2)))[0].T * math.sqrt(widths[0])
    h = [np.stack([x[0], c0 * x[0] + math.sqrt(1 - c0 * c0) * x[1]])]
    weights, slopes = [], []
    for fan_in, fan_out in pairwise(widths):
        weights.append(rng.standard_normal((fan_in, fan_out)) * sigma_w / math.sqrt(fan_in))
        z = h[-1] @ weights[-1] + sigma_b * rng.standard_normal(fan_out)
        h.append(act.f(z))
        slopes.append(act.derivative(z, h[-1]))
    theta = h[-1] @ h[-1].T
    delta = np.tile(rng.standard_normal(widths[-1]) / math.sqrt(widths[-1]), (2, 1))
    for layer in range(len(weights) - 1, -1, -1):
        delta = delta * slopes[layer]
        theta = theta + (h[layer] @ h[layer].T + (sigma_b > 0)) * (delta @ delta.T)
        delta = delta @ weights[layer].T
    return theta


@pytest.mark.parametrize(
    ("act", "sigma_w", "sigma_b", "widths"),
    [
        ("tanh", 1.3, 0.3, (200,) * 6),
        ("relu", math.sqrt(2), 0.0, (200,) * 5),
        ("gelu", 1.5, 0.1, (100, 200, 200, 150, 100)),
    ],
)
def test_the_kernel_is_that_of_finite_networks(act, sigma_w, sigma_b, widths):
    measured = np.mean(
        [tangent_kernel(act, widths, sigma_w, sigma_b, 0.4, seed) for seed in range(60)], axis=0
    )
    layers = layers_of([sigma_w / math.sqrt(n) for n in widths[:-1]], widths)
    found = conditioned(act, layers, widths, sigma_b, 2, c0=0.4)
    assert measured[0, 0] == pytest.approx(found.ntk_diag, rel=0.15)  # a ReLU network's strays by 30 %
    assert measured[0, 1] == pytest.approx(found.ntk_off, rel=0.15)


def test_one_input_alone_is_perfectly_conditioned_and_equal_inputs_are_not_at_all():
    alone = theory.step_size("tanh", 1.2, depth=4, width=64, inputs=1)
    assert (alone.lr_max, alone.kappa) == (2 / alone.ntk_diag, 1.0)
    assert theory.step_size("tanh", 1.2, depth=4, width=64, inputs=3, c0=1.0).kappa == math.inf


def test_a_network_that_passes_nothing_has_no_largest_step():
    found = theory.step_size("tanh", 0.0, depth=3)
    assert (found.ntk_diag, found.ntk_off, found.lr_max) == (0.0, 0.0, math.inf)
    assert math.isnan(found.kappa)


def test_cosines_that_so_many_inputs_cannot_have_are_refused():
    assert theory.step_size("identity", 1.0, inputs=3, c0=-0.5).kappa == math.inf
    with pytest.raises(RequestError, match=r"c0=-0.5: no 8 inputs have this cosine .* at least -1/7"):
        theory.step_size("tanh", 1.0, inputs=8, c0=-0.5)


# Ordered networks, depth / width at most 1/10, whose inputs have a mean in common by biases or by act.
ORDERED = [
    ("tanh", 1.1, 0.3, 80, 6, 0.0),
    ("erf", 0.9, 0.2, 100, 10, 0.5),
    ("hardtanh", 0.8, 0.4, 60, 4, 0.2),
    ("softsign", 1.2, 0.1, 90, 5, 0.7),
]


@pytest.mark.parametrize(("act", "sigma_w", "sigma_b", "width", "depth", "c0"), ORDERED)
def test_the_largest_step_is_that_of_finite_networks_in_the_mean_over_seeds(
    act, sigma_w, sigma_b, width, depth, c0
):
    assert theory.fixed_point(act, sigma_w, sigma_b).chi1 <= 1
    found = theory.step_size(act, sigma_w, sigma_b, depth, width, inputs=2, c0=c0)
    each = [tangent_kernel(act, (width,) * (depth + 1), sigma_w, sigma_b, c0, seed) for seed in range(10)]
    largest = np.mean([np.linalg.eigvalsh(kernel)[-1] for kernel in each])
    assert 2 / found.lr_max == pytest.approx(largest, rel=0.15)


@pytest.mark.parametrize(("act", "sigma_w", "sigma_b", "width", "depth", "c0"), ORDERED)
def test_the_linearised_network_settles_below_two_over_its_eigenvalue_and_diverges_above(
    act, sigma_w, sigma_b, width, depth, c0
):
    """Of a linear model errors e of outputs go to (1 - step Theta) e."""
    kernel = tangent_kernel(act, (width,) * (depth + 1), sigma_w, sigma_b, c0, seed=0)
    eigenvalues = np.linalg.eigvalsh(kernel)
    for part, settles in ((0.9, True), (1.1, False)):
        errors = np.array([1.0, -0.3])
        for _ in range(600):
            errors = errors - part * 2 / eigenvalues[-1] * kernel @ errors
        left = np.linalg.norm(errors)
        assert left < 1e-3 if settles else left > 1e3
