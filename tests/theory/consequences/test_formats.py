import math

import numpy as np
import pytest

from sweep.experiment import axes
from sweep.theory.consequences.formats import FORMATS

# Largest, from which on it overflows, smallest normal, smallest subnormal, noise of a rounding: as published.
PUBLISHED = {
    "float16": (65504, 65520, 2.0**-14, 2.0**-24, 4.300e-8),
    "bfloat16": (3.3895e38, 3.3961e38, 2.0**-126, 2.0**-133, 2.752e-6),
    "float8_e4m3fn": (448, 464, 2.0**-6, 2.0**-9, 7.044e-4),
    "float8_e5m2": (57344, 61440, 2.0**-14, 2.0**-16, 2.818e-3),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_its_published_constants(name):
    form = FORMATS[name]
    found = (form.largest, form.overflow, form.normal, form.smallest, form.noise)
    assert found == pytest.approx(PUBLISHED[name], rel=5e-4, abs=0)  # as printed


def test_float16_rounds_as_numpy_does():
    rng = np.random.default_rng(0)
    h = np.ldexp(rng.standard_normal(100_000), rng.integers(-28, 17, 100_000))
    h = np.concatenate([h, [0.0, -0.0, 2.0**-25, 2.0**-24 * 1.5, 65519.9, 65520.0, -65520.0]])
    with np.errstate(over="ignore"):
        expected = h.astype(np.float16).astype(np.float64)
    np.testing.assert_array_equal(FORMATS["float16"].rounded(h), expected)


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_eight_bits_round_to_the_nearest_of_their_numbers(name):
    form = FORMATS[name]
    steps = np.arange(2**form.bits) / 2**form.bits
    exponents = range(round(math.log2(form.normal)), 16)
    numbers = np.concatenate([steps * form.normal, *(2.0**e * (1 + steps) for e in exponents)])
    numbers = numbers[numbers <= form.largest]
    h = np.random.default_rng(0).standard_normal(5000) * np.geomspace(form.smallest, form.largest / 5, 5000)
    missed = np.abs(np.abs(h)[:, None] - numbers)
    np.testing.assert_array_equal(form.rounded(h), np.copysign(numbers[missed.argmin(axis=1)], h))


@pytest.mark.parametrize("name", FORMATS)
def test_the_noise_of_a_rounding_is_what_rounding_a_gaussian_makes(name):
    """5 %: the logarithm of a Gaussian is spread nearly, not quite, evenly over octaves."""
    form = FORMATS[name]
    h = np.random.default_rng(1).standard_normal(200_000)
    assert np.mean((form.rounded(h) - h) ** 2) == pytest.approx(form.noise, rel=0.05)


def test_the_formats_that_a_cell_can_have_are_those_that_theory_knows():
    assert tuple(FORMATS) == axes.FORMATS
