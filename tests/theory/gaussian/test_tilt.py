"""What docs/finite-width.md says of two inputs, against the code and against draws."""

import math

import numpy as np
import pytest

from sweep import activations
from sweep.theory.finite.fluctuations import fluctuations
from sweep.theory.gaussian import tilt
from sweep.theory.gaussian.moments import gaussian

C = np.array([-0.5, 0.0, 0.3, 0.8, 1.0])


def pairs(act, c, width=400):
    """o, then C, s and k at these correlations, at v = 1."""
    own, *rest = fluctuations(gaussian(act), width).pairs(np.zeros(1), np.atleast_1d(c)[None])
    return own[0, 0], *(values[0] for values in rest)


def test_what_two_inputs_share_has_its_closed_forms():
    own, cosine, squares, cubes = pairs("identity", C)
    assert own == pytest.approx(2)
    np.testing.assert_allclose((cosine, squares, cubes), (C, 2 * C**2, 2 * C), atol=1e-12)
    own, cosine, squares, cubes = pairs("relu", C)
    theta, root = math.pi - np.arccos(C), np.sqrt(1 - C * C)
    assert own == pytest.approx(5)
    # Forty-eight terms of a series in c leave some 1e-7 near 1.
    np.testing.assert_allclose(cosine, (root + C * theta) / math.pi, atol=1e-6)
    expected = 2 / math.pi * (3 * C * root + (1 + 2 * C * C) * theta) - 1
    np.testing.assert_allclose(squares, expected, atol=1e-6)
    assert squares[-1] == pytest.approx(cubes[-1]) == pytest.approx(own)


@pytest.mark.parametrize("act", ["relu", "tanh"])
def test_a_cosine_strays_as_the_page_says(act):
    n, draws, c = 400, 20_000, 0.5
    rng, f = np.random.default_rng(0), activations.get(act).f
    own, *rest = pairs(act, c, n)
    cosine, squares, cubes = (float(values[0]) for values in rest)
    found, logs = np.empty(draws), np.empty(draws)
    for block in range(0, draws, 1000):
        a, other = rng.standard_normal((2, 1000, n))
        fa, fb = f(a), f(c * a + math.sqrt(1 - c * c) * other)
        sizes = (fa * fa).mean(axis=1) * (fb * fb).mean(axis=1)
        found[block : block + 1000] = (fa * fb).mean(axis=1) / np.sqrt(sizes)
        logs[block : block + 1000] = np.log(sizes)
    variance = squares + 1 - cosine**2 - 2 * cosine * cubes + cosine**2 * (own + squares) / 2
    # 20,000 draws know a variance to 1 %, and what is of second order in 1/n adds as much.
    assert n * found.var() == pytest.approx(variance, rel=0.04)
    bias = cosine * (3 * own + squares) / 4 - cubes
    assert n * (found.mean() - cosine) == pytest.approx(bias, abs=4 * n * found.std() / math.sqrt(draws))
    covariance = 2 * cubes - cosine * (own + squares)
    assert n * np.cov(found, logs)[0, 1] == pytest.approx(covariance, rel=0.05)


def test_the_cosine_of_a_linear_layer_strays_like_that_of_a_sample():
    """Fisher: artanh of a sample correlation has the variance 1/n, whatever the correlation."""
    n = 400
    before = tilt.cosines_of_inputs(0.5, n, 1)
    one = np.ones((1, 1))
    _, after = tilt.cosines_after(before, fluctuations(gaussian("identity"), n), n, 0 * one, one, one, one)

    def variance(law):
        mean = (law.weights * law.y).sum()
        return (law.weights * (law.y - mean) ** 2).sum()

    assert variance(before) == pytest.approx(1 / n)
    assert variance(after) == pytest.approx(2 / n, rel=0.01)
