import math

import numpy as np
import pytest
import scipy.stats

from sweep import activations, initializers, kernel
from sweep.base.errors import RequestError
from sweep.initializers.distributions import truncated, truncated_moments
from sweep.initializers.normal import standard_normal, standard_normals
from sweep.kernel.draws import streams
from tests.published import (
    EYES,
    FIXED,
    NOT_IID,
    ORTHOGONAL,
    VALUES,
    VARIANCES,
    bounds,
    fans,
    published,
)

SHAPES = [(256, 256), (300, 200)]
SCHEMES = list(initializers.SCHEMES)


def draw(name, shape, seed=0, **parameters):
    return initializers.get(name, **parameters)(np.random.default_rng(seed), *shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_says_the_mean_and_std_of_its_formula(name, shape):
    scheme = initializers.get(name)
    mean, std = published(name, *shape)
    assert scheme.weight_mean(*shape) == pytest.approx(mean, abs=1e-12)
    assert scheme.weight_std(*shape) == pytest.approx(std, rel=1e-9)
    assert scheme.formula


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SCHEMES)
def test_the_weights_have_that_mean_variance_and_support(name, shape):
    scheme = initializers.get(name)
    weights = draw(name, shape)
    assert weights.shape == shape
    assert weights.dtype == np.float32
    mean, std = published(name, *shape)
    if scheme.base is None:
        assert (weights == np.float32(mean)).all()
        return
    if not scheme.random:
        np.testing.assert_array_equal(weights, draw(name, shape, seed=1))
        return
    z = (weights.astype(float) - mean) / std
    # The sample mean of n entries has std 1/√n, the sample variance √((kurtosis - 1)/n): 5 of those,
    # so that a right scheme fails once in a million draws, and these draws are fixed.
    n = z.size
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs((z**2).mean() - 1) < 5 * math.sqrt(((z**4).mean() - 1) / n)
    low, high = bounds(name, *shape)
    rounding = 1e-6 * std
    assert low - rounding <= weights.min()
    assert weights.max() <= high + rounding
    if math.isfinite(low):  # the bounds are reached: 60,000 entries miss 0.05 std with chance e^-300
        assert weights.min() < low + 0.05 * std
        assert weights.max() > high - 0.05 * std
    elif name in VARIANCES or name in FIXED:  # a normal that is not cut passes 3σ 80 times in 30,000
        assert weights.min() < mean - 3 * std
        assert weights.max() > mean + 3 * std


REFERENCES = {
    "normal": lambda: scipy.stats.norm,
    "uniform": lambda: scipy.stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
    "truncated_normal": lambda low, high: standardized(scipy.stats.truncnorm(low, high)),
}


def standardized(law):
    class Standard:
        def cdf(self, z):
            return law.cdf(z * law.std() + law.mean())

    return Standard()


@pytest.mark.parametrize("name", [n for n in SCHEMES if n not in NOT_IID])
def test_entries_follow_the_distribution_they_are_named_after(name):
    scheme = initializers.get(name)
    reference = REFERENCES[scheme.base.name](*scheme.base.parameters)
    z = scheme.base.draw(np.random.default_rng(1), 100, 200).ravel()
    assert scipy.stats.kstest(z.astype(float), reference.cdf).pvalue > 1e-4  # one in 10^4; the draw is fixed


@pytest.mark.parametrize("shape", [*SHAPES, (200, 300), (1, 5), (5, 1)])
@pytest.mark.parametrize("name", ORTHOGONAL)
def test_the_shorter_side_of_an_orthogonal_matrix_is_orthonormal(name, shape):
    parameter = initializers.parameter_names(name)[0]
    weights = draw(name, shape, **{parameter: 3.0}).astype(float)
    gram = weights.T @ weights if shape[0] >= shape[1] else weights @ weights.T
    # Each entry of the Gram matrix sums float32 roundings of products of size 9/n: well below 1e-6 · 9.
    np.testing.assert_allclose(gram, 9 * np.eye(min(shape)), atol=1e-5)


def test_orthogonal_matrices_are_uniform_without_a_preferred_sign():
    signs = [np.sign(draw("orthogonal", (4, 4), seed)) for seed in range(400)]
    assert np.abs(np.mean(signs, axis=0)).max() < 5 / math.sqrt(400)


@pytest.mark.parametrize("fan_out", [1, 7, 200, 256])
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.9, 0.999])
def test_every_input_unit_of_a_sparse_layer_has_as_many_zeros(sparsity, fan_out):
    weights = draw("sparse", (300, fan_out), sparsity=sparsity)
    zeros = (weights == 0).sum(axis=1)
    assert (zeros == math.ceil(sparsity * fan_out)).all()
    if 0 < zeros[0] < fan_out and fan_out >= 200:
        by_column = (weights == 0).sum(axis=0) / 300  # no output unit is preferred: binomial spread
        share = zeros[0] / fan_out
        assert np.abs(by_column - share).max() < 5 * math.sqrt(share * (1 - share) / 300) + 0.01


@pytest.mark.parametrize(
    "cuts",
    [(-2, 2), (-1, 3), (0, 1), (5, 6), (8, 900), (-9, -8.99), (-50, 50), (40, 41), (-3, 0.5), (-1e-6, 1e-6)],
)
def test_a_truncated_normal_knows_its_own_mean_and_std(cuts):
    low, high = map(float, cuts)
    mean, std = truncated_moments(low, high)
    if std > 1e-3:  # where SciPy's closed forms still hold
        law = scipy.stats.truncnorm(low, high)
        assert mean == pytest.approx(law.mean(), abs=1e-9)
        assert std == pytest.approx(law.std(), rel=1e-6)
    z = truncated(low, high).draw(np.random.default_rng(2), 200, 200).astype(float)
    n = z.size
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs((z**2).mean() - 1) < 5 * math.sqrt(((z**4).mean() - 1) / n)
    rounding = 1e-6 * (high - low) / std
    assert z.min() >= (low - mean) / std - rounding
    assert z.max() <= (high - mean) / std + rounding


def test_an_uneven_cut_moves_the_mean():
    scheme = initializers.get("truncated_normal", std=1.0, low=-0.5, high=3.0)
    law = scipy.stats.truncnorm(-0.5, 3.0)
    assert scheme.weight_mean(10, 10) == pytest.approx(law.mean())
    assert scheme.weight_std(10, 10) == pytest.approx(law.std())


def test_schemes_of_one_distribution_share_their_draws():
    pairs = [
        ("jax/he_normal", "torch/trunc_normal"),
        ("keras/truncated_normal", "truncated_normal"),
        ("torch/linear_default", "torch/uniform"),
        ("orthogonal", "torch/orthogonal"),
        ("sparse", "torch/sparse"),
        ("xavier", "keras/random_normal"),
    ]
    for one, other in pairs:
        a, b = initializers.get(one), initializers.get(other)
        assert a.base == b.base
        assert a.base.key == b.base.key
    assert initializers.get("sparse", sparsity=0.5).base.key != initializers.get("sparse").base.key


@pytest.mark.parametrize(
    ("name", "parameters", "numerator", "mode"),
    [
        ("torch/kaiming_normal", {"a": math.sqrt(5)}, 1 / 3, "fan_in"),
        ("torch/kaiming_uniform", {"mode": "fan_out", "nonlinearity": "relu"}, 2, "fan_out"),
        ("torch/kaiming_normal", {"nonlinearity": "tanh", "a": 3.0}, 25 / 9, "fan_in"),
        ("torch/kaiming_normal", {"nonlinearity": "selu"}, 9 / 16, "fan_in"),
        ("torch/xavier_uniform", {"gain": 2}, 4, "fan_avg"),
        ("keras/variance_scaling", {"scale": 3, "distribution": "untruncated_normal"}, 3, "fan_in"),
        ("jax/variance_scaling", {"mode": "fan_avg", "distribution": "uniform"}, 1, "fan_avg"),
    ],
)
def test_parameters_change_the_variance_as_the_framework_says(name, parameters, numerator, mode):
    scheme = initializers.get(name, **parameters)
    assert scheme.weight_std(300, 200) == pytest.approx(math.sqrt(numerator / fans(mode, 300, 200)))


@pytest.mark.parametrize("name", SCHEMES)
def test_only_random_schemes_differ_from_seed_to_seed(name):
    differs = (draw(name, (30, 20), seed=0) != draw(name, (30, 20), seed=1)).any()
    assert differs == initializers.get(name).random == (name not in (*VALUES, *EYES))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", EYES)
def test_the_identity_has_ones_on_its_diagonal(name, shape):
    np.testing.assert_array_equal(draw(name, shape), np.eye(*shape))
    assert draw(name, shape).dtype == np.float32


@pytest.mark.parametrize("shape", [(3,), (1, 1), (7, 5), (100, 8), (300, 300), (0, 4)])
def test_normals_drawn_together_are_those_drawn_alone(shape):
    together = standard_normals([np.random.default_rng(seed) for seed in range(9)], *shape)
    alone = [standard_normal(np.random.default_rng(seed), *shape) for seed in range(9)]
    np.testing.assert_array_equal(together, np.stack(alone))


@pytest.mark.parametrize("name", ["identity", "sparse", "orthogonal", "truncated_normal", "torch/uniform"])
def test_the_kernel_multiplies_by_the_very_weights_the_scheme_draws(name):
    """z of the first layer against x @ W, W put together from the kernel's own stream."""
    scheme, act = initializers.get(name), activations.get("identity")
    seen = []
    kernel.propagate(
        [kernel.Chain(scheme, act, 0.0, 1)],
        (30, 20),
        seeds=[3],
        batch=10,
        dtype="float64",
        observe=lambda kind, chain, depth, layer, values: seen.append(values.copy()),
    )
    z_unit = streams.weights([3], scheme.base, 1, 30, 20)[0]
    weights = scheme.weight_mean(30, 20) + scheme.weight_std(30, 20) * z_unit.astype(float)
    np.testing.assert_allclose(seen[1], seen[0] @ weights, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("normal", {"std": -1}, "init.std=-1: init.std must be a finite number above 0"),
        ("normal", {"std": "wide"}, "init.std=wide"),
        ("normal", {"sdt": 1}, "did you mean 'std'"),
        ("variance_scaling", {"mode": "fan_up"}, "unknown init.mode 'fan_up'"),
        ("keras/variance_scaling", {"mode": "fan_geo_avg"}, "unknown init.mode 'fan_geo_avg'"),
        ("variance_scaling", {"distribution": "foo"}, "unknown init.distribution 'foo'"),
        ("orthogonal", {"gain": 0}, "init.gain=0: init.gain must be a finite number above 0"),
        ("jax/orthogonal", {"scale": 0}, "init.scale=0"),
        ("sparse", {"sparsity": 1}, "init.sparsity=1: init.sparsity must be"),
        ("sparse", {"sparsity": -0.1}, "init.sparsity=-0.1"),
        ("truncated_normal", {"low": 1, "high": 1}, "init.low=1, init.high=1: low must be below high"),
        ("torch/trunc_normal", {"a": 3}, "init.a=3, init.b=2: a must be below b"),
        ("jax/truncated_normal", {"lower": 2}, "lower must be below upper"),
        ("uniform", {"low": 1}, "low must be below high"),
        ("keras/random_uniform", {"minval": math.nan}, "init.minval=nan"),
        ("torch/kaiming_uniform", {"nonlinearity": "gelu"}, "unknown init.nonlinearity 'gelu'"),
        ("torch/xavier_normal", {"gain": 1e200}, "init.scale=inf"),
        ("xavier", {"gain": 2}, "it takes none"),
        ("torch/xavier_unifrom", {}, "did you mean 'torch/xavier_uniform'"),
    ],
)
def test_a_wrong_scheme_is_one_clear_line(name, parameters, says):
    with pytest.raises(RequestError) as caught:
        initializers.get(name, **parameters)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_member_of_a_family_is_told_its_siblings(sweep_command):
    done = sweep_command("init=torch/xavier_unifrom")
    assert done.returncode == 2
    assert "did you mean 'torch/xavier_uniform'?" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_list_of_schemes_shows_each_with_its_size(sweep_command):
    done = sweep_command("--fan-in", "512", "--fan-out", "256", module="sweep.initializers")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f" {name} " in done.stdout for name in SCHEMES)
    assert "0.5774" in done.stdout  # σ_w of torch/linear_default: 1/√3
    with_biases = [line for line in done.stdout.splitlines() if line.count("U(±√(1/fan_in))") == 2]
    assert [line.split()[1] for line in with_biases] == ["torch/linear_default"], "of a layer, not a function"
    narrow = sweep_command(module="sweep.initializers", COLUMNS="44").stdout
    assert max(map(len, narrow.splitlines())) <= 44
    assert "torch/linear_default" in narrow


@pytest.mark.parametrize("flags", [("--fan-in", "0"), ("--fan-in", "wide"), ("--fans", "3")])
def test_a_wrong_flag_is_one_line_and_status_2(sweep_command, flags):
    done = sweep_command(*flags, module="sweep.initializers")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("sweep: ")
    assert done.stderr.count("\n") == 1
