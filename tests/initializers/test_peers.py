"""Ours against torch's own functions: the same law of weights, the same values of f and f'."""

import math

import numpy as np
import pytest
import scipy.stats

import sweep
from sweep import activations, initializers

torch = pytest.importorskip("torch", reason="the peers extra is not installed: pip install -e '.[peers]'")
functional = torch.nn.functional

SHAPE = (160, 120)  # (fan_in, fan_out)

# Our option with its parameters, and the function that fills torch's (fan_out, fan_in) tensor.
INDEPENDENT = [
    ("torch/uniform", {}, torch.nn.init.uniform_),
    ("torch/uniform", {"a": -0.3, "b": 0.1}, torch.nn.init.uniform_),
    ("torch/normal", {}, torch.nn.init.normal_),
    ("torch/normal", {"mean": 0.2, "std": 0.5}, torch.nn.init.normal_),
    ("torch/trunc_normal", {}, torch.nn.init.trunc_normal_),
    ("torch/trunc_normal", {"std": 0.02}, torch.nn.init.trunc_normal_),
    ("torch/trunc_normal", {"mean": 1.0, "std": 2.0, "a": 0.5, "b": 3.0}, torch.nn.init.trunc_normal_),
    ("torch/xavier_uniform", {}, torch.nn.init.xavier_uniform_),
    ("torch/xavier_uniform", {"gain": 5 / 3}, torch.nn.init.xavier_uniform_),
    ("torch/xavier_normal", {}, torch.nn.init.xavier_normal_),
    ("torch/kaiming_uniform", {}, torch.nn.init.kaiming_uniform_),
    ("torch/kaiming_uniform", {"a": math.sqrt(5)}, torch.nn.init.kaiming_uniform_),
    ("torch/kaiming_uniform", {"mode": "fan_out"}, torch.nn.init.kaiming_uniform_),
    ("torch/kaiming_normal", {}, torch.nn.init.kaiming_normal_),
    *(
        ("torch/kaiming_normal", {"a": 0.5, "nonlinearity": nonlinearity}, torch.nn.init.kaiming_normal_)
        for nonlinearity in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu")
    ),
    ("torch/linear_default", {}, None),
]
STRUCTURED = {
    "torch/zeros",
    "torch/ones",
    "torch/constant",
    "torch/eye",
    "torch/orthogonal",
    "torch/sparse",
}


def ours(name, parameters, shape=SHAPE):
    return initializers.get(name, **parameters)(np.random.default_rng(0), *shape)


def theirs(function, parameters, shape=SHAPE):
    """torch's weights as ours: (fan_in, fan_out)."""
    torch.manual_seed(0)
    if function is None:
        return torch.nn.Linear(*shape).weight.detach().numpy().T
    return function(torch.empty(shape[1], shape[0]), **parameters).numpy().T


def test_the_default_linear_layer_has_the_biases_that_torch_draws():
    scheme = initializers.get("torch/linear_default")
    torch.manual_seed(0)
    theirs = np.concatenate([torch.nn.Linear(50, 1000).bias.detach().numpy() for _ in range(20)])
    unit = scheme.bias.draw(np.random.default_rng(0), 1, 20_000)[0]
    assert scipy.stats.ks_2samp(scheme.bias_std(50, 1000) * unit, theirs).pvalue > 0.001


def test_a_stack_of_default_linear_layers_ends_where_torchs_does():
    """gelu at depth 50: the biases make the signal, which is 1e-27 without them."""
    ends = []
    for seed in range(4):
        torch.manual_seed(seed)
        h = torch.randn(200, 512)
        with torch.no_grad():
            for _ in range(50):
                h = functional.gelu(torch.nn.Linear(512, 512)(h))
        ends.append(float(h.std()))
    ours = [
        sweep.propagate("torch/linear_default", "gelu", 50, 512, seed=seed, batch=200, backward=False)
        for seed in range(4)
    ]
    ends_of_ours = [layers["std"].iloc[-1] for layers in ours]
    assert np.mean(ends) == pytest.approx(0.0132, rel=0.05)
    assert np.mean(ends_of_ours) == pytest.approx(np.mean(ends), rel=0.05)  # 2 % over seeds each


def test_every_torch_option_is_compared():
    options = {name for name in initializers.SCHEMES if name.startswith("torch/")}
    assert options == {name for name, _, _ in INDEPENDENT} | STRUCTURED


@pytest.mark.parametrize(("name", "parameters", "function"), INDEPENDENT)
def test_independent_weights_have_torchs_distribution(name, parameters, function):
    mine, other = ours(name, parameters).ravel(), theirs(function, parameters).ravel()
    # At 19,200 entries each, p > 1e-3 means no distance above 0.02 between the two distribution
    # functions; a std that is off by 5 % fails. The seeds are fixed.
    assert scipy.stats.ks_2samp(mine, other).pvalue > 1e-3


def test_the_comparison_would_notice_a_missing_correction():
    mine, other = ours("keras/he_normal", {}), theirs(torch.nn.init.kaiming_normal_, {})
    assert scipy.stats.ks_2samp(mine.ravel(), other.ravel()).pvalue < 1e-3


@pytest.mark.parametrize("shape", [(40, 40), (50, 30), (30, 50)])
def test_orthogonal_spans_the_side_that_torchs_does(shape):
    for weights in (
        ours("torch/orthogonal", {"gain": 2.0}, shape),
        theirs(torch.nn.init.orthogonal_, {"gain": 2.0}, shape),
    ):
        gram = weights.T @ weights if shape[0] >= shape[1] else weights @ weights.T
        np.testing.assert_allclose(gram, 4 * np.eye(min(shape)), atol=1e-4)  # float32


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.93])
def test_sparse_has_torchs_zeros_for_every_input_unit(sparsity):
    parameters = {"sparsity": sparsity, "std": 0.5}
    mine, other = ours("torch/sparse", parameters), theirs(torch.nn.init.sparse_, parameters)
    np.testing.assert_array_equal((mine == 0).sum(axis=1), (other == 0).sum(axis=1))
    assert scipy.stats.ks_2samp(mine[mine != 0], other[other != 0]).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(40, 40), (50, 30), (30, 50)])
def test_what_is_not_random_equals_torchs(shape):
    for name, parameters, function in (
        ("torch/zeros", {}, torch.nn.init.zeros_),
        ("torch/ones", {}, torch.nn.init.ones_),
        ("torch/constant", {"val": 0.3}, torch.nn.init.constant_),
        ("torch/eye", {}, torch.nn.init.eye_),
    ):
        np.testing.assert_array_equal(
            ours(name, parameters, shape), theirs(function, parameters, shape), name
        )


PEERS = {
    "identity": lambda z: z * 1,
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda z: functional.gelu(z, approximate="tanh"),
    "silu": functional.silu,
    "mish": functional.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "hardtanh": functional.hardtanh,
    "relu6": functional.relu6,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "celu": functional.celu,
    "squared_relu": lambda z: functional.relu(z).square(),
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "sin": torch.sin,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PEERS)
def test_values_and_slopes_are_torchs(name, dtype):
    act = activations.get(name)
    z = np.concatenate([np.linspace(-12, 12, 2001), [-100.0, -40.0, 40.0, 100.0]]).astype(dtype)
    z = z[~np.isin(z, act.kinks)]
    leaf = torch.tensor(z.astype(np.float64), requires_grad=True)  # torch's float32 is off by 1e-6 itself
    value = PEERS[name](leaf)
    value.sum().backward()
    h = act.f(z)
    # torch takes softplus(z) = z beyond 20: off by 2e-9.
    np.testing.assert_allclose(h, value.detach().numpy(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(act.derivative(z, h), leaf.grad.numpy(), rtol=1e-6, atol=1e-6)


def test_parameters_mean_what_they_mean_in_torch():
    z = np.linspace(-3, 3, 100)
    leaky, elu = activations.get("leaky_relu", negative_slope=0.3), activations.get("elu", alpha=0.7)
    tensor = torch.tensor(z)
    np.testing.assert_allclose(leaky.f(z), functional.leaky_relu(tensor, 0.3).numpy(), atol=1e-12)
    np.testing.assert_allclose(elu.f(z), functional.elu(tensor, 0.7).numpy(), atol=1e-12)
    celu = activations.get("celu", alpha=0.7)
    np.testing.assert_allclose(celu.f(z), functional.celu(tensor, 0.7).numpy(), atol=1e-12)


def test_every_activation_is_compared():
    assert set(PEERS) == set(activations.ACTIVATIONS)
