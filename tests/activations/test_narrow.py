"""Activations in float32: how close to the true value, over every magnitude that float32 has."""

import itertools
import math
import pickle

import numpy as np
import pytest

from sweep import activations
from sweep.activations import narrow
from sweep.activations.chunks import in_float32, takes_out
from tests.activations.test_activations import ACTIVATIONS, VARIANTS

EPS = np.longdouble(2.0**-23)
SMALLEST = float(np.finfo(np.float32).tiny)
NORMAL = 2.0**-117  # where all factors of a tail are normal numbers: z exp(z), abs(z) < 128


def everywhere():
    """Every power of two, between them, and the region that networks live in."""
    powers = 2.0 ** np.arange(-149, 126)
    rng = np.random.default_rng(0)
    near = [np.linspace(-130, 130, 40001), *(rng.standard_normal(40_000) * size for size in (0.1, 1, 8))]
    z = np.concatenate([powers, 1.37 * powers, *near])
    return np.unique(np.concatenate([-z, z]).astype(np.float32))


def ulp(values):
    """The distance of float32's numbers there."""
    exponent = np.frexp(np.maximum(np.abs(values), SMALLEST).astype(np.float64))[1]
    return np.ldexp(1.0, exponent - 24)


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_float32_is_right_to_four_units_and_what_a_rounding_of_z_makes(name, parameters):
    act = activations.get(name, **parameters)
    z = everywhere()
    if parameters and name in ("sin", "softplus", "silu"):  # omega z or beta z must be a number
        z = z[np.abs(z) < (1e3 if name == "sin" else 1e37)]
    wide = z.astype(np.longdouble)
    with np.errstate(all="ignore"):
        h = act.f(z)
        slope = act.derivative(z[:, None], h[:, None])[:, 0]  # narrow layers: tanh's slope keeps its tail
        true, moved = act.f(wide), act.f(wide * (1 + EPS))
        pairs = [(h, true, moved)]
        pairs.append((slope, act.derivative(wide, true), act.derivative(wide * (1 + EPS), moved)))
    for found, expected, nearby in pairs:
        held = np.abs(expected) < np.finfo(np.float32).max
        allowed = 4 * ulp(expected) + np.abs(nearby - expected)
        allowed[np.abs(expected) < NORMAL] += SMALLEST / 1024  # subnormal factors have few digits
        allowed[np.abs(z) < 4] += EPS / 2  # next to a zero of f' the rounding of its terms is left
        missed = np.abs(found - expected) - allowed
        worst = np.argmax(np.where(held, missed, -1))
        assert missed[worst] <= 0, f"{found[worst]} at {z[worst]}, not {float(expected[worst])}"


# By mpmath, 30 digits, of the float32 nearest to z.
EXACT = {
    "gelu": {-10.0: -7.6198530241605260660e-23, -3.0: -4.0496940949029935e-3, 1e-6: 5.00000373894218e-07},
    "silu": {-80.0: -1.44388111027633226e-33, 0.5: 0.311229665601209645},
    "softplus": {-80.0: 1.80485138784541532e-35, 0.0: math.log(2)},
    "erf": {0.5: 0.520499877813046538, -1e-30: -1.12837913e-30},
    "elu": {-1e-6: -9.9999949747e-07, -2.0: -0.864664716763387308},
}


@pytest.mark.parametrize("name", EXACT)
def test_known_values_and_tails(name):
    points = EXACT[name]
    found = activations.get(name).f(np.array([*points], np.float32))
    np.testing.assert_allclose(found, [*points.values()], rtol=1e-5 if name == "gelu" else 1e-6)
    assert found.all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_not_finite_comes_out_as_in_float64(name):
    act = activations.get(name)
    special = np.array([-np.inf, np.inf, np.nan, 0.0, -(2.0**127), 2.0**127])
    with np.errstate(all="ignore"):
        h, wide = (act.f(special.astype(dtype)) for dtype in (np.float32, np.float64))
        np.testing.assert_allclose(h, wide.astype(np.float32), rtol=1e-6)  # 2^254 is inf
        slopes = [act.derivative(special.astype(f.dtype)[:, None], f[:, None]) for f in (h, wide)]
        np.testing.assert_allclose(slopes[0], slopes[1].astype(np.float32), rtol=1e-6)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "silu", "mish"])
def test_a_tail_that_is_0_keeps_its_sign(name):
    """Histograms tell a negative number that underflowed from a 0."""
    h = activations.get(name).f(np.array([-1e3, -200.0, -0.0, 0.0, 1e-40], np.float32))
    np.testing.assert_array_equal(np.signbit(h), [True, True, True, False, False])


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if takes_out(activations.get(name).f)])
def test_what_is_written_is_what_is_returned_however_the_arrays_lie(name):
    act = activations.get(name)
    z = np.random.default_rng(1).standard_normal((3, 130, 257)).astype(np.float32)  # several chunks
    assert act.f(np.array(0.5, np.float32)).shape == ()
    for part in (z, z[:, ::2], z.transpose(2, 0, 1), z[:0]):
        h, out = act.f(part), np.empty(part.shape, np.float32)
        act.into(part, out)
        np.testing.assert_array_equal(out, h)
        strided = np.empty((*part.shape, 2), np.float32)[..., 0]
        act.into(part, strided)
        np.testing.assert_array_equal(strided, h)
        act.slope_into(part, h, out)
        np.testing.assert_array_equal(out, act.derivative(part, h))
    assert pickle.loads(pickle.dumps(act)) == act


def test_chunks_leave_nothing_out():
    seen = []

    @in_float32(lambda z, factor, out, scratch: seen.append(len(z)) or np.multiply(z, factor, out=out), 1)
    def scaled(z, factor):
        return z * factor

    z = np.arange(100_000, dtype=np.float32)
    np.testing.assert_array_equal(scaled(z, 2.0), 2 * z)
    assert sum(seen) == len(z)
    assert len(seen) > 1
    np.testing.assert_array_equal(scaled(z.astype(np.float64), 2.0), 2 * z)


def test_the_rational_parts_are_as_good_as_they_say():
    """Against SciPy's in float64: before float32 rounds anything but the coefficients."""
    from scipy import special  # noqa: PLC0415

    a = np.linspace(0, 15, 30_001)
    powers = np.polyval(narrow.MILLS, a / (a + narrow.MILLS_SHIFT)) / (1 + a)
    np.testing.assert_allclose(powers, special.erfcx(a / math.sqrt(2)) / 2, rtol=1.2e-7)
    z = np.linspace(0, narrow.ERF_END, 10_001)
    np.testing.assert_allclose(np.tanh(z * np.polyval(narrow.ERF, z * z)), special.erf(z), rtol=1.2e-7)


def test_no_float32_formula_needs_what_numpy_has_in_no_simd():
    """expm1, log1p and SciPy's error functions take 8 to 20 ns an entry without AVX-512."""
    source = narrow.__loader__.get_source(narrow.__name__)
    slow = ("np.expm1", "np.log1p", "scipy", "np.where", "np.power")
    assert not [name for name, line in itertools.product(slow, source.splitlines()) if name in line]
