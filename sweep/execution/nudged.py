"""Cells whose weights are off by some roundings: what a network makes of the rounding in it.

Two honest computations of a cell differ by rounding: another grouping, another BLAS. A chaotic network
multiplies that with every layer until nothing is left in common but the size, a kink turns it into a step,
and only running it shows by how much.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import SPEC, Cell, Spec
from sweep.initializers import Distribution, Scheme
from sweep.kernel import Chain

# Ten times what a sum of some hundred products in another order is off by: what it does varies widely.
_ROUNDINGS = 16.0


@dataclass(frozen=True)
class _Rounded:
    """The draws of another sampler, each off by up to `by` of its size; turn: another time, otherwise."""

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
    """Another scheme's weights, each off by a few roundings."""

    scheme: Scheme
    by: float
    turn: int

    @property
    def base(self) -> Distribution | None:
        base = self.scheme.base  # its name, hence its stream, remains
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
    """One that looks at the data: apart, for a scheme that does not is known by having no `fit`."""

    def fit(self, std: float, spread: Callable[[float], float]) -> float:
        return self.scheme.fit(std, spread)


@dataclass(frozen=True)
class NudgedSpec(Spec):
    """A spec whose weights are off by a few roundings; its cells have the ids of those that they were."""

    turn: int = 0

    @property
    def scheme(self) -> Scheme:
        scheme = Spec(*(getattr(self, name) for name in SPEC)).scheme
        kind = _Nudged if type(scheme).fit is Scheme.fit else _NudgedFit
        return kind(scheme, _ROUNDINGS * float(np.finfo(self.dtype).eps), self.turn)

    @property
    def family(self) -> Chain:
        """The chain of the nudged weights."""
        return replace(super().family, scheme=self.scheme)


def nudged(cells: Iterable[Cell], turn: int) -> Cells:
    """These cells with weights that are off by a few roundings; turn: another time, otherwise."""
    return Cells.joined(
        Block((NudgedSpec(**{name: getattr(cell, name) for name in SPEC}, turn=turn),), (cell.seed,))
        for cell in cells
    )
