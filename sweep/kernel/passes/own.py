"""A user's own activation as numba compiles it, where that is asked for; each process does it for itself."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from sweep.activations import Activation, with_functions
from sweep.base.arrays import Array
from sweep.base.user_code import UserFunction
from sweep.kernel.passes.folder import in_a_line

_TOLERANCE = 1e-5  # of the largest value near by: float32's rounding of what NumPy and numba order otherwise
_PROBE = np.concatenate([np.linspace(-8, 8, 321), [-1e4, -100.0, -30.0, 30.0, 100.0, 1e4]])


class Refused(Exception):
    """Why numba's function is not used, in a line."""


def compiled(act: Activation) -> Activation:
    """The activation with its functions compiled; as it is where numba cannot, or computes another one."""
    return _outcome(act)[0]


def why_not(act: Activation) -> str:
    """Why its functions are not compiled, in a line; '' where they are."""
    return _outcome(act)[1]


@lru_cache(maxsize=256)
def _outcome(act: Activation) -> tuple[Activation, str]:
    try:
        return with_functions(act, _compiled), ""
    except Refused as refused:
        return act, str(refused)


def _compiled(function: UserFunction) -> UserFunction:
    """The same function, compiled entry by entry, or else for a whole array; Refused where neither can be."""
    try:
        given = inspect.signature(function.function).bind(0.0, **dict(function.keywords))
    except (ValueError, TypeError):
        raise Refused(f"numba cannot compile {function.name}: its arguments are not known") from None
    given.apply_defaults()
    if given.kwargs:
        raise Refused(f"{function.name} has keyword-only arguments, which numba does not know")
    made, reason = None, ""
    for way in (_by_entry, _by_array):
        try:
            made = way(function.function, given.args[1:])
        except Exception as error:
            reason = reason or f"numba cannot compile {function.name}: {in_a_line(error)}"
        else:
            break
    if made is None:
        raise Refused(reason)
    for dtype in (np.float32, np.float64):
        z = _PROBE.astype(dtype)
        with np.errstate(all="ignore"):
            known, found = np.asarray(function(z), np.float64), np.asarray(made(z), np.float64)
        near = np.abs(known - found) <= _TOLERANCE * np.maximum(1, np.abs(known))
        same = near | (known == found) | (np.isnan(known) & np.isnan(found))
        if not same.all():
            at = int(np.argmin(same))
            raise Refused(
                f"compiled by numba, {function.name} is another function: {found[at]:g}, not {known[at]:g}, "
                f"at z = {z[at]:g}"
            )
    return replace(function, function=made)


def _by_entry(function: Callable[..., Any], rest: tuple[Any, ...]) -> Callable[[Array], Array]:
    import numba  # noqa: PLC0415

    scalar = numba.njit(error_model="numpy")(function)

    @numba.njit(nogil=True)
    def loop(z, out):  # type: ignore[no-untyped-def]
        for i in range(z.size):
            out[i] = scalar(z[i], *rest)

    return _called(loop)


def _by_array(function: Callable[..., Any], rest: tuple[Any, ...]) -> Callable[[Array], Array]:
    import numba  # noqa: PLC0415

    whole = numba.njit(error_model="numpy")(function)

    @numba.njit(nogil=True)
    def loop(z, out):  # type: ignore[no-untyped-def]
        out[:] = whole(z, *rest)

    return _called(loop)


def _called(loop: Any) -> Callable[[Array], Array]:
    from numba.core import types  # noqa: PLC0415

    for entry in (types.float32, types.float64):
        loop.compile((entry[::1], entry[::1]))
    loop.disable_compile()

    def call(z: Array, **_: Any) -> Array:  # the keywords are in the loop
        out = np.empty(z.size, z.dtype)
        loop(np.ascontiguousarray(z).reshape(-1), out)
        return out.reshape(z.shape)

    return call
