"""A piecewise polynomial of many pieces, evaluated over large arrays.

The piece is looked up by the number's leading bits, many times faster than by bisection, which is left for
the cells of numbers that more than one piece shares. In float32 a parabola per cell will do, wherever it is
right to the last bit or two.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.base.arrays import Array

_KEY_BITS = {np.dtype(np.float32): 17, np.dtype(np.float64): 18}  # sign, exponent and 8 or 6 more
_CHUNK = 1 << 14  # entries whose temporaries stay in L2
_NEGLIGIBLE = 1e-16
_ROUNDED = 2.0**-23  # a parabola's largest error: float32's own resolution
_FITTED, _CHECKED = np.array([0.067, 0.5, 0.933]), np.array([0.0, 0.25, 0.75, 1.0])


@dataclass(frozen=True)
class _Cast:
    """The pieces in one dtype.

    pieces: by leading bits; -1 where they do not decide. powers: from the highest, each (n,). parabolas: in
    the distance from the cell's end nearer to 0, from the square, each by leading bits; NaN where one will
    not do; None in float64, and where every piece is a constant.
    """

    pieces: Array
    ends: Array
    origin: Array
    factor: Array
    powers: list[Array]
    parabolas: list[Array] | None

    def keys(self, z: Array) -> Array:
        """The leading bits of every number, as an index."""
        bits = z.view(np.uint32) if z.itemsize == 4 else z.view(np.uint64)
        keys: Array = (bits >> (8 * z.itemsize - _KEY_BITS[z.dtype])).astype(np.intp)
        return keys

    def write(self, z: Array, out: Array) -> None:
        """Write the values at z, one chunk, to `out`."""
        keys = self.keys(z)
        if self.parabolas is None:
            self._by_piece(z, keys, out)
            return
        square, slope, constant = self.parabolas
        t, term = z - _nearer_end(z), np.empty_like(z)
        np.take(square, keys, out=out, mode="clip")
        for coefficient in (slope, constant):
            out *= t
            out += np.take(coefficient, keys, out=term, mode="clip")
        if np.isnan(out.min()):
            rest = np.flatnonzero(np.isnan(out))
            values = np.empty(len(rest), z.dtype)
            self._by_piece(z[rest], keys[rest], values)
            out[rest] = values

    def _by_piece(self, z: Array, keys: Array, out: Array) -> None:
        piece = np.take(self.pieces, keys)
        if piece.min() < 0:
            doubtful = np.flatnonzero(piece < 0)
            piece[doubtful] = np.searchsorted(self.ends, z[doubtful])
        np.take(self.powers[0], piece, out=out, mode="clip")
        if len(self.powers) == 1:
            return
        t, term = z - np.take(self.origin, piece), np.empty_like(z)
        t *= np.take(self.factor, piece, out=term, mode="clip")
        np.clip(t, -1, 1, out=t)
        for power in self.powers[1:]:
            out *= t
            out += np.take(power, piece, out=term, mode="clip")


class Table:
    """Σ_k powers[k] ((z - origin) / reach)^k on every piece.

    ends: (n - 1,) between the pieces, each of which has its right end. origin, reach: (n,). powers: (K, n).
    """

    def __init__(self, ends: Array, origin: Array, reach: Array, powers: Array) -> None:
        largest = np.nan_to_num(np.abs(powers)).max(axis=0)
        counts = np.nan_to_num(np.abs(powers)) > _NEGLIGIBLE * largest
        highest = int(np.flatnonzero(counts.any(axis=1)).max(initial=0))
        self._exact = ends, origin, reach, powers[: highest + 1]
        self._casts: dict[np.dtype[Any], _Cast] = {}

    def __call__(self, z: Array) -> Array:
        """The value at every z, in its dtype; beyond the outermost pieces the value at their end."""
        cast, flat = self._cast(z.dtype), np.ascontiguousarray(z).reshape(-1)
        out = np.empty_like(flat)
        with np.errstate(all="ignore"):
            for start in range(0, len(flat), _CHUNK):
                cast.write(flat[start : start + _CHUNK], out[start : start + _CHUNK])
        return out.reshape(z.shape)

    def _cast(self, dtype: np.dtype[Any]) -> _Cast:
        if dtype not in self._casts:
            low, high = _cells(dtype)
            ends, origin, reach, powers = self._exact
            info = np.finfo(dtype)
            with np.errstate(all="ignore"):
                cast_ends = ends.astype(dtype)  # rounded down, for z <= end to stay true
                cast_ends = np.where(
                    cast_ends > ends, np.nextafter(cast_ends, -dtype.type(np.inf)), cast_ends
                )
                first, last = np.searchsorted(cast_ends, low), np.searchsorted(cast_ends, high)
                pieces = np.where(first == last, first, -1).astype(np.intp)
                narrow = dtype == np.float32 and len(powers) > 1
                self._casts[dtype] = _Cast(
                    pieces,
                    cast_ends,
                    np.clip(origin, info.min, info.max).astype(dtype),
                    np.clip(1 / reach, info.tiny, info.max).astype(dtype),
                    [np.ascontiguousarray(row.astype(dtype)) for row in powers[::-1]],
                    self._parabolas(low, high, pieces < 0) if narrow else None,
                )
        return self._casts[dtype]

    def _parabolas(self, low: Array, high: Array, split: Array) -> list[Array]:
        start, length = low.astype(np.float64), high.astype(np.float64) - low
        a, b, c = (self(start + share * length) for share in _FITTED)
        first, second = (b - a) / (_FITTED[1] - _FITTED[0]), (c - b) / (_FITTED[2] - _FITTED[1])
        square = (second - first) / (_FITTED[2] - _FITTED[0])
        slope = first - square * (_FITTED[0] + _FITTED[1])
        constant = a - _FITTED[0] * (slope + _FITTED[0] * square)
        slack = _ROUNDED * (np.abs(b) + np.abs(slope))
        fine = ~split & np.isfinite(square)
        for share in _CHECKED:
            missed = np.abs(constant + share * (slope + share * square) - self(start + share * length))
            fine &= missed <= slack
        coefficients = (square / length**2, slope / length, constant)
        return [np.where(fine, row, np.nan).astype(np.float32) for row in coefficients]


def _nearer_end(z: Array) -> Array:
    """The end nearer to 0 of the cell that each float32 lies in."""
    unused = 32 - _KEY_BITS[z.dtype]
    end: Array = (z.view(np.uint32) & np.uint32(0xFFFFFFFF << unused & 0xFFFFFFFF)).view(np.float32)
    return end


def _cells(dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """By leading bits, the numbers nearest to 0 and farthest from it that have them."""
    unused = 8 * dtype.itemsize - _KEY_BITS[dtype]
    bits: Any = np.uint32 if dtype.itemsize == 4 else np.uint64
    low = np.arange(1 << _KEY_BITS[dtype], dtype=bits) << bits(unused)
    return low.view(dtype), (low | bits((1 << unused) - 1)).view(dtype)
