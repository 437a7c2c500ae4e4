"""The plain loops of copies, inputs, transformed acts and Jacobians: narrow, and finding what is wrong."""

import numpy as np
import pytest

from sweep.base.blocks import BLOCKS
from sweep.base.registry import TRANSFORMED
from sweep.experiment.axes import FORMATS
from sweep.kernel import jacobian
from sweep.kernel.copies.rounding import Rounding
from tests import exact, plain_inputs
from tests.differential import disagreements
from tests.plain_copies import Copy
from tests.plain_jacobian import jac_spread
from tests.stacks import Link, Spec

pytestmark = pytest.mark.skipif(not exact.WIDE, reason="a long double is only a double on this machine")

WIDTH, DEPTH, BATCH = 20, 3, 30
UNEQUAL = {"law": "unequal", "rows": BATCH, "width": WIDTH, "seed": 1}


def spec(block="plain", act="tanh", act_params=None, widths=(WIDTH,) * (DEPTH + 1), **more):
    of_link = {name: more.pop(name) for name in ("format", "first", "last", "block_params") if name in more}
    depth = len(widths) - 1
    link = Link("xavier", {}, act, act_params or {}, 0.1, depth, (depth,), block, **of_link)
    return Spec((link,), widths, (3,), BATCH, more.pop("dtype", "float32"), **more)


def wrong(*given, **more):
    return disagreements(spec(*given, **more))[1]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_has_the_copy_of_its_formula(block, name):
    assert not wrong(block, format=name)


@pytest.mark.parametrize("block", ["mlp", "ln", "post_rms"])
def test_copies_of_tapered_networks_with_ends_are_those_of_the_plain_loop(block):
    params = {} if block == "ln" else {"skip": 0.0, "alpha": 0.5}
    ends = {"first": ("normal", {"std": 0.5}), "last": ("torch/linear_default", {})}
    for name in FORMATS:
        assert not wrong(block, "gelu", widths=(9, 14, 6, 11), format=name, block_params=params, **ends)


@pytest.mark.parametrize("law", plain_inputs.LAWS)
def test_rows_of_a_file_cross_as_in_the_plain_loop(law):
    params = {**UNEQUAL, "law": law}
    for block in ("plain", "pre_ln", "bn"):
        assert not wrong(block, input="npy", input_params=params, format="bfloat16")


@pytest.mark.parametrize(
    ("of", "method", "target"), [("gelu", "tat", None), ("relu", "tat", 0.5), ("softplus", "dks", None)]
)
def test_transformed_acts_cross_as_in_the_plain_loop(of, method, target):
    params, widths = {"of": of, "method": method, "target": target}, (WIDTH,) * 7
    for dtype in ("float32", "float64"):
        assert not wrong(act=TRANSFORMED, act_params=params, widths=widths, format="float16", dtype=dtype)


@pytest.mark.parametrize("block", [name for name in BLOCKS if name != "bn"])
def test_every_block_has_the_singular_values_of_its_plain_jacobian(block):
    one = spec(block, "gelu", jacobian=True)
    (link,) = one.links
    network = link.network(one.widths, 3, BATCH, "float64", np.random.default_rng(0))
    allowed = jac_spread(network)
    assert allowed.high - allowed.low < 1e-7 * (1 + allowed.exact)
    assert not disagreements(one)[1]


def test_what_a_copy_may_be_is_narrow():
    one = spec(format="float8_e4m3fn")
    (link,) = one.links
    network = link.network(one.widths, 3, BATCH, "float32", np.random.default_rng(0))
    copy = Copy(network, link.format)
    network.send_back(DEPTH)
    copy.send_back(DEPTH)
    for layer in range(1, DEPTH + 1):
        allowed = network.figures[None, "round_cosine", layer]
        assert (1 - allowed.low) / (1 - allowed.high) < 1.2
        for start, name in ((None, "zeroed"), (DEPTH, "delta_zeroed")):
            allowed = network.figures[start, name, layer]
            assert allowed.high - allowed.low < 0.02, "a dozen of 600 entries"
    scale = network.figures[DEPTH, "loss_scale", DEPTH]
    assert scale.high <= 4 * scale.low  # of 180 sizes, those next to the second


def towards_0(monkeypatch):
    def by_sum(self, x, near, work, old=Rounding._by_sum):
        old(self, x, near, work)
        below = near - np.abs(near) * np.float32(2.0**-self.form.bits) * np.sign(near)
        np.copyto(near, below, where=np.abs(near) > np.abs(x))

    monkeypatch.setattr(Rounding, "_by_sum", by_sum)


def with_another_spread(monkeypatch):
    old = jacobian._spread
    monkeypatch.setattr(jacobian, "_spread", lambda values: 1.0001 * old(values))


@pytest.mark.parametrize(
    ("mistake", "of"),
    [
        (towards_0, {"format": "float16"}),
        (with_another_spread, {"jacobian": True}),
    ],
)
def test_a_kernel_that_is_wrong_is_found(mistake, of, monkeypatch):
    assert not wrong(**of)
    mistake(monkeypatch)
    assert wrong(**of)
