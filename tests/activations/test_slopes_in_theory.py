"""What theory makes of functions that come without a derivative."""

import math

import numpy as np
import pytest

from sweep import activations, theory
from sweep.base.errors import RequestError
from sweep.theory.gaussian import correlation, moments
from tests.activations.own import OWN


@pytest.mark.parametrize("variance", [1e-300, 1e-30, 1e-12, 1e-10, 1.0, 1e12, 1e30])
def test_half_of_relus_slopes_are_1_at_every_variance(variance):
    moments = theory.gaussian_moments(lambda z: np.maximum(z, 0), variance)
    assert moments.slope_second == pytest.approx(0.5, rel=1e-12)
    assert moments.second == pytest.approx(variance / 2, rel=1e-12)


def test_an_own_relu_has_relus_fixed_point():
    point = theory.fixed_point(lambda z: np.maximum(z, 0), 1.0)
    assert point.chi1 == pytest.approx(0.5, rel=1e-12)
    assert (point.xi_q, point.xi_c) == pytest.approx((1 / math.log(2),) * 2, rel=1e-12)


SMOOTHLY_WRITTEN = [name for name in OWN if name not in ("sin", "elu", "selu")]


@pytest.mark.parametrize("name", SMOOTHLY_WRITTEN)
@pytest.mark.parametrize("variance", [1e-30, 1e-12, 1e-3, 1.0, 1e3, 1e12, 1e30])
def test_theory_of_an_activation_of_ones_own_is_that_of_the_built_in(name, variance):
    function, _ = OWN[name]
    own, built_in = theory.gaussian_moments(function, variance), theory.gaussian_moments(name, variance)
    assert own.second == pytest.approx(built_in.second, rel=1e-10)
    assert own.slope_second == pytest.approx(built_in.slope_second, rel=1e-10)


@pytest.mark.parametrize("name", ["elu", "selu"])
@pytest.mark.parametrize("variance", [1e-30, 1e-12, 1e-3, 1.0, 1e3, 1e12])
def test_a_function_rounded_near_0_keeps_its_slopes_there(name, variance):
    found = theory.gaussian_moments(OWN[name][0], variance).slope_second
    assert found == pytest.approx(theory.gaussian_moments(name, variance).slope_second, rel=1e-10)


@pytest.mark.parametrize("name", ["relu", "tanh", "elu", "gelu"])
def test_predictions_and_fixed_points_are_the_built_ins(name):
    function, _ = OWN[name]
    expected = theory.predict(name, 1.3, 0.2, depth=6)
    np.testing.assert_allclose(theory.predict(function, 1.3, 0.2, depth=6), expected, rtol=1e-9, atol=1e-9)
    sigma_w = 0.9 if name != "tanh" else 1.7
    one, other = theory.fixed_point(function, sigma_w, 0.3), theory.fixed_point(name, sigma_w, 0.3)
    for field in ("v", "c", "chi1", "slope", "xi_q", "xi_c"):
        assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-8)
    if name in ("relu", "tanh"):
        assert theory.critical_sigma_w(function) == pytest.approx(theory.critical_sigma_w(name), rel=1e-10)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_units_are_flat_as_often_as_those_of_the_built_in(scale):
    for name in ("relu", "tanh", "hardtanh"):
        own = moments.gaussian(OWN[name][0]).flat(scale)
        assert own == pytest.approx(moments.gaussian(name).flat(scale), abs=1e-9)
    steep = moments.gaussian(lambda z: np.tanh(1e6 * z))
    assert steep.flat(1e-9) == 0
    assert steep.flat(1.0) == pytest.approx(1, abs=1e-4)


def test_a_narrow_stretch_of_slope_counts_in_full():
    """E[f'²] of tanh(z/w) is 4 φ(0) / 3w for a narrow w, ∫ sech⁴ = 4/3."""
    moments = theory.gaussian_moments(lambda z: np.tanh(1e6 * z))
    assert moments.slope_second == pytest.approx(1e6 * 4 / 3 / math.sqrt(2 * math.pi), rel=1e-9)
    ridge = theory.gaussian_moments(lambda z: np.exp(-(((z - 0.7) / 0.01) ** 2)))
    expected = 0.01 * math.sqrt(math.pi / 2) * math.exp(-0.245) / math.sqrt(2 * math.pi)
    assert ridge.second == pytest.approx(expected, rel=1e-3)  # to the square of the ridge's width


def test_kinks_of_an_object_that_declares_none_are_found():
    act = activations.Activation("mine", lambda z: np.maximum(z - 0.3, 0), lambda z, h: (z > 0.3) * 1.0)
    assert activations.kinks_of(act) == (0.3,)
    moments = theory.gaussian_moments(act, 1.0)
    assert moments.slope_second == pytest.approx(math.erfc(0.3 / math.sqrt(2)) / 2, rel=1e-12)
    assert activations.kinks_of(activations.get("tanh")) == ()
    assert activations.kinks_of(activations.get("hardtanh")) == (-1.0, 1.0)


def test_without_a_slope_theory_says_what_it_can_and_no_more():
    def rounded(z):
        return np.round(z * 1e6) / 1e6

    layers = theory.predict(rounded, 1.1, 0.3, depth=3)
    expected = theory.predict("identity", 1.1, 0.3, depth=3)
    np.testing.assert_allclose(layers["rms"], expected["rms"], rtol=1e-5)
    assert layers["flat"].isna().all()
    assert layers["delta_rms"][:-1].isna().all()
    point = theory.fixed_point(rounded, 0.5, 0.3)
    assert point.v == pytest.approx(0.09 / 0.75, rel=1e-4)
    assert math.isnan(point.chi1)
    assert math.isnan(point.xi_c)
    for ask in (lambda: theory.critical_sigma_w(rounded), lambda: theory.gain(rounded, "backward")):
        with pytest.raises(RequestError, match="more steps than can be listed"):
            ask()


@pytest.mark.parametrize("variance", [1e3, 1e9, 1e30, 1e300])
def test_a_wave_far_within_the_scale_is_averaged_over_its_period(variance):
    moments = theory.gaussian_moments("sin", variance)
    assert (moments.second, moments.slope_second) == pytest.approx((0.5, 0.5), rel=1e-14)
    assert moments.mean == 0


@pytest.mark.parametrize("c", [-1.0, -0.999, -0.3, 0.0, 0.7, 0.999, 1.0])
def test_two_waves_correlate_in_closed_form(c):
    """E[sin sin] = exp(-v) sinh(vc), E[cos cos] = exp(-v) cosh(vc)."""
    scale = 13.0
    found = correlation.pair(moments.gaussian("sin"), scale, c)
    near, far = (math.exp(-(scale**2) * (1 - sign * c)) / 2 for sign in (1, -1))
    assert found.cosine == pytest.approx(2 * (near - far), abs=1e-12)
    assert found.slopes == pytest.approx(near + far, abs=1e-12)
