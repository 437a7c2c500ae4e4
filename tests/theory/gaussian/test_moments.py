import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep import activations, theory
from sweep.theory.gaussian.correlation import pair
from sweep.theory.gaussian.moments import Gaussian, gaussian
from tests.paths import DATA

ACTIVATIONS = list(activations.ACTIVATIONS)
REFERENCE = json.loads((DATA / "gaussian_moments.json").read_text())["activations"]
VARIANCES = [1e-12, 1e-6, 1e-2, 1.0, 50.0, 1e4, 1e6]


@pytest.mark.parametrize("name", REFERENCE)
def test_moments_are_those_of_high_precision_quadrature(name):
    moments, expected = theory.gaussian_moments(name), REFERENCE[name]
    # Absolute where the true value is 0, relative elsewhere: the values are all below 1.1.
    assert moments.mean == pytest.approx(float(expected["E_phi"]), abs=1e-10)
    assert moments.second == pytest.approx(float(expected["E_phi2"]), rel=1e-10)
    assert moments.slope_second == pytest.approx(float(expected["E_dphi2"]), rel=1e-10)
    assert theory.gain(name) == pytest.approx(float(expected["gain_second_moment"]), rel=1e-10)


# E[act²] and E[act'²] in closed form; Williams 1997 for erf.
CLOSED = {
    "identity": (lambda v: v, lambda v: 1.0),
    "relu": (lambda v: v / 2, lambda v: 0.5),
    "erf": (
        lambda v: 2 / math.pi * math.asin(2 * v / (1 + 2 * v)),
        lambda v: 4 / math.pi / math.sqrt(1 + 4 * v),
    ),
    "sin": (lambda v: -math.expm1(-2 * v) / 2, lambda v: (1 + math.exp(-2 * v)) / 2),
}


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("name", CLOSED)
def test_moments_hold_to_1e_8_from_the_smallest_to_the_largest_variance(name, variance):
    act = replace(activations.get(name), homogeneous=False)
    moments = theory.gaussian_moments(act, variance)
    second, slope = CLOSED[name]
    assert moments.second == pytest.approx(second(variance), rel=1e-8)
    assert moments.slope_second == pytest.approx(slope(variance), rel=1e-8)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_panels_half_as_long_change_no_moment(name, variance, monkeypatch):
    act = activations.get(name)
    usual = Gaussian(act).at(math.sqrt(variance))
    monkeypatch.setattr("sweep.theory.gaussian.moments._PANEL", 0.7)
    finer = Gaussian(act).at(math.sqrt(variance))
    assert usual.rms == pytest.approx(finer.rms, rel=1e-9)
    assert usual.slope_rms == pytest.approx(finer.slope_rms, rel=1e-9)
    assert usual.elasticity == pytest.approx(finer.elasticity, rel=1e-9, abs=1e-9)  # sin forgets v
    assert usual.mean == pytest.approx(finer.mean, rel=1e-9, abs=1e-12 * usual.rms)


@pytest.mark.parametrize("name", ["hardtanh", "selu", "relu"])
def test_a_kink_that_nobody_declared_is_found(name):
    act = activations.get(name)
    hidden, declared = Gaussian(replace(act, kinks=(), homogeneous=False)), Gaussian(act)
    assert hidden.at(1.3).rms == pytest.approx(declared.at(1.3).rms, rel=1e-9)
    assert hidden.at(1.3).slope_rms == pytest.approx(declared.at(1.3).slope_rms, rel=1e-9)
    assert pair(hidden, 1.3, 0.5).slopes == pytest.approx(pair(declared, 1.3, 0.5).slopes, rel=1e-8)


@settings(deadline=None, max_examples=20)
@given(log_scale=st.floats(-10, 8))
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gain_times_an_activation_has_the_second_moment_of_its_input(name, log_scale):
    variance = math.exp(2 * log_scale)
    gain = theory.gain(name, variance=variance)
    assert gain**2 * theory.gaussian_moments(name, variance).second == pytest.approx(variance, rel=1e-12)


@settings(deadline=None, max_examples=20)
@given(log_scale=st.floats(-6, 6))
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_elasticity_is_the_slope_of_the_variance_map(name, log_scale):
    """Price's theorem: d E[f²] / dv = E[z f f'] / v; against a central difference, error h² f'''."""
    means, scale, step = gaussian(name), math.exp(log_scale), 1e-4
    logs = [2 * math.log(means.at(scale * math.exp(sign * step / 4)).rms) for sign in (-1, 1)]
    assert means.at(scale).elasticity == pytest.approx((logs[1] - logs[0]) / step, abs=1e-6)


def test_gains_are_named_for_what_they_preserve():
    moments = theory.gaussian_moments("gelu")
    assert theory.gain("gelu", "variance") == pytest.approx((moments.second - moments.mean**2) ** -0.5)
    assert theory.gain("gelu", "backward") == pytest.approx(moments.slope_second**-0.5)
    assert theory.gain("relu") == pytest.approx(math.sqrt(2))
    assert theory.gain("relu", "backward") == pytest.approx(math.sqrt(2))
    assert theory.gain("relu", "variance") == pytest.approx(math.sqrt(2 / (1 - 1 / math.pi)))


def test_a_pole_of_finite_moment_has_its_moments_and_no_slope():
    """ln|z|: E = -(γ + ln 2) / 2 and Var = π²/8, by the digamma function at 1/2."""
    moments = theory.gaussian_moments(lambda z: np.log(np.abs(z)))
    mean = -(np.euler_gamma + math.log(2)) / 2
    assert moments.mean == pytest.approx(mean, rel=1e-8)
    assert moments.second == pytest.approx(mean**2 + math.pi**2 / 8, rel=1e-8)
    assert math.isnan(moments.slope_second)


@pytest.mark.parametrize(
    ("act", "slope"), [("sigmoid", 0.25), ("softplus", 0.5), ("gelu", 0.5), ("tanh", 1.0)]
)
@pytest.mark.parametrize("scale", [1e-4, 1e-6, 1e-9, 1e-12, 1e-40])
def test_what_hardly_varies_has_the_std_of_its_slope(act, slope, scale):
    assert gaussian(activations.get(act)).at(scale).std == pytest.approx(slope * scale, rel=1e-6)


def test_a_kink_beside_a_constant_has_the_std_of_its_sides():
    def above(z):
        return 3 + np.maximum(z, 0)

    expected = 1e-11 * math.sqrt((1 - 1 / math.pi) / 2)
    assert gaussian(activations.resolved(above, {})).at(1e-11).std == pytest.approx(expected, rel=1e-6)


def test_moments_far_from_each_other_are_all_right():
    for v in (1.0, 81.0, 100.0):
        moments = theory.gaussian_moments(np.exp, v)
        assert moments.mean == pytest.approx(math.exp(v / 2), rel=1e-12)
        assert moments.second == pytest.approx(math.exp(2 * v), rel=1e-12)
        assert moments.slope_second == pytest.approx(math.exp(2 * v), rel=1e-9)


def test_two_functions_of_one_source_are_two_activations():
    gains = [theory.gain(lambda z, k=k: k * z) for k in (1.0, 2.0, 4.0)]
    assert gains == pytest.approx([1, 0.5, 0.25])


@pytest.mark.parametrize("omega", [1.0, 2.38])
def test_how_flat_a_fast_wave_is_has_a_closed_form(omega):
    """P(abs(omega cos phase) < s) = 2/π asin(s / omega)."""
    wave = activations.get("sin", omega=omega)
    expected = 2 / math.pi * math.asin(activations.FLAT_SLOPE / omega)
    assert theory.predict(wave, sigma_w=21.0, depth=1)["flat"][1] == pytest.approx(expected, rel=1e-9)
