"""Transformed activations as the kernel crosses them, against formulas written out."""

import math

import numpy as np
import pytest

from sweep import activations, initializers, theory
from sweep.activations import FLAT_SLOPE, Activation
from sweep.kernel import Chain, passes
from sweep.kernel.passes import compiled, folder
from sweep.kernel.passes.plain import Sums
from tests import reference
from tests.make import alone

CASES = [("gelu", "dks"), ("gelu", "tat"), ("tanh", "tat"), ("sin", "dks"), ("relu", "tat"), ("selu", "dks")]


def written(of, found):
    """f̂ and f̂' from the constants alone, in float64."""
    a, b, c, d = found.input_scale, found.input_shift, found.output_scale, found.output_shift
    own = "leaky_relu" if found.negative_slope else of
    plain = activations.get(own, **({"negative_slope": found.negative_slope} if found.negative_slope else {}))
    return Activation(
        "written",
        lambda z: c * (plain.f(a * z + b) + d),
        lambda z, h: c * a * plain.derivative(a * z + b, plain.f(a * z + b)),
        oscillates=True,
    )


@pytest.mark.parametrize(("of", "method"), CASES)
def test_a_pass_is_the_formula_to_float32s_rounding(of, method, kind):
    found = theory.transform(of, 50, method)
    act, by_hand = found.activation, written(of, found)
    if kind == passes.COMPILED:
        assert folder.has(activations.loop_name(act))
        assert compiled._formula_of(act), "it has a loop of its own"
    z = np.linspace(-12, 12, 64 * 201, dtype=np.float32).reshape(1, 201, 64)
    h, slope, sums = np.empty_like(z), np.empty_like(z), Sums.of(act, z.shape)
    passes.named(kind).forward(act, sums, slice(0, 1), z.copy(), None, h, slope)
    wide = z.astype(float)
    # Roundings of f, and of a z + b, which output_scale makes larger.
    size = 4 * 2.0**-24 * found.output_scale * (1 + abs(found.output_shift))
    np.testing.assert_allclose(h, by_hand.f(wide), rtol=4e-6, atol=size)
    np.testing.assert_allclose(slope, by_hand.derivative(wide, by_hand.f(wide)), rtol=4e-6, atol=size)
    flat = np.abs(by_hand.derivative(wide, by_hand.f(wide))) < FLAT_SLOPE
    assert sums.flat.shares()["flat"][0] == pytest.approx(flat.mean(), abs=3 / z.size)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("of", "method"), [("gelu", "tat"), ("relu", "tat"), ("softplus", "dks")])
def test_a_network_is_that_of_a_plain_loop_of_the_formula(of, method, dtype):
    found = theory.transform(of, 30, method)
    scheme = initializers.get("xavier")
    measured = alone(Chain(scheme, found.activation, 0.0, 6, (6,)), 64, 3, 50, dtype)
    h, z, delta, gradients = reference.propagate(scheme, written(of, found), [64] * 7, 3, 50)
    close = {"float32": 1e-5, "float64": 1e-12}[dtype]

    def rms(values):
        return [math.sqrt((one**2).mean()) for one in values]

    np.testing.assert_allclose(measured.forward["rms"], rms(h), rtol=close)
    np.testing.assert_allclose(measured.forward["pre_rms"][1:], rms(z), rtol=close)
    np.testing.assert_allclose(measured.backward[6]["delta_rms"], rms(delta), rtol=close)
    np.testing.assert_allclose(measured.backward[6]["grad_rms"][1:], rms(gradients), rtol=close)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e30, -1e30])
def test_what_is_not_finite_comes_out_of_both_passes_alike(value):
    act = theory.transform("gelu", 50, "tat").activation
    results = []
    for kind in (passes.NUMPY, passes.COMPILED):
        if kind == passes.COMPILED:
            pytest.importorskip("numba")
        z = np.full((1, 1, 70), value, np.float32)
        h, slope, sums = np.empty_like(z), np.empty_like(z), Sums.of(act, z.shape)
        with np.errstate(all="ignore"):
            passes.named(kind).forward(act, sums, slice(0, 1), z, None, h, slope)
        results.append((h, slope))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
