"""Fixed points of blocks: where the maps of `predict` come to rest, and how fast."""

import math

import numpy as np
import pytest

from sweep import theory
from sweep.base.errors import RequestError

HELD = ["ln", "rms", "post_ln", "post_rms", "bn"]


@pytest.mark.parametrize("act", ["tanh", "relu", "gelu", "sigmoid"])
@pytest.mark.parametrize("block", HELD)
@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(0.8, 0.0), (1.7, 0.3), (3.0, 0.0)])
def test_the_maps_come_to_rest_at_the_fixed_point(block, act, sigma_w, sigma_b):
    of = theory.fixed_point(act, sigma_w, sigma_b, block=block, skip=0.6, batch=16)
    frame = theory.predict(act, sigma_w, sigma_b, 3000, c0=0.4, block=block, skip=0.6, batch=16)
    last = frame.iloc[-1]
    assert last["pre_rms"] ** 2 == pytest.approx(of.v, rel=1e-12)
    middle = frame["delta_rms"].to_numpy()
    with np.errstate(invalid="ignore"):
        rate = (middle[2900] / middle[2901]) ** 2
    if 0 < middle[2900] < math.inf:
        assert rate == pytest.approx(of.chi1, rel=1e-6)
    if block == "bn":
        return
    q, c = last["rms"] ** 2, last["sample_cosine"]
    r = (sigma_w**2 * q * c + sigma_b**2) / (sigma_w**2 * q + sigma_b**2)
    if of.xi_c < 100:  # else 3000 layers are not enough
        assert r == pytest.approx(of.c, abs=1e-9)
    else:
        assert of.c == 1


@pytest.mark.parametrize("block", ["ln", "post_rms"])
@pytest.mark.parametrize(("act", "sigma_b"), [("tanh", 0.0), ("tanh", 0.5), ("gelu", 0.5), ("sigmoid", 0.1)])
def test_the_depth_scale_is_the_rate_at_which_cosines_settle(block, act, sigma_b):
    of = theory.fixed_point(act, 1.5, sigma_b, block=block)
    frame = theory.predict(act, 1.5, sigma_b, 200, c0=0.5, block=block)
    apart = np.abs(np.diff(frame["sample_cosine"]))
    at = int(np.flatnonzero(apart > 1e-9)[-1])
    assert apart[at] / apart[at - 1] == pytest.approx(math.exp(-1 / of.xi_c), rel=1e-3)


def test_a_norm_that_only_the_mean_square_matters_to_has_the_fixed_point_of_published_rates():
    assert theory.fixed_point("tanh", 5, block="ln").chi1 == pytest.approx(1.177807232, rel=1e-8)
    assert theory.fixed_point("relu", 5, block="bn", batch=8).chi1 == pytest.approx(1.788190, rel=1e-6)
    relu = theory.fixed_point("relu", 1.3, block="post_ln", skip=0.7)
    assert (relu.chi1, relu.c, relu.xi_c) == (pytest.approx(1, rel=1e-12), 1, math.inf)
    assert (relu.slope, relu.xi_q) == (0, 0)
    assert theory.fixed_point("relu", 1, block="bn", batch=8).c == -1 / 7


def test_a_plain_block_is_a_plain_layer_whatever_the_others_have():
    assert theory.fixed_point("tanh", 1.3, 0.3, block="plain") == theory.fixed_point("tanh", 1.3, 0.3)


def test_what_leaves_nothing_or_everything_is_no_error():
    nothing = theory.fixed_point("tanh", 0, 0, block="ln")
    assert (nothing.v, nothing.c, nothing.chi1) == (0, 1, 0)
    assert theory.fixed_point("tanh", 0, 0.5, block="ln").c == 1
    identity = theory.fixed_point("tanh", 1, block="post_ln", alpha=0)
    assert (identity.chi1, identity.xi_c, math.isnan(identity.c)) == (1, math.inf, True)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"block": "pre_ln"},
            r"block=pre_ln: no fixed point is known of it: with skip=1 .*post_ln",
        ),
        ({"block": "gpt2"}, "block=pre_ln: no fixed point is known of it"),
        ({"block": "mlp", "skip": 0.5}, "block=mlp: no fixed point is known of it"),
        ({"block": "deepnet"}, r"skip=depth\*\*0.25, .*: a fixed point is one of networks of any depth"),
        ({"block": "bn", "batch": 3}, "batch=3: block bn normalises over the batch"),
        ({"block": "postln"}, "unknown block 'postln': did you mean 'post_ln'"),
    ],
)
def test_what_has_no_fixed_point_is_one_line(values, says):
    with pytest.raises(RequestError, match=says) as raised:
        theory.fixed_point("tanh", 1.0, **values)
    assert "\n" not in str(raised.value)
