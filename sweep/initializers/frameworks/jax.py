"""What jax.nn.initializers (0.10) draws, under its names, parameters and defaults.

The normals of variance_scaling and its children are cut at ±2σ and corrected, the plain normal
is not cut, truncated_normal is cut and not corrected. A parameter without a default there has
that of our own scheme.
"""

from functools import partial

from sweep.initializers import schemes
from sweep.initializers.scheme import Entries, Positive, Real, Row
from sweep.initializers.schemes import Orthogonal, VarianceScaling

SCHEMES: Entries = {
    "jax/zeros": schemes.constant(0.0),
    "jax/ones": schemes.constant(1.0),
    "jax/constant": Row("W = value: jax.nn.initializers.constant.", schemes.constant, value=(Real, 0.01)),
    "jax/normal": Row(
        "W ~ N(0, stddev²), not cut: jax.nn.initializers.normal.",
        partial(schemes.normal, 0.0),
        stddev=(Positive, 0.01),
    ),
    "jax/uniform": Row(
        "W ~ U(0, scale), so the mean is not zero: jax.nn.initializers.uniform.",
        partial(schemes.uniform, 0.0),
        scale=(Positive, 0.01),
    ),
    "jax/truncated_normal": Row(
        "W ~ N(0, stddev²) cut at lower and upper times stddev: jax.nn.initializers.truncated_normal.",
        partial(schemes.normal_cut_at, 0.0),
        stddev=(Positive, 0.01),
        lower=(Real, -2.0),
        upper=(Real, 2.0),
    ),
    "jax/variance_scaling": Row(
        "Var W = scale / fan, the truncated normal corrected: jax.nn.initializers.variance_scaling.",
        VarianceScaling,
        scale=(Positive, 1.0),
        mode=(schemes.Fan, "fan_in"),
        distribution=(schemes.Family, "truncated_normal"),
    ),
    "jax/glorot_normal": VarianceScaling(1.0, "fan_avg", "truncated_normal"),
    "jax/glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
    "jax/he_normal": VarianceScaling(2.0, "fan_in", "truncated_normal"),
    "jax/he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
    "jax/lecun_normal": VarianceScaling(1.0, "fan_in", "truncated_normal"),
    "jax/lecun_uniform": VarianceScaling(1.0, "fan_in", "uniform"),
    "jax/orthogonal": Row(
        "W = scale · Q, rows or columns orthonormal: jax.nn.initializers.orthogonal.",
        Orthogonal,
        scale=(Positive, 1.0),
    ),
}
# As in jax.nn.initializers, where these are the same functions.
SCHEMES |= {
    "jax/xavier_normal": SCHEMES["jax/glorot_normal"],
    "jax/xavier_uniform": SCHEMES["jax/glorot_uniform"],
    "jax/kaiming_normal": SCHEMES["jax/he_normal"],
    "jax/kaiming_uniform": SCHEMES["jax/he_uniform"],
}
