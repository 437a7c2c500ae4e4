"""What torch.nn.init (2.13) draws, under its names, parameters and defaults.

torch's weight is (fan_out, fan_in), ours its transpose, so the fans keep their meaning. A
parameter without a default there has that of our own scheme.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from sweep.initializers.scheme import Derived, Entries, Positive, Real, Scheme, one_of
from sweep.initializers.schemes import (
    Constant,
    Identity,
    Orthogonal,
    Sparse,
    VarianceScaling,
    constant,
    normal,
    truncated_normal,
    uniform,
)

# gain² by torch.nn.init.calculate_gain; leaky_relu's depends on its slope.
_GAIN_SQUARED: Mapping[str, float] = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": (5 / 3) ** 2,
    "relu": 2.0,
    "selu": (3 / 4) ** 2,
}


@dataclass(frozen=True)
class TorchConstant(Derived):
    """W = val: torch.nn.init.constant_."""

    val: Real = 0.01

    @cached_property
    def core(self) -> Scheme:
        return constant(self.val)


@dataclass(frozen=True)
class TorchUniform(Derived):
    """W ~ U(a, b): torch.nn.init.uniform_."""

    a: Real = 0.0
    b: Real = 1.0

    @cached_property
    def core(self) -> Scheme:
        return uniform(self.a, self.b, "a b")


@dataclass(frozen=True)
class TorchNormal(Derived):
    """W ~ N(mean, std²): torch.nn.init.normal_."""

    mean: Real = 0.0
    std: Positive = 1.0

    @cached_property
    def core(self) -> Scheme:
        return normal(self.mean, self.std)


@dataclass(frozen=True)
class TorchTruncNormal(Derived):
    """W ~ N(mean, std²) given a < W < b, absolute bounds, not corrected: torch.nn.init.trunc_normal_."""

    mean: Real = 0.0
    std: Positive = 1.0
    a: Real = -2.0
    b: Real = 2.0

    @cached_property
    def core(self) -> Scheme:
        return truncated_normal(self.mean, self.std, self.a, self.b, "a b")


@dataclass(frozen=True)
class TorchXavierUniform(Derived):
    """W ~ U(±gain·√(6/(fan_in + fan_out))): torch.nn.init.xavier_uniform_."""

    gain: Positive = 1.0

    @cached_property
    def core(self) -> Scheme:
        return VarianceScaling(self.gain * self.gain, "fan_avg", "uniform")


@dataclass(frozen=True)
class TorchXavierNormal(Derived):
    """W ~ N(0, 2 gain²/(fan_in + fan_out)), not cut: torch.nn.init.xavier_normal_."""

    gain: Positive = 1.0

    @cached_property
    def core(self) -> Scheme:
        return VarianceScaling(self.gain * self.gain, "fan_avg", "normal")


@dataclass(frozen=True)
class _Kaiming(Derived):
    """Var W = gain²/fan, gain = √(2/(1 + a²)) for leaky_relu; any other's has nothing to do with a."""

    a: Real = 0.0
    mode: Annotated[str, one_of("fan_in", "fan_out")] = "fan_in"
    nonlinearity: Annotated[str, one_of("leaky_relu", *_GAIN_SQUARED)] = "leaky_relu"

    @property
    def gain_squared(self) -> float:
        return (
            2 / (1 + self.a * self.a)
            if self.nonlinearity == "leaky_relu"
            else _GAIN_SQUARED[self.nonlinearity]
        )


@dataclass(frozen=True)
class TorchKaimingUniform(_Kaiming):
    """W ~ U(±gain·√(3/fan)): torch.nn.init.kaiming_uniform_."""

    @cached_property
    def core(self) -> Scheme:
        return VarianceScaling(self.gain_squared, self.mode, "uniform")


@dataclass(frozen=True)
class TorchKaimingNormal(_Kaiming):
    """W ~ N(0, gain²/fan), not cut: torch.nn.init.kaiming_normal_."""

    @cached_property
    def core(self) -> Scheme:
        return VarianceScaling(self.gain_squared, self.mode, "normal")


SCHEMES: Entries = {
    "torch/zeros": Constant(0.0),
    "torch/ones": Constant(1.0),
    "torch/constant": TorchConstant,
    "torch/eye": Identity(1.0),
    "torch/uniform": TorchUniform,
    "torch/normal": TorchNormal,
    "torch/trunc_normal": TorchTruncNormal,
    "torch/xavier_uniform": TorchXavierUniform,
    "torch/xavier_normal": TorchXavierNormal,
    "torch/kaiming_uniform": TorchKaimingUniform,
    "torch/kaiming_normal": TorchKaimingNormal,
    "torch/orthogonal": Orthogonal,
    "torch/sparse": Sparse,
    # torch.nn.Linear: kaiming_uniform_ with a = √5, hence gain² = 1/3 and W ~ U(±1/√fan_in)
    "torch/linear_default": VarianceScaling(1 / 3, "fan_in", "uniform"),
}
