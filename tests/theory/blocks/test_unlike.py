"""Networks whose layers are not alike: the maps of each in turn."""

import math

import numpy as np
import pytest

from sweep.base import blocks
from sweep.theory.blocks import Crossing, Widening, block_prediction, unlike_prediction
from sweep.theory.gaussian.moments import gaussian
from sweep.theory.maps import Layer, alike, prediction


def crossing(name, act, matrices, sigma_b=0.0, batch=50, parameters=None, **others):
    block = blocks.resolved(name, parameters or {})
    return Crossing(block, gaussian(act), matrices, sigma_b, batch, last=False, **others)


@pytest.mark.parametrize("act", ["identity", "relu", "tanh", "gelu", "softplus", "sin"])
@pytest.mark.parametrize("sigmas", [(1.0, 0.0), (2**0.5, 0.1), (3.0, 0.5)])
def test_plain_layers_alike_have_the_maps_of_plain_networks(act, sigmas):
    layers = alike(sigmas[0], (300, 200, 400, 400, 20))
    found = unlike_prediction([crossing("plain", act, Widening(one), sigmas[1]) for one in layers], 1.3, 0.2)
    for name, values in prediction(act, layers, sigmas[1], 50, 1.3, 0.2).statistics.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-11, err_msg=name)  # rounding


def test_a_network_is_its_parts_one_after_another():
    """The signal above the first part is the input of the second, the gradient below that one the first's."""
    inner, outer = Layer(1.5, 1.5), Layer(0.8, 0.8)
    first = [crossing("plain", "tanh", Widening(inner), 0.2)] * 2
    second = [crossing("pre_ln", "gelu", Widening(inner, outer), 0.1, parameters={"alpha": 0.5})] * 3
    whole, below = unlike_prediction(first + second, 0.7, 0.3), unlike_prediction(first, 0.7, 0.3)
    above = unlike_prediction(second, below["rms"][-1] ** 2, below["sample_cosine"][-1])
    for name in ("rms", "mean", "std", "sample_cosine"):
        np.testing.assert_allclose(whole[name][:3], below[name], rtol=1e-12)
        np.testing.assert_allclose(whole[name][2:], above[name], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(whole["delta_rms"][2:], above["delta_rms"], rtol=1e-12)
    np.testing.assert_allclose(whole["delta_rms"][:3], below["delta_rms"] * above["delta_rms"][0], rtol=1e-12)
    assert np.isnan(whole["grad_out_rms"][:3]).all()
    assert (whole["grad_out_rms"][3:] > 0).all()
    of_blocks = block_prediction(second[0].block, "gelu", [second[0].matrices] * 3, 0.1, 50, 0.7, 0.3)
    for name, values in unlike_prediction(second, 0.7, 0.3).items():
        np.testing.assert_array_equal(values, of_blocks.statistics[name])


def test_biases_after_the_second_matrix_are_those_of_a_sum():
    """h + act(h W) V + c, c ~ N(0, 0.6²): four wide networks, drawn."""
    width, batch, std = 400, 60, 0.6
    inner, outer = Layer(1.4, 1.4), Layer(1.1, 1.1)
    found = unlike_prediction([crossing("mlp", "relu", Widening(inner, outer), 0.3, batch, sigma_out=std)])
    rng, squares, cosines = np.random.default_rng(0), [], []
    for _ in range(4):
        x = rng.standard_normal((batch, width))
        w, v = (rng.standard_normal((width, width)) * s / math.sqrt(width) for s in (1.4, 1.1))
        z = x @ w + 0.3 * rng.standard_normal(width)
        h = x + np.maximum(z, 0) @ v + std * rng.standard_normal(width)
        squares.append((h * h).mean())
        unit = h / np.linalg.norm(h, axis=1, keepdims=True)
        cosines.append(((unit @ unit.T).sum() - batch) / batch / (batch - 1))
    # A mean square over so few widths is right to 2/sqrt(4 · 400) of its own, a cosine to about half that.
    assert found["rms"][1] ** 2 == pytest.approx(np.mean(squares), rel=0.1)
    assert found["sample_cosine"][1] == pytest.approx(np.mean(cosines), abs=0.05)
    without = unlike_prediction([crossing("mlp", "relu", Widening(inner, outer), 0.3, batch)])
    assert found["rms"][1] ** 2 == pytest.approx(without["rms"][1] ** 2 + std**2, rel=1e-12)
    assert found["delta_rms"][0] == without["delta_rms"][0]
