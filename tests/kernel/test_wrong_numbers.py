"""Small inputs whose numbers were once wrong without a word; the right ones are a long double loop's."""

import math

import numpy as np
import pytest

import sweep
from sweep import activations, initializers, kernel
from sweep.experiment.outcomes.verdict import flat_share_of, verdict
from sweep.kernel.statistics.moments import Moments
from tests import exact
from tests.differential import disagreements
from tests.stacks import Link, Spec

GELU_LIKE = ["gelu", "elu", "selu", "softplus", "silu", "mish"]
FINITE = ["std", "rms", "pre_rms", "delta_std", "delta_rms", "grad_std", "grad_rms"]
# What float32 may add to a layer's rounding where layers hardly amplify it.
CLOSE = 1e-4


def one(init, act, depth, widths, seed, batch, dtype="float32", bias_std=0.0, **parameters):
    profile = (widths,) * (depth + 1) if isinstance(widths, int) else widths
    return Spec((Link(init, parameters, act, {}, bias_std, depth, (depth,)),), profile, (seed,), batch, dtype)


def layers(spec):
    """name -> by layer, the gradients those of the greatest depth."""
    link = spec.links[0]
    measured = kernel.propagate([link.chain], spec.widths, spec.seeds, spec.batch, spec.dtype)[0].of_seed(0)
    return measured.forward | measured.backward[link.depth]


def word(spec):
    act = spec.links[0].chain.act
    return verdict(layers(spec), flat_share_of(act))[0]


def assert_right(spec):
    """Every figure is what the plain loop allows, where there is a long double to run it in."""
    wrong = disagreements(spec)[1] if exact.WIDE else []
    assert not wrong, "\n".join(map(str, wrong[:10]))


@pytest.mark.parametrize(
    ("init", "parameters", "act", "width", "depth"),
    [
        *(("normal", {"std": 1.0}, act, 100, 60) for act in GELU_LIKE),
        ("orthogonal", {"gain": 3.0}, "gelu", 100, 60),
        ("normal", {"std": 1.0}, "gelu", 500, 50),
    ],
)
def test_a_weight_gradient_is_finite_where_float64_says_so(init, parameters, act, width, depth):
    narrow, wide = (
        sweep.propagate(init, act, depth, width, batch=50, seed=0, dtype=dtype, init_params=parameters)
        for dtype in ("float32", "float64")
    )
    for name in FINITE:
        finite = np.isfinite(wide[name])
        assert (np.isfinite(narrow[name]) == finite).all(), name
        # A float32 chain is off by its rounding, which these layers amplify a little: seen up to 1e-3.
        np.testing.assert_allclose(narrow[name][finite], wide[name][finite], rtol=2e-2, err_msg=name)


@pytest.mark.parametrize(("act", "rms"), [("elu", 1.0), ("selu", 1.7580993408473768)])
def test_the_bounded_side_of_an_activation_that_is_linear_on_the_other(act, rms):
    spec = one("constant", act, 1, 1, 10, 2, value=-1e10)
    assert layers(spec)["rms"][1] == pytest.approx(rms, rel=1e-6)
    assert_right(spec)


@pytest.mark.parametrize(
    ("init", "act", "width", "depth", "seed", "rms", "fate"),
    [
        ("big_normal", "elu", 8, 50, 1, 184.8595, "saturated"),
        ("huge_normal", "mish", 4, 20, 37, 0.019842774, "healthy"),
    ],
)
def test_a_narrow_network_whose_layers_lie_in_the_far_tail(init, act, width, depth, seed, rms, fate):
    spec = one(init, act, depth, width, seed, 100)
    assert layers(spec)["rms"][depth] == pytest.approx(rms, rel=3e-4)
    assert word(spec) == fate
    assert_right(spec)


def test_a_narrow_gelu_network_in_the_far_tail():
    """Rounding moves this one's rms by half; that is still no explosion."""
    spec = one("huge_normal", "gelu", 50, 4, 8, 100)
    assert 0.534 / 3 < layers(spec)["rms"][50] < 0.534 * 3
    assert word(spec) == "healthy"
    assert_right(spec)


def test_a_users_relu_has_the_slopes_of_the_built_in_one():
    own, built_in = (
        sweep.propagate("normal", act, 10, 100, init_params={"std": 0.01})
        for act in (lambda z: np.maximum(z, 0), "relu")
    )
    assert own["delta_std"][0] == pytest.approx(built_in["delta_std"][0], rel=1e-3)
    np.testing.assert_allclose(own["flat"][1:], built_in["flat"][1:], atol=1e-3)
    assert_right(one("normal", "own relu numerical", 10, 32, 0, 50, std=0.01))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("high", "width", "seed", "batch"),
    [(0.904, 2, 2, 17), (5.393, 4, 5, 12), (7.233, 4, 1, 34), (4.275, 3, 10, 19)],
)
def test_no_correlation_exceeds_1(high, width, seed, batch, dtype):
    measured = layers(one("uniform", "mish", 30, width, seed, batch, dtype, low=-high, high=high))
    for name in ("sample_cosine", "neuron_corr"):
        assert np.nanmax(np.abs(measured[name])) <= 1, name


def test_entries_in_the_tail_of_elu_are_flat():
    measured = sweep.propagate("torch/uniform", "elu", depth=10, width=500)
    # 1000 samples: one that falls to either side by rounding moves the share by 0.001.
    np.testing.assert_allclose(measured["flat"][3:], 0.321, atol=2e-3)
    np.testing.assert_allclose(measured["delta_std"][8:10], [2187.463, 10.22874], rtol=CLOSE)


def test_squares_do_not_underflow_where_one_layer_drops_far():
    spec = one("constant", "softplus", 1, 1, 10, 2, value=-260.0)
    measured = layers(spec)
    for name, layer, right in (
        ("rms", 1, 1.1204e-32),
        ("delta_rms", 0, 4.982e-31),
        ("grad_rms", 1, 7.632e-34),
    ):
        assert measured[name][layer] == pytest.approx(right, rel=3e-4), name
    assert_right(spec)


def test_a_gradient_does_not_vanish_in_the_tail_of_mish():
    spec = one("normal", "mish", 30, 2, 263, 3, std=6.754375965737004)
    assert layers(spec)["delta_std"][0] == pytest.approx(18.2346, rel=3e-4)
    assert_right(spec)


@pytest.mark.parametrize("batch", [2, 3])
def test_so_few_samples_say_nothing_of_how_neurons_correlate(batch):
    few = one("xavier", "tanh", 10, 100, 0, batch)
    assert np.isnan(layers(few)["neuron_corr"]).all()
    assert word(few) == "healthy"
    alike = layers(one("constant", "tanh", 3, 20, 0, batch))
    assert (alike["neuron_corr"][1:] == 1).all(), "neurons that are one are told by any batch"


def test_neurons_that_hardly_vary_correlate_as_in_float64_or_not_at_all():
    """Xavier × sigmoid: from layer 9 on, float32 holds a neuron's spread to two digits or none."""
    narrow, wide = (
        sweep.propagate("xavier", "sigmoid", 14, 500, batch=200, dtype=dtype)["neuron_corr"]
        for dtype in ("float32", "float64")
    )
    assert np.isfinite(wide).all()
    told = np.isfinite(narrow)
    assert told[:8].all()
    # About 500 of 2,000 pairs count where a layer is at the floor: their mean is one of fewer.
    np.testing.assert_allclose(narrow[told], wide[told], rtol=0.05)


TAILS = {
    "constant × gelu": one("constant", "gelu", 15, 4, 0, 10, value=-1.0),
    "orthogonal × softplus": one("orthogonal", "softplus", 5, 16, 0, 10, bias_std=0.1, gain=7.604),
    "variance_scaling × mish": one(
        "variance_scaling", "mish", 1, (6, 2), 8, 9, bias_std=1e4, scale=19.5, mode="fan_geo_avg"
    ),
    "uniform × silu": one(
        "variance_scaling", "silu", 3, (4, 8, 3, 4), 3, 4, "float64", 1e4, scale=1 / 3, distribution="uniform"
    ),
    "uniform × silu, float32": one(
        "variance_scaling", "silu", 3, (6, 7, 6, 4), 6, 4, bias_std=1e4, scale=1 / 3, distribution="uniform"
    ),
}
PINNED = {
    "constant × gelu": ("sample_cosine", 15, 1 / 15),
    "orthogonal × softplus": ("neuron_corr", 3, 0.2946401),
    "variance_scaling × mish": ("neuron_corr", 1, math.nan),  # e^-2120 beside 0: neither varies enough
    "uniform × silu": ("neuron_corr", 2, 0.95049822),
}


@pytest.mark.parametrize("name", TAILS)
def test_the_pairs_that_count_are_those_that_are_there(name):
    if name in PINNED:
        statistic, layer, right = PINNED[name]
        figure = layers(TAILS[name])[statistic][layer]
        assert figure == pytest.approx(right, abs=5e-4, nan_ok=True)
    assert_right(TAILS[name])


UNDERFLOWS = {
    "identity × erf": (
        one("keras/identity", "erf", 8, 8, 0, 10, "float64", 1e-5, gain=25.0),
        ("grad_rms", 8, 1.11135405e-271),
    ),
    "sigmoid": (one("xavier", "sigmoid", 2, 3, 10, 10, bias_std=1e4), ("delta_rms", 1, 1.2211594e-139)),
    "softplus": (one("xavier", "softplus", 2, 2, 8, 15, bias_std=1e4), ("rms", 1, 4.3456246e-30)),
    "uniform × selu": (
        one("uniform", "selu", 40, 1, 14, 16, low=-6.4, high=6.4),
        ("grad_rms", 26, 6.3349781e-51),
    ),
    "uniform × selu, side by side": (
        one("uniform", "selu", 40, 4, 2, 4, low=-6.4, high=6.4),
        ("grad_rms", 35, 557840.775),
    ),
}


@pytest.mark.parametrize("name", UNDERFLOWS)
def test_slopes_and_values_do_not_underflow_within_a_layer(name):
    spec, (statistic, layer, right) = UNDERFLOWS[name]
    # The slope exp(z) of a far z, rounded, is off by z roundings.
    assert layers(spec)[statistic][layer] == pytest.approx(right, rel=2e-3)
    assert_right(spec)


@pytest.mark.parametrize(("low", "high"), [(3.0, 3.0001), (-2.0, 2.0), (0.1, 0.3), (-1e-3, 7.0)])
@pytest.mark.parametrize("name", ["torch/trunc_normal", "torch/uniform"])
def test_no_drawn_weight_lies_beyond_its_bounds(name, low, high):
    scheme = initializers.get(name, a=low, b=high)
    weights = scheme(np.random.default_rng(0), 300, 300).astype(float)
    assert low <= weights.min() <= weights.max() <= high


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("init", "act", "depth", "width", "seed", "batch", "bias_std", "layer", "right", "parameters"),
    [
        # A bias, or a slope, so small that a layer's squares are 0 though the layer is not.
        ("xavier", "relu", 2, 1, 5, 2, 1e-25, 2, {"std": 6.563e-26, "rms": 9.282e-26}, {}),
        ("uniform", "relu", 4, 1, 9, 2, 1e-22, 3, {"rms": 3.177e-23, "std": 7.999e-25, "grad_rms": 3.361e-24},
         {"init_params": {"low": -3.0, "high": 1.0}}),
        ("identity", "leaky_relu", 2, 1, 0, 2, 0.0, 2, {"sample_cosine": -1.0},
         {"act_params": {"negative_slope": 1e-25}}),
        ("identity", "leaky_relu", 2, 1, 1, 2, 0.0, 2, {"rms": 2.6406e-26, "flat": 0.0},
         {"act_params": {"negative_slope": -1e-25}}),
        ("kaiming", "leaky_relu", 7, 1, 1, 2, 0.0, 4, {"rms": 1.7177e-23},
         {"act_params": {"negative_slope": 1e-10}}),
        # Columns without weights, whose z is the bias alone, beside weights of 1e25.
        ("sparse", "relu", 1, 3, 0, 10, 2.4e-35, 1,
         {"flat": 0.23333, "dead": 0.0, "sample_cosine": 0.44276, "grad_rms": 1.8116},
         {"init_params": {"sparsity": 0.5, "std": 3.87e25}}),
        ("zeros", "tanh", 1, 2, 0, 4, 1e-170, 1, {"rms": 1.51091e-171, "pre_rms": 1.51091e-171}, {}),
    ],
)  # fmt: skip
def test_what_is_far_below_the_rest_is_there(
    init, act, depth, width, seed, batch, bias_std, layer, right, parameters, dtype
):
    layers = sweep.propagate(
        init, act, depth, width, seed=seed, batch=batch, bias_std=bias_std, dtype=dtype, **parameters
    )
    for name, value in right.items():
        assert layers[name][layer] == pytest.approx(value, rel=2e-4), name


def far_apart(rng, fan_in, fan_out):
    return np.diag(10.0 ** (-20 * np.arange(fan_in)))


def test_neurons_that_weights_do_not_mix_are_measured_however_far_apart():
    narrow, wide = (
        sweep.propagate(far_apart, "relu", 3, 2, batch=2, dtype=dtype) for dtype in ("float32", "float64")
    )
    assert narrow["flat"][3] == 0
    assert (
        narrow["grad_rms"][3]
        == pytest.approx(wide["grad_rms"][3], rel=1e-5)
        == pytest.approx(0.85616, rel=1e-4)
    )


def test_a_lone_outlier_does_not_spoil_the_spread():
    """A thousand neurons near 1, and the first entry, far from all others."""
    h = np.full((1, 100, 1000), 1.0, np.float32)
    h += 1e-4 * np.random.default_rng(0).standard_normal(h.shape).astype(np.float32)
    h[0, 0, 0] = 1.2
    moments = Moments(*h.shape)
    moments.add(slice(None), h)
    assert float(moments.std(h)[0]) == pytest.approx(h.astype(float).std(), rel=1e-5)


@pytest.mark.parametrize(
    ("std", "low", "high"), [(1e13, -0.02, 0.02), (1e15, -0.02, 0.02), (8e23, -0.19, 2e-24)]
)
def test_a_normal_cut_to_next_to_nothing_is_uniform(std, low, high):
    scheme = initializers.get("truncated_normal", std=std, low=low, high=high)
    weights = scheme(np.random.default_rng(0), 300, 300).astype(float)
    assert weights.mean() == pytest.approx((low + high) / 2, abs=0.005 * (high - low))
    assert weights.std() == pytest.approx((high - low) / math.sqrt(12), rel=0.01)
    assert scheme.weight_std(300, 300) == pytest.approx((high - low) / math.sqrt(12), rel=1e-6)


def test_a_histogram_tells_the_sign_of_what_underflowed():
    narrow, wide = (
        kernel.propagate(
            [kernel.Chain(initializers.get("big_normal"), activations.get("gelu"), 0.1, 3)],
            [20] * 4, [3], 50, dtype, histogram=True,
        )[0].histogram[0]
        for dtype in ("float32", "float64")
    )  # fmt: skip
    assert np.abs(narrow - wide).max() <= 1


def test_weights_whose_gradient_comes_from_samples_next_to_nothing():
    """Of 65 inputs those that pass a gradient are the ones whose h is 1e-19 of the others'."""
    asked = {"init": "jax/ones", "act": "relu6", "widths": [70] * 9, "seed": 25, "batch": 65}
    found, expected = (
        sweep.propagate(**asked, bias_std=6.324886378812507e-27, dtype=dtype)["grad_rms"]
        for dtype in ("float32", "float64")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[3] == pytest.approx(1.4805e-18, rel=1e-4)  # a plain loop of long doubles


@pytest.mark.parametrize("bias_std", [1e4, 1e6, 1e10])
def test_float32_does_not_lose_the_phase_of_a_wave(bias_std):
    asked = {"init": "orthogonal", "act": "sin", "depth": 5, "width": 70, "batch": 65, "bias_std": bias_std}
    found, expected = (sweep.propagate(**asked, dtype=dtype) for dtype in ("float32", "float64"))
    for name in ("std", "sample_cosine", "flat", "delta_std"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)
