"""What keras.initializers (3.15) draws, under its names, parameters and defaults.

Every normal but RandomNormal is cut at two standard deviations; those of variance_scaling and
its children are corrected for it, TruncatedNormal is not.
"""

from functools import partial
from typing import Annotated

from sweep.initializers import schemes
from sweep.initializers.scheme import Entries, Positive, Real, Row, Scheme, one_of
from sweep.initializers.schemes import Orthogonal, VarianceScaling

_DISTRIBUTIONS = {
    "truncated_normal": "truncated_normal",
    "untruncated_normal": "normal",
    "uniform": "uniform",
}


def _variance_scaling(scale: float, mode: str, distribution: str) -> Scheme:
    return VarianceScaling(scale, mode, _DISTRIBUTIONS[distribution])


SCHEMES: Entries = {
    "keras/zeros": schemes.constant(0.0),
    "keras/ones": schemes.constant(1.0),
    "keras/constant": Row("W = value: keras.initializers.Constant.", schemes.constant, value=(Real, 0.0)),
    "keras/identity": Row(
        "W = gain on the diagonal: keras.initializers.Identity.", schemes.identity, gain=(Positive, 1.0)
    ),
    "keras/random_normal": Row(
        "W ~ N(mean, stddev²), not cut: keras.initializers.RandomNormal.",
        schemes.normal,
        mean=(Real, 0.0),
        stddev=(Positive, 0.05),
    ),
    "keras/random_uniform": Row(
        "W ~ U(minval, maxval): keras.initializers.RandomUniform.",
        partial(schemes.uniform, names="minval maxval"),
        minval=(Real, -0.05),
        maxval=(Real, 0.05),
    ),
    "keras/truncated_normal": Row(
        "W ~ N(mean, stddev²) cut two stddev from the mean: keras.initializers.TruncatedNormal.",
        partial(schemes.normal_cut_at, low=-2.0, high=2.0),
        mean=(Real, 0.0),
        stddev=(Positive, 0.05),
    ),
    "keras/variance_scaling": Row(
        "Var W = scale / fan, cut and corrected unless asked otherwise: keras.initializers.VarianceScaling.",
        _variance_scaling,
        scale=(Positive, 1.0),
        mode=(Annotated[str, one_of("fan_in", "fan_out", "fan_avg")], "fan_in"),
        distribution=(Annotated[str, one_of(*_DISTRIBUTIONS)], "truncated_normal"),
    ),
    "keras/glorot_normal": VarianceScaling(1.0, "fan_avg", "truncated_normal"),
    "keras/glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
    "keras/he_normal": VarianceScaling(2.0, "fan_in", "truncated_normal"),
    "keras/he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
    "keras/lecun_normal": VarianceScaling(1.0, "fan_in", "truncated_normal"),
    "keras/lecun_uniform": VarianceScaling(1.0, "fan_in", "uniform"),
    "keras/orthogonal": Orthogonal,
}
