"""Layer-sequential unit variance: a scheme that depends on the data."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from sweep.initializers.distributions import ORTHOGONAL
from sweep.initializers.scheme import Positive, Scheme

_MOST_STEPS = 10


@dataclass(frozen=True)
class Lsuv(Scheme):
    """W = s · Q, Q orthonormal, s such that abs(Var z - 1) < tolerance over the batch, layer by layer.

    Mishkin and Matas 2016, arXiv:1511.06422, algorithm 1: orthonormal weights are divided by the
    standard deviation of the layer's output until it is 1, at most 10 times.
    """

    tolerance: Positive = 0.1
    base = ORTHOGONAL
    known_std = False

    @property
    def formula(self) -> str:
        return f"s · Q, QᵀQ = 1 or QQᵀ = 1, s: abs(Var z - 1) < {self.tolerance:g}"

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        """What multiplies Z before any data are seen."""
        return 1 / math.sqrt(max(fan_in, fan_out))

    def fit(self, std: float, spread: Callable[[float], float]) -> float:
        for _ in range(_MOST_STEPS):
            measured = spread(std)
            if abs(measured * measured - 1) < self.tolerance or not 0 < measured < math.inf:
                break
            std /= measured
        return std
