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

_TOLERANCE = 1e-5  # of a value: float32's rounding of what NumPy and numba order otherwise
_ROUNDINGS = 1e-6  # of z, which move a value too
# Of three axes, as the kernel's arrays have: a function may look at its array's shape.
_PROBE = np.concatenate(
    [[0.0], np.linspace(-8, 8, 319), np.outer([-1, 1], [1e-4, 1e-3, 1e-2, 10, 20, 30, 100, 1e4]).ravel()]
).reshape(1, 3, 112)


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
    """The same function, compiled entry by entry, or else for a whole array; Refused where none can be."""
    try:
        given = inspect.signature(function.function).bind(0.0, **dict(function.keywords))
    except (ValueError, TypeError):
        raise Refused(f"numba cannot compile {function.name}: its arguments are not known") from None
    given.apply_defaults()
    if given.kwargs:
        raise Refused(f"{function.name} has keyword-only arguments, which numba does not know")
    made, reason = None, ""
    for way in (_by_entry, _by_array, _flattened):
        try:
            made = way(function.function, given.args[1:])
        except Exception as error:
            reason = reason or f"numba cannot compile {function.name}: {in_a_line(error)}"
        else:
            break
    if made is None:
        raise Refused(reason)
    for dtype in (np.float32, np.float64):
        _compare(function, made, _PROBE.astype(dtype))
    return replace(function, function=made)


def _compare(function: UserFunction, made: Callable[[Array], Array], z: Array) -> None:
    """Refused where numba's function is another one than NumPy's at these z, but for rounding."""
    try:
        with np.errstate(all="ignore"):
            known, found = np.asarray(function(z), np.float64), np.asarray(made(z), np.float64)
            beside = np.asarray(function(z.astype(np.float64) * (1 + _ROUNDINGS)), np.float64)
            moved = np.nan_to_num(np.abs(np.asarray(function(z.astype(np.float64)), np.float64) - beside))
    except Exception as error:  # a user's own, from code that was not asked for such numbers
        raise Refused(f"{function.name} cannot be compared with numba's: {in_a_line(error)}") from error
    if not (z.shape == known.shape == found.shape == moved.shape):
        raise Refused(f"{function.name} cannot be compared with numba's: it returns another shape than z has")
    least = 100 * float(np.finfo(z.dtype).tiny)
    near = np.abs(known - found) <= _TOLERANCE * np.abs(known) + moved + least
    same = near | (known == found) | (np.isnan(known) & np.isnan(found))
    if not same.all():
        at = np.unravel_index(int(np.argmin(same)), same.shape)
        raise Refused(
            f"compiled by numba, {function.name} is another function: {found[at]:g}, not {known[at]:g}, "
            f"at z = {z[at]:g}"
        )


def _by_entry(function: Callable[..., Any], rest: tuple[Any, ...]) -> Callable[[Array], Array]:
    import numba  # noqa: PLC0415

    scalar = numba.njit(error_model="numpy")(function)

    @numba.njit(nogil=True)
    def loop(z, out):  # type: ignore[no-untyped-def]
        entries, results = z.reshape(-1), out.reshape(-1)
        for i in range(entries.size):
            results[i] = scalar(entries[i], *rest)

    return _called(loop)


def _by_array(function: Callable[..., Any], rest: tuple[Any, ...]) -> Callable[[Array], Array]:
    import numba  # noqa: PLC0415

    whole = numba.njit(error_model="numpy")(function)

    @numba.njit(nogil=True)
    def loop(z, out):  # type: ignore[no-untyped-def]
        out[:] = whole(z, *rest)

    return _called(loop)


def _flattened(function: Callable[..., Any], rest: tuple[Any, ...]) -> Callable[[Array], Array]:
    """Of one axis, for what numba does not know of more: as an index that is an array."""
    import numba  # noqa: PLC0415

    whole = numba.njit(error_model="numpy")(function)

    @numba.njit(nogil=True)
    def loop(z, out):  # type: ignore[no-untyped-def]
        out.reshape(-1)[:] = whole(z.reshape(-1), *rest)

    return _called(loop)


def _called(loop: Any) -> Callable[[Array], Array]:
    from numba.core import types  # noqa: PLC0415

    for entry in (types.float32, types.float64):
        loop.compile((entry[:, :, ::1], entry[:, :, ::1]))
    loop.disable_compile()

    def call(z: Array, **_: Any) -> Array:  # the keywords are in the loop
        out = np.empty((*(1,) * (3 - z.ndim), *z.shape), z.dtype)
        loop(np.ascontiguousarray(z).reshape(out.shape), out)
        return out.reshape(z.shape)

    return call
