import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sweep.statistics import Moments, neuron_corr, sample_cosine

finite = st.floats(-1e6, 1e6)


@given(arrays(np.float64, (7, 5), elements=finite), st.integers(1, 6))
def test_moments_of_chunks_are_the_moments_of_the_whole(values, cut):
    moments = Moments()
    moments.add(values[:cut])
    moments.add(values[cut:])
    assert moments.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-9)
    assert moments.std == pytest.approx(values.std(), rel=1e-9, abs=1e-9)
    assert moments.rms == pytest.approx(np.sqrt((values**2).mean()), rel=1e-9, abs=1e-9)


def test_a_small_spread_on_a_large_mean_is_not_cancelled():
    values = 1.0 + 1e-7 * np.random.default_rng(0).standard_normal((300, 40))
    moments = Moments()
    for chunk in np.array_split(values, 7):
        moments.add(chunk)
    assert moments.std == pytest.approx(values.std(), rel=1e-6)


def test_float32_is_accumulated_in_float64():
    values = np.full((4000, 4000), 0.1, np.float32)
    moments = Moments()
    moments.add(values)
    assert moments.mean == pytest.approx(float(np.float32(0.1)), rel=1e-14)


def test_sample_cosine_is_the_mean_over_distinct_pairs():
    h = np.random.default_rng(1).standard_normal((9, 20))
    units = h / np.linalg.norm(h, axis=1, keepdims=True)
    cosines = units @ units.T
    assert sample_cosine(h) == pytest.approx(cosines[~np.eye(9, dtype=bool)].mean(), abs=1e-12)


def test_sample_cosine_skips_zero_vectors_and_is_undefined_for_fewer_than_two():
    h = np.eye(3)
    h[2] = 0
    assert sample_cosine(h) == 0
    assert np.isnan(sample_cosine(np.vstack([np.ones(4), np.zeros(4)])))
    assert sample_cosine(np.ones((5, 3))) == pytest.approx(1)


def test_neuron_corr_is_the_mean_absolute_pearson_correlation():
    h = np.random.default_rng(2).standard_normal((200, 12))
    correlation = np.abs(np.corrcoef(h.T))
    assert neuron_corr(h) == pytest.approx(correlation[~np.eye(12, dtype=bool)].mean(), abs=1e-12)


@pytest.mark.parametrize(
    ("h", "expected"),
    [
        (np.zeros((10, 4)), 1.0),
        (np.tile(np.arange(10.0)[:, None], (1, 4)), 1.0),
        (np.tile(np.array([[1.0, 2.0, 3.0]]), (10, 1)), np.nan),  # constant neurons that differ
        (np.ones((10, 1)), np.nan),  # no pair
    ],
)
def test_neuron_corr_at_the_edges(h, expected):
    assert neuron_corr(h) == pytest.approx(expected, nan_ok=True)


def test_neuron_corr_leaves_out_neurons_that_do_not_vary():
    h = np.random.default_rng(3).standard_normal((50, 3))
    with_constant = np.hstack([h, np.full((50, 1), 7.0)])
    assert neuron_corr(with_constant) == pytest.approx(neuron_corr(h), abs=1e-12)
