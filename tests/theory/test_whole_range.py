"""Theory over the whole range of float64: a number wherever one is defined, inf and 0 beyond."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep import activations, theory
from sweep.base.errors import RequestError
from sweep.theory.gaussian.correlation import pair, slope_of_pair
from sweep.theory.gaussian.moments import gaussian

ACTS = st.sampled_from(list(activations.ACTIVATIONS))
SIZES = st.one_of(
    st.sampled_from([1.0, 0.08, 16.0]),
    st.floats(-3, 3).map(lambda x: 10**x),
    st.floats(-323, 308).map(lambda x: 10**x),
)
BIASES = st.one_of(st.just(0.0), SIZES)


def logs(values):
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(values, float))


def assert_is_exp(values, log):
    """values = exp(log), inf above and 0 below what float64 holds."""
    held = (log > -700) & (log < 709.7)
    np.testing.assert_allclose(logs(values)[held], log[held], rtol=1e-10, atol=1e-10)
    assert (np.asarray(values)[log > 709.8] == math.inf).all()
    assert (np.asarray(values)[log < -745.2] == 0).all()


@settings(deadline=None, max_examples=60)
@given(
    act=ACTS, sigma_w=st.one_of(st.just(0.0), SIZES), sigma_b=BIASES, depth=st.sampled_from([1, 5, 60]),
    q0=st.one_of(st.just(1.0), SIZES), c0=st.sampled_from([-1.0, -0.3, 0.0, 0.5, 1.0]),
    batch=st.sampled_from([1, 1000, 2**62]),
)  # fmt: skip
def test_every_prediction_is_a_number(act, sigma_w, sigma_b, depth, q0, c0, batch):
    predicted = theory.predict(act, sigma_w, sigma_b, depth, q0=q0, c0=c0, batch=batch)
    if (predicted["rms"].iloc[1:] == 0).all() and sigma_w == sigma_b == 0:
        predicted = predicted.drop(columns="sample_cosine")  # zeros have none
    unknown = predicted.isna()
    assert not unknown.iloc[1:].any(axis=None)
    assert set(predicted.columns[unknown.iloc[0]]) == {"pre_rms", "flat", "grad_rms"}, "the inputs have none"
    sizes = predicted.drop(columns=["layer", "mean", "sample_cosine"], errors="ignore").iloc[1:]
    assert (sizes >= 0).all(axis=None)


@settings(deadline=None, max_examples=60)
@given(sigma_w=SIZES, q0=SIZES, depth=st.integers(1, 400), batch=st.integers(1, 2**60))
def test_relu_is_followed_by_its_logarithm(sigma_w, q0, depth, batch):
    predicted = theory.predict("relu", sigma_w, depth=depth, q0=q0, batch=batch)
    layer = np.arange(depth + 1)
    log_factor = math.log(sigma_w) - math.log(2) / 2
    log_rms, log_delta = math.log(q0) / 2 + layer * log_factor, (depth - layer) * log_factor
    assert_is_exp(predicted["rms"], log_rms)
    assert_is_exp(predicted["pre_rms"].iloc[1:], log_rms[:-1] + math.log(sigma_w))
    assert_is_exp(predicted["delta_rms"], log_delta)
    log_grad = math.log(batch) / 2 + log_rms[:-1] + log_delta[1:] - math.log(2) / 2
    assert_is_exp(predicted["grad_rms"].iloc[1:], log_grad)
    assert predicted["flat"].iloc[1:].to_numpy() == pytest.approx(0.5)


@settings(deadline=None, max_examples=30)
@given(sigma_w=SIZES, depth=st.integers(1, 40))
def test_a_power_of_degree_two_doubles_its_logarithm_at_every_layer(sigma_w, depth):
    predicted = theory.predict("squared_relu", sigma_w, depth=depth)
    log_rms = [0.0]
    for _ in range(depth):
        log_rms.append(2 * (log_rms[-1] + math.log(sigma_w)) + math.log(1.5) / 2)  # E[f²] = 3 v² / 2
    log_rms = np.array(log_rms)
    assert_is_exp(predicted["rms"], log_rms)
    log_slope = log_rms[:-1] + 2 * math.log(sigma_w) + math.log(2) / 2  # E[f'²] = 2 v, and sigma_w
    assert_is_exp(predicted["delta_rms"], np.append(np.cumsum(log_slope[::-1])[::-1], 0.0))
    cosine = predicted["sample_cosine"].iloc[1:]
    assert ((cosine > 0) & (cosine <= 1)).all()
    assert cosine.iloc[0] == pytest.approx(1 / 6)  # E[u⁺²]² / E[u⁺⁴] = (1/2)² / (3/2)


def test_the_examples_that_once_failed():
    assert theory.predict("relu", sigma_w=16, depth=292)["rms"].iloc[-1] == pytest.approx(2.0**1022)
    vanished = theory.predict("tanh", sigma_w=0.08, depth=400)
    assert (vanished["rms"].iloc[300:] == 0).all()
    np.testing.assert_allclose(vanished["delta_rms"].iloc[300:], 0.08 ** np.arange(100, -1, -1.0), rtol=1e-9)
    assert (vanished["sample_cosine"] == 0).all()
    assert theory.fixed_point("tanh", 1e-261, q0=1e-126).v == 0
    for size in (1e300, 1e-300):  # the bias counts as much as the signal
        layer = theory.predict("relu", sigma_w=size, sigma_b=size, depth=1).iloc[1]
        assert [layer["rms"] / size, layer["sample_cosine"]] == pytest.approx([1.0, 0.6089977810442295])
    assert theory.finite_width("relu", 5e-324, width=64).notna().all(axis=None)
    with pytest.raises(RequestError, match="has no edge of chaos at sigma_b=1e\\+287"):
        theory.critical_sigma_w("elu", 1e287)


@settings(deadline=None, max_examples=40)
@given(act=ACTS, sigma_w=SIZES, sigma_b=BIASES, q0=SIZES)
def test_every_fixed_point_is_found(act, sigma_w, sigma_b, q0):
    point = theory.fixed_point(act, sigma_w, sigma_b, q0)
    assert point.v >= 0
    assert point.chi1 >= 0
    if point.v < math.inf:
        assert not any(map(math.isnan, vars(point).values()))


@settings(deadline=None, max_examples=20)
@given(act=ACTS, sigma_b=SIZES)
def test_an_edge_of_chaos_is_a_number_or_a_line(act, sigma_b):
    with contextlib.suppress(RequestError):
        assert 0 < theory.critical_sigma_w(act, sigma_b) < math.inf


@settings(deadline=None, max_examples=20)
@given(act=st.sampled_from(["relu", "leaky_relu", "identity"]), sigma_w=SIZES, q0=SIZES)
def test_a_finite_width_adds_the_same_whatever_the_scale(act, sigma_w, q0):
    scaled = theory.finite_width(act, sigma_w, depth=20, width=64, q0=q0)
    unit = theory.finite_width(act, 1.0, depth=20, width=64)
    np.testing.assert_allclose(scaled, unit, rtol=1e-5, atol=1e-9)


@settings(deadline=None, max_examples=10)
@given(act=ACTS, sigma_w=SIZES, sigma_b=BIASES, q0=SIZES, c0=st.sampled_from([-1.0, 0.0, 0.5, 1.0]))
def test_a_finite_width_adds_a_number_or_nothing_is_predicted(act, sigma_w, sigma_b, q0, c0):
    found = theory.finite_width(act, sigma_w, sigma_b, depth=4, width=64, q0=q0, c0=c0)
    assert not np.isinf(found).any(axis=None)
    assert not (found["std"] < 0).any()
    assert found.iloc[0].notna().all()


@pytest.mark.parametrize("act", ["tanh", "sigmoid", "erf", "hardtanh", "softsign", "relu6", "hardsigmoid"])
@pytest.mark.parametrize("c", [-0.7, 0.0, 0.3, 0.999])
def test_far_out_a_bounded_activation_is_a_step(act, c):
    """The plane of nodes reaches to 1e60, the step begins at 1e12: where both hold they agree."""
    means_of = gaussian(act)
    near, far = pair(means_of, 1e12, c), pair(means_of, 1e90, c)
    assert far.cosine == pytest.approx(near.cosine, abs=1e-9)
    assert far.squares == pytest.approx(near.squares, abs=1e-9)
    if activations.get(act)(-1e9) == -activations.get(act)(1e9):
        assert far.cosine == pytest.approx(2 / math.pi * math.asin(c), abs=1e-12)
    scaled = 1e10 * slope_of_pair(means_of, 1e10, c), 1e200 * slope_of_pair(means_of, 1e200, c)
    assert scaled[0] == pytest.approx(scaled[1], rel=1e-6)


def test_the_cosines_of_huge_signals_settle_as_those_of_signs_do():
    """C'(0) of the sign function is 2/π."""
    for sigma_w in (1e10, 1e60, 1e200):
        point = theory.fixed_point("tanh", sigma_w)
        assert abs(point.c) < 1e-12
        assert point.xi_c == pytest.approx(-1 / math.log(2 / math.pi), rel=1e-8)
