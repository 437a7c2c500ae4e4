"""Slopes found of functions that come without a derivative."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import sweep
from sweep import activations
from sweep.activations.polynomials import Table
from sweep.activations.slopes import Slopes, slopes_of
from tests.activations.own import OWN, own_elu, own_gelu

POINTS = np.array([1e-300, 1e-30, 1e-3, 0.29, 0.31, 0.5, 1.0, 7.3, 1e3, 1e30])


def slopes(function, z=POINTS):
    return Slopes(function)(np.asarray(z, float))


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(deadline=None, max_examples=50)
@given(exponent=st.floats(-300, 30), sign=st.sampled_from([-1.0, 1.0]))
def test_an_activation_of_ones_own_has_the_slope_of_the_built_in(name, dtype, exponent, sign):
    function, furthest = OWN[name]
    act = activations.get(name)
    with np.errstate(all="ignore"):
        z = np.array([sign * min(10.0**exponent, furthest)], dtype)
        assume(z[0] not in (-1, 1))  # hardtanh's own choice at its kinks is torch's: 0
        expected = act.derivative(z.astype(float), act.f(z.astype(float)))
        found = slopes_of(function)(z)
    assert found.dtype == dtype
    # A panel misses 64 roundings of f, and a slope multiplies them by degree² / width; float32 rounds it.
    np.testing.assert_allclose(found, expected, atol=1e-6 if dtype == np.float32 else 1e-10)


@pytest.mark.parametrize("name", OWN)
def test_slopes_are_right_all_over_the_range_at_once(name):
    function, _ = OWN[name]
    act, z = activations.get(name), np.linspace(-40, 40, 100_003)
    expected = act.derivative(z, act.f(z))
    np.testing.assert_allclose(slopes(function, z), expected, atol=1e-10)
    narrow = z.astype(np.float32)
    expected = act.derivative(narrow.astype(float), act.f(narrow.astype(float)))
    np.testing.assert_allclose(Slopes(function)(narrow), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "sigmoid", "softplus"])
def test_a_tail_keeps_the_relative_accuracy_that_the_function_has(name):
    z = np.linspace(-36, -2, 5001)
    act = activations.get(name)
    # exp(z²/2) makes z²/2 roundings of its argument's.
    np.testing.assert_allclose(slopes(OWN[name][0], z), act.derivative(z, act.f(z)), rtol=1e-8, atol=1e-250)


@pytest.mark.parametrize(
    ("function", "derivative"),
    [
        (lambda z: z * np.abs(z), lambda z: 2 * np.abs(z)),
        (np.square, lambda z: 2 * z),
        (np.cos, lambda z: -np.sin(z)),
        (lambda z: np.exp(-z * z), lambda z: -2 * z * np.exp(-z * z)),
        (lambda z: np.sign(z) * np.sqrt(np.abs(z)), lambda z: 0.5 / np.sqrt(np.abs(z))),
        (lambda z: z**3, lambda z: 3 * z * z),
        (lambda z: np.sin(50 * z), lambda z: 50 * np.cos(50 * z)),
    ],
)
def test_slopes_near_0_are_right_relative_to_themselves(function, derivative):
    z = np.concatenate([-np.geomspace(1e-300, 1e-3, 2000), np.geomspace(1e-300, 1e-3, 2000)])
    with np.errstate(all="ignore"):
        expected = derivative(z)
        found = slopes(function, z)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(expected[[0, -1]]).min())


def test_a_steep_function_has_the_limit_of_its_slope():
    z = np.concatenate([np.geomspace(1e-300, 1e-4, 1000), [0.0]])
    for sign in (-1, 1):
        found = slopes(lambda z: np.tanh(1e6 * z), sign * z)
        # Of what lies next to 1 only 1e-16 of 1 is known: 1e-16 · 1e6 · degree².
        np.testing.assert_allclose(found, 1e6 / np.cosh(1e6 * z) ** 2, rtol=1e-9, atol=1e-7)
        found = slopes(lambda z: 1 / (1 + np.exp(-1e6 * z)), sign * z)
        np.testing.assert_allclose(found, 1e6 / (2 + 2 * np.cosh(1e6 * z)), rtol=1e-9, atol=1e-7)


def test_at_a_kink_the_slope_is_the_left_limit():
    cases = [
        (lambda z: np.maximum(z, 0), [0.0, -0.0, 5e-324, -5e-324], [0, 0, 1, 0]),
        (lambda z: np.clip(z, -1, 1), [-1.0, 1.0, np.nextafter(1, 2), np.nextafter(-1, 0)], [0, 1, 0, 1]),
        (lambda z: np.maximum(z - 0.3, 0), [0.3, np.nextafter(0.3, 1)], [0, 1]),
        (lambda z: np.sign(z) * np.sqrt(np.abs(z)), [0.0], [math.inf]),
    ]
    for function, z, expected in cases:
        assert slopes(function, z).tolist() == expected
        if 5e-324 not in z and z[0]:
            assert Slopes(function)(np.array(z[:1], np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("function", "kinks"),
    [
        (lambda z: np.maximum(z, 0), (0.0,)),
        (own_elu, (0.0,)),
        (np.tanh, ()),
        (own_gelu, ()),
        (np.sign, (0.0,)),
        (lambda z: np.clip(z, 0, 6), (0.0, 6.0)),
        (lambda z: np.maximum(z - 0.3, 0), (0.3,)),
        (lambda z: np.where(np.abs(z) < 0.7, z * z / 2, 0.7 * (np.abs(z) - 0.35)), (-0.7, 0.7)),
        (lambda z: np.where(z > 1 / 3, 2.0, z), (1 / 3,)),
        (lambda z: np.where(np.abs(z) < 7, z, np.nan), (-7.0, 7.0)),
        (lambda z: np.where(z > 0, 2, -1), (0.0,)),
    ],
)
def test_kinks_are_found_to_the_last_bits(function, kinks):
    with np.errstate(all="ignore"):
        # A jump of f is where it is; a bend of f is as well known as its values, here 1e-16.
        assert sorted(Slopes(function).kinks) == pytest.approx(kinks, rel=1e-15)


def test_steps_at_listable_places_have_slope_0_and_waves_the_slope_they_have():
    z = np.array([-100.5, -7.3, 0.2, 3.0, 63.7, 1000.2])
    assert slopes(np.floor, z).tolist() == [0.0] * 6
    assert slopes(np.round, z).tolist() == [0.0] * 6
    wave = np.array([0.1, 7.7, 301.3, 5e4, 3e6])
    # Far out what is known of 50 z is the rounding of z: 50 · 3e6 · 1e-16, against steps of 1e-4.
    np.testing.assert_allclose(slopes(lambda z: np.sin(50 * z), wave), 50 * np.cos(50 * wave), atol=50 * 1e-6)
    np.testing.assert_allclose(
        slopes(lambda z: np.abs(np.sin(z)), wave), np.cos(wave) * np.sign(np.sin(wave)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda z: np.modf(np.sin(z * 12.9898e8) * 43758.5453)[0], "do not converge"),
        (lambda z: np.round(z * 1e6), "more steps than can be listed"),
        (lambda z: np.tanh(z.astype(np.float16)), "more steps than can be listed"),
        (lambda z: z - z.mean(), "depends on the others"),
        (lambda z: z + np.random.default_rng().standard_normal(z.shape), "on chance"),
        (lambda z: np.sin(1e7 * z), "too many kinks"),
    ],
)
def test_where_a_slope_cannot_be_had_it_is_nan_and_there_is_a_reason(function, says):
    act = activations.resolved(function, {})
    z = np.linspace(-3, 3, 50)
    assert np.isnan(act.derivative(z, z)).all()
    reason = activations.slope_unknown(act)
    assert says in reason
    assert reason.endswith("give act.derivative")
    assert "\n" not in reason


def test_where_a_function_is_known_there_is_no_reason():
    for act in (activations.get("relu"), activations.resolved(own_elu, {})):
        assert activations.slope_unknown(act) is None
    # 1/z waves ever faster towards 0: unknown there, and nowhere else.
    found = slopes(lambda z: np.sin(1 / z), [1e-12, 0.5, 2.0])
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], [-4 * math.cos(2), -0.25 * math.cos(0.5)], rtol=1e-10)


def test_a_function_in_float32_has_the_slopes_that_its_rounding_allows():
    z = np.linspace(-6, 6, 1001)
    for name in ("tanh", "silu", "relu", "gelu_tanh"):
        function, _ = OWN[name]
        act = activations.get(name)
        found = slopes(lambda z, f=function: f(z.astype(np.float32)), z)
        # 1e-7 of f, and slopes multiply it by degree² / width, up to 100.
        np.testing.assert_allclose(found, act.derivative(z, act.f(z)), atol=2e-5)


def test_a_function_that_raises_or_is_not_defined_far_out_has_slopes_where_it_is():
    def near(z):
        if (np.abs(z) > 50).any():
            raise ValueError("too far")
        return np.tanh(z)

    z = np.array([-3.0, 0.0, 1e-200, 40.0])
    np.testing.assert_allclose(slopes(near, z), 1 - np.tanh(z) ** 2, atol=1e-10)
    assert np.isnan(slopes(near, [60.0]))
    assert slopes(np.log, [0.5, 1e-200, 1e20]) == pytest.approx([2.0, 1e200, 1e-20], rel=1e-9)


def test_what_hides_between_the_points_looked_at_is_found():
    z = np.array([0.695, 2.694, 0.9999995])
    ridge = slopes(lambda z: np.exp(-(((z - 0.7) / 0.01) ** 2)), z[:1])
    assert ridge == pytest.approx(100 * math.exp(-0.25), rel=1e-9)
    spike = slopes(lambda z: z + np.exp(-(((z - 2.7) / 0.01) ** 2)), z[1:2])
    assert spike == pytest.approx(1 + 120 * math.exp(-0.36), rel=1e-9)
    late = slopes(lambda z: np.tanh(1e6 * (z - 1)), z[2:])
    assert late == pytest.approx(1e6 / math.cosh(0.5) ** 2, rel=1e-6)


def test_a_function_may_write_to_its_argument():
    def relu(z):
        z[z < 0.3] = 0.3
        return z

    for _ in range(2):
        assert slopes(relu, [-1.0, 0.29, 0.31]).tolist() == [0.0, 0.0, 1.0]


def test_a_function_is_looked_at_when_a_slope_is_asked_for_and_once():
    seen = []

    def counted(z):
        seen.append(z.size)
        return np.tanh(z)

    act = activations.resolved(counted, {})
    assert not seen
    act.derivative(np.ones(3), np.ones(3))
    many = len(seen)
    act.derivative(np.ones((2, 2), np.float32), np.ones((2, 2)))
    activations.resolved(counted, {}).derivative(np.ones(3), np.ones(3))
    assert len(seen) == many


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_table_is_the_polynomial_of_the_piece(dtype):
    ends = np.array([-1 / 3, 0.0, 0.7])
    origin, reach = np.array([-1.0, -0.2, 0.3, 2.0]), np.array([1.0, 0.5, 0.6, 4.0])
    powers = np.array([[1.0, 2.0, 3.0, 4.0], [0.5, -1.0, 0.25, 0.1], [0.1, 0.2, -0.3, 0.0]])
    z = np.concatenate([np.linspace(-1.9, 5.9, 4001), ends, np.nextafter(ends, 9)]).astype(dtype)
    piece = np.searchsorted(ends, z.astype(float))
    t = (z - origin[piece]) / reach[piece]
    expected = sum(powers[k][piece] * t**k for k in range(3))
    found = Table(ends, origin, reach, powers)(z)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=40 * np.finfo(dtype).eps)


def test_a_network_of_ones_own_relu_is_that_of_the_built_in():
    """The signal falls by 0.07 a layer, to 1e-12 at the end: a step of 6e-6 is nowhere small beside z."""
    given = {"init": "normal", "init_params": {"std": 0.01}, "depth": 10, "width": 100, "batch": 100}
    own = sweep.propagate(act=lambda z: np.maximum(z, 0), **given)
    built_in = sweep.propagate(act="relu", **given)
    for column in ("flat", "dead", "std", "delta_std", "delta_rms", "grad_std", "grad_rms"):
        np.testing.assert_allclose(own[column], built_in[column], rtol=1e-6)
    assert own["flat"].iloc[-1] == pytest.approx(0.5, abs=0.1)
