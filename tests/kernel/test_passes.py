"""NumPy's passes and compiled ones: the same numbers, and what happens where there are no compiled ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sweep
from sweep import activations, initializers, kernel
from sweep.activations import FLAT_SLOPE, extended
from sweep.base.errors import SweepWarning
from sweep.experiment import interactive
from sweep.initializers.normal import standard_normals
from sweep.kernel import passes
from sweep.kernel.passes import COMPILED, NUMPY, compiled, folder
from sweep.kernel.passes.plain import PLAIN, Sums
from tests.activations.test_activations import ACTIVATIONS, VARIANTS
from tests.activations.test_narrow import EPS, NORMAL, SMALLEST, everywhere, ulp

pytest.importorskip("numba")


@pytest.fixture(autouse=True, params=["compiled"])
def kind(request):
    """These compare both kinds themselves."""
    return request.param


KINDS = COMPILED, NUMPY  # of what the program has; functions of a user's own are apart


def crossed(act, z, kind, offset=None, with_slope=True):
    """h, slope and sums of one pass over z, (seeds, rows, width)."""
    h, slope = np.empty_like(z), np.empty_like(z) if with_slope else None
    sums = Sums.of(act, z.shape)
    with np.errstate(all="ignore"):
        passes.named(kind).forward(act, sums, slice(0, len(z)), z.copy(), offset, h, slope)
    return h, slope, sums


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_a_compiled_activation_is_right_to_four_units_and_what_a_rounding_of_z_makes(name, parameters):
    act, z = activations.get(name, **parameters), everywhere()
    if name == "sin":
        z = z[np.abs(z) < 5e3]
    elif parameters and name in ("softplus", "silu"):  # beta z must be a number
        z = z[np.abs(z) < 1e37]
    h, slope, _ = crossed(act, z[None, :, None].copy(), "compiled")
    wide = z.astype(np.longdouble)
    with np.errstate(all="ignore"):
        true, moved = (extended.applied(act, x) for x in (wide, wide * (1 + EPS)))
        pairs = [(h, true, moved)]
        pairs.append((slope, extended.slope(act, wide, true), extended.slope(act, wide * (1 + EPS), moved)))
    for found, expected, nearby in pairs:
        held = np.abs(expected) < np.finfo(np.float32).max
        allowed = 4 * ulp(expected) + np.abs(nearby - expected)
        allowed[np.abs(expected) < NORMAL] += SMALLEST / 1024
        allowed[np.abs(z) < 4] += EPS / 2
        missed = np.where(held, np.abs(found[0, :, 0] - expected) - allowed, -1)
        worst = np.argmax(missed)
        assert missed[worst] <= 0, f"{found[0, worst, 0]} at {z[worst]}, not {float(expected[worst])}"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_nan_and_inf_come_out_of_a_compiled_pass_as_of_numpys(name):
    act = activations.get(name)
    special = [-np.inf, np.inf, np.nan, 0.0, -0.0, 2.0**-149, -(2.0**-149), 2.0**100, -(2.0**100)]
    for z in (np.array([[[value] * 70]], np.float32) for value in special):
        (h, slope, sums), (plain, plain_slope, plain_sums) = (crossed(act, z, k) for k in KINDS)
        if name == "elu" and abs(z[0, 0, 0]) == 2.0**-149:  # tanh(z / 2) of the smallest number is 0
            continue
        np.testing.assert_allclose(h, plain, rtol=1e-6, atol=1e-44)
        if name != "tanh" and not (name == "leaky_relu" and np.isnan(z).any()):
            np.testing.assert_allclose(slope, plain_slope, rtol=1e-6, atol=1e-6)
        for one, other in ((sums.before, plain_sums.before), (sums.after, plain_sums.after)):
            np.testing.assert_allclose(one.rms, other.rms, rtol=1e-6)
        np.testing.assert_array_equal(sums.flat.shares()["dead"], plain_sums.flat.shares()["dead"])


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(ACTIVATIONS),
    seeds=st.integers(1, 3),
    rows=st.integers(1, 70),
    width=st.sampled_from([1, 7, 64, 513, 1500]),
    scale=st.sampled_from([1e-8, 0.3, 1.0, 30.0]),
    shift=st.sampled_from(["", "bias", "mean", "both"]),
    with_slope=st.booleans(),
    strided=st.booleans(),
)
def test_both_kinds_of_passes_agree(name, seeds, rows, width, scale, shift, with_slope, strided):
    rng, act = np.random.default_rng(rows), activations.get(name)
    z = (scale * rng.standard_normal((seeds, rows * 2, width))).astype(np.float32)
    z = z[:, :rows] if strided else z[:, :rows].copy()
    shape = {"": None, "bias": (seeds, 1, width), "mean": (seeds, rows, 1), "both": (seeds, rows, width)}[
        shift
    ]
    offset = None if shape is None else rng.standard_normal(shape).astype(np.float32)
    results = [crossed(act, z, kind, offset, with_slope) for kind in ("numpy", "compiled")]
    (h, slope, sums), (other_h, other_slope, other) = results
    np.testing.assert_allclose(other_h, h, rtol=2e-5, atol=2e-7 * scale)
    if with_slope:
        np.testing.assert_allclose(other_slope, slope, rtol=2e-5, atol=1e-6)
    for one, two in ((sums.before, other.before), (sums.after, other.after)):
        np.testing.assert_allclose(two.rms, one.rms, rtol=1e-5)
        assert (np.abs(two.mean - one.mean) <= 1e-5 * one.rms).all()
    edge = np.abs(np.abs(slope) - FLAT_SLOPE) < 1e-5 if with_slope else np.zeros(1, bool)
    if not edge.any():
        for key in ("flat", "dead"):
            np.testing.assert_array_equal(other.flat.shares()[key], sums.flat.shares()[key])


@pytest.mark.parametrize("width", [3, 64, 1030])
@pytest.mark.parametrize("size", [1.0, 1e-18, 1e-30])
def test_gradients_pass_as_numpys_do(width, size):
    rng, compiled = np.random.default_rng(width), passes.named("compiled")
    gradient, slope = (rng.standard_normal((2, 3, 40, width)).astype(np.float32) * size for _ in range(2))
    slope = slope[0] / np.float32(size)
    ours, theirs = gradient.copy(), gradient.copy()
    np.testing.assert_allclose(compiled.through(ours, slope), PLAIN.through(theirs, slope), rtol=1e-5)
    np.testing.assert_array_equal(ours, theirs)
    scale = rng.uniform(0.1, 2, 3).astype(np.float32)
    for shift in (None, size * rng.standard_normal((2, 3, 40, 1))):
        ours, theirs = gradient.copy(), gradient.copy()
        found, expected = compiled.back(ours, scale, shift), PLAIN.back(theirs, scale, shift)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6 * size)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
        np.testing.assert_allclose(found[1], expected[1], atol=1e-5 * size * width)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "leaky_relu"])
def test_a_tapered_network_comes_out_the_same(name, dtype):
    act = activations.get(name)
    chain = kernel.Chain(initializers.get("kaiming"), act, 0.2, 4, (4, 2))
    results = [kernel.propagate([chain], (70, 64, 48, 90, 33), [0, 1], 130, dtype, kind=k) for k in KINDS]
    for key, values in results[0][0].forward.items():
        unit = results[0][0].forward["rms"] if key == "mean" else np.abs(values) + 1e-6
        np.testing.assert_allclose(results[1][0].forward[key] / unit, values / unit, atol=1e-5)
    for depth, columns in results[0][0].backward.items():
        for key, values in columns.items():
            np.testing.assert_allclose(results[1][0].backward[depth][key], values, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (700, 300)])
def test_draws_are_of_the_same_words_and_near(shape):
    """log, cos and sin of two SIMD kernels differ by 2 units each, a product of them by 4."""
    generators = [[np.random.Generator(np.random.PCG64(seed)) for seed in (0, 1, 2)] for _ in range(2)]
    plain, compiled = (
        standard_normals(rngs, *shape, write=passes.named(kind).normals)
        for rngs, kind in zip(generators, KINDS, strict=True)
    )
    np.testing.assert_array_max_ulp(plain, compiled, maxulp=4)
    assert [one.random() for one in generators[0]] == [other.random() for other in generators[1]]


def test_the_extreme_words_make_draws_too():
    words = np.array([0, 2**64 - 1, 2**32 - 1, 2**63, 2**63 + 2**32 - 1, 2**62], np.uint64)
    results = [np.empty((1, 2 * len(words)), np.float32) for _ in range(2)]
    for kind, out in zip(KINDS, results, strict=True):
        passes.named(kind).normals(words, out)
    np.testing.assert_allclose(*results, rtol=1e-6, atol=1e-7)


def test_what_has_no_loop_is_numpys():
    """A user's own act, one that only has a built-in's name, and float64."""
    own = activations.get("custom", function=np.arctan, derivative=lambda z: 1 / (1 + z * z))
    renamed = activations.Activation("relu", np.sin, lambda z, h: np.cos(z))
    for act, dtype in ((own, np.float32), (renamed, np.float32), (activations.get("gelu"), np.float64)):
        z = np.random.default_rng(0).standard_normal((2, 9, 65)).astype(dtype)
        results = [crossed(act, z, kind) for kind in KINDS]
        np.testing.assert_array_equal(results[0][0], results[1][0])
        np.testing.assert_array_equal(results[0][1], results[1][1])


def test_the_sine_of_a_large_number_is_numpys():
    z = np.full((1, 4, 64), 3e7, np.float32)
    np.testing.assert_array_equal(*(crossed(activations.get("sin"), z, kind)[0] for kind in KINDS))


def test_a_loop_that_cannot_be_had_is_said_and_nothing_goes_on_without_it(monkeypatch):
    def broken(key):
        raise ValueError(
            f"Failed in nopython mode pipeline (step: x)\nno {key}\nThis is not usually a problem"
        )

    monkeypatch.setattr(folder, "loop", broken)
    monkeypatch.setattr(compiled.Compiled, "_loops", {})
    chain = kernel.Chain(initializers.get("xavier"), activations.get("relu"), 0.0, 2)
    with pytest.raises(
        RuntimeError, match=r"compiled loop normal cannot be had \(no normal\): SWEEP_PASSES="
    ):
        kernel.propagate([chain], (70, 64, 64), [0], 50, kind=COMPILED)
    monkeypatch.setattr(folder, "why_not", lambda: "")
    with pytest.warns(SweepWarning, match=r"NumPy's passes are used: (the compiled loop .*\()?no "):
        frame = sweep.propagate("xavier", "relu", 2, 64, batch=50)
    monkeypatch.setattr(folder, "why_not", lambda: "SWEEP_PASSES=numpy")
    np.testing.assert_array_equal(frame, sweep.propagate("xavier", "relu", 2, 64, batch=50))


def test_the_loops_know_what_the_program_does():
    from sweep.kernel.passes import formulas, loops  # noqa: PLC0415

    assert set(formulas.FORMULAS) == folder.ACTS <= set(ACTIVATIONS)
    assert np.float32(FLAT_SLOPE) == loops.FLAT


def test_a_call_uses_what_is_there(monkeypatch):
    monkeypatch.setattr(folder, "why_not", lambda: "")
    assert interactive._passes("relu", True) == COMPILED
    assert interactive._passes("custom", True) == NUMPY
    one = sweep.propagate("xavier", "relu", 2, 64, batch=50)
    monkeypatch.setattr(folder, "why_not", lambda: "SWEEP_PASSES=numpy")
    assert interactive._passes("relu", True) == NUMPY
    np.testing.assert_allclose(one, sweep.propagate("xavier", "relu", 2, 64, batch=50), rtol=1e-5, atol=1e-7)
