import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sweep.kernel.statistics import correlation
from sweep.kernel.statistics.moments import Moments

finite = st.floats(-1e6, 1e6)


def sample_cosine(h):
    return float(correlation.sample_cosine(h[None])[0][0])


def neuron_corr(h):
    return float(correlation.neuron_corr(h[None], h.dtype)[0])


def moments_of(chunks):
    values = np.concatenate(chunks)[None]
    moments = Moments(*values.shape)
    for chunk in chunks:
        moments.add(slice(0, 1), chunk[None])
    return float(moments.mean[0]), float(moments.std(values)[0]), float(moments.rms[0])


@given(arrays(np.float64, (7, 5), elements=finite), st.integers(1, 6))
def test_moments_of_chunks_are_the_moments_of_the_whole(values, cut):
    mean, std, rms = moments_of([values[:cut], values[cut:]])
    assert mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-9)
    assert std == pytest.approx(values.std(), rel=1e-7, abs=1e-9)
    assert rms == pytest.approx(np.sqrt((values**2).mean()), rel=1e-9, abs=1e-9)


def test_a_small_spread_on_a_large_mean_is_not_cancelled():
    values = 1.0 + 1e-7 * np.random.default_rng(0).standard_normal((300, 40))
    assert moments_of(np.array_split(values, 7))[1] == pytest.approx(values.std(), rel=1e-6)
    narrow = (1.0 + 1e-4 * np.random.default_rng(0).standard_normal((300, 400))).astype(np.float32)
    assert moments_of([narrow])[1] == pytest.approx(narrow.astype(float).std(), rel=1e-5)


def test_float32_sums_lose_nothing_that_float32_resolves():
    values = np.random.default_rng(0).standard_normal((4000, 1000), dtype=np.float32) + np.float32(0.5)
    mean, std, rms = moments_of([values])
    wide = values.astype(float)
    assert mean == pytest.approx(wide.mean(), rel=3e-7)
    assert std == pytest.approx(wide.std(), rel=3e-7)
    assert rms == pytest.approx(np.sqrt((wide**2).mean()), rel=3e-7)


def test_a_constant_has_no_spread():
    assert moments_of([np.full((50, 60), 0.1, np.float32)])[1] == 0


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
