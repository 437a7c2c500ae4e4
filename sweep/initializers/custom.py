"""A user's own scheme: `f(rng, fan_in, fan_out, **kwargs)` returns the weights, (fan_in, fan_out)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.base.errors import RequestError, UserCodeError
from sweep.base.user_code import UserFunction, user_function
from sweep.initializers.scheme import Distribution, Scheme, Weights

_LEAST = float(np.finfo(np.float32).tiny)  # below, weights lose digits; a sum with larger ones loses none


@dataclass(frozen=True)
class Custom(Scheme):
    """W = function(rng, fan_in, fan_out, **kwargs), checked for shape, dtype and float32's range.

    function: a dotted name, or in Python the callable itself. source: a hash of its source, part of a
    cell's identity; computed unless given.
    """

    function: str | Callable[..., Any] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    known_std = False

    def __post_init__(self) -> None:
        if not isinstance(self.kwargs, Mapping):
            raise RequestError(f"init.kwargs={self.kwargs}: init.kwargs must hold names and values")
        object.__setattr__(self, "source", self.called.source)

    def __hash__(self) -> int:
        return hash(self.called)

    @cached_property
    def called(self) -> UserFunction:
        """The function, ready to call."""
        return user_function("init.function", self.function, self.kwargs, 3, self.source)

    @property
    def base(self) -> Distribution:
        # The name keys the draws by all that tells two functions apart; whether Z mixes is not known.
        name = f"custom {self.called.name} {self.source} {self.called.keywords}"
        return Distribution(name, _Draw(self.called), mixes=False)

    @property
    def formula(self) -> str:
        return f"{self.called.name}(rng, fan_in, fan_out)"

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        return 1.0


@dataclass(frozen=True)
class _Draw:
    """What a user's function returns, as float32; UserCodeError where that is not a layer's weights."""

    function: UserFunction

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        returned = np.asarray(self.function(rng, fan_in, fan_out))
        name = self.function.name
        if returned.shape != (fan_in, fan_out):
            hint = ": transpose it?" if returned.shape == (fan_out, fan_in) else ""
            raise UserCodeError(
                f"{name} returned shape {returned.shape}, not (fan_in, fan_out) = {(fan_in, fan_out)}{hint}"
            )
        if returned.dtype.kind not in "fiu":
            raise UserCodeError(f"{name} returned dtype {returned.dtype}, not real numbers")
        weights = returned.astype(np.float32)
        if not np.isfinite(weights).all():
            bad = f"{(~np.isfinite(weights)).sum()} of {weights.size} weights"
            raise UserCodeError(f"{name} returned {bad} that are not finite in float32")
        if any(_lost(np.abs(returned).max(axis=axis, initial=0)) for axis in (0, 1)):
            raise UserCodeError(
                f"{name} returned a neuron whose weights are all below {_LEAST:.3g}, where float32 loses "
                "digits: return larger ones, or 0"
            )
        return weights


def _lost(largest: Array) -> bool:
    """Whether float32 loses digits of all weights of some neuron; `largest`: of each the largest weight."""
    return bool(((largest > 0) & (largest < _LEAST)).any())
