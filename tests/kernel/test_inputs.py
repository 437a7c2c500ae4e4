"""What is pushed through: draws of every kind, and networks fed with them against a plain loop."""

import numpy as np
import pytest

from sweep import activations, initializers
from sweep.base import inputs
from sweep.kernel import Chain, propagate
from sweep.kernel.draws import streams
from sweep.kernel.inputs.drawn import inputs_of
from sweep.kernel.inputs.files import content_of
from sweep.kernel.precision import careful

SEEDS, BATCH, WIDTH = (0, 3), 40, 66


def of(name, **parameters):
    return inputs.REGISTRY.get(name, **parameters)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rows = np.random.default_rng(5).gamma(2.0, size=(70, WIDTH)) - 0.5
    path = tmp_path_factory.mktemp("rows") / "rows.npy"
    np.save(path, rows)
    return path


@pytest.fixture(params=["gaussian", "correlated", "student", "digits", "npy"])
def kind(request, file):
    if request.param == "digits":
        pytest.importorskip("sklearn", reason="the train extra is not installed: pip install -e '.[train]'")
    if request.param == "npy":
        return of("npy", file=str(file), sha256=content_of(str(file)).sha256)
    return of(request.param)


def test_inputs_are_float32_of_the_seed_and_a_smaller_batch_begins_a_larger_one(kind):
    many = inputs_of(kind, SEEDS, BATCH, WIDTH)
    assert (many.dtype, many.shape) == (np.float32, (2, BATCH, WIDTH))
    np.testing.assert_array_equal(inputs_of(kind, SEEDS, 7, WIDTH), many[:, :7])
    for place, seed in enumerate(SEEDS):
        np.testing.assert_array_equal(inputs_of(kind, [seed], BATCH, WIDTH)[0], many[place])
    assert not np.array_equal(many[0], many[1])


def test_a_stack_fed_with_them_is_a_plain_loop_in_every_precision(kind):
    """In float64 to rounding; long double is checked too, which only extreme networks take."""
    scheme, act, depth = initializers.get("xavier"), activations.get("gelu"), 3
    chain = Chain(scheme, act, 0.2, depth, (depth,))
    (found,) = propagate([chain], (WIDTH,) * (depth + 1), SEEDS, BATCH, "float64", inputs=kind)
    (wide,) = careful.measure(
        [chain], (WIDTH,) * (depth + 1), SEEDS, BATCH, np.dtype("float64"), False, None, kind
    )
    for place, seed in enumerate(SEEDS):
        h = inputs_of(kind, [seed], BATCH, WIDTH)[0].astype(float)
        rms = [np.sqrt(np.mean(h**2))]
        for layer in range(1, depth + 1):
            fans = layer, WIDTH, WIDTH
            unit = streams.weights([seed], scheme.base, *fans)[0].astype(float)
            bias = 0.2 * streams.biases([seed], scheme.base, *fans)[0].astype(float)
            h = act.f(h @ (unit * scheme.weight_std(WIDTH, WIDTH)) + bias)
            rms.append(np.sqrt(np.mean(h**2)))
        np.testing.assert_allclose(found.forward["rms"][place], rms, rtol=1e-12)
        np.testing.assert_allclose(wide.forward["rms"][place], rms, rtol=1e-12)
    for name, values in found.backward[depth].items():
        np.testing.assert_allclose(wide.backward[depth][name], values, rtol=1e-9)


def test_the_own_part_of_correlated_inputs_is_what_gaussian_ones_are():
    own = inputs_of(of("gaussian"), SEEDS, BATCH, WIDTH)
    np.testing.assert_array_equal(inputs_of(of("correlated", c0=0.0), SEEDS, BATCH, WIDTH), own)
    half = inputs_of(of("correlated", c0=0.5), SEEDS, BATCH, WIDTH)
    common = half - np.float32(np.sqrt(0.5)) * own
    np.testing.assert_allclose(common, np.broadcast_to(common[:, :1], common.shape), atol=1e-6)
    same = inputs_of(of("correlated", c0=1.0), SEEDS, BATCH, WIDTH)
    np.testing.assert_array_equal(same, np.broadcast_to(same[:, :1], same.shape))
    np.testing.assert_allclose(np.sqrt(0.5) * same, common, atol=1e-6)


@pytest.mark.parametrize("c0", [0.0, 0.3, 0.9])
def test_correlated_inputs_have_unit_second_moment_and_that_cosine(c0):
    x = inputs_of(of("correlated", c0=c0), range(30), 8, 1000).astype(float)
    moments = x @ x.transpose(0, 2, 1) / 1000
    squares = moments.diagonal(axis1=1, axis2=2)
    assert squares.mean() == pytest.approx(1, abs=4 * np.sqrt(2 / 1000 / 30))
    others = moments[:, ~np.eye(8, dtype=bool)]
    assert others.mean() == pytest.approx(c0, abs=4 * np.sqrt(2 / 1000 / 30))


@pytest.mark.parametrize("df", [2.5, 3.0, 5.0, 30.0, 1e9])
def test_students_numbers_follow_students_law_scaled_to_unit_variance(df):
    """Kolmogorov's distance from scipy's law: 1.63 / √n at 1 %; the seed is fixed."""
    from scipy import stats  # noqa: PLC0415

    x = np.sort(streams.student_inputs([1], 100, 1000, df)[0].ravel().astype(float))
    law = stats.t(df).cdf(x * np.sqrt(df / (df - 2)))
    steps = np.arange(len(x) + 1) / len(x)
    assert max(np.abs(law - steps[1:]).max(), np.abs(law - steps[:-1]).max()) < 1.63 / np.sqrt(len(x))


def test_a_seed_takes_each_row_once_and_all_rows_come_up():
    taken = streams.rows(4, 30, 30)
    assert sorted(taken) == list(range(30))
    np.testing.assert_array_equal(streams.rows(4, 30, 11), taken[:11])
    first = np.array([streams.rows(seed, 30, 1)[0] for seed in range(600)])
    counts = np.bincount(first, minlength=30)  # 20 of each, ± 4.5
    assert counts.min() >= 4
    assert counts.max() <= 40


def test_images_have_unit_second_moment_and_keep_their_cosines_in_every_width():
    datasets = pytest.importorskip("sklearn.datasets", reason="the train extra is not installed")
    pixels = datasets.load_digits(return_X_y=True)[0]
    pixels = pixels[streams.rows(2, len(pixels), 20)]
    pixels = pixels / np.linalg.norm(pixels, axis=1, keepdims=True)
    for width in (64, 100):
        x = inputs_of(of("digits"), [2], 20, width)[0].astype(float)
        np.testing.assert_allclose(np.square(x).mean(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(x @ x.T / width, pixels @ pixels.T, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-11, 1e11])
def test_rows_of_any_size_are_measured_as_the_law_of_scale_has_it(tmp_path, factor):
    """relu without bias is homogeneous: h and dL/dW are `factor` times as large, dL/dh is what it was."""
    rows = np.random.default_rng(1).standard_normal((50, 30)).astype(np.float32)
    found = []
    for name, scale in (("one", 1.0), ("other", factor)):
        np.save(tmp_path / name, rows * scale)
        path = str(tmp_path / f"{name}.npy")
        kind = of("npy", file=path, sha256=content_of(path).sha256)
        chain = Chain(initializers.get("kaiming"), activations.get("relu"), 0.0, 3, (3,))
        (one,) = propagate([chain], (30,) * 4, [0], 40, "float32", inputs=kind)
        found.append(one.of_seed(0))
    one, other = found
    np.testing.assert_allclose(other.forward["rms"], one.forward["rms"] * factor, rtol=1e-5)
    back = one.backward[3], other.backward[3]
    np.testing.assert_allclose(back[1]["grad_rms"], back[0]["grad_rms"] * factor, rtol=1e-5)
    np.testing.assert_allclose(back[1]["delta_rms"], back[0]["delta_rms"], rtol=1e-5)
    np.testing.assert_allclose(other.forward["sample_cosine"], one.forward["sample_cosine"], atol=1e-5)
