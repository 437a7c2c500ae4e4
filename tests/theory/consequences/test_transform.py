import math

import numpy as np
import pytest

from sweep import RequestError, activations, initializers, kernel, theory
from sweep.kernel import Chain
from sweep.theory.gaussian.moments import gaussian

SMOOTH = [  # all that have a TAT transform, but relu's
    "gelu", "gelu_tanh", "silu", "mish", "elu", "celu", "tanh", "sigmoid", "erf", "softplus", "softsign",
    "sin", activations.get("softplus", beta=4.0),
]  # fmt: skip


def named(value):
    """The same in every process that collects the tests, unlike what an activation prints."""
    return getattr(value, "formula", str(value))


def means_of(found):
    """E f̂, Q(1), Q'(1), C'(1) by adaptive quadrature, and C''(1) = E[f̂''²] by differences of f̂'."""
    act = found.activation
    means = gaussian(act).at(1.0)
    edges = np.unique([*np.linspace(-9, 9, 91), *act.kinks])
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    x = (edges[:-1, None] + half * (1 + nodes)).ravel()
    step = 1e-5
    slopes = [act.derivative(z, act.f(z)) for z in (x - step, x + step)]
    density = (half * weights).ravel() * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    bends = float(density @ ((slopes[1] - slopes[0]) / (2 * step)) ** 2)
    return means.mean, means.rms**2, means.elasticity * means.rms**2, means.slope_rms**2, bends


@pytest.mark.parametrize(
    ("method", "expected"),
    [("dks", (0.1214, 0.2577, 11.751, -0.1605)), ("tat", (0.0817, 0.3268, 16.26, -0.2043))],
)
def test_the_published_constants_of_gelu(method, expected):
    found = theory.transform("gelu", depth=50, method=method)
    constants = (found.input_scale, found.input_shift, found.output_scale, found.output_shift)
    assert constants == pytest.approx(expected, rel=5e-4)  # as printed
    assert found.negative_slope is None


@pytest.mark.parametrize("depth", [5, 200])
@pytest.mark.parametrize("act", [*SMOOTH, "selu", "hardswish"], ids=named)
def test_dks_meets_its_equations(act, depth):
    mean, q, slope_of_q, slope_of_c, _ = means_of(theory.transform(act, depth, "dks"))
    assert mean == pytest.approx(0, abs=1e-8)
    assert (q, slope_of_q, slope_of_c) == pytest.approx((1, 1, 1.5 ** (1 / depth)), abs=1e-8)


@pytest.mark.parametrize("depth", [5, 200])
@pytest.mark.parametrize("act", SMOOTH, ids=named)
def test_tat_meets_its_equations(act, depth):
    _, q, slope_of_q, slope_of_c, bend_of_c = means_of(theory.transform(act, depth, "tat"))
    assert (q, slope_of_q, slope_of_c) == pytest.approx((1, 1, 1), abs=1e-8)
    assert bend_of_c == pytest.approx(0.3 / depth, abs=1e-8, rel=1e-6)  # differences of f̂' across a kink


@pytest.mark.parametrize("depth", [20, 100])
@pytest.mark.parametrize(
    "act", ["relu", activations.get("leaky_relu", negative_slope=0.2)], ids=["relu", "steeper"]
)
def test_the_slope_of_a_leaky_relu_takes_orthogonal_inputs_to_the_target(act, depth):
    found = theory.transform(act, depth, "tat")
    assert 0 < found.negative_slope < 1
    last = theory.predict(found.activation, 1.0, depth=depth).iloc[-1]
    assert (last["sample_cosine"], last["rms"]) == pytest.approx((0.9, 1.0), abs=1e-8)
    assert found.output_scale == math.sqrt(2 / (1 + found.negative_slope**2))


def test_a_transformed_network_keeps_what_it_is_transformed_for():
    found = theory.transform("gelu", 30, "dks")
    each = theory.predict(found.activation, 1.0, depth=30)
    np.testing.assert_allclose(each["rms"], 1.0, atol=1e-8)
    np.testing.assert_allclose(each["sample_cosine"], 0.0, atol=1e-8)
    assert theory.fixed_point(found.activation, 1.0).chi1 == pytest.approx(1.5 ** (1 / 30), abs=1e-8)


@pytest.mark.parametrize("act", ["tanh", "elu", "leaky_relu"])
def test_the_activation_made_has_its_own_slope_in_either_precision(act):
    made = theory.transform(act, 20, "tat").activation
    z = np.linspace(-3, 3, 1001) + 1e-4
    slope = (made.f(z + 1e-6) - made.f(z - 1e-6)) / 2e-6
    np.testing.assert_allclose(made.derivative(z, made.f(z)), slope, atol=1e-7)
    narrow = z.astype(np.float32)
    h = made.f(narrow)
    assert h.dtype == made.derivative(narrow, h).dtype == np.float32
    np.testing.assert_allclose(h, made.f(z), atol=2e-5)  # output_scale rounds output_shift


def test_kinks_move_with_the_input():
    found = theory.transform("hardswish", 50)
    for kink, own in zip(found.activation.kinks, (-3.0, 3.0), strict=True):
        assert found.input_scale * kink + found.input_shift == pytest.approx(own)


def test_an_odd_activation_is_shifted_to_the_positive_side():
    assert theory.transform("tanh", 50).input_shift > 0


def test_a_wave_twice_as_fast_has_the_same_transform_at_half_the_scale():
    one, two = (theory.transform(activations.get("sin", omega=omega), 50) for omega in (1.0, 8.0))
    assert one.input_scale == pytest.approx(8 * two.input_scale)
    assert one.input_shift == pytest.approx(8 * two.input_shift)
    assert one.output_scale == pytest.approx(two.output_scale)


@pytest.mark.parametrize(
    ("act", "method", "message"),
    [
        ("relu", "dks", r"max\(z, 0\) has no DKS transform: .* use the method tat"),
        ("identity", "dks", "has no DKS transform: .* use another activation"),
        ("identity", "tat", r"C''\(1\) = 0.006 cannot hold, for C''\(1\) of a line is 0"),
        ("hardtanh", "tat", r"C''\(1\) is infinite where f' jumps, here at z = -1"),
        (np.zeros_like, "dks", "it is constant, or has no slope; use another activation"),
        ("squared_relu", "dks", r"Q'\(1\) = 1 holds nowhere that C'\(1\) = 1.00814 does"),
    ],
)
def test_where_there_is_no_transform_the_line_says_which_equation_fails(act, method, message):
    with pytest.raises(RequestError, match=message):
        theory.transform(act, 50, method)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "tta"}, "unknown method 'tta': did you mean 'tat'"),
        ({"target": 1.0}, "target=1.0: target must be a finite number above 1"),
        ({"depth": 10**18}, "target=1.5: at depth 1000000000000000000"),
        ({"target": 1 + 1e-15, "depth": 1000}, r"target\^\(1/depth\) is 1 to the last digit"),
        ({"target": 0, "method": "tat"}, "target=0: target must be a finite number above 0"),
        ({"act": "relu", "method": "tat", "target": 1}, "target must be a finite number above 0 and below 1"),
        ({"act": "relu", "method": "tat", "depth": 3}, r"relu takes it to 0.6048; give a smaller target"),
        ({"act": np.heaviside}, "heaviside"),
    ],
)
def test_wrong_values_are_named(arguments, message):
    with pytest.raises(RequestError, match=message):
        theory.transform(**({"act": "gelu", "depth": 10} | arguments))


def test_deep_transformed_networks_measure_as_they_are_made_to():
    """Orthogonal weights stray least: at this width a seed's rms by 1 to 3 %, its cosine by 0.01."""
    depth, width = 100, 512
    cases = [("gelu", "dks"), ("gelu", "tat"), ("tanh", "tat"), ("elu", "tat")]
    acts = [theory.transform(of, depth, method).activation for of, method in cases]
    scheme = initializers.get("orthogonal")
    chains = [Chain(scheme, act, 0.0, depth, (depth,)) for act in acts]
    for act, measured in zip(acts, kernel.propagate(chains, [width] * (depth + 1), [0], 40), strict=True):
        expected, one = theory.predict(act, 1.0, depth=depth), measured.of_seed(0)
        np.testing.assert_allclose(one.forward["rms"], 1, atol=0.06, err_msg=act.formula)
        cosine, delta = one.forward["sample_cosine"], one.backward[depth]["delta_rms"]
        np.testing.assert_allclose(cosine, expected["sample_cosine"], atol=0.04, err_msg=act.formula)
        np.testing.assert_allclose(delta, expected["delta_rms"], rtol=0.06, err_msg=act.formula)
    other = theory.predict(theory.transform("gelu", depth // 2, "tat").activation, 1.0, depth=depth)
    assert other["sample_cosine"].iloc[-1] > 0.2, "those of another depth would be seen"
