"""Elementwise functions with a formula of their own for float32, applied to chunks that stay in the cache."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from sweep.base.arrays import Array

_ENTRIES = 1 << 15  # of a chunk: a handful of such arrays lies in L2
F = TypeVar("F", bound=Callable[..., Array])


def in_float32(narrow: Callable[..., None], scratch: int) -> Callable[[F], F]:
    """Compute a function of float32 arrays by `narrow`, and all others as it is written.

    narrow: (z, what else the function takes, out, scratch arrays …) -> None, all arrays flat and of one
    length; it writes every entry of out, and leaves z and h alone. scratch: how many arrays it needs.
    The function then takes `out=` as well, which may be any array of z's shape.
    """

    def decorate(wide: F) -> F:
        @wraps(wide)
        def function(z: Array, *others: Any, out: Array | None = None) -> Array:
            if z.dtype == np.float32:
                return _applied(narrow, scratch, z, others, out)
            values = wide(z, *others)
            if out is None:
                return values
            out[...] = values
            return out

        function.takes_out = True  # type: ignore[attr-defined]
        return cast("F", function)

    return decorate


def takes_out(function: Callable[..., Array]) -> bool:
    """Whether a function can write to `out=`."""
    return isinstance(function, np.ufunc) or getattr(function, "takes_out", False)


def _applied(
    narrow: Callable[..., None], scratch: int, z: Array, others: tuple[Any, ...], out: Array | None
) -> Array:
    if out is None:
        out = np.empty_like(z, order="C", subok=False)
    target = out if out.flags.c_contiguous else np.empty(z.shape, np.float32)
    flat, to = z.reshape(-1), target.reshape(-1)
    also = [other.reshape(-1) if isinstance(other, np.ndarray) else other for other in others]
    buffers = np.empty((scratch, min(_ENTRIES, len(flat))), np.float32)
    for start in range(0, len(flat), _ENTRIES):
        part = slice(start, start + _ENTRIES)
        given = [other[part] if isinstance(other, np.ndarray) else other for other in also]
        piece = flat[part]
        narrow(piece, *given, to[part], *buffers[:, : len(piece)])
    if target is not out:
        out[...] = target
    return out
