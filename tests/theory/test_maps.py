import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep import activations, initializers, kernel, theory
from sweep.base.errors import RequestError
from sweep.kernel import passes

ACTIVATIONS = list(activations.ACTIVATIONS)


@settings(deadline=None, max_examples=20)
@given(factor=st.floats(1e-3, 1e3), sigma_w=st.floats(0.1, 4))
def test_a_relu_network_scales_with_its_input(factor, sigma_w):
    one = theory.predict("relu", sigma_w, depth=5, q0=1.0)
    other = theory.predict("relu", sigma_w, depth=5, q0=factor**2)
    np.testing.assert_allclose(other["rms"], factor * one["rms"], rtol=1e-12)
    np.testing.assert_allclose(other["sample_cosine"], one["sample_cosine"], rtol=1e-12)
    np.testing.assert_allclose(other["delta_rms"], one["delta_rms"], rtol=1e-12)


def test_an_activation_is_a_name_an_object_or_a_function():
    expected = theory.predict("tanh", 1.3, 0.2, 5)
    for act in (activations.get("tanh"), np.tanh, lambda z: np.sinh(z) / np.cosh(z)):
        np.testing.assert_allclose(theory.predict(act, 1.3, 0.2, 5), expected, rtol=1e-6)


@pytest.mark.parametrize("act", ["relu", "leaky_relu"])
def test_half_the_units_are_flat_however_small_the_signal(act):
    assert theory.predict(act, sigma_w=1e-3, depth=90)["flat"].iloc[1:].to_numpy() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_without_weights_theory_says_what_zeros_do(name):
    chain = kernel.Chain(initializers.get("zeros"), activations.get(name), 0.0, 3, (3,))
    (measured,) = kernel.propagate([chain], (40, 40, 40, 40), [0], 64)
    forward, backward = measured.of_seed(0).forward, measured.of_seed(0).backward[3]
    predicted = theory.predict(name, sigma_w=0.0, depth=3, batch=64)
    for column in ("rms", "mean", "std", "pre_rms", "sample_cosine", "flat"):
        np.testing.assert_allclose(forward[column][1:], predicted[column][1:], atol=1e-6)
    # The gradient that comes in, and the inputs under the first layer, are drawn: 64 × 40 of each.
    np.testing.assert_allclose(backward["delta_rms"], predicted["delta_rms"], rtol=0.1)
    np.testing.assert_allclose(backward["grad_rms"][1:], predicted["grad_rms"][1:], rtol=0.1)
    spread = theory.finite_width(name, 0.0, depth=3)
    assert ((spread["std"][1:] == 0) == (predicted["rms"][1:] > 0)).all()


WIDTH, DEPTH, BATCH = 2000, 4, 64


@pytest.fixture(scope="module", params=(passes.NUMPY, passes.COMPILED))
def wide(request):
    """Every activation at width 2000, behind weights of sigma_w = 1.2: one stack, one draw."""
    if request.param == passes.COMPILED:
        pytest.importorskip("numba")
    scheme = initializers.get("variance_scaling", scale=1.44)
    chains = [
        kernel.Chain(scheme, activations.get(name), 0.2, DEPTH, (DEPTH,)) for name in activations.ACTIVATIONS
    ]
    measured = kernel.propagate(chains, (WIDTH,) * (DEPTH + 1), [0], BATCH, kind=request.param)
    return {name: one.of_seed(0) for name, one in zip(activations.ACTIVATIONS, measured, strict=True)}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_kernel_does_what_theory_says_at_width_2000(name, wide):
    measured, predicted = wide[name], theory.predict(name, 1.2, 0.2, DEPTH, batch=BATCH)
    stray = theory.finite_width(name, 1.2, 0.2, DEPTH, WIDTH, BATCH)
    forward, backward = measured.forward, measured.backward[DEPTH]
    # log rms² strays by the predicted std from seed to seed: five of them, and what bends the mean.
    distance = np.log(forward["rms"] ** 2) - np.log(predicted["rms"] ** 2) - stray["shift"]
    assert (np.abs(distance) <= 5 * stray["std"]).all()
    # Of the others a layer's mean over 2000 neurons strays by 1 / sqrt(2000) = 2 % times what it
    # varies by, which is below 1, and layers add up: 5 %. A square doubles what strays at every layer.
    rms, (stray, back) = predicted["rms"], (0.1, 0.5) if name == "squared_relu" else (0.05, 0.05)
    np.testing.assert_allclose(forward["mean"] / rms, predicted["mean"] / rms, atol=stray)
    np.testing.assert_allclose(forward["sample_cosine"], predicted["sample_cosine"], atol=stray)
    np.testing.assert_allclose(forward["flat"][1:], predicted["flat"][1:], atol=stray)
    np.testing.assert_allclose(backward["delta_rms"], predicted["delta_rms"], rtol=back)
    np.testing.assert_allclose(backward["grad_rms"][1:], predicted["grad_rms"][1:], rtol=2 * back)


def test_a_tapered_network_sends_back_through_fan_out():
    widths = [100, 50, 25]
    found = theory.predict("relu", math.sqrt(2), widths=widths)
    assert found["rms"].tolist() == pytest.approx([1, 1, 1])
    # fan_out · Var W · E[act'²] = fan_out / fan_in: half of the second moment at each step down.
    assert (found["delta_rms"] ** 2).tolist() == pytest.approx([1 / 4, 1 / 2, 1])


@pytest.mark.parametrize(
    ("act", "sigma_w", "depth", "rms"),
    [("relu", 16.0, 292, 2.0 ** (292 * 3.5)), ("relu", 16.0, 400, math.inf), ("tanh", 0.08, 400, 0.0)],
)
def test_a_signal_beyond_what_a_number_holds_is_followed(act, sigma_w, depth, rms):
    found = theory.predict(act, sigma_w, depth=depth, c0=0.5)
    assert found["rms"].iloc[-1] == pytest.approx(rms, rel=1e-9)
    assert not found.iloc[1:].isna().any(axis=None)
    # Cosines do not depend on the size: those of ReLU at any, those of tanh where it is linear.
    same = theory.predict(act, 1.0 if act == "relu" else 1e-3, depth=depth, c0=0.5)
    np.testing.assert_allclose(found["sample_cosine"], same["sample_cosine"], rtol=1e-2)


@pytest.mark.parametrize("act", ["gelu", "elu", "softplus"])
def test_far_out_two_inputs_see_a_relu(act):
    far, relu = (theory.predict(name, 16.0, depth=9, q0=1e80, c0=0.5) for name in (act, "relu"))
    np.testing.assert_allclose(far["sample_cosine"], relu["sample_cosine"], rtol=1e-12)
    np.testing.assert_allclose(far["delta_rms"], relu["delta_rms"], rtol=1e-9)


@pytest.mark.parametrize("act", ["relu", "tanh"])
def test_signals_far_outside_of_what_squares_hold_are_predicted(act):
    tiny = theory.predict(act, 1e-20, depth=10)["rms"].iloc[-1]
    assert tiny == pytest.approx(1e-200 * (2**-5 if act == "relu" else 1), rel=1e-9)
    huge = theory.predict("relu", 1e20, depth=10)["rms"].iloc[-1]
    assert huge == pytest.approx(1e200 / 2**5, rel=1e-9)


def explosive(z):
    return np.exp(z * z / 4)


def pole(z):
    return 1 / z


def pole_of_finite_moment(z):
    return np.log(np.abs(z))


def noise(z):
    return z + 0.01 * np.random.default_rng(len(z)).standard_normal(z.shape)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: theory.gaussian_moments(explosive), "does not converge"),
        (lambda: theory.gaussian_moments(pole), "does not converge"),
        (lambda: theory.predict(explosive, 1.0), "does not converge"),
        (lambda: theory.gaussian_moments("tanh", -1.0), "variance=-1.0: variance must be"),
        (lambda: theory.gaussian_moments("glue"), "did you mean 'gelu'"),
        (lambda: theory.predict("tanh", -1.0), "sigma_w=-1.0: sigma_w must be"),
        (lambda: theory.predict("tanh", 1.0, -0.1), "sigma_b=-0.1"),
        (lambda: theory.predict("tanh", 1.0, c0=1.5), "c0=1.5: c0 is the cosine of two inputs"),
        (lambda: theory.predict("tanh", 1.0, depth=0), "depth=0: depth must be"),
        (lambda: theory.predict("tanh", 1.0, q0=0.0), "q0=0.0"),
        (lambda: theory.predict("tanh", 1.0, widths=[3]), "widths=[3]"),
        (lambda: theory.finite_width("tanh", 1.0, width=0), "width=0"),
        (lambda: theory.fixed_point("tanh", math.nan), "sigma_w=nan"),
        (lambda: theory.critical_sigma_w("tanh", -1), "sigma_b=-1"),
        (lambda: theory.gain("tanh", "everything"), "unknown preserves 'everything'"),
        (lambda: theory.gain(np.sign, "backward"), "no gain preserves the backward of numpy.sign(z)"),
        (
            lambda: theory.gain(noise, "backward"),
            "the slope of tests.theory.test_maps.noise(z) is not known: what",
        ),
        (lambda: theory.critical_sigma_w(pole_of_finite_moment), "is not known everywhere"),
    ],
)
def test_a_wrong_question_gets_one_clear_line(call, says):
    with pytest.raises(RequestError) as caught:
        call()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_theory_needs_neither_pandas_nor_scipy_until_asked_for_what_does():
    code = (
        "import sys; from sweep import theory; theory.gaussian_moments('tanh'); theory.gain('relu');"
        "sys.exit(any(name in sys.modules for name in ('scipy', 'pandas', 'pyarrow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
