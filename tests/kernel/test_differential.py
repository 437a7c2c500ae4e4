"""The kernel against a plain long double loop; and that loop against what is known without it."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from sweep import activations, initializers
from tests import exact, reference
from tests.bounds import NULL
from tests.differential import disagreements
from tests.exact import LONG
from tests.kernel.conftest import LOOPS
from tests.paths import DATA
from tests.plain import Network
from tests.stacks import Link, Spec, spec_of

pytestmark = pytest.mark.skipif(not exact.WIDE, reason="a long double is only a double on this machine")

SEED, BLOCK = 7, 15
# Stacks that once disagreed, one of each kind.
ONCE_WRONG = [
    Spec((Link("small_normal", {}, "mish", {}, 1e4, 19, (11, 19)),), (1,) * 20, (319396833,), 4, "float32"),
    Spec((Link("jax/ones", {}, "mish", {}, 0.0, 16, (16,)),), (24,) * 17, (1701878885,), 5, "float32"),
    Spec(
        (Link("jax/ones", {}, "sigmoid", {}, 1e4, 5, (5,)),),
        (3, 2, 2, 3, 2, 3), (1673559236,), 9, "float32",
    ),
    Spec(
        (Link("keras/identity", {"gain": 9.684120662270287}, "tanh", {}, 0.1, 35, (35,)),),
        (1,) * 36, (2119001275,), 3, "float32",
    ),
    Spec(
        (Link("normal", {"std": 631.9975859186756}, "sigmoid", {}, 1.0, 8, (8,)),),
        (54,) * 9, (233589324,), 9, "float32",
    ),
    Spec(
        (Link("keras/constant", {"value": -0.017948917557065923}, "selu", {}, 1e4, 6, (6,)),),
        (6, 6, 9, 5, 7, 2, 4), (1543095942,), 12, "float32",
    ),
    Spec((Link("huge_normal", {}, "sigmoid", {}, 1e4, 1, (1,)),), (1, 1), (1952463288,), 13, "float64"),
    Spec(
        (Link("constant", {"value": -2.6042588294961657}, "own relu numerical", {}, 0.0, 7, (7,)),),
        (5,) * 8, (1123222186,), 30, "float64",
    ),
    Spec(
        (Link("keras/constant", {"value": 5.693950322150878e19}, "silu", {}, 1.0, 3, (2,)),),
        (57,) * 4, (82652301, 1319256585), 4, "float32",
    ),
    Spec(
        (Link("normal", {"std": 224814983623.0775}, "own elu numerical", {}, 1e-5, 4, (4,)),),
        (1, 3, 4, 1, 2), (1653728413,), 36, "float32",
    ),
    Spec(
        (Link("jax/uniform", {"scale": 5.93210593088512}, "tanh", {}, 1e-5, 4, (4,)),),
        (6,) * 5, (1424541595,), 20, "float32",
    ),
    Spec(
        (Link("torch/xavier_normal", {"gain": 9.94001096388253}, "silu", {}, 0.6280657064916074, 3, (3,)),),
        (32, 31, 23, 21), (2123541458,), 7, "float32",
    ),
    Spec(
        (Link("keras/identity", {"gain": 38.54600680072294}, "gelu", {}, 1e4, 9, (9,)),),
        (16,) * 10, (343303477,), 7, "float32",
    ),
]  # fmt: skip
STORED = json.loads((DATA / "stacks_once_wrong.json").read_text(encoding="utf-8"))
ONCE_WRONG += [Spec.of(stack) for stack in STORED]


def complaint_of(spec):
    _, wrong = disagreements(spec)
    return "\n".join([repr(spec), *map(str, wrong[:5]), f"{len(wrong)} in all"]) if wrong else ""


@pytest.mark.parametrize("block", range(9))
def test_random_stacks_agree_with_the_plain_loop(block, kind):
    """Every second stack with either kind of passes: `make torture` tries thousands with both."""
    wrong = [
        f"--seed {SEED} --only {n}: {complaint_of(spec_of(SEED, n))}"
        for n in range(block * BLOCK, (block + 1) * BLOCK)
        if n // 2 % 2 == LOOPS.index(kind)  # odd numbers have blocks, even ones none
    ]
    wrong = [text for text in wrong if not text.endswith(": ")]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("spec", ONCE_WRONG, ids=lambda spec: f"{spec.links[0].init} × {spec.links[0].act}")
def test_stacks_that_once_disagreed(spec):
    assert not complaint_of(spec), complaint_of(spec)


NAMES = [(name, {}) for name in exact.BUILT_IN] + [
    ("elu", {"alpha": 3.0}),
    ("leaky_relu", {"negative_slope": -0.5}),
]


@pytest.mark.parametrize(("name", "parameters"), NAMES)
def test_exact_activations_are_what_the_program_computes_where_it_is_easy(name, parameters):
    z = np.linspace(-3, 3, 401)
    act, right = activations.get(name, **parameters), exact.of(name, parameters)
    np.testing.assert_allclose(act.f(z), right.f(z.astype(LONG)).astype(float), rtol=1e-13, atol=1e-15)
    slope = right.slope(z.astype(LONG)).astype(float)
    np.testing.assert_allclose(act.derivative(z, act.f(z)), slope, rtol=1e-12, atol=2e-15)


@pytest.mark.parametrize("name", [*exact.BUILT_IN, *(f"own {key}" for key in exact.OWN)])
def test_exact_slopes_are_differences_of_exact_values_however_far_out(name):
    act = exact.of(name, {})
    z = np.concatenate([-np.geomspace(90, 0.01, 200), np.geomspace(0.01, 90, 200)]).astype(LONG)
    step = z * LONG(2) ** -21
    difference = (act.f(z + step) - act.f(z - step)) / (2 * step)
    slope = act.slope(z)
    smooth = np.all([np.abs(z - kink) > np.abs(step) for kink in (*act.kinks, np.inf)], axis=0)
    # f is told to 2^-63 of itself (gelu, erf: 2^-52) and the step is 5e-7 of z: 1e-9 of f / z;
    # the difference's own error is (step²/6) f''', f''' being up to z⁴ times f' in gelu_tanh's tail.
    error = 1e-8 * np.abs(act.f(z) / z) + (1e-12 + np.abs(z) ** 6 * 1e-14) * np.abs(slope)
    assert (np.abs(difference - slope) <= error)[smooth].all()


def test_exact_tails_are_the_published_ones():
    # Φ(-10) = 7.61985302416052606597e-24 (Abramowitz and Stegun, table 26.2, extended)
    assert float(exact.gelu(LONG(-10))) == pytest.approx(-7.61985302416052606597e-23, rel=1e-14)
    assert float(exact.tanh_slope(LONG(300))) == pytest.approx(4 * math.exp(-600), rel=1e-13)
    assert float(exact.softplus(LONG(-260))) == pytest.approx(math.exp(-260), rel=1e-13)
    assert float(exact.mish(LONG(-300))) == pytest.approx(-300 * math.exp(-300), rel=1e-13)
    assert float(np.log(exact.bell(LONG(-5000)))) == pytest.approx(-5000, rel=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("act", ["tanh", "gelu", "relu"])
@pytest.mark.parametrize("init", ["xavier", "jax/uniform", "orthogonal"])
def test_what_the_plain_loop_allows_is_narrow_and_holds_a_plain_float64_loop(init, act, dtype):
    scheme, widths, batch = initializers.get(init), (12, 9, 15, 6), 30
    network = Network(scheme, exact.of(act, {}), 0.1, widths, 3, batch, dtype, np.random.default_rng(0))
    network.send_back(3)
    h, z, delta, gradients = reference.propagate(scheme, activations.get(act), widths, 3, batch, 0.1)
    figures = {(None, "pre_rms", 1 + i): values for i, values in enumerate(z)}
    figures |= {(None, "rms", i): values for i, values in enumerate(h)}
    figures |= {(3, "delta_rms", i): values for i, values in enumerate(delta)}
    figures |= {(3, "grad_rms", 1 + i): values for i, values in enumerate(gradients)}
    for key, values in figures.items():
        allowed, right = network.figures[key], math.sqrt((values**2).mean())
        assert allowed.holds(right), key
        assert allowed.exact == pytest.approx(right, rel=1e-12)
        assert allowed.high / allowed.low - 1 < (1e-4 if dtype == "float32" else 1e-10), key
    for layer, values in enumerate(h):
        for name, right in {"mean": values.mean(), "std": values.std()}.items():
            assert network.figures[None, name, layer].exact == pytest.approx(right, rel=1e-10)
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        alive = np.isfinite(unit).all(axis=1)
        pairs = (unit[alive] @ unit[alive].T)[np.triu_indices(alive.sum(), 1)]
        assert network.figures[None, "sample_cosine", layer].exact == pytest.approx(pairs.mean(), rel=1e-10)
        varies = values.std(axis=0) > 0
        pairs = np.abs(np.corrcoef(values[:, varies].T))[np.triu_indices(varies.sum(), 1)]
        assert network.figures[None, "neuron_corr", layer].exact == pytest.approx(pairs.mean(), rel=1e-9)


def test_a_product_of_halves_is_exact():
    """W = 1/2 everywhere and no act: every figure is a fraction."""
    scheme = initializers.get("constant", value=0.5)
    network = Network(
        scheme, exact.of("identity", {}), 0.0, (2, 2, 2), 1, 2, "float64", np.random.default_rng(0)
    )
    x = network.layers[0][0][0]
    sums = [Fraction(float(row[0])) + Fraction(float(row[1])) for row in x]
    right = float(sum(value * value for value in sums) / 8)  # z = (x_1 + x_2) / 2, over two samples
    assert network.figures[None, "rms", 1].exact == pytest.approx(math.sqrt(right), rel=1e-15)
    assert network.figures[None, "rms", 2].exact == network.figures[None, "rms", 1].exact
    assert network.figures[None, "neuron_corr", 2].exact == 1, "one neuron twice"
    assert network.figures[None, "neuron_corr", 0] == NULL, "two samples say nothing"
