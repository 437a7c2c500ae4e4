"""First and last layers with a scheme of their own, in the kernel."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweep import initializers, kernel
from sweep.kernel import BACKWARD, FORWARD
from sweep.kernel.chains.cost import cost_of
from sweep.kernel.chains.homogeneity import carried
from tests import reference
from tests.make import alone, chain, with_ends
from tests.same import assert_same

# Of every kind: normal, uniform, cut, orthogonal, a diagonal, sparse, constant, a layer's with biases.
SCHEMES = (
    "xavier", "he_uniform", "truncated_normal", "orthogonal", "identity", "sparse", "constant", "zeros",
    "torch/linear_default", "keras/glorot_normal", "big_normal",
)  # fmt: skip
scheme = st.sampled_from(SCHEMES)
specs = st.fixed_dictionaries(
    {
        "init": scheme,
        "first": st.none() | scheme,
        "last": st.none() | scheme,
        "act": st.sampled_from(["tanh", "relu", "leaky_relu", "identity", "gelu", "sin"]),
        "widths": st.lists(st.integers(1, 30), min_size=2, max_size=6),
        "bias_std": st.sampled_from([0.0, 0.3]),
        "seed": st.integers(0, 2**63 - 1),
        "batch": st.integers(2, 50),
        "dtype": st.sampled_from(["float32", "float64"]),
    }
)


def rms_of(values):
    return np.sqrt(np.square(values.astype(np.longdouble)).mean())


@settings(max_examples=150, deadline=None)
@given(specs)
@example(
    {"init": "he_uniform", "first": "xavier", "last": "he_uniform", "act": "relu", "widths": [1, 1]}
    | {"bias_std": 0.0, "seed": 0, "batch": 2, "dtype": "float32"}
)
def test_the_kernel_agrees_with_the_plain_loop(spec):
    widths, depth = spec["widths"], len(spec["widths"]) - 1
    one = with_ends(chain(spec["init"], spec["act"], depth, spec["bias_std"]), spec["first"], spec["last"])
    measured = alone(one, widths=widths, seed=spec["seed"], batch=spec["batch"], dtype=spec["dtype"])
    h, z, delta, gradients = reference.propagate(
        one.scheme, one.act, widths, spec["seed"], spec["batch"], spec["bias_std"], one.first, one.last
    )
    # tanh and sin of big weights are chaotic, and a kink that switches moves a gradient of so few entries.
    wild = spec["act"] in ("tanh", "sin", "gelu") and "big_normal" in (
        spec["init"],
        spec["first"],
        spec["last"],
    )
    close = {"float32": 1e-4, "float64": 1e-10}[spec["dtype"]] * (100 if wild else 1)
    for layer, values in enumerate(h):
        assert measured.forward["rms"][layer] == pytest.approx(float(rms_of(values)), rel=close)
    for layer, values in enumerate(z, start=1):
        assert measured.forward["pre_rms"][layer] == pytest.approx(float(rms_of(values)), rel=close)
    if wild and spec["dtype"] == "float32":
        return  # 1 - h² has an absolute accuracy only
    loose = {"float32": 2e-2, "float64": 1e-7}[spec["dtype"]] * (10 if wild else 1)
    backward = measured.backward[depth]
    for layer, values in enumerate(delta):
        assert backward["delta_rms"][layer] == pytest.approx(float(rms_of(values)), rel=loose, abs=1e-300)
    for layer, values in enumerate(gradients, start=1):
        assert backward["grad_rms"][layer] == pytest.approx(float(rms_of(values)), rel=loose, abs=1e-300)


def stack_of(act, bias_std=0.0):
    """Chains that share their draws: plain ones, and ones with other ends, of several depths."""
    plain = chain("xavier", act, 8, bias_std, backward=(3, 8))
    scaled = [initializers.get("normal", std=std) for std in (0.01, 0.2)]
    ended = [chain("xavier", act, depth, bias_std) for depth in (1, 3, 8, 9)]
    return [
        plain,
        *(with_ends(one, last="zeros") for one in ended),
        *(with_ends(one, "he_uniform", "orthogonal") for one in ended),
        *(with_ends(one, scaled[0], scaled[1]) for one in ended),
        *(with_ends(one, scaled[1]) for one in ended),
        with_ends(ended[2], "lsuv", "torch/linear_default"),
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("act", "bias_std"), [("tanh", 0.0), ("tanh", 0.2), ("relu", 0.0), ("relu", 0.1)])
def test_a_chain_in_a_stack_gives_the_numbers_it_gives_alone(act, bias_std, dtype):
    stack = stack_of(act, bias_std)
    together = kernel.propagate(stack, [40] * 10, [3, 7], 90, dtype)
    for one, measured in zip(stack, together, strict=True):
        for index, seed in enumerate([3, 7]):
            tolerance = 1e-5 if dtype == "float32" else 1e-12
            assert_same(alone(one, 40, seed, 90, dtype), measured.of_seed(index), tolerance)


def test_all_layers_but_the_last_are_those_of_the_plain_network_and_of_a_deeper_one():
    plain = alone(chain(depth=9), 40, batch=50)
    for depth in (2, 5, 9):
        ended = alone(with_ends(chain(depth=depth), last="big_normal"), 40, batch=50)
        for name in FORWARD:
            np.testing.assert_array_equal(ended.forward[name][:depth], plain.forward[name][:depth])
        assert ended.forward["std"][depth] > 1.2 * plain.forward["std"][depth]


def test_ends_of_the_schemes_own_distribution_are_read_off_the_plain_chain_whatever_their_depths():
    stack = [
        chain("xavier", "relu", 9),
        with_ends(chain("kaiming", "relu", 5), "big_normal"),
        with_ends(chain("xavier", "relu", 7), last="small_normal"),
        with_ends(chain("xavier", "relu", 7), "he_uniform"),
        with_ends(chain("kaiming", "relu", 4), "lecun_uniform"),
        with_ends(chain("xavier", "relu", 7), last="he_uniform"),
        with_ends(chain("xavier", "relu", 6), last="he_uniform"),
        with_ends(chain("xavier", "relu", 6), last="zeros"),
    ]
    assert [group.indices for group in carried(stack, [20] * 10)] == [[0, 1, 2], [3, 4], [5], [6], [7]]


@pytest.mark.parametrize("act", ["relu", "identity"])
def test_what_the_law_reads_off_is_what_long_loops_measure(act):
    one = with_ends(chain("normal", act, 6, std=0.3), initializers.get("normal", std=40.0), "he_uniform")
    measured = alone(one, 20, batch=40, dtype="float64")
    h, _, delta, gradients = reference.propagate(
        one.scheme, one.act, [20] * 7, 0, 40, first=one.first, last=one.last
    )
    assert measured.forward["rms"] == pytest.approx([rms_of(x) for x in h], rel=1e-12)
    assert measured.backward[6]["delta_rms"] == pytest.approx([rms_of(x) for x in delta], rel=1e-12)
    assert measured.backward[6]["grad_rms"][1:] == pytest.approx([rms_of(x) for x in gradients], rel=1e-12)


@pytest.mark.parametrize("act", ["tanh", "silu"])
def test_what_leaves_float32_at_an_end_is_computed_again_with_that_end(act):
    """A first layer of 1e30 and a last one of 1e-30, in float32 and in float64."""
    large, small = (initializers.get("normal", std=std) for std in (1e30, 1e-30))
    one = with_ends(chain("xavier", act, 5), large, small)
    narrow, wide = (alone(one, 64, batch=50, dtype=dtype) for dtype in ("float32", "float64"))
    for name in ("rms", "pre_rms"):
        np.testing.assert_allclose(narrow.forward[name], wide.forward[name], rtol=1e-4)
    for name in BACKWARD:
        np.testing.assert_allclose(narrow.backward[5][name], wide.backward[5][name], rtol=1e-3)


def test_what_ends_draw_besides_is_counted():
    def cost(one, seeds=1):
        return cost_of([one], [100] * 6, seeds, 50, "float32")

    plain = chain(depth=5, backward=())
    same, other = (with_ends(plain, name, name) for name in ("xavier", "he_uniform"))
    assert cost(other).seconds > cost(plain).seconds
    assert cost(other).bytes == cost(plain).bytes + 2 * 4 * 100 * 100
    assert cost(dataclasses.replace(same, act=chain(act="relu").act)).bytes == cost(plain).bytes


def test_beyond_float64_a_long_double_network_has_its_own_ends_too():
    """So far out silu is relu, of which the law knows every scale."""
    large, small = (initializers.get("normal", std=std) for std in (1e250, 1e-250))
    plain, wide = (
        alone(with_ends(chain("xavier", act, 4), large, small), 20, batch=20) for act in ("relu", "silu")
    )
    np.testing.assert_allclose(wide.forward["rms"][1:4], plain.forward["rms"][1:4], rtol=1e-5)
    np.testing.assert_allclose(wide.forward["pre_rms"][1:], plain.forward["pre_rms"][1:], rtol=1e-5)
