"""What the advice says where a general word would mislead."""

import pytest

import sweep

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from torch import nn  # noqa: E402

from tests.probing.networks import WIDTH, mlp, vectors, zeroed  # noqa: E402


def test_a_head_that_begins_as_0_may_be_meant():
    model = mlp(3)
    zeroed(model[-1])
    probed = sweep.probe(model, vectors())
    assert (probed.verdict, probed.module) == ("vanishing", "6")
    assert "where that is meant" in probed.advice


def test_the_gradient_of_a_mean_is_judged_as_any():
    """All its entries are one at the outputs, so that their std is 0."""
    deep = sweep.probe(mlp(30, nn.Tanh, 3.0), vectors(), loss=lambda outputs: outputs.mean())
    assert deep.verdict == "gradient-exploding"
    assert sweep.probe(mlp(6), vectors(), loss=lambda outputs: outputs.mean()).verdict == "healthy"


def test_biases_are_named_where_it_is_they_that_saturate():
    model = mlp(4, nn.Tanh, 1.0, bias=True)
    nn.init.constant_(model[2].bias, 5.0)
    probed = sweep.probe(model, vectors())
    assert (probed.verdict, probed.module) == ("saturated", "2")
    assert "biases" in probed.advice
    assert "divide" not in probed.advice


def test_weights_are_not_to_be_multiplied_by_0_where_a_gradient_overflows():
    """The norm makes up for what is small, and takes the gradient of a large loss beyond half precision."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH))
    nn.init.normal_(model[0].weight, std=1e-3)
    nn.init.zeros_(model[0].bias)
    probed = sweep.probe(model.half(), vectors().half(), loss=lambda outputs: 1e4 * outputs.float().sum())
    assert probed.verdict == "gradient-exploding"
    assert "not finite" in probed.advice
