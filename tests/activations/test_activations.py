import json
import math
import pickle
import subprocess
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep import activations, theory
from sweep.base.errors import RequestError
from sweep.experiment.cell import Cell
from tests.paths import DATA

ACTIVATIONS = list(activations.ACTIVATIONS)
VARIANTS = [
    *((name, {}) for name in ACTIVATIONS),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("leaky_relu", {"negative_slope": -1.5}),
    ("elu", {"alpha": 2.0}),
    ("celu", {"alpha": 0.4}),
    ("softplus", {"beta": 2.5}),
    ("silu", {"beta": 1.702}),
    ("sin", {"omega": 1.5}),
]
DTYPES = (np.float32, np.float64)


@pytest.fixture(params=VARIANTS, ids=lambda variant: "-".join(map(str, (variant[0], *variant[1].values()))))
def act(request):
    name, parameters = request.param
    return activations.get(name, **parameters)


def gaussian_mean(function, kinks=()):
    """E[function(z)], z ~ N(0, 1), apart from `sweep.theory`: panels of Gauss and Legendre across no kink."""
    edges = np.union1d(np.linspace(-13, 13, 27), kinks)  # φ(13) = 8e-38
    nodes, weights = np.polynomial.legendre.leggauss(24)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half * (1 + nodes)).ravel()
    return (half * weights).ravel() * scipy.stats.norm.pdf(z) @ function(z)


def panels(act, low=-6.0, high=6.0):
    """The stretches between kinks."""
    edges = [low, *(kink for kink in act.kinks if low < kink < high), high]
    return list(pairwise(edges))


def slope(act, z):
    return act.derivative(z, act.f(z))


def test_the_derivative_is_that_of_f_between_the_kinks(act):
    # Central differences of order 6: truncation h⁶/140 · f⁷, rounding eps/h; both below 1e-10 at h = 0.01.
    step, weights = 0.01, np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
    for low, high in panels(act):
        z = np.linspace(low + 0.05, high - 0.05, 400)
        differences = sum(w * act.f(z + k * step) for k, w in zip(range(-3, 4), weights, strict=True)) / step
        np.testing.assert_allclose(slope(act, z), differences, atol=1e-9)


def test_an_activation_is_smooth_except_at_its_kinks(act):
    # A Chebyshev fit of degree 24 on half a unit is exact to rounding where the function is
    # analytic; a jump in f' or f'' would leave an error above 1e-5.
    for low, high in panels(act):
        for start in np.arange(low, high - 1e-9, 0.5):
            inside = np.linspace(start, min(start + 0.5, high), 203)[1:-1]
            fit = np.polynomial.Chebyshev.fit(inside, slope(act, inside), 24)
            np.testing.assert_allclose(fit(inside), slope(act, inside), atol=1e-8)


def test_a_kink_is_where_the_slope_or_its_own_slope_jumps(act):
    for kink in act.kinks:
        near, far = kink + np.array([-1e-6, 1e-6]), kink + np.array([-1e-3, 1e-3])
        first = np.diff(slope(act, near))[0]
        second = np.diff((slope(act, far) - slope(act, near)) / np.array([-1e-3, 1e-3]))[0]
        assert max(abs(first), abs(second)) > 0.1


@settings(deadline=None)  # a shared machine may pause at any time
@given(z=st.floats(-1e3, 1e3), factor=st.floats(1e-3, 1e3))
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if activations.get(name).homogeneous])
def test_homogeneous_means_that_positive_factors_pass_through(name, z, factor):
    f = activations.get(name).f
    np.testing.assert_allclose(f(np.array([factor * z])), factor * f(np.array([z])), rtol=1e-14, atol=1e-300)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_not_declared_homogeneous_is_not(name):
    act = activations.get(name)
    z = np.array([-1.7, -0.4, 0.3, 2.1, 5.0])
    assert act.homogeneous == np.allclose(act.f(2 * z), 2 * act.f(z), rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_overflows_and_no_dtype_is_lost(act, dtype):
    largest = np.finfo(dtype).max / 4  # a slope of up to 2 times that still fits
    if act.name == "squared_relu":  # what a square does not hold is infinite
        largest = math.sqrt(largest)
    far = [0.0, 1e-30, 40, 88, 104, 710, 746, 800, 1e4, 1e19, largest]
    far = [z for z in far if z <= largest]
    z = np.array([*far, *(-value for value in far)], dtype)
    with warnings.catch_warnings(), np.errstate(over="raise", invalid="raise", divide="raise"):
        warnings.simplefilter("error")
        h = act.f(z)
        derivative = act.derivative(z, h)
    for values in (h, derivative):
        assert values.dtype == dtype
        assert values.shape == z.shape
        assert np.isfinite(values).all()


@pytest.mark.parametrize(
    "name", [name for name in ACTIVATIONS if name not in ("softsign", "sin", "squared_relu")]
)
def test_infinity_has_its_limit(name):
    act = activations.get(name)
    z = np.array([-np.inf, np.inf])
    with np.errstate(invalid="raise"):
        far = act.f(np.array([-1e300, 1e300]))
        np.testing.assert_array_equal(act.f(z), np.where(np.abs(far) > 1e200, np.copysign(np.inf, far), far))
        np.testing.assert_array_equal(slope(act, z), slope(act, np.array([-1e300, 1e300])))


# (z, f(z), f'(z)) by 80-digit arithmetic: the tails keep their relative accuracy.
TAILS = {
    "elu": [(-40.0, -1.0, 4.248354255291589e-18)],
    "gelu": [(-10.0, -7.619853024160526e-23, -7.618400096464814e-22)],
    "gelu_tanh": [(-5.0, -2.291796196629506e-07, -1.5463619875325946e-06)],
    "silu": [(-80.0, -1.4438811102763322e-33, -1.425832596397878e-33)],
    "mish": [(-50.0, -9.643749239819589e-21, -9.450874255023197e-21)],
    "sigmoid": [(-50.0, 1.9287498479639178e-22, 1.9287498479639178e-22), (40.0, 1.0, 4.248354255291589e-18)],
    "erf": [(5.0, 0.9999999999984626, 1.5670866531017336e-11)],
    "softplus": [(-50.0, 1.9287498479639178e-22, 1.9287498479639178e-22), (800.0, 800.0, 1.0)],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TAILS)
def test_the_tails_keep_their_relative_accuracy(name, dtype):
    act = activations.get(name)
    # exp(z²/2) makes z²/2 roundings of its argument's: 50 at z = 10.
    tolerance = 100 * float(np.finfo(dtype).eps)
    for z, value, derivative in TAILS[name]:
        at = np.array([z], dtype)
        assert act.f(at)[0] == pytest.approx(value, rel=tolerance)
        assert slope(act, at)[0] == pytest.approx(derivative, rel=tolerance)


def test_float32_and_float64_agree(act):
    z = np.linspace(-8, 8, 1001).astype(np.float32)
    wide = z.astype(np.float64)
    np.testing.assert_allclose(act.f(z), act.f(wide), atol=2e-6)
    np.testing.assert_allclose(slope(act, z), slope(act, wide), atol=2e-6)


def test_f_leaves_its_argument_alone(act):
    z = np.linspace(-3, 3, 101)
    h = act.f(z)
    kept = h.copy()
    act.derivative(z, h)
    np.testing.assert_array_equal(z, np.linspace(-3, 3, 101))
    np.testing.assert_array_equal(h, kept)


MOMENTS = json.loads((DATA / "gaussian_moments.json").read_text())["activations"]


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_are_those_of_high_precision_quadrature(name):
    act, expected = activations.get(name), MOMENTS[name]
    assert gaussian_mean(act.f, act.kinks) == pytest.approx(float(expected["E_phi"]), abs=1e-10)
    assert gaussian_mean(lambda z: act.f(z) ** 2, act.kinks) == pytest.approx(
        float(expected["E_phi2"]), abs=1e-10
    )
    assert gaussian_mean(lambda z: slope(act, z) ** 2, act.kinks) == pytest.approx(
        float(expected["E_dphi2"]), abs=1e-10
    )


def test_moments_satisfy_steins_lemma(act):
    """E[z f(z)] = E[f'(z)] for z ~ N(0, 1), whatever f: Stein 1981."""
    left = gaussian_mean(lambda z: z * act.f(z), act.kinks)
    assert left == pytest.approx(gaussian_mean(lambda z: slope(act, z), act.kinks), abs=1e-10)


def test_activations_are_values():
    one, other = activations.get("elu", alpha=2), activations.get("elu", alpha=2.0)
    assert one == other
    assert hash(one) == hash(other)
    assert one != activations.get("elu")
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_plain_number_or_list_will_do():
    assert activations.get("relu")([-1, 2]).tolist() == [0, 2]
    assert activations.get("gelu")(0) == 0
    for name in ACTIVATIONS:
        assert np.shape(activations.get(name)(0.5)) == ()


@pytest.mark.parametrize(("name", "parameter"), [("softplus", "beta"), ("silu", "beta"), ("sin", "omega")])
def test_a_later_parameter_leaves_the_cells_that_have_its_default_as_they_were(name, parameter):
    spec = {"depth": 2, "width": 8, "widths": None, "seed": 0, "init": {"name": "xavier"}}
    plain, given, other = (
        Cell.of(spec | {"act": {"name": name} | values}) for values in ({}, {parameter: 1}, {parameter: 2})
    )
    assert plain == given
    assert plain.act_params == "{}"
    ids = {  # of the program that had no such parameter
        "softplus": "65c886bffedf244c465023a52fc81a98",
        "silu": "dcbb7391854beb0ee0f6e7ef5d1633b1",
        "sin": "0c141b9bffb42e9dfc097407ee12e876",
    }
    assert plain.id == ids[name]
    assert other.act_params == f'{{"{parameter}":2.0}}'
    assert other.activation == activations.get(name, **{parameter: 2.0})
    assert activations.get(name, **{parameter: 1.0}) == activations.get(name)


@pytest.mark.parametrize("size", [1e-6, 0.01, 30.0, 1e5])
def test_a_scaled_activation_is_flat_where_its_own_is(size):
    for name in ("silu", "softplus"):
        plain, scaled = activations.get(name), activations.get(name, beta=size)
        expected = np.array(activations.flat_regions(plain)) / size
        np.testing.assert_allclose(activations.flat_regions(scaled), expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "key"), [("silu", "beta"), ("softplus", "beta"), ("sin", "omega")])
@pytest.mark.parametrize("size", [0.01, 1.702, 30.0])
def test_moments_of_a_scaled_activation_are_those_of_its_own_at_another_variance(name, key, size):
    plain, scaled = (
        theory.predict(activations.get(name, **values), sigma_w, depth=1, q0=1.0, c0=0.4)
        for values, sigma_w in (({}, 1.3 * size), ({key: size}, 1.3))
    )
    factor = 1.0 if name == "sin" else size
    for column in ("rms", "mean", "std"):
        assert scaled[column][1] == pytest.approx(plain[column][1] / factor, rel=1e-8, abs=1e-15)
    assert scaled["sample_cosine"][1] == pytest.approx(plain["sample_cosine"][1], rel=1e-8)
    if name != "sin":
        assert scaled["flat"][1] == pytest.approx(plain["flat"][1], abs=1e-9)
    found = activations.flat_share(activations.get(name, **{key: size}))
    z = np.random.default_rng(0).standard_normal(200_000)
    act = activations.get(name, **{key: size})
    assert found == pytest.approx(np.mean(np.abs(act.derivative(z, act.f(z))) < 0.0199), abs=5e-3)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_cell_names_every_parameter(name):
    spec = {"depth": 2, "width": 8, "widths": None, "seed": 0, "bias_std": 0.0, "batch": 4}
    spec |= {"init": {"name": "xavier"}, "dtype": "float32", "backward": True}
    act = activations.get(name)
    plain = Cell.of(spec | {"act": {"name": name}})
    explicit = Cell.of(spec | {"act": {"name": name} | activations.parameters_of(name, act)})
    assert plain == explicit
    assert plain.id == explicit.id
    assert json.loads(plain.act_params) == activations.parameters_of(name, act)
    assert plain.activation == act


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("leaky_relu", {"negative_slope": math.nan}, "act.negative_slope=nan: act.negative_slope must be"),
        ("elu", {"alpha": -math.inf}, "act.alpha=-inf: act.alpha must be a finite number"),
        ("elu", {"alpha": [1]}, "act.alpha=[1]"),
        ("elu", {"alpah": 1}, "did you mean 'alpha'"),
        ("relu", {"alpha": 1}, "act 'relu' has no parameter 'alpha': it takes none"),
        ("silu", {"beta": 0}, "act.beta=0: act.beta must be a finite number above 0"),
        ("sin", {"omega": -1}, "act.omega=-1"),
        ("celu", {"alpha": 0}, "act.alpha=0: act.alpha must be a finite number above 0"),
        ("glue", {}, "unknown act 'glue': did you mean 'gelu'"),
    ],
)
def test_a_wrong_activation_is_one_clear_line(name, parameters, says):
    with pytest.raises(RequestError) as caught:
        activations.get(name, **parameters)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_list_of_activations_shows_each_with_its_moments(sweep_command):
    done = sweep_command(module="sweep.activations")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f" {name} " in done.stdout for name in ACTIVATIONS)
    assert "0.464403" in done.stdout  # E tanh'²
    narrow = sweep_command(module="sweep.activations", COLUMNS="50").stdout
    assert max(map(len, narrow.splitlines())) <= 50
    assert "0.464403" in narrow


def test_scipy_is_imported_only_by_those_that_need_it():
    code = (
        "import sys, numpy as np; from sweep import activations, initializers;"
        "activations.get('silu')(np.zeros(3)); initializers.get('xavier')(np.random.default_rng(0), 3, 3);"
        "initializers.get('jax/he_normal')(np.random.default_rng(0), 3, 3);"
        "sys.exit('scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "parameters", "regions"),
    [
        ("relu6", {}, [(-math.inf, 0.0), (6.0, math.inf)]),
        ("hardsigmoid", {}, [(-math.inf, -3.0), (3.0, math.inf)]),
        ("hardswish", {}, [(-math.inf, -3.0), (3 * (-0.5 - 0.0199), 3 * (-0.5 + 0.0199))]),
        ("squared_relu", {}, [(-math.inf, 0.0199 / 2)]),
        ("celu", {"alpha": 0.5}, [(-math.inf, 0.5 * math.log(0.0199))]),
    ],
)
def test_where_an_activation_is_flat_is_known_exactly(name, parameters, regions):
    found = activations.flat_regions(activations.get(name, **parameters))
    np.testing.assert_allclose(found, regions, rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "second", "slope_second"),
    [
        ("squared_relu", 1.5, 2.0),  # E[z⁴]/2, 4 E[z²]/2
        ("relu6", 0.4999999987, 0.499999999),
        ("celu", 0.644945, 0.668102),  # elu's
        ("hardsigmoid", 0.277639, 0.027703),
        ("hardswish", 0.331567, 0.358532),
    ],
)
def test_the_moments_of_newer_activations(name, second, slope_second):
    found = theory.gaussian_moments(name)
    z = np.random.default_rng(1).standard_normal(1_000_000)
    act = activations.get(name)
    assert np.square(act.f(z)).mean() == pytest.approx(second, rel=0.01)
    assert found.second == pytest.approx(second, abs=1e-6)
    assert found.slope_second == pytest.approx(slope_second, abs=1e-6)
