"""What jax.nn.initializers (0.10) draws, under its names, parameters and defaults.

The normals of variance_scaling and its children are cut at ±2σ and corrected, the plain normal
is not cut, truncated_normal is cut and not corrected. A parameter without a default there has
that of our own scheme.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from sweep.initializers.scheme import Derived, Entries, Positive, Real, Scheme, one_of
from sweep.initializers.schemes import (
    DISTRIBUTIONS,
    Constant,
    Orthogonal,
    VarianceScaling,
    normal,
    normal_cut_at,
    uniform,
)


@dataclass(frozen=True)
class JaxNormal(Derived):
    """W ~ N(0, stddev²), not cut: jax.nn.initializers.normal."""

    stddev: Positive = 0.01

    @cached_property
    def core(self) -> Scheme:
        return normal(0.0, self.stddev)


@dataclass(frozen=True)
class JaxUniform(Derived):
    """W ~ U(0, scale), so the mean is not zero: jax.nn.initializers.uniform."""

    scale: Positive = 0.01

    @cached_property
    def core(self) -> Scheme:
        return uniform(0.0, self.scale)


@dataclass(frozen=True)
class JaxTruncatedNormal(Derived):
    """W ~ N(0, stddev²) cut at lower and upper times stddev: jax.nn.initializers.truncated_normal."""

    stddev: Positive = 0.01
    lower: Real = -2.0
    upper: Real = 2.0

    @cached_property
    def core(self) -> Scheme:
        return normal_cut_at(0.0, self.stddev, self.lower, self.upper)


@dataclass(frozen=True)
class JaxVarianceScaling(VarianceScaling):
    """Var W = scale / fan, the truncated normal corrected: jax.nn.initializers.variance_scaling."""

    distribution: Annotated[str, one_of(*DISTRIBUTIONS)] = "truncated_normal"


@dataclass(frozen=True)
class JaxOrthogonal(Derived):
    """W = scale · Q, rows or columns orthonormal: jax.nn.initializers.orthogonal."""

    scale: Positive = 1.0

    @cached_property
    def core(self) -> Scheme:
        return Orthogonal(self.scale)


SCHEMES: Entries = {
    "jax/zeros": Constant(0.0),
    "jax/ones": Constant(1.0),
    "jax/constant": Constant,
    "jax/normal": JaxNormal,
    "jax/uniform": JaxUniform,
    "jax/truncated_normal": JaxTruncatedNormal,
    "jax/variance_scaling": JaxVarianceScaling,
    "jax/glorot_normal": VarianceScaling(1.0, "fan_avg", "truncated_normal"),
    "jax/glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
    "jax/he_normal": VarianceScaling(2.0, "fan_in", "truncated_normal"),
    "jax/he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
    "jax/lecun_normal": VarianceScaling(1.0, "fan_in", "truncated_normal"),
    "jax/lecun_uniform": VarianceScaling(1.0, "fan_in", "uniform"),
    "jax/orthogonal": JaxOrthogonal,
}
# As in jax.nn.initializers, where these are the same functions.
SCHEMES |= {
    "jax/xavier_normal": SCHEMES["jax/glorot_normal"],
    "jax/xavier_uniform": SCHEMES["jax/glorot_uniform"],
    "jax/kaiming_normal": SCHEMES["jax/he_normal"],
    "jax/kaiming_uniform": SCHEMES["jax/he_uniform"],
}
