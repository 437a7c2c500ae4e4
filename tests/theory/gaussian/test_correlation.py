import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep import activations
from sweep.theory.gaussian.correlation import pair
from sweep.theory.gaussian.moments import Gaussian, gaussian

CORRELATIONS = [-1.0, -0.99, -0.3, 0.0, 0.2, 0.9, 0.999, 1 - 1e-6, 1 - 1e-10, 1.0]


def bent(name, **parameters):
    """An activation whose homogeneity is not declared: the general way must give what the law gives."""
    return Gaussian(replace(activations.get(name, **parameters), homogeneous=False))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("c", CORRELATIONS)
def test_two_relus_correlate_by_the_arc_cosine_kernels(c, scale):
    """Cho and Saul 2009, degrees 0 and 1; c in closed form and by quadrature."""
    theta = math.acos(c)
    first = (math.sin(theta) + (math.pi - theta) * c) / math.pi
    zeroth = (math.pi - theta) / (2 * math.pi)
    for means in (gaussian("relu"), bent("relu")):
        found = pair(means, scale, c)
        assert found.cosine == pytest.approx(first, abs=1e-9)
        assert found.slopes == pytest.approx(zeroth, abs=1e-9)


@pytest.mark.parametrize("c", CORRELATIONS)
def test_a_slope_on_either_side_is_covered_by_the_same_law(c):
    law = gaussian(activations.get("leaky_relu", negative_slope=-0.4))
    quadrature = bent("leaky_relu", negative_slope=-0.4)
    one, other = pair(law, 1.0, c), pair(quadrature, 1.0, c)
    assert (one.cosine, one.slopes, one.squares) == pytest.approx(
        (other.cosine, other.slopes, other.squares), abs=1e-9
    )


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("c", CORRELATIONS)
def test_two_error_functions_correlate_by_the_arc_sine(c, scale):
    """Williams 1997: E[erf erf] = 2/π asin(2 v c / (1 + 2 v))."""
    v = scale**2
    expected = math.asin(2 * v * c / (1 + 2 * v)) / math.asin(2 * v / (1 + 2 * v))
    slopes = 4 / math.pi / math.sqrt((1 + 2 * v) ** 2 - (2 * v * c) ** 2)
    found = pair(gaussian("erf"), scale, c)
    assert found.cosine == pytest.approx(expected, abs=1e-9)
    assert found.slopes == pytest.approx(slopes, rel=1e-9)


@settings(deadline=None, max_examples=15)
@given(log_scale=st.floats(-2, 2), c=st.floats(-1, 1), d=st.floats(-1, 1))
@pytest.mark.parametrize("name", ["gelu", "hardtanh", "softsign", "sigmoid", "leaky_relu"])
def test_the_correlation_map_is_bounded_monotone_and_keeps_equal_inputs_equal(name, log_scale, c, d):
    means, scale = gaussian(name), math.exp(log_scale)
    assert pair(means, scale, 1.0).cosine == pytest.approx(1, abs=1e-12)
    c, d = sorted((c, d))
    low, high = pair(means, scale, c).cosine, pair(means, scale, d).cosine
    assert max(abs(low), abs(high)) <= 1 + 1e-12
    if c >= 0:  # a power series in c without negative terms: Daniely et al. 2016
        assert low <= high + 1e-12


@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "mish", "sigmoid", "softplus", "sin", "erf"])
def test_the_series_and_the_plane_of_nodes_agree(name, monkeypatch):
    cases = [(scale, c) for scale in (1e-3, 0.3, 1.0, 2.0, 4.0) for c in CORRELATIONS]
    series = [pair(gaussian(name), *case) for case in cases]
    monkeypatch.setattr("sweep.theory.gaussian.correlation._by_series", lambda *arguments: None)
    pair.cache_clear()
    for one, case in zip(series, cases, strict=True):
        plane = pair(gaussian(name), *case)
        assert (one.cosine, one.slopes, one.squares) == pytest.approx(
            (plane.cosine, plane.slopes, plane.squares), rel=1e-9, abs=1e-10
        )
    pair.cache_clear()


@settings(deadline=None, max_examples=15)
@given(log_scale=st.floats(-2, 2), c=st.floats(0, 1))
@pytest.mark.parametrize("name", ["tanh", "softsign", "hardtanh", "erf"])
def test_an_odd_activation_keeps_opposite_inputs_opposite(name, log_scale, c):
    one, other = (pair(gaussian(name), math.exp(log_scale), sign * c) for sign in (1, -1))
    assert one.cosine == pytest.approx(-other.cosine, abs=1e-11)
    assert one.slopes == pytest.approx(other.slopes, abs=1e-11)
    assert pair(gaussian(name), math.exp(log_scale), 0.0).cosine == 0
