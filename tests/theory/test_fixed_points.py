import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sweep import theory
from sweep.base.errors import RequestError
from sweep.theory.gaussian.moments import gaussian


def test_the_edge_of_chaos_of_tanh_is_the_published_one():
    """Poole et al. 2016 and Schoenholz et al. 2017: sigma_w² ≈ 1.76 at sigma_b² = 0.05."""
    assert theory.critical_sigma_w("tanh", math.sqrt(0.05)) ** 2 == pytest.approx(1.76, abs=0.005)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ("tanh", 1.0), ("relu", math.sqrt(2)), ("identity", 1.0), ("hardtanh", 1.0), ("sin", 1.0),
        ("elu", 1.0), ("softsign", 1.0), ("erf", math.sqrt(math.pi) / 2),
        ("leaky_relu", math.sqrt(2 / 1.0001)),
    ],
)  # fmt: skip
def test_without_bias_the_edge_of_chaos_is_the_limit_of_vanishing_variance(act, expected):
    assert theory.critical_sigma_w(act) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("act", "sigma_b"),
    [
        *product(["tanh", "erf", "hardtanh", "selu", "sigmoid", "sin"], [0.1, 0.5, 1.0]),
        *product(["elu", "gelu", "silu", "mish"], [100.0, 1000.0]),  # far out, where they are all but relu
    ],
)
def test_on_the_edge_of_chaos_chi1_is_1_at_a_stable_fixed_point(act, sigma_b):
    point = theory.fixed_point(act, theory.critical_sigma_w(act, sigma_b), sigma_b)
    assert point.chi1 == pytest.approx(1, abs=1e-9)
    assert abs(point.slope) < 1


@pytest.mark.parametrize(
    ("act", "sigma_b", "why"),
    [
        ("relu", 0.3, "the biases make v grow without bound"),
        ("identity", 0.3, "the biases make v grow without bound"),
        ("softplus", 0.3, "chi1 = 1 at no fixed point of the variance"),
        ("gelu", 0.3, "repels (dV/dv = 1.046)"),
        ("silu", 0.1, "repels"),
        ("gelu", 0.0, "v = 0 repels"),
    ],
)
def test_where_there_is_no_edge_of_chaos_the_error_says_why(act, sigma_b, why):
    with pytest.raises(RequestError, match="has no edge of chaos") as caught:
        theory.critical_sigma_w(act, sigma_b)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_selus_fixed_point_is_attracting():
    """Klambauer et al. 2017: mean 0 and variance 1 at sigma_w = 1, from either side."""
    for q0 in (0.5, 1.0, 2.0):
        point = theory.fixed_point("selu", 1.0, q0=q0)
        assert point.v == pytest.approx(1, rel=1e-12)
        assert 0 < point.slope < 1
    last = theory.predict("selu", 1.0, depth=200, q0=2.0).iloc[-1]
    assert (last["mean"], last["std"]) == pytest.approx((0, 1), abs=1e-9)


def test_a_fixed_point_is_where_the_maps_come_to_rest():
    point = theory.fixed_point("tanh", 2.0, 0.3)
    layers = theory.predict("tanh", 2.0, 0.3, depth=200)
    assert point.chi1 > 1
    assert layers["pre_rms"].iloc[-1] ** 2 == pytest.approx(point.v, rel=1e-9)
    # c is the pre-activations': one more step of the map from the cosine of the last layer.
    q, cosine = layers["rms"].iloc[-1] ** 2, layers["sample_cosine"].iloc[-1]
    assert (4 * q * cosine + 0.09) / point.v == pytest.approx(point.c, rel=1e-9)


def test_depth_scales_are_the_rates_at_which_the_maps_settle():
    point = theory.fixed_point("tanh", 1.2, 0.3)
    layers = theory.predict("tanh", 1.2, 0.3, depth=60, q0=4.0, c0=0.2)
    v, c = layers["pre_rms"] ** 2, layers["sample_cosine"]
    distance = np.abs(v - point.v)
    assert distance[11] / distance[10] == pytest.approx(math.exp(-1 / point.xi_q), rel=1e-3)
    assert (1 - c[50]) / (1 - c[49]) == pytest.approx(math.exp(-1 / point.xi_c), rel=1e-3)


@pytest.mark.parametrize(
    ("act", "sigma_w", "v", "chi1"),
    [
        ("relu", 1.6, math.inf, 1.28),
        ("relu", math.sqrt(2), 2.0, 1.0),
        ("relu", 1.0, 0.0, 0.5),
        ("tanh", 0.8, 0.0, 0.64),
        ("tanh", 1.0, 0.0, 1.0),
        ("gelu", 1.2, 0.0, 0.36),
        ("gelu", 1.5335304411955353, math.inf, 1.175857807036819),  # sigma_w² / 2: far out it is relu
    ],
)
def test_signals_vanish_diverge_or_stay(act, sigma_w, v, chi1):
    point = theory.fixed_point(act, sigma_w)
    assert point.v == pytest.approx(v, rel=1e-9)
    assert point.chi1 == pytest.approx(chi1, rel=1e-9)


@pytest.mark.parametrize(
    ("act", "sigma_w", "sigma_b", "q0", "v"),
    [
        ("softplus", math.sqrt(2), 0.0, 1.0, math.inf),  # ever closer to v itself, and never there
        ("elu", math.sqrt(2), 0.0, 1.0, math.inf),
        ("elu", math.sqrt(2), 0.0, 1e200, math.inf),
        ("gelu", math.sqrt(2), 0.1, 1e4, math.inf),
        ("mish", math.sqrt(2), 0.1, 1e4, math.inf),
        ("elu", math.sqrt(2) * (1 - 1e-9), 0.0, 1.0, 4.99973e8),  # just below it there is one, far out
        ("hardtanh", 1.0, 0.0, 1.0, 0.0),  # what is cut off is soon below rounding
        ("tanh", 1e150, 0.0, 1.0, 1e300),
        ("tanh", 1e-150, 1e-150, 1.0, 1e-300),
    ],
)
def test_where_the_map_is_level_but_for_rounding_it_goes_on(act, sigma_w, sigma_b, q0, v):
    assert theory.fixed_point(act, sigma_w, sigma_b, q0).v == pytest.approx(v, rel=1e-5)


def test_a_variance_beyond_what_a_number_holds_is_infinite_and_its_slope_is_not():
    point = theory.fixed_point("tanh", 1.0, 1e200)
    assert (point.v, point.c, point.slope) == (math.inf, 1.0, 0.0)


def test_without_a_slope_there_is_a_variance_and_no_more():
    point = theory.fixed_point(lambda z: np.round(np.tanh(z), 6), 1.4)
    assert point.v == pytest.approx(theory.fixed_point("tanh", 1.4).v, rel=1e-6)
    grows = theory.fixed_point(lambda z: np.round(z, 2), 1.4)
    assert grows.v == math.inf
    assert all(map(math.isnan, (point.chi1, point.slope, point.c, grows.chi1)))


def iterated(act, sigma_w, sigma_b, q0, times):
    """v where the variance map has come to rest, None where it has not after so many steps."""
    means_of, scale = gaussian(act), math.hypot(sigma_w * math.sqrt(q0), sigma_b)
    for _ in range(times):
        mapped = math.hypot(sigma_w * means_of.at(scale).rms, sigma_b)
        if abs(mapped - scale) <= 1e-12 * scale:
            return mapped**2
        if not 1e-5 < mapped < 1e5:
            break
        scale = mapped
    return None


def test_a_close_pair_of_fixed_points_is_not_stepped_over():
    point = theory.fixed_point("gelu", 1.984**0.5, 0.1712**0.5, q0=(50 - 0.1712) / 1.984)
    assert point.v == pytest.approx(4.793, abs=5e-4)


@settings(deadline=None, max_examples=60)
@given(
    act=st.sampled_from(["tanh", "gelu", "silu", "mish", "elu", "selu", "softplus", "sin", "hardtanh"]),
    sigma_w=st.floats(0.2, 2.5),
    sigma_b=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    q0=st.floats(0.01, 100),
)
def test_a_fixed_point_is_where_iterating_the_map_ends(act, sigma_w, sigma_b, q0):
    expected = iterated(act, sigma_w, sigma_b, q0, 400)
    assume(expected is not None)
    # Iterated to 1e-12 a step, where steps shrink by 1 % or more.
    slope = theory.fixed_point(act, sigma_w, sigma_b, q0).slope
    assume(abs(slope) < 0.99)
    assert theory.fixed_point(act, sigma_w, sigma_b, q0).v == pytest.approx(expected, rel=1e-6)


def test_a_map_that_falls_is_iterated_too():
    def bump(z):
        return 3 * np.exp(-z * z) + 0.1

    assert theory.fixed_point(bump, 1.0, 0.2).v == pytest.approx(iterated(bump, 1.0, 0.2, 1.0, 400), rel=1e-9)
