import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep import activations, initializers, kernel
from sweep.kernel import BACKWARD, FORWARD, Chain
from tests import reference
from tests.make import alone, chain
from tests.paths import DATA
from tests.same import assert_same

TABLES = json.loads((DATA / "textbook_tables.json").read_text(encoding="utf-8"))
# Products in another order round otherwise: about sqrt(depth) roundings of 6e-8 each.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


@pytest.mark.parametrize("init", ["small_normal", "big_normal", "xavier"])
def test_published_figures_are_reproduced(init):
    """Batch 1000, width 500, depth 10, tanh: std of every layer, over 5 seeds."""
    stds = [alone(chain(init, backward=()), seed=seed).forward["std"][1:] for seed in range(5)]
    published = np.array(TABLES["tables"][init]["std"])
    visible = published > 1e-5  # six decimals were published
    # One seed of each: the spread of a layer's std over seeds is 1 to 2 % at width 500.
    tolerance = 0.003 if init == "big_normal" else 0.04
    np.testing.assert_allclose(np.mean(stds, axis=0)[visible], published[visible], rtol=tolerance)


def geometric_rms(init, seeds=10, depth=10):
    runs = [alone(chain(init, "relu", depth, backward=()), seed=seed).forward["rms"] for seed in range(seeds)]
    return np.exp(np.mean(np.log(runs), axis=0))


def test_xavier_relu_halves_the_second_moment_at_every_layer():
    rms = geometric_rms("xavier")
    np.testing.assert_allclose((rms[1:] / rms[:-1]) ** 2, 0.5, rtol=0.1)
    assert rms[10] == pytest.approx(2**-5, rel=0.1)


def test_kaiming_relu_keeps_the_second_moment():
    # Standard deviation of log rms over seeds is about 0.1 at depth 10 (Hanin and Rolnick 2018).
    np.testing.assert_allclose(geometric_rms("kaiming"), 1.0, rtol=0.1)


def test_saturated_tanh_passes_little_gradient_which_explodes_through_the_large_weights():
    statistics = alone(chain("big_normal"))
    assert statistics.forward["flat"][10] > 0.85
    assert statistics.backward[10]["delta_std"][0] > 1e3


@pytest.mark.parametrize("init", ["zeros", "constant"])
@pytest.mark.parametrize("act", ["tanh", "relu"])
def test_symmetric_schemes_make_all_neurons_and_all_gradient_columns_equal(init, act):
    gradients = {}

    def observe(kind, index, depth, layer, values):
        if kind == "dW":
            gradients[layer] = values.copy()

    statistics = alone(chain(init, act, depth=4), width=100, batch=200, observe=observe)
    assert (statistics.forward["neuron_corr"][1:] == 1).all()
    for layer in (1, 2, 3):
        spread = np.abs(gradients[layer] - gradients[layer][:, :1]).max()
        assert spread <= 1e-5 * np.abs(gradients[layer]).max()
    if init == "constant":
        assert np.ptp(gradients[4], axis=1).max() > 0, "the last layer sees the upstream gradient itself"


def test_a_deeper_network_contains_the_shallower_one():
    deep, shallow = alone(chain(depth=12, backward=(5, 12)), 64), alone(chain(depth=5), 64)
    for name in FORWARD:
        np.testing.assert_array_equal(deep.forward[name][:6], shallow.forward[name])
    assert_same(shallow, deep, 1e-6, depth=5)


def test_a_smaller_batch_is_the_prefix_of_a_larger_one():
    seen = {}

    def observe(kind, index, depth, layer, values):
        if kind == "h":
            seen.setdefault(layer, []).append(values.copy())

    for batch in (64, 200):
        alone(chain(depth=3, backward=()), 50, batch=batch, observe=observe)
    for small, large in seen.values():
        np.testing.assert_allclose(small, large[:64], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_chain_in_a_stack_gives_the_numbers_it_gives_alone(dtype):
    stack = [
        chain("xavier", "tanh", 8, backward=(3, 8)),
        chain("kaiming", "relu", 12),
        chain("small_normal", "tanh", 6, bias_std=0.1),
        chain("variance_scaling", "identity", 4, scale=1.3),
    ]
    together = kernel.propagate(stack, [40] * 13, [3, 7], 90, dtype)
    for one, measured in zip(stack, together, strict=True):
        for index, seed in enumerate([3, 7]):
            assert_same(alone(one, 40, seed, 90, dtype), measured.of_seed(index), TOLERANCE[dtype])


def rms_of(values):
    return np.sqrt((values**2).mean())


specs = st.fixed_dictionaries(
    {
        # lsuv looks at the data, which the plain loop does not; tests/initializers/test_lsuv.py
        "init": st.sampled_from(sorted(initializers.SCHEMES.keys() - {"lsuv"})),
        "act": st.sampled_from(sorted(activations.ACTIVATIONS)),
        "widths": st.lists(st.integers(1, 40), min_size=2, max_size=7),
        "bias_std": st.sampled_from([0.0, 0.3]),
        "seed": st.integers(0, 2**63 - 1),
        "batch": st.integers(2, 100),
        "dtype": st.sampled_from(["float32", "float64"]),
    }
)


@settings(max_examples=150, deadline=None)
@given(specs)
def test_the_kernel_agrees_with_the_plain_loop(spec):
    widths, batch = spec["widths"], spec["batch"]
    one = chain(spec["init"], spec["act"], len(widths) - 1, spec["bias_std"])
    measured = alone(one, widths=widths, seed=spec["seed"], batch=batch, dtype=spec["dtype"])
    h, z, delta, gradients = reference.propagate(
        one.scheme, one.act, widths, spec["seed"], batch, spec["bias_std"]
    )
    forward, backward = measured.forward, measured.backward[one.depth]
    # How much a relative error of z grows on its way: rounding is all that the two loops differ by.
    growth, blunt = [1.0], 1.0
    for own_z, own_h in zip(z, h[1:], strict=True):
        slope, size = rms_of(one.act.derivative(own_z, own_h)), rms_of(own_h)
        growth.append(growth[-1] * max(1.0, rms_of(own_z) * slope / size if size else 1.0))
        blunt *= max(1.0, 2e-4 / slope if slope else 1.0)  # 1 - h² has an absolute accuracy only
    tolerances = TOLERANCE[spec["dtype"]] * np.array(growth)
    for layer, values in enumerate(h):
        rms, tolerance = rms_of(values), tolerances[layer]
        # A std far below the rms is a difference of rounded numbers: hence the floor.
        floor = 10 * tolerance * rms
        assert forward["rms"][layer] == pytest.approx(rms, rel=tolerance)
        assert forward["mean"][layer] == pytest.approx(values.mean(), rel=tolerance, abs=floor)
        assert forward["std"][layer] == pytest.approx(values.std(), rel=tolerance, abs=floor)
    for layer, values in enumerate(z, start=1):
        assert forward["pre_rms"][layer] == pytest.approx(rms_of(values), rel=tolerances[layer])
    # A relu whose z is 0 up to rounding may switch sides; float32 against float64 then differs.
    loose = (1e-3 if spec["dtype"] == "float32" else 1e-9) * growth[-1] * blunt
    for layer, values in enumerate(delta):
        assert backward["delta_rms"][layer] == pytest.approx(rms_of(values), rel=loose)
    for layer, values in enumerate(gradients, start=1):
        assert backward["grad_rms"][layer] == pytest.approx(rms_of(values), rel=loose)


@pytest.mark.parametrize("act", sorted(activations.ACTIVATIONS))
@pytest.mark.parametrize("init", ["xavier", "orthogonal", "torch/linear_default"])
def test_float32_says_what_float64_says_where_nothing_is_chaotic(init, act):
    narrow, wide = (alone(chain(init, act, depth=8), 60, batch=100, dtype=d) for d in ("float32", "float64"))
    for name in ("std", "rms", "pre_rms"):
        np.testing.assert_allclose(narrow.forward[name], wide.forward[name], rtol=1e-4, err_msg=name)
    for name in BACKWARD:
        # One relu of 48,000 that switches sides at 0 moves a gradient by 1e-3 at most.
        rtol = 1e-4 if not activations.get(act).kinks else 1e-3
        np.testing.assert_allclose(narrow.backward[8][name], wide.backward[8][name], rtol=rtol, err_msg=name)


@pytest.mark.parametrize(
    ("init", "act"),  # huge_normal × tanh is chaotic: one rounding grows layer by layer
    [
        ("small_normal", "tanh"),
        *((i, a) for i in ("small_normal", "huge_normal") for a in ("relu", "identity")),
    ],
)
def test_float32_measures_what_vanishes_or_explodes_as_float64_does(init, act):
    one = chain(init, act, depth=120)
    narrow, wide = alone(one, 100, batch=64), alone(one, 100, batch=64, dtype="float64")
    for name in ("std", "rms", "pre_rms"):
        np.testing.assert_allclose(narrow.forward[name], wide.forward[name], rtol=1e-4)
    # So deep under relu all inputs look alike: a unit whose z is 0 up to rounding switches its
    # gradient on or off for all of them at once, one unit in a hundred.
    tolerance = 2e-2 if act == "relu" else 1e-3
    for name in BACKWARD:
        np.testing.assert_allclose(narrow.backward[120][name], wide.backward[120][name], rtol=tolerance)
    assert not 1e-38 < narrow.forward["rms"][-1] < 1e38


@pytest.mark.parametrize("act", ["gelu", "elu", "silu", "softplus"])
def test_float32_holds_gradients_of_any_size(act):
    """dL/dW is a product of two mantissas, which once overflowed in windows of three layers."""
    sizes = []
    for std in (0.01, 0.1, 1.0, 10.0, 40.0):
        one = chain("normal", act, depth=50, std=std)
        narrow, wide = (
            alone(one, 64, batch=50, dtype=dtype).backward[50] for dtype in ("float32", "float64")
        )
        for name in BACKWARD:
            # A unit whose z is 0 up to rounding switches its gradient: one of 160,000, over 50 layers.
            np.testing.assert_allclose(narrow[name], wide[name], rtol=1e-2, err_msg=f"{name} at {std}")
        sizes.append(wide["grad_rms"][1])
    assert sizes[0] < 1e-50
    assert sizes[-1] > 1e110


def test_what_float64_cannot_hold_is_inf_or_zero():
    up = alone(chain("normal", "relu", depth=200, std=1e3), 100, batch=64)
    assert np.isinf(up.forward["rms"][-1])
    assert np.isfinite(up.forward["rms"][:50]).all()
    assert (np.diff(np.isinf(up.forward["rms"]).astype(int)) >= 0).all(), "once inf, always inf"
    down = alone(chain("normal", "relu", depth=200, std=1e-5), 100, batch=64)
    assert down.forward["rms"][-1] == 0


def test_weights_of_any_size_float64_holds_are_measured():
    one = alone(chain("normal", "gelu", depth=3, std=1e300), 8, batch=10, dtype="float64")
    assert 1e299 < one.forward["rms"][1] < 1e302
    assert np.isinf(one.forward["rms"][2:]).all()


def test_no_gradient_is_claimed_through_a_layer_that_diverged():
    square = activations.Activation("square", np.square, lambda z, h: 2 * z, oscillates=True)
    one = Chain(initializers.get("kaiming"), square, 0.1, 60, (3, 60))
    statistics = alone(one, 30, batch=20)
    assert np.isinf(statistics.forward["rms"][-1])
    assert np.isnan(statistics.forward["mean"][-1])
    assert np.isnan(statistics.backward[60]["delta_rms"][0])
    assert np.isfinite(statistics.backward[3]["delta_rms"]).all()


@pytest.mark.parametrize("act", ["identity", "relu", "leaky_relu"])
@pytest.mark.parametrize("widths", [[30] * 7, [40, 20, 50, 10, 30, 25, 8]])
def test_chains_read_off_one_by_an_exact_law_are_what_they_are_alone(act, widths):
    """The same act not declared homogeneous: every chain then runs by itself."""
    lawful = activations.get(act)
    plain = dataclasses.replace(lawful, homogeneous=False)
    schemes = [initializers.get(name) for name in ("xavier", "he_normal", "big_normal", "small_normal")]
    chains = [Chain(scheme, lawful, 0.0, 6, (4, 6)) for scheme in schemes]
    together = kernel.propagate(chains, widths, [0, 1], 50, "float64", histogram=True)
    for scheme, measured in zip(schemes, together, strict=True):
        apart = kernel.propagate([Chain(scheme, plain, 0.0, 6, (4, 6))], widths, [0, 1], 50, "float64", True)
        for seed in (0, 1):
            assert_same(apart[0].of_seed(seed), measured.of_seed(seed), 1e-11)
        # An entry at a bin's edge may fall to either side.
        assert np.abs(apart[0].histogram - measured.histogram).max() <= 2


def test_a_chain_alone_gives_the_numbers_it_gives_beside_others_of_its_law():
    """Bit for bit: what a cell is read off does not depend on which other cells are asked for."""
    one, other = chain("kaiming", "relu", 5), chain("big_normal", "relu", 5)
    together = kernel.propagate([other, one], [30] * 6, [2], 40)[1].of_seed(0)
    by_itself = alone(one, 30, seed=2, batch=40)
    for name in FORWARD:
        np.testing.assert_array_equal(together.forward[name], by_itself.forward[name])


def test_histograms_count_every_entry():
    measured = alone(chain(depth=3), 30, batch=70, histogram=True)
    assert measured.histogram.shape == (4, 30)
    assert (measured.histogram.sum(axis=1) == 30 * 70).all()
    assert measured.histogram[1, :3].sum() > measured.histogram[3, :3].sum(), "xavier × tanh contracts"


def test_a_relu_layer_of_negative_bias_is_dead():
    statistics = alone(chain("zeros", "relu", depth=2, bias_std=1.0), 200, batch=50)
    assert statistics.forward["dead"][1] == pytest.approx(0.5, abs=0.15)  # the sign of each bias
    assert statistics.forward["flat"][1] == statistics.forward["dead"][1]


def test_histograms_tell_the_sign_of_the_tiniest_numbers():
    measured = alone(chain("small_normal", "tanh", depth=12), 200, batch=200, histogram=True)
    assert measured.forward["std"][12] < 1e-8
    counts = measured.histogram[12]
    assert counts[14] + counts[15] == 200 * 200
    assert counts[14] == pytest.approx(20_000, rel=0.2)  # tanh is odd: half of them are negative
