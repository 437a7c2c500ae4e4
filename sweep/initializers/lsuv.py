"""Layer-sequential unit variance: a scheme that depends on the data."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sweep.initializers.distributions import NORMAL, ORTHOGONAL
from sweep.initializers.scheme import Flag, Positive, Scheme

_MOST_STEPS = 10


@dataclass(frozen=True)
class Lsuv(Scheme):
    """W = s · Q, Q orthonormal, s such that abs(Var z - 1) < tolerance over the batch, layer by layer.

    Mishkin and Matas 2016, arXiv:1511.06422, algorithm 1: orthonormal weights are divided by the
    standard deviation of the layer's output until it is 1, at most 10 times.

    mean: take the mean of z off too, so that both hold: b = -mean of h W over the batch, neuron by neuron, as
    Salimans and Kingma 2016, arXiv:1602.07868, section 3, set their biases. The lessons of fast.ai, which
    brought the mean to LSUV, take one number off all neurons of a layer, the mean of what their activation
    makes of them; zero-mean weights leave no such number in z.
    """

    tolerance: Positive = 0.1
    mean: Flag = False
    base = ORTHOGONAL
    known_std = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean:  # a std of 0 is drawn from NORMAL: the biases are set when z is known
            own = {"centres": True, "bias": NORMAL, "bias_formula": "-mean of h W over the batch"}
            for name, value in own.items():
                object.__setattr__(self, name, value)

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]:
        return tuple((k, v) for k, v in super().parameters if k != "mean" or v)  # `mean` came later

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
