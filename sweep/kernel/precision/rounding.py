"""Schemes whose weights are off by a few roundings: how a network answers to the rounding in it.

Two honest computations of a network differ by rounding: another grouping, another BLAS. A chaotic one
multiplies the difference with every layer until only the size is left in common, a kink turns it into a
step, and only a run shows by how much.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sweep.initializers import Distribution, Scheme

# Ten times the error of a sum of some hundred products in another order, for its effect varies widely.
_ROUNDINGS = 16.0


def nudge(scheme: Scheme, dtype: str, turn: int) -> Scheme:
    """The scheme with each weight off by a few roundings of `dtype`; every turn draws other ones."""
    kind = _Nudged if type(scheme).fit is Scheme.fit else _NudgedFit
    return kind(scheme, _ROUNDINGS * float(np.finfo(dtype).eps), turn)


@dataclass(frozen=True)
class _Rounded:
    """A sampler whose draws are those of another, each off by up to `by` of its size."""

    sampler: Callable[..., NDArray[np.float32]]
    by: float
    turn: int

    def __call__(
        self, rng: np.random.Generator, fan_in: int, fan_out: int, *parameters: float
    ) -> NDArray[np.floating]:
        z = self.sampler(rng, fan_in, fan_out, *parameters).astype(np.float64)
        noise = np.random.default_rng((self.turn, int(rng.integers(1 << 62))))
        z *= 1 + self.by * noise.uniform(-1, 1, z.shape)
        return z


@dataclass(frozen=True)
class _Nudged(Scheme):
    scheme: Scheme
    by: float
    turn: int

    @property
    def base(self) -> Distribution | None:
        base = self.scheme.base  # it keeps its name, hence its stream
        return base and replace(base, sampler=_Rounded(base.sampler, self.by, self.turn))

    @property
    def formula(self) -> str:
        return self.scheme.formula

    @property
    def known_std(self) -> bool:
        return self.scheme.known_std

    def weight_mean(self, fan_in: int, fan_out: int) -> float:
        return self.scheme.weight_mean(fan_in, fan_out) * (1 + self.by / (1 + self.turn))

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        return self.scheme.weight_std(fan_in, fan_out)


class _NudgedFit(_Nudged):
    """Of a scheme that looks at the data: a class of its own, since a scheme that does not has no `fit`."""

    def fit(self, std: float, spread: Callable[[float], float]) -> float:
        return self.scheme.fit(std, spread)
