"""A user's own activation: `f(z, **kwargs)`, elementwise, and its derivative if one is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.activations.activation import Activation
from sweep.base.arrays import Array
from sweep.base.errors import RequestError, UserCodeError
from sweep.base.user_code import UserFunction, user_function

if TYPE_CHECKING:
    from sweep.activations.slopes import Slopes


def user_activation(
    function: str | Callable[..., Array] | None = None,
    derivative: str | Callable[..., Array] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    source: str | None = None,
) -> Activation:
    """The activation of a user's function; both functions take the same keyword arguments.

    function, derivative: dotted names, or in Python the callables themselves; a derivative that is not given
    is found from the function where the cell is computed. source: a hash of the functions' sources, part of
    a cell's identity; computed unless given. Raises RequestError where there is no such function.
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
        _Elementwise(slope) if slope else _FoundSlope(f),
        oscillates=True,  # as far as is known
        formula=f"{f.name}(z)",
        parameters=(
            ("function", f.name),
            ("derivative", slope.name if slope else None),
            ("kwargs", keywords),
            ("source", f"{f.source}-{slope.source}" if slope else f.source),
        ),
        revision=1 if slope else 2,
    )


def found_of(act: Activation) -> "Slopes":
    """What f alone tells of an activation: its kinks, and whether it has a slope."""
    return _slopes_of(act.f.function if isinstance(act.f, _Elementwise) else act.f)


def with_functions(act: Activation, change: Callable[[UserFunction], UserFunction]) -> Activation:
    """The activation with its functions of a user's own changed, as compiled ones are for plain ones."""

    def changed(part: Callable[..., Array]) -> Callable[..., Array]:
        return _Elementwise(change(part.function)) if isinstance(part, _Elementwise) else part

    return replace(act, f=changed(act.f), derivative=changed(act.derivative))


def slope_unknown(act: Activation) -> str | None:
    """Why act'(z) is known nowhere, in one line; None where it is known."""
    if not isinstance(act.derivative, _FoundSlope):
        return None
    reason = _slopes_of(act.derivative.function).reason
    return reason and f"the slope of {act.formula} is not known: {reason}; give act.derivative"


def _slopes_of(function: Callable[[Array], Array]) -> "Slopes":
    from sweep.activations.slopes import slopes_of  # noqa: PLC0415  a run without any starts sooner

    return slopes_of(function)


@dataclass(frozen=True)
class _Elementwise:
    """f(z), checked: real numbers of z's shape, and no NaN; or f'(z), which is called with h as well."""

    function: UserFunction

    def __call__(self, z: Array, h: Array | None = None) -> Array:
        dtype = z.dtype
        if dtype.itemsize > 8:  # long double, which no user's function has to know
            z = z.astype(np.float64)
        returned = np.asarray(self.function(z))
        name = self.function.name
        if returned.shape != z.shape:
            raise UserCodeError(f"{name} returned shape {returned.shape} for z of shape {z.shape}")
        if returned.dtype.kind not in "fiu":
            raise UserCodeError(f"{name} returned dtype {returned.dtype}, not real numbers")
        values = returned.astype(dtype, copy=False)
        nan = np.isnan(values) & np.isfinite(z)
        if nan.any():
            raise UserCodeError(f"{name} returned NaN, for example at z = {float(z[nan][0]):g}")
        return values


@dataclass(frozen=True)
class _FoundSlope:
    """f'(z) as found from f alone; NaN where it cannot be."""

    function: UserFunction

    def __call__(self, z: Array, h: Array) -> Array:
        known = z.astype(np.float64) if z.dtype.itemsize > 8 else z
        return _slopes_of(self.function)(known).astype(z.dtype, copy=False)
