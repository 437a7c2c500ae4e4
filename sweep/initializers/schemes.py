"""The schemes by their own names; those of the frameworks are in `torch`, `keras` and `jax`.

Every named scheme is a line in `SCHEMES`: a class or a Row is a scheme with parameters
(`init=normal init.std=0.1`), an instance one without any.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.initializers.distributions import (
    EYE,
    NORMAL,
    ORTHOGONAL,
    TRUNCATED,
    UNIFORM,
    sparse,
    truncated,
    truncated_moments,
    zeros_per_row,
)
from sweep.initializers.lsuv import Lsuv
from sweep.initializers.scheme import Distribution, Entries, Fixed, Positive, Real, Row, Scheme, one_of

DISTRIBUTIONS = {distribution.name: distribution for distribution in (NORMAL, UNIFORM, TRUNCATED)}
FANS: Mapping[str, Callable[[int, int], float]] = {
    "fan_in": lambda fan_in, fan_out: fan_in,
    "fan_out": lambda fan_in, fan_out: fan_out,
    "fan_avg": lambda fan_in, fan_out: (fan_in + fan_out) / 2,
    "fan_geo_avg": lambda fan_in, fan_out: math.sqrt(fan_in * fan_out),
}

Fan = Annotated[str, one_of(*FANS)]
Family = Annotated[str, one_of(*DISTRIBUTIONS)]
Sparsity = Annotated[float, partial(checks.real, minimum=0.0, below=1.0)]


def constant(value: float) -> Fixed:
    """W = value."""
    return Fixed(None, value, 0.0, f"{value:g}")


def normal(mean: float, std: float) -> Fixed:
    """W ~ N(mean, std²)."""
    return Fixed(NORMAL, mean, std, f"N({mean:g}, {_squared(std)})")


def uniform(low: float, high: float, names: str = "low high") -> Fixed:
    """W ~ U(low, high): variance (high - low)² / 12."""
    _check_ascending(low, high, names)
    text = f"U(±{high:g})" if low == -high else f"U({low:g}, {high:g})"
    return Fixed(UNIFORM, low / 2 + high / 2, (high / 2 - low / 2) / math.sqrt(3), text, (low, high))


def truncated_normal(mean: float, std: float, low: float, high: float, names: str = "low high") -> Fixed:
    """W ~ N(mean, std²) given low < W < high."""
    _check_ascending(low, high, names)
    text = f"±{high:g}" if low == -high else f"{low:g} and {high:g}"
    return _cut(mean, std, ((low - mean) / std, (high - mean) / std), text, (low, high))


def normal_cut_at(mean: float, std: float, low: float, high: float, names: str = "lower upper") -> Fixed:
    """W ~ N(mean, std²) given low < (W - mean) / std < high."""
    _check_ascending(low, high, names)
    text = f"±{high:g}σ" if low == -high else f"{low:g}σ and {high:g}σ"
    return _cut(mean, std, (low, high), text, (mean + std * low, mean + std * high))


def _cut(mean: float, std: float, cuts: tuple[float, float], text: str, bounds: tuple[float, float]) -> Fixed:
    """A normal that is cut: an uneven cut moves the mean, and any cut reduces the variance.

    cuts: in standard deviations. Johnson, Kotz and Balakrishnan 1994, section 10.1.
    """
    shift, shrink = truncated_moments(*cuts)
    formula = f"N({mean:g}, {_squared(std)}) cut at {text}"
    return Fixed(truncated(*cuts), mean + std * shift, std * shrink, formula, bounds)


def identity(gain: float) -> Fixed:
    """W = gain on the diagonal, 0 elsewhere; where fan_in and fan_out differ, the rest is cut off."""
    return Fixed(EYE, 0.0, gain, f"{_times(gain)}1 on the diagonal, 0 elsewhere")


@dataclass(frozen=True)
class VarianceScaling(Scheme):
    """Var W = scale / fan, the fan being fan_in, fan_out or one of their averages.

    The common core of LeCun et al. 1998, section 4.6 (scale 1, fan_in), Glorot and Bengio 2010 (scale 1,
    fan_avg) and He et al. 2015 (scale 2, fan_in). truncated_normal is cut at ±2σ and widened by
    1 / 0.87962566, so that its variance is scale / fan too.
    """

    scale: Positive = 1.0
    mode: Fan = "fan_in"
    distribution: Family = "normal"

    @property
    def base(self) -> Distribution:
        return DISTRIBUTIONS[self.distribution]

    @property
    def formula(self) -> str:
        if self.distribution == "uniform":  # of half-width a: variance a² / 3
            return f"U(±√({3 * self.scale:g}/{self.mode}))"
        cut = " cut at ±2σ, corrected" if self.distribution == "truncated_normal" else ""
        return f"N(0, {self.scale:g}/{self.mode}){cut}"

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(self.scale / FANS[self.mode](fan_in, fan_out))


@dataclass(frozen=True)
class Orthogonal(Scheme):
    """W = gain · Q: rows or columns orthonormal, whichever are fewer; Var W = gain² / max(fan_in, fan_out).

    Saxe, McClelland and Ganguli 2014, arXiv:1312.6120.
    """

    gain: Positive = 1.0
    base = ORTHOGONAL

    @property
    def formula(self) -> str:
        return f"{_times(self.gain)}Q, QᵀQ = 1 or QQᵀ = 1"

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        return self.gain / math.sqrt(max(fan_in, fan_out))


@dataclass(frozen=True)
class Sparse(Scheme):
    """W ~ N(0, std²), but a share `sparsity` of the weights of each input unit is zero.

    Var W = std² · (1 - ceil(sparsity · fan_out) / fan_out): Martens 2010, torch.nn.init.sparse_.
    """

    sparsity: Sparsity = 0.9
    std: Positive = 0.01

    @property
    def base(self) -> Distribution:
        return sparse(self.sparsity)

    @property
    def formula(self) -> str:
        return f"N(0, {_squared(self.std)}), {100 * self.sparsity:g} % of each row zero"

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        return self.std * math.sqrt(1 - zeros_per_row(self.sparsity, fan_out) / fan_out)


def _check_ascending(low: float, high: float, names: str) -> None:
    lower, upper = names.split()
    if low >= high:
        raise RequestError(f"init.{lower}={low:g}, init.{upper}={high:g}: {lower} must be below {upper}")


def _squared(std: float) -> str:
    return "1" if std == 1 else f"{std:g}²"


def _times(gain: float) -> str:
    return "" if gain == 1 else f"{gain:g} · "


_NORMAL = Row("W ~ N(0, std²), whatever the fan.", partial(normal, 0.0), std=(Positive, 0.01))

SCHEMES: Entries = {
    "zeros": constant(0.0),
    "constant": Row(
        "W = value: every neuron of a layer computes the same thing.", constant, value=(Real, 0.01)
    ),
    "normal": _NORMAL,
    "small_normal": _NORMAL(std=0.01),
    "big_normal": _NORMAL(std=1.0),
    "huge_normal": _NORMAL(std=5.0),
    "uniform": Row(
        "W ~ U(low, high), whatever the fan: variance (high - low)² / 12.",
        uniform,
        low=(Real, -0.05),
        high=(Real, 0.05),
    ),
    "truncated_normal": Row(
        "W ~ N(0, std²) given low < W < high; the bounds are absolute, the variance is not corrected.",
        partial(truncated_normal, 0.0),
        std=(Positive, 0.01),
        low=(Real, -0.02),
        high=(Real, 0.02),
    ),
    "xavier": VarianceScaling(1.0, "fan_in", "normal"),  # as the textbooks write it
    "kaiming": VarianceScaling(2.0, "fan_in", "normal"),
    "variance_scaling": VarianceScaling,
    "lecun_normal": VarianceScaling(1.0, "fan_in", "normal"),  # LeCun et al. 1998, section 4.6
    "lecun_uniform": VarianceScaling(1.0, "fan_in", "uniform"),
    "glorot_normal": VarianceScaling(1.0, "fan_avg", "normal"),  # Glorot and Bengio 2010
    "glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
    "he_normal": VarianceScaling(2.0, "fan_in", "normal"),  # He et al. 2015
    "he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
    "orthogonal": Orthogonal,
    "identity": identity(1.0),
    "sparse": Sparse,
    "lsuv": Lsuv,
}
