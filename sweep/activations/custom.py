"""A user's own activation: `f(z, **kwargs)`, elementwise, and its derivative if there is one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.activations.core import Activation, Array
from sweep.errors import RequestError, UserCodeError
from sweep.user_code import UserFunction, user_function

# Central differences in float64: truncation and rounding are both about 1e-10 there.
_STEP = 6e-6


def custom(
    function: str | Callable[..., Array],
    derivative: str | Callable[..., Array] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    source: str | None = None,
) -> Activation:
    """The activation of a user's function; both functions take the same keyword arguments.

    function, derivative: dotted names, or in Python the callables themselves. Without a
    derivative it is taken numerically. source: a hash of the functions' sources, part of a cell's
    identity; found by itself. Raises RequestError where there is no such function.
    """
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise RequestError(f"act.kwargs={kwargs}: act.kwargs must hold names and values")
    keywords = dict(kwargs or {})
    known = (source or "").split("-")
    f = user_function("act.function", function, keywords, 1, known[0] or None)
    slope = None
    if derivative is not None:
        slope = user_function("act.derivative", derivative, keywords, 1, known[1] if source else None)
    return Activation(
        "custom",
        _Elementwise(f),
        _Slope(slope) if slope else _NumericalSlope(f),
        oscillates=True,  # for all that is known
        formula=f"{f.name}(z)",
        parameters=(
            ("function", f.name),
            ("derivative", slope.name if slope else None),
            ("kwargs", keywords),
            ("source", f"{f.source}-{slope.source}" if slope else f.source),
        ),
    )


@dataclass(frozen=True)
class _Elementwise:
    """f(z), checked: real numbers of z's shape, and no NaN."""

    function: UserFunction

    def __call__(self, z: Array) -> Array:
        wide = z.dtype.itemsize > 8  # long double, which is ours alone
        returned = np.asarray(self.function(z.astype(np.float64) if wide else z))
        name = self.function.name
        if returned.shape != z.shape:
            raise UserCodeError(f"{name} returned shape {returned.shape} for z of shape {z.shape}")
        if returned.dtype.kind not in "fiu":
            raise UserCodeError(f"{name} returned dtype {returned.dtype}, not real numbers")
        values = returned.astype(z.dtype, copy=False)
        nan = np.isnan(values) & np.isfinite(z)
        if nan.any():
            raise UserCodeError(f"{name} returned NaN, for z = {float(z[nan][0]):g} for one")
        return values


@dataclass(frozen=True)
class _Slope:
    function: UserFunction

    def __call__(self, z: Array, h: Array) -> Array:
        return _Elementwise(self.function)(z)


@dataclass(frozen=True)
class _NumericalSlope:
    function: UserFunction

    def __call__(self, z: Array, h: Array) -> Array:
        f, wide = _Elementwise(self.function), z.astype(np.float64)
        step = _STEP * np.maximum(1.0, np.abs(wide))
        slope: Array = (f(wide + step) - f(wide - step)) / (2 * step)
        return slope.astype(z.dtype)
