"""A piecewise polynomial of many pieces, evaluated over large arrays.

The piece is looked up by the leading bits of the number, a hundred times cheaper than by bisection;
only where such a stretch of numbers holds an end between pieces is it searched for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_KEY_BITS = {np.dtype(np.float32): 16, np.dtype(np.float64): 18}  # sign, exponent and 7 or 6 more
_CHUNK = 1 << 14  # entries whose temporaries stay in L2
_NEGLIGIBLE = 1e-16


@dataclass(frozen=True)
class _Cast:
    """The pieces in one dtype. pieces: by the leading bits; -1 where they do not decide."""

    shift: int
    pieces: Array
    ends: Array
    origin: Array
    factor: Array
    powers: tuple[Array, ...]  # from the highest


class Table:
    """Σ_k powers[k] ((z - origin) / reach)^k on every piece.

    ends: (n - 1,) between the pieces, each of which has its right end. origin, reach: (n,). powers: (K, n).
    """

    def __init__(self, ends: Array, origin: Array, reach: Array, powers: Array) -> None:
        largest = np.abs(powers).max(axis=0)
        counts = np.nan_to_num(np.abs(powers)) > _NEGLIGIBLE * np.nan_to_num(largest)
        highest = int(np.flatnonzero(counts.any(axis=1)).max(initial=0))
        self._exact = ends, origin, reach, powers[: highest + 1]
        self._casts: dict[np.dtype[Any], _Cast] = {}

    def __call__(self, z: Array) -> Array:
        """The value at every z, in its dtype; beyond the outermost pieces that at their end."""
        if z.dtype not in self._casts:
            self._casts[z.dtype] = _cast(z.dtype, *self._exact)
        cast, flat = self._casts[z.dtype], np.ascontiguousarray(z).reshape(-1)
        out = np.empty_like(flat)
        for start in range(0, len(flat), _CHUNK):
            _evaluate(cast, flat[start : start + _CHUNK], out[start : start + _CHUNK])
        return out.reshape(z.shape)


def _evaluate(cast: _Cast, z: Array, out: Array) -> None:
    bits = z.view(np.uint32 if z.itemsize == 4 else np.uint64)
    piece = np.take(cast.pieces, (bits >> cast.shift).astype(np.intp), mode="clip")
    if piece.min() < 0:
        doubtful = np.flatnonzero(piece < 0)
        piece[doubtful] = np.searchsorted(cast.ends, z[doubtful])
    np.take(cast.powers[0], piece, out=out, mode="clip")
    if len(cast.powers) == 1:
        return
    t, term = np.take(cast.origin, piece, mode="clip"), np.empty_like(z)
    np.subtract(z, t, out=t)
    t *= np.take(cast.factor, piece, out=term, mode="clip")
    np.clip(t, -1, 1, out=t)
    for power in cast.powers[1:]:
        out *= t
        out += np.take(power, piece, out=term, mode="clip")


def _cast(dtype: np.dtype[Any], ends: Array, origin: Array, reach: Array, powers: Array) -> _Cast:
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        own = ends.astype(dtype)
        own = np.where(own > ends, np.nextafter(own, -dtype.type(np.inf)), own)  # z <= end as before
        factor = np.clip(1 / reach, info.tiny, info.max).astype(dtype)
        own_powers = tuple(np.ascontiguousarray(row.astype(dtype)) for row in powers[::-1])
        shift = 8 * dtype.itemsize - _KEY_BITS[dtype]
        keys = np.arange(1 << _KEY_BITS[dtype], dtype=f"u{dtype.itemsize}")
        first = np.searchsorted(own, (keys << shift).view(dtype))
        last = np.searchsorted(own, ((keys << shift) | ((1 << shift) - 1)).view(dtype))
    return _Cast(
        shift,
        np.where(first == last, first, -1).astype(np.intp),
        own,
        np.clip(origin, info.min, info.max).astype(dtype),
        factor,
        own_powers,
    )
