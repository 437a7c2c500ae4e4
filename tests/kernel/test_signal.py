"""Signals carry exponents of their own: sums and multiples are those of the numbers that they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.kernel.layers.signal import Signal

EXPONENTS = st.tuples(st.integers(-300, 300), st.integers(-300, 300))


def signal(seed, exponents, dtype, zero=False):
    mantissa = np.random.default_rng(seed).standard_normal((2, 3, 4)).astype(dtype)
    mantissa *= not zero
    rms = np.sqrt(np.square(mantissa, dtype=np.float64).mean(axis=(1, 2)))
    return Signal(mantissa, np.array(exponents), rms)


def value(one):
    return np.ldexp(one.mantissa.astype(np.float64), one.exponent[:, None, None])


@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 2e-7), ("float64", 1e-15)])
@given(st.integers(0, 99), EXPONENTS, EXPONENTS, st.booleans(), st.floats(-1e30, 1e30))
def test_sums_and_multiples_are_those_of_the_numbers(dtype, rounding, seed, own, others, zero, factor):
    one, other = signal(seed, own, dtype), signal(seed + 1, others, dtype, zero)
    largest = np.maximum(np.abs(value(one)), np.abs(value(other))).max(axis=(1, 2), keepdims=True)
    both = one.plus(other)
    assert (np.abs(value(both) - (value(one) + value(other))) <= rounding * largest).all()
    assert both.mantissa.dtype == dtype
    rms = np.sqrt(np.square(both.mantissa, dtype=np.float64).mean(axis=(1, 2)))
    np.testing.assert_allclose(both.rms, rms, rtol=1e-6)
    np.testing.assert_allclose(value(one.times(factor)), factor * value(one), rtol=rounding)


def test_what_is_lost_stays_lost():
    one = signal(0, (0, 0), "float32")
    lost = Signal(np.zeros_like(one.mantissa), np.zeros(2, int), np.array([np.inf, 1.0]))
    both = one.plus(lost)
    assert both.finite.tolist() == [False, True]
    assert not both.mantissa[0].any()
    np.testing.assert_array_equal(value(both)[1], value(one)[1])
