"""What is trained is what was measured: the same weights, whatever draws or fits them."""

import numpy as np
import pytest

from sweep import kernel
from sweep.base.blocks import BLOCKS
from sweep.kernel.draws import streams
from sweep.kernel.training.descent import Learner
from sweep.kernel.training.drawing import is_biased
from tests.kernel.training.pupils import BATCH, made, network
from tests.make import with_ends

INITS = [
    ("xavier", {}), ("constant", {}), ("orthogonal", {"gain": 1.3}), ("sparse", {}), ("identity", {}),
    ("uniform", {"low": -0.1, "high": 0.3}), ("lsuv", {}), ("lsuv", {"mean": True}),
    ("torch/linear_default", {}), ("jax/he_uniform", {}),
]  # fmt: skip
OWN_BIASES = {"torch/linear_default"}


def same(one, widths, seed=3):
    """The rms of the last layer as measured, and of the network that is trained."""
    measured = kernel.propagate([one], widths, [seed], BATCH, "float64")[0]
    net = network(one, widths=widths, seed=seed)
    h = Learner(net, one).forward(streams.inputs([seed], BATCH, widths[0]).astype(np.float64))
    return measured.forward["rms"][0, -1], np.sqrt(np.square(h).mean())


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("init", "params"), INITS, ids=[f"{name}-{len(p)}" for name, p in INITS])
def test_the_network_that_is_trained_is_the_one_that_was_measured(block, init, params):
    own = init in OWN_BIASES or params.get("mean")
    one = made(block, init, bias_std=0.0 if own else 0.2, **params)
    measured, found = same(one, (16,) * 4)
    assert found == pytest.approx(measured, rel=1e-9)


def test_first_and_last_layers_of_their_own_and_tapered_widths_are_trained_as_they_are():
    one = with_ends(made(depth=3), "orthogonal", "big_normal")
    measured, found = same(one, (20, 16, 12, 8))
    assert found == pytest.approx(measured, rel=1e-9)


def test_biases_are_trained_where_there_are_any():
    fans = (16, 16)
    assert is_biased(made(bias_std=0.1), 1, fans)
    assert not is_biased(made(bias_std=0.0), 1, fans)
    assert not is_biased(made("bn", bias_std=0.1), 1, fans)
    assert is_biased(made(init="torch/linear_default", bias_std=0.0), 1, fans)
    assert network(made(bias_std=0.0)).layers[0].bias is None


def test_the_readout_has_the_variance_of_one_over_the_width_and_no_bias():
    net = network(made(), 400)
    assert net.readout.std() == pytest.approx(0.05, rel=0.05)
    assert not net.offset.any()
