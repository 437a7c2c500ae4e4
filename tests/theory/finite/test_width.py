"""Finite width against networks that are measured: 15 %, and the sampling error of that many seeds."""

import math

import numpy as np
import pytest
from scipy.special import digamma, polygamma
from scipy.stats import binom

from sweep import activations, initializers, kernel, theory
from sweep.theory.finite.width import log_rms_deviation
from sweep.theory.gaussian.nodes import gauss, hermite, log_mean_moments, skewed
from sweep.theory.maps import layers_of

CLOSE = 0.15


def measured(act, sigma_w, sigma_b, width, depth, batch, seeds):
    """log rms² of the last layer less the mean field's, by seed; of the seeds whose rms is not 0."""
    scheme = initializers.get("variance_scaling", scale=sigma_w**2)
    chain = kernel.Chain(scheme, activations.get(act), sigma_b, depth)
    (found,) = kernel.propagate([chain], (width,) * (depth + 1), range(seeds), batch)
    rms = found.forward["rms"][:, -1]
    expected = theory.predict(act, sigma_w, sigma_b, depth=depth)["rms"].iloc[-1]
    return 2 * np.log(rms[rms > 0] / expected)


@pytest.mark.parametrize(
    ("act", "sigma_w", "sigma_b", "width", "depth", "batch", "seeds"),
    [
        ("relu", math.sqrt(2), 0.0, 10, 65, 1, 600),  # depth / width 6.5
        ("relu", math.sqrt(2), 0.0, 10, 65, 20, 400),
        ("relu", math.sqrt(2), 0.0, 16, 100, 20, 300),
        ("identity", 1.0, 0.0, 16, 100, 20, 300),
        ("tanh", 1.0, 0.0, 16, 32, 20, 400),
        ("tanh", 1.3, 0.3, 16, 32, 2, 400),
        ("selu", 1.0, 0.0, 64, 20, 50, 150),
        ("silu", math.sqrt(2), 0.0, 64, 20, 50, 400),
        ("gelu", 1.0, 0.0, 16, 32, 20, 400),
        ("softplus", 1.0, 0.2, 16, 32, 20, 400),
        ("relu", 1.0, 1.0, 64, 20, 1, 400),  # with biases a homogeneous map is no factor
        ("relu", 1.2, 0.3, 16, 30, 20, 400),
        ("tanh", 22.6, 0.0, 64, 6, 20, 400),  # bounded, and its slope a spike
        ("hardtanh", 100.0, 0.0, 32, 6, 20, 400),
        ("sin", 22.6, 0.0, 64, 6, 20, 400),
        ("sin", 2.0, 0.0, 64, 3, 100, 300),  # more than a period, and between two points of the tables
        ("sin", 1.4, 0.0, 64, 1, 100, 300),
        ("relu", math.sqrt(2), 0.0, 64, 1, 200, 400),  # inputs that know nothing of each other
        ("sigmoid", 1.0, 0.0, 64, 1, 200, 400),
        ("elu", 1.2, 0.0, 32, 1, 100, 400),
        ("sin", 2.0, 1000.0, 64, 2, 20, 400),  # cosines next to 1, and phases far apart
        ("sin", 0.5, 1000.0, 64, 2, 20, 400),
    ],
)
def test_the_spread_over_seeds_is_the_measured_one(act, sigma_w, sigma_b, width, depth, batch, seeds):
    strays = measured(act, sigma_w, sigma_b, width, depth, batch, seeds)
    predicted = theory.finite_width(act, sigma_w, sigma_b, depth, width, batch).iloc[-1]
    mean, std = np.mean(strays), np.std(strays)
    # Two standard errors: of the mean, and of the std by the fourth moment of what was drawn.
    mean_error = 2 * std / math.sqrt(len(strays))
    std_error = math.sqrt((np.mean((strays - mean) ** 4) / std**4 - 1) / len(strays))
    assert abs(predicted["shift"] - mean) <= CLOSE * max(abs(mean), std) + mean_error
    assert abs(predicted["std"] / std - 1) <= CLOSE + std_error
    # 95 % lie within two standard deviations, of heavy tails too; four standard errors of a share.
    within = np.mean(np.abs(strays - predicted["shift"]) <= 2 * predicted["std"])
    assert within >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / len(strays))


@pytest.mark.parametrize(
    ("act", "sigma_w", "c0"), [("identity", 1.0, 0.5), ("relu", 1.4, 0.5), ("gelu", 1.5, 0.9)]
)
def test_inputs_that_are_alike_stray_together(act, sigma_w, c0):
    rng, f, width, batch, depth = np.random.default_rng(0), activations.get(act).f, 32, 10, 3
    squares = []
    for _ in range(600):
        common, own = rng.standard_normal(width), rng.standard_normal((batch, width))
        layers = [math.sqrt(c0) * common + math.sqrt(1 - c0) * own]
        for _ in range(depth):
            layers.append(f(layers[-1] @ rng.standard_normal((width, width)) * sigma_w / math.sqrt(width)))
        squares.append([(h * h).mean() for h in layers])
    strays = np.log(squares) - 2 * np.log(theory.predict(act, sigma_w, depth=depth, c0=c0)["rms"].to_numpy())
    found = theory.finite_width(act, sigma_w, 0.0, depth, width, batch, c0=c0)
    mean, std = strays.mean(axis=0), strays.std(axis=0)
    slack = CLOSE * std + 3 * std / math.sqrt(600)
    assert (np.abs(found["shift"] - mean) <= slack).all()
    assert (np.abs(found["std"] - std) <= slack).all()


@pytest.mark.parametrize("c0", [1.0, -1.0])
def test_one_input_up_to_its_sign_has_one_norm(c0):
    found = theory.finite_width("identity", 1.0, depth=1, width=16, batch=2, c0=c0)["std"][0]
    assert found == pytest.approx(math.sqrt(polygamma(1, 8)), rel=0.01)


@pytest.mark.parametrize("width", [3, 10, 100])
def test_one_input_through_relu_strays_by_binomials_and_chi_squares(width):
    """log of a factor: χ² of K neurons over n / 2, K of them alive, binomial and not 0."""
    alive = np.arange(1, width + 1)
    share = binom.pmf(alive, width, 0.5)
    share /= share.sum()
    logs = digamma(alive / 2) + math.log(2) - math.log(width / 2)
    mean = share @ logs
    variance = share @ (polygamma(1, alive / 2) + (logs - mean) ** 2)
    found = theory.finite_width("relu", math.sqrt(2), depth=6, width=width, batch=1)
    # The rule over z, whose points are 0.01 apart near 0, resolves log z² there to 2 %.
    np.testing.assert_allclose(np.diff(found["shift"]), mean, rtol=0.02)
    np.testing.assert_allclose(np.diff(found["std"] ** 2), variance, rtol=0.02)


def test_one_input_adds_five_over_n_a_layer_where_n_is_large():
    """Hanin and Rolnick 2018: own samples count once."""
    found = theory.finite_width("relu", math.sqrt(2), depth=10, width=20_000, batch=1)
    np.testing.assert_allclose(np.diff(found["std"] ** 2) * 20_000, 5, rtol=0.01)


def test_where_all_inputs_are_one_a_batch_strays_like_one_input():
    one = theory.finite_width("relu", math.sqrt(2), depth=20, width=50, batch=1)
    many = theory.finite_width("relu", math.sqrt(2), depth=20, width=50, batch=100, c0=1.0)
    # The last percent is how alike inputs are held to be that are one.
    np.testing.assert_allclose(np.diff(many["std"] ** 2), np.diff(one["std"] ** 2), rtol=0.01)


def test_a_larger_batch_strays_less_and_a_wider_network_too():
    by_batch = [
        theory.finite_width("tanh", 1.0, depth=20, width=64, batch=b)["std"] for b in (1, 2, 10, 1000)
    ]
    assert (np.diff(by_batch, axis=0) < 0).all()
    by_width = [theory.finite_width("gelu", 1.0, depth=10, width=n)["std"] for n in (32, 128, 512)]
    assert (np.diff(by_width, axis=0) < 0).all()


@pytest.mark.parametrize(
    ("act", "sigma_w", "width", "batch", "last"),
    [
        ("relu", math.sqrt(2), 10, 100, 65),  # depth / width 6.5
        ("tanh", 1.0, 16, 100, 32),  # 2
        ("tanh", 1.0, 10, 100, 10),  # 1, at widths below 16
        ("tanh", 1.0, 10, 1, 20),
        ("tanh", 1.0, 6, 100, 0),  # no layer below width 8
    ],
)
def test_beyond_its_reach_nothing_is_predicted(act, sigma_w, width, batch, last):
    found = theory.finite_width(act, sigma_w, depth=70, width=width, batch=batch)
    assert np.flatnonzero(found["std"].notna()).tolist() == list(range(last + 1))
    assert (found["shift"].isna() == found["std"].isna()).all()


def test_where_the_map_magnifies_what_strays_the_reach_is_short():
    found = theory.finite_width("silu", math.sqrt(2), depth=60, width=64, batch=100)
    assert found["std"].notna().sum() == 33  # depth / width 1/2, and the input


def test_a_shallower_network_begins_a_deeper_one():
    act = theory.finite_width("elu", 1.1, 0.1, depth=12, width=40)
    np.testing.assert_array_equal(theory.finite_width("elu", 1.1, 0.1, depth=30, width=40).iloc[:13], act)


def test_signals_beyond_what_a_number_holds_stray_too():
    huge, plain = (theory.finite_width("relu", s, depth=100, width=100) for s in (1e10, math.sqrt(2)))
    np.testing.assert_allclose(huge, plain, rtol=1e-6, atol=1e-9)
    tiny = theory.finite_width("tanh", 1e-12, depth=60, width=100)
    assert np.isfinite(tiny).all().all()


def test_of_a_function_that_no_grid_resolves_or_that_ends_the_signal_nothing_is_predicted():
    for own in (lambda z: np.sin(50 * z), lambda z: np.round(z, 2), lambda z: 0 * z):
        assert theory.finite_width(own, 1.4, depth=10, width=40)["std"].iloc[1:].isna().all()


def test_the_spread_of_a_step_is_the_share_that_is_on():
    """Binomial: log of a mean of 0s and 1s."""
    found = theory.finite_width(lambda z: (z > 0).astype(z.dtype), 1.4, depth=1, width=40, batch=1).iloc[-1]
    on = np.arange(1, 41)
    share = binom.pmf(on, 40, 0.5)
    share /= share.sum()
    mean = share @ np.log(on / 20)
    assert found["shift"] == pytest.approx(mean, rel=1e-3)
    assert found["std"] == pytest.approx(math.sqrt(share @ (np.log(on / 20) - mean) ** 2), rel=1e-3)


def test_a_tapered_network_strays_by_its_own_widths():
    widths = (64, 48, 32, 24)
    layers = layers_of([math.sqrt(2 / n) for n in widths[:-1]], widths)
    _, std = log_rms_deviation("relu", layers, widths, 0.0, 1)
    each = [theory.finite_width("relu", math.sqrt(2), depth=1, width=n, batch=1)["std"] for n in widths[1:]]
    added = [float(one.iloc[1] ** 2 - one.iloc[0] ** 2) for one in each]
    np.testing.assert_allclose(np.diff(std**2), added, rtol=1e-9)


def test_a_gauss_rule_has_the_moments_of_its_law():
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(3, 40)) + 5, rng.random((3, 40))
    points, found = gauss(x, weights, 4)
    weights /= weights.sum(axis=1, keepdims=True)
    for power in range(8):  # 2k - 1 of them
        np.testing.assert_allclose((found * points**power).sum(axis=1), (weights * x**power).sum(axis=1))


def test_a_skewed_rule_has_its_mean_and_std_and_keeps_the_mean_of_the_exponential():
    mean, std = np.array([-0.02, -0.3]), np.array([0.2, 0.85])
    x, weights = skewed(mean, std)
    np.testing.assert_allclose((weights * x).sum(axis=1), mean)
    np.testing.assert_allclose((weights * x * x).sum(axis=1) - mean**2, std**2)
    # One Newton step from the cumulants' series.
    np.testing.assert_allclose((weights * np.exp(x)).sum(axis=1), 1, atol=5e-3)


def test_the_log_of_a_mean_has_the_moments_of_its_draws():
    x, weights = hermite(5)
    draws = np.exp(np.random.default_rng(1).choice(x, (200_000, 3), p=weights))
    mean, variance = log_mean_moments(x[None], weights[None], 3)
    logs = np.log(draws.mean(axis=1))
    assert float(mean[0]) == pytest.approx(logs.mean(), abs=4 * logs.std() / math.sqrt(len(logs)))
    assert float(variance[0]) == pytest.approx(logs.var(), rel=0.02)
