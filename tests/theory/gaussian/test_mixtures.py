"""Maps averaged over a law of inputs: two inputs of unequal sizes, and what averaging first would lose."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sweep import activations
from sweep.base.blocks import BLOCKS, REGISTRY
from sweep.theory.blocks import Widening, block_cosines, block_prediction
from sweep.theory.gaussian.correlation import pair, unequal_cosine
from sweep.theory.gaussian.mixtures import UNIT, Law, mixed_prediction, mixture
from sweep.theory.gaussian.moments import Gaussian, gaussian
from sweep.theory.maps import alike, prediction

ACTS = ("tanh", "gelu", "hardtanh", "selu", "sigmoid", "softplus")
CORRELATIONS = (-1.0, -0.6, 0.0, 0.3, 0.95, 1 - 1e-6, 1.0)


@pytest.mark.parametrize("c", CORRELATIONS)
def test_two_relus_of_unequal_sizes_correlate_by_the_arc_cosine_kernel(c):
    """It knows no size: Cho and Saul 2009, degree 1. By the law and by quadrature."""
    theta = math.acos(c)
    expected = (math.sin(theta) + (math.pi - theta) * c) / math.pi
    bent = Gaussian(replace(activations.get("relu"), homogeneous=False))
    for means in (gaussian("relu"), bent):
        assert unequal_cosine(means, 0.2, 3.0, c) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("c", CORRELATIONS)
def test_two_error_functions_of_unequal_sizes_correlate_by_the_arc_sine(c):
    """Williams 1997: E[erf(u1) erf(u2)] = 2/π asin(2 s1 s2 c / √((1 + 2 s1²)(1 + 2 s2²)))."""
    first, second = 0.4, 2.5
    sizes = [1 + 2 * scale**2 for scale in (first, second)]
    cross = math.asin(2 * first * second * c / math.sqrt(sizes[0] * sizes[1]))
    squares = [math.asin(2 * s**2 / size) for s, size in zip((first, second), sizes, strict=True)]
    expected = cross / math.sqrt(squares[0] * squares[1])
    assert unequal_cosine(gaussian("erf"), first, second, c) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("c", [-0.6, 0.3, 0.95])
def test_two_of_unequal_sizes_correlate_as_a_simulation_says(act, c):
    """A million pairs: the mean of a product of unit rms is known to some 1e-3 each."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 1_000_000))
    f = activations.get(act).f
    first, second = f(0.5 * x), f(2.0 * (c * x + math.sqrt(1 - c * c) * y))
    product = first * second / np.sqrt(np.mean(first**2) * np.mean(second**2))
    error = product.std() / 1000
    assert unequal_cosine(gaussian(act), 0.5, 2.0, c) == pytest.approx(product.mean(), abs=5 * error)
    assert unequal_cosine(gaussian(act), 2.0, 0.5, c) == pytest.approx(
        unequal_cosine(gaussian(act), 0.5, 2.0, c), abs=1e-9
    )


@pytest.mark.parametrize("act", ACTS)
def test_two_of_nearly_one_size_are_a_pair_of_one(act):
    for c in (-0.5, 0.0, 0.7):
        near = unequal_cosine(gaussian(act), 1.0, 1.0 + 1e-9, c)
        assert near == pytest.approx(pair(gaussian(act), 1.0, c).cosine, abs=1e-8)


def test_a_law_of_one_point_is_the_maps_of_that_point():
    layers = alike(1.2, (1,) * 6)
    law = Law(((2.0, 1.0),), ((2.0, 2.0, 0.4, 1.0),))
    expected = prediction("gelu", layers, 0.3, 50, 2.0, 0.4).statistics
    for name, values in mixed_prediction("gelu", layers, 0.3, 50, law).items():
        np.testing.assert_array_equal(values, expected[name])
    plain = mixed_prediction("tanh", layers, 0.3, 50, UNIT)
    for name, values in prediction("tanh", layers, 0.3, 50).statistics.items():
        np.testing.assert_array_equal(plain[name], values)


def test_identical_points_of_a_law_are_one_point():
    layers = alike(1.2, (1,) * 6)
    law = Law(((2.0, 0.3), (2.0, 0.7)), ((2.0, 2.0, 0.4, 0.5), (2.0, 2.0, 0.4, 0.5)))
    expected = prediction("gelu", layers, 0.3, 50, 2.0, 0.4).statistics
    for name, values in mixed_prediction("gelu", layers, 0.3, 50, law).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-12)


@pytest.mark.parametrize(("act", "sigma_w"), [("tanh", 1.6), ("relu", 2**0.5), ("gelu", 1.4), ("elu", 1.0)])
def test_a_batch_of_two_sizes_is_what_a_wide_network_does_to_it(act, sigma_w):
    """Half of the samples 0.2 in rms, half 2; within five standard errors."""
    width, batch, depth, bias = 1500, 12, 3, 0.2
    law = Law(
        ((0.04, 0.5), (4.0, 0.5)),
        ((0.04, 0.04, 0.0, 5 / 22), (4.0, 4.0, 0.0, 5 / 22), (0.04, 4.0, 0.0, 12 / 22)),
    )
    found = mixed_prediction(act, alike(sigma_w, (1,) * (depth + 1)), bias, batch, law)
    f, rng = activations.get(act).f, np.random.default_rng(8)
    measured = []
    for _ in range(8):
        h = rng.standard_normal((batch, width), np.float32)
        h = h / np.sqrt(np.mean(h * h, axis=1, keepdims=True)) * np.repeat([0.2, 2.0], 6)[:, None]
        for _ in range(depth):
            w = rng.standard_normal((width, width), np.float32) * (sigma_w / width**0.5)
            h = f(h @ w + rng.standard_normal(width, np.float32) * bias)
        unit = h / np.linalg.norm(h, axis=1, keepdims=True)
        cosine = (unit @ unit.T)[~np.eye(batch, dtype=bool)].mean()
        measured.append([np.sqrt(np.mean(h * h)), h.std(), h.mean(), cosine])
    mean, error = np.mean(measured, axis=0), np.std(measured, axis=0, ddof=1) / 8**0.5
    expected = [found[name][-1] for name in ("rms", "std", "mean", "sample_cosine")]
    assert np.all(np.abs(mean - expected) < 5 * error + 2e-3 * np.abs(expected)), (mean, expected, error)


def test_averaging_first_is_another_map():
    """What the mean second moment and the mean cosine lose where a tenth of the inputs are large."""
    layers = alike(1.0, (1,) * 4)
    law = Law(((0.1, 0.9), (9.1, 0.1)), ((0.1, 0.1, 0.9, 0.5), (0.1, 0.1, -0.1, 0.5)))
    q0, c0 = law.means
    assert (q0, c0) == (pytest.approx(1.0), pytest.approx(0.4))
    right = mixed_prediction("tanh", layers, 0.0, 10, law)
    first = prediction("tanh", layers, 0.0, 10, q0, c0).statistics
    assert right["rms"][0] == pytest.approx(first["rms"][0])
    assert right["rms"][1] < 0.75 * first["rms"][1]

    def cosine(c):
        return prediction("relu", layers, 0.0, 10, 1, c).statistics["sample_cosine"]

    alone = (cosine(0.9) + cosine(-0.1)) / 2
    assert abs(cosine(0.4)[1] - alone[1]) > 0.03
    whole = mixed_prediction("relu", layers, 0.0, 10, law)["sample_cosine"]
    np.testing.assert_allclose(whole, alone, rtol=1e-9)


def test_sizes_beyond_float64s_squares_are_averaged_too():
    layers = alike(1.0, (1,) * 3)
    law = Law(((1e-300, 0.5), (1e300, 0.5)), ((1e-300, 1e300, 0.2, 1.0),))
    found = mixed_prediction("relu", layers, 0.0, 10, law)
    assert found["rms"][2] == pytest.approx(1e150 * 0.5 * 0.5**0.5, rel=1e-12)
    assert found["sample_cosine"][1] == pytest.approx(pair(gaussian("relu"), 1.0, 0.2).cosine)


@pytest.mark.parametrize("act", ["tanh", "gelu", "relu"])
@pytest.mark.parametrize("name", [name for name in BLOCKS if name not in ("plain", "bn")])
def test_two_inputs_of_one_size_cross_a_block_as_a_pair_of_it_does(name, act):
    block = REGISTRY.get(name).at(4)
    layers = alike(1.2, (1,) * 5)
    blocks = [Widening(layer, layer if block.out else None) for layer in layers]
    for mean in (0.0, 0.3):
        expected = block_prediction(block, act, blocks, 0.2, 20, 1.7, 0.4, mean).statistics
        found = block_cosines(block, act, blocks, 0.2, expected, expected, 0.4)
        np.testing.assert_allclose(found, expected["sample_cosine"], atol=1e-9)


def test_a_law_of_one_size_through_blocks_is_the_mean_of_its_pairs():
    def of(q, c):
        return prediction("tanh", alike(1.0, (1,) * 3), 0.1, 10, q, c).statistics

    equal = Law(pairs=((1.0, 1.0, 0.1, 0.5), (1.0, 1.0, 0.7, 0.5)))
    np.testing.assert_allclose(
        mixture(of, lambda *_: np.zeros(3), equal)["sample_cosine"],
        (of(1, 0.1)["sample_cosine"] + of(1, 0.7)["sample_cosine"]) / 2,
    )
