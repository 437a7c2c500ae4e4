"""What torch.nn.init (2.13) draws, under its names, parameters and defaults.

torch's weight is (fan_out, fan_in), ours its transpose, so the fans keep their meaning. A
parameter without a default there has that of our own scheme.
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from sweep.initializers import schemes
from sweep.initializers.distributions import UNIFORM
from sweep.initializers.scheme import Entries, LayerDefault, Positive, Real, Row, Scheme, one_of
from sweep.initializers.schemes import Orthogonal, Sparse, VarianceScaling

# gain² by torch.nn.init.calculate_gain; leaky_relu's depends on its slope.
_GAIN_SQUARED = {"linear": 1.0, "sigmoid": 1.0, "tanh": (5 / 3) ** 2, "relu": 2.0, "selu": (3 / 4) ** 2}


def _xavier(distribution: str, gain: float) -> Scheme:
    return VarianceScaling(gain * gain, "fan_avg", distribution)


def _kaiming(distribution: str, a: float, mode: str, nonlinearity: str) -> Scheme:
    """Var W = gain²/fan, gain = √(2/(1 + a²)) for leaky_relu; any other's has nothing to do with a."""
    gain_squared = 2 / (1 + a * a) if nonlinearity == "leaky_relu" else _GAIN_SQUARED[nonlinearity]
    return VarianceScaling(gain_squared, mode, distribution)


_KAIMING: Mapping[str, Any] = {
    "a": (Real, 0.0),
    "mode": (Annotated[str, one_of("fan_in", "fan_out")], "fan_in"),
    "nonlinearity": (Annotated[str, one_of("leaky_relu", *_GAIN_SQUARED)], "leaky_relu"),
}

SCHEMES: Entries = {
    "torch/zeros": schemes.constant(0.0),
    "torch/ones": schemes.constant(1.0),
    "torch/constant": Row("W = val: torch.nn.init.constant_.", schemes.constant, val=(Real, 0.01)),
    "torch/eye": schemes.identity(1.0),
    "torch/uniform": Row(
        "W ~ U(a, b): torch.nn.init.uniform_.",
        partial(schemes.uniform, names="a b"),
        a=(Real, 0.0),
        b=(Real, 1.0),
    ),
    "torch/normal": Row(
        "W ~ N(mean, std²): torch.nn.init.normal_.", schemes.normal, mean=(Real, 0.0), std=(Positive, 1.0)
    ),
    "torch/trunc_normal": Row(
        "W ~ N(mean, std²) given a < W < b, absolute bounds, not corrected: torch.nn.init.trunc_normal_.",
        partial(schemes.truncated_normal, names="a b"),
        mean=(Real, 0.0),
        std=(Positive, 1.0),
        a=(Real, -2.0),
        b=(Real, 2.0),
    ),
    "torch/xavier_uniform": Row(
        "W ~ U(±gain·√(6/(fan_in + fan_out))): torch.nn.init.xavier_uniform_.",
        partial(_xavier, "uniform"),
        gain=(Positive, 1.0),
    ),
    "torch/xavier_normal": Row(
        "W ~ N(0, 2 gain²/(fan_in + fan_out)), not cut: torch.nn.init.xavier_normal_.",
        partial(_xavier, "normal"),
        gain=(Positive, 1.0),
    ),
    "torch/kaiming_uniform": Row(
        "W ~ U(±gain·√(3/fan)): torch.nn.init.kaiming_uniform_.", partial(_kaiming, "uniform"), **_KAIMING
    ),
    "torch/kaiming_normal": Row(
        "W ~ N(0, gain²/fan), not cut: torch.nn.init.kaiming_normal_.",
        partial(_kaiming, "normal"),
        **_KAIMING,
    ),
    "torch/orthogonal": Orthogonal,
    "torch/sparse": Sparse,
    # torch.nn.Linear: kaiming_uniform_ with a = √5, hence gain² = 1/3 and W ~ U(±1/√fan_in); b likewise
    "torch/linear_default": LayerDefault(
        VarianceScaling(1 / 3, "fan_in", "uniform"),
        revision=2,  # 1 was without its biases
        bias=UNIFORM,
        bias_scale=1 / 3,
        bias_formula="U(±√(1/fan_in))",
    ),
}
