"""The long double loop of blocks: it holds a float64 loop, is narrow, and finds kernels that are wrong."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sweep import activations, initializers, kernel
from sweep.base.blocks import BLOCKS, INSIDE, REGISTRY
from sweep.kernel.layers.blocks import block as block_module
from sweep.kernel.layers.blocks import norms
from sweep.kernel.layers.signal import Signal
from tests import exact, reference
from tests.differential import disagreements
from tests.exact import LONG
from tests.plain_blocks import BlockNetwork
from tests.stacks import Link, Spec

pytestmark = pytest.mark.skipif(not exact.WIDE, reason="a long double is only a double on this machine")

NOT_PLAIN = [name for name in BLOCKS if name != "plain"]
WIDTH, DEPTH, BATCH = 9, 4, 20
ODD = {"skip": 0.9, "alpha": 0.7, "w_scale": 1.1, "v_scale": "depth**-0.5", "expand": 2}


def odd(name):
    return {key: value for key, value in ODD.items() if key in REGISTRY.get(name).takes}


def link(name, act="tanh", init="xavier", bias_std=0.1, depth=DEPTH, **init_params):
    return Link(init, init_params, act, {}, bias_std, depth, (depth,), name, odd(name))


def wrong(*links, dtype="float32", widths=None):
    depth = max(one.depth for one in links)
    return disagreements(Spec(links, widths or (WIDTH,) * (depth + 1), (3,), BATCH, dtype))[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("act", ["tanh", "relu"])
@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_the_loop_of_blocks_allows_is_narrow_and_holds_a_plain_float64_loop(name, act, dtype):
    one = link(name, act)
    network = one.network((WIDTH,) * (DEPTH + 1), 3, BATCH, dtype, np.random.default_rng(0))
    assert isinstance(network, BlockNetwork)
    network.send_back(DEPTH)
    of = reference.propagate_blocks(
        one.scheme, activations.get(act), one.block_at_depth, WIDTH, DEPTH, 3, BATCH, 0.1
    )
    figures = {(None, "pre_rms", 1 + i): values for i, values in enumerate(of.z)}
    figures |= {(None, "rms", i): values for i, values in enumerate(of.h)}
    figures |= {(DEPTH, "delta_rms", i): values for i, values in enumerate(of.delta)}
    figures |= {(DEPTH, "grad_rms", 1 + i): values for i, values in enumerate(of.gradients)}
    if one.block_at_depth.out:
        figures |= {(DEPTH, "grad_out_rms", 1 + i): values for i, values in enumerate(of.out)}
    for key, values in figures.items():
        allowed, right = network.figures[key], math.sqrt((values**2).mean())
        assert allowed.holds(right), key
        assert allowed.exact == pytest.approx(right, rel=1e-11)
        assert allowed.high / allowed.low - 1 < (2e-3 if dtype == "float32" else 1e-9), key


def without_alpha(monkeypatch):
    def times(self, factor):
        return Signal(self.mantissa, self.exponent, self.rms)

    monkeypatch.setattr(Signal, "times", times)


def without_a_mean(monkeypatch):
    def mean(values, axis):
        return np.zeros_like(values.mean(axis=axis, keepdims=True), dtype=float)

    def back(self, gradient, old=norms.Normed.back):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(norms, "_mean", mean)
            return old(self, gradient)

    monkeypatch.setattr(norms.Normed, "back", back)


def without_a_skip_back(monkeypatch):
    monkeypatch.setattr(
        block_module.BlockLayer, "_added", lambda self, skipped, alpha, branch: [(alpha, branch)]
    )


def with_scales_changed(monkeypatch):
    def changed(chain, *others, old=block_module.Weighted.__init__, **more):
        numbers = {"w_scale": 1.001 * chain.block.number("w_scale")}
        old(others[0], replace(chain, block=replace(chain.block, **numbers)), *others[1:], **more)

    monkeypatch.setattr(
        block_module.Weighted,
        "__init__",
        lambda self, chain, *others, **more: changed(chain, self, *others, **more),
    )


@pytest.mark.parametrize(
    ("mistake", "names"),
    [
        (without_alpha, [name for name in NOT_PLAIN if REGISTRY.get(name).skipped]),
        (without_a_mean, [name for name in NOT_PLAIN if REGISTRY.get(name).norm]),
        (without_a_skip_back, [name for name in NOT_PLAIN if REGISTRY.get(name).skipped]),
        # A norm of what W makes takes its size away.
        (with_scales_changed, [name for name in NOT_PLAIN if REGISTRY.get(name).place != INSIDE]),
    ],
)
def test_a_kernel_that_is_wrong_is_found(mistake, names, monkeypatch):
    assert not any(wrong(link(name)) for name in names)
    mistake(monkeypatch)
    assert all(wrong(link(name)) for name in names)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["mlp", "residual", "pre_rms", "post_ln"])
def test_a_block_without_a_skip_may_have_any_widths(name, dtype):
    one = replace(link(name, "gelu"), block_params={"skip": 0.0, "alpha": 0.5})
    assert not wrong(one, dtype=dtype, widths=(9, 4, 12, 5, 7))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["ln", "post_ln"])
def test_a_norm_of_what_differs_by_less_than_its_rounding_is_that_of_the_difference(name, dtype):
    """All weights are one number; what tells neurons apart is a bias that float32 rounds away."""
    one = replace(link(name, "softsign", "constant", 3e-10, value=-8.2), block_params={})
    assert not wrong(one, dtype=dtype)
    (found,) = kernel.propagate([one.chain], (WIDTH,) * (DEPTH + 1), [3], BATCH, dtype)
    if name == "ln":
        np.testing.assert_allclose(found.forward["pre_rms"][0, 1:], 1, rtol=1e-6)


def test_neurons_that_are_one_have_no_norm_however_many_they_are():
    """In long double too, whose products of many are float64's."""
    scheme, act = initializers.get("constant", value=0.3), activations.get("tanh")
    chain = kernel.Chain(scheme, act, 0.0, 2, (2,), block=REGISTRY.get("ln"))
    (found,) = kernel.propagate([chain], (700,) * 3, [0], 60)
    np.testing.assert_array_equal(found.forward["rms"][0, 1:], 0)
    np.testing.assert_array_equal(found.backward[2]["delta_rms"][0, :-1], 0)


def test_what_a_users_own_function_cannot_return_may_be_0():
    z = np.array([-37.7014821])
    own, right = exact.OWN["gelu"][0], exact.of("own gelu", {})
    assert right.own
    assert float(right.f(z.astype(LONG))[0]) != 0 == own(z)[0]
    one = Link("uniform", {"low": -8.1, "high": 8.1}, "own gelu numerical", {}, 0.0, 26, (26,), "residual")
    assert not disagreements(Spec((one,), (1,) * 27, (1188189787,), 6, "float32"))[1]


def test_a_norm_of_one_neuron_lies_on_the_edge_of_hardtanh_and_either_side_will_do():
    one = Link("jax/kaiming_uniform", {}, "hardtanh", {}, 0.0, 3, (3,), "rms", {"w_scale": "depth**-0.5"})
    for dtype in ("float32", "float64"):
        for seed in range(3):
            assert not disagreements(Spec((one,), (9, 7, 4, 1), (seed,), 60, dtype))[1]


def test_what_all_entries_of_a_sample_are_multiplied_by_is_rounded_once_for_all():
    """A gradient along what a norm holds: rounding of its factor is left of it, in every neuron alike."""
    one = Link("torch/ones", {}, "leaky_relu", {}, 1e-5, 5, (2, 5), "rms", {"w_scale": 1.0})
    spec = Spec((one,), (54, 28, 56, 26, 42, 32), (1064748388, 868796517), 14, "float64")
    assert not disagreements(spec)[1]
