"""What keras.initializers (3.15) draws, under its names, parameters and defaults.

Every normal but RandomNormal is cut at two standard deviations; those of variance_scaling and
its children are corrected for it, TruncatedNormal is not.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from sweep.initializers.scheme import Derived, Entries, Positive, Real, Scheme, one_of
from sweep.initializers.schemes import (
    Constant,
    Identity,
    Orthogonal,
    VarianceScaling,
    normal,
    normal_cut_at,
    uniform,
)

_DISTRIBUTIONS = {
    "truncated_normal": "truncated_normal",
    "untruncated_normal": "normal",
    "uniform": "uniform",
}


@dataclass(frozen=True)
class KerasConstant(Constant):
    """W = value: keras.initializers.Constant."""

    value: Real = 0.0


@dataclass(frozen=True)
class KerasRandomNormal(Derived):
    """W ~ N(mean, stddev²), not cut: keras.initializers.RandomNormal."""

    mean: Real = 0.0
    stddev: Positive = 0.05

    @cached_property
    def core(self) -> Scheme:
        return normal(self.mean, self.stddev)


@dataclass(frozen=True)
class KerasRandomUniform(Derived):
    """W ~ U(minval, maxval): keras.initializers.RandomUniform."""

    minval: Real = -0.05
    maxval: Real = 0.05

    @cached_property
    def core(self) -> Scheme:
        return uniform(self.minval, self.maxval, "minval maxval")


@dataclass(frozen=True)
class KerasTruncatedNormal(Derived):
    """W ~ N(mean, stddev²) cut two stddev from the mean: keras.initializers.TruncatedNormal."""

    mean: Real = 0.0
    stddev: Positive = 0.05

    @cached_property
    def core(self) -> Scheme:
        return normal_cut_at(self.mean, self.stddev, -2.0, 2.0)


@dataclass(frozen=True)
class KerasVarianceScaling(Derived):
    """Var W = scale / fan, cut and corrected unless asked otherwise: keras.initializers.VarianceScaling."""

    scale: Positive = 1.0
    mode: Annotated[str, one_of("fan_in", "fan_out", "fan_avg")] = "fan_in"
    distribution: Annotated[str, one_of(*_DISTRIBUTIONS)] = "truncated_normal"

    @cached_property
    def core(self) -> Scheme:
        return VarianceScaling(self.scale, self.mode, _DISTRIBUTIONS[self.distribution])


SCHEMES: Entries = {
    "keras/zeros": Constant(0.0),
    "keras/ones": Constant(1.0),
    "keras/constant": KerasConstant,
    "keras/identity": Identity,
    "keras/random_normal": KerasRandomNormal,
    "keras/random_uniform": KerasRandomUniform,
    "keras/truncated_normal": KerasTruncatedNormal,
    "keras/variance_scaling": KerasVarianceScaling,
    "keras/glorot_normal": VarianceScaling(1.0, "fan_avg", "truncated_normal"),
    "keras/glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
    "keras/he_normal": VarianceScaling(2.0, "fan_in", "truncated_normal"),
    "keras/he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
    "keras/lecun_normal": VarianceScaling(1.0, "fan_in", "truncated_normal"),
    "keras/lecun_uniform": VarianceScaling(1.0, "fan_in", "uniform"),
    "keras/orthogonal": Orthogonal,
}
