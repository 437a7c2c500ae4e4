"""Rounding to a narrow format, in float32 arrays: to nearest, ties to even, as a cast there and back.

Beyond the largest number is inf, or NaN in a format without infinity. A number x of exponent e and p bits of
mantissa is x + c - c in float32, c = 1.5 · 2^(e + 23 - p), for the sum has just the bits that are kept;
below the smallest normal number c is that of the smallest normal number. A format with float32's own
exponents is rounded in the bits. Both are exact for every float32, but that -0 may become 0.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.theory.consequences.formats import FORMATS, Format

_CHUNK = 1 << 16  # entries that stay in L2 with what is made of them
_BITS = 23  # of float32's mantissa
_EXPONENT = np.uint32(0x7F800000)  # where float32 keeps its exponent
_LEAST = float(np.finfo(np.float32).smallest_normal)


@dataclass(frozen=True)
class Counts:
    """Entries of each network: all, those that were not 0, became 0, and became no finite number.

    Each of one shape: (networks,), or (gradients, networks).
    """

    entries: Array
    something: Array
    zeroed: Array
    overflowed: Array

    @classmethod
    def none(cls, shape: int | tuple[int, ...]) -> "Counts":
        """All 0."""
        return cls(*(np.zeros(shape, np.int64) for _ in range(4)))

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def add(self, where: Any, other: "Counts") -> None:
        """Add what was counted of some networks, in place."""
        for total, part in zip(vars(self).values(), vars(other).values(), strict=True):
            total[where] += part

    @property
    def shares(self) -> tuple[Array, Array]:
        """Of what was not 0, the share that became 0, NaN of nothing; of all, what is beyond the largest."""
        with np.errstate(invalid="ignore"):
            return self.zeroed / self.something, self.overflowed / self.entries


@dataclass(frozen=True)
class Rounding:
    """To one format; infinite: whether it has an infinity."""

    form: Format
    infinite: bool

    def into(self, values: Array, out: Array) -> Counts:
        """Write the rounded values to `out`, another array: (…, rows, columns), a network each.

        Both are float32 and contiguous. The counts are by network: (…,).
        """
        entries = values.shape[-2] * values.shape[-1]
        source, target = values.reshape(-1, entries), out.reshape(-1, entries)
        assert np.shares_memory(target, out)
        counts = np.zeros((3, len(source)), np.int64)
        several = max(1, _CHUNK // entries)
        size = several * min(entries, _CHUNK)
        work, mask = np.empty(size, np.float32), np.empty(size, bool)
        for first in range(0, len(source), several):
            networks = slice(first, first + several)
            for start in range(0, entries, _CHUNK):
                x, near = (array[networks, start : start + _CHUNK] for array in (source, target))
                room = work[: x.size].reshape(x.shape), mask[: x.size].reshape(x.shape)
                counts[:, networks] += self._round(x, near, *room)
        shape = values.shape[:-2]
        return Counts(np.full(shape, entries), *(count.reshape(shape) for count in counts))

    def _round(self, x: Array, near: Array, work: Array, mask: Array) -> Array:
        """Round a chunk of networks, (networks, entries); returns `Counts` but entries: (3, networks)."""
        if self.form.normal == _LEAST:
            self._in_bits(x, near)
        else:
            self._by_sum(x, near, work)
        zeros = before = _count(np.equal(near, 0, out=mask))
        if zeros.any():
            before = _count(np.equal(x, 0, out=mask))
        overflowed = np.zeros_like(zeros)
        largest = np.float32(self.form.largest)
        if not (near.max() <= largest and near.min() >= -largest):  # NaN is in neither
            beyond = ~(np.abs(near) <= largest)
            overflowed = _count(beyond)
            lost = np.copysign(np.float32(np.inf), x) if self.infinite else np.float32(np.nan)
            np.copyto(near, np.where(np.isnan(x), np.float32(np.nan), lost), where=beyond)
        return np.stack([x.shape[1] - before, zeros - before, overflowed])

    def _by_sum(self, x: Array, near: Array, work: Array) -> None:
        np.bitwise_and(x.view(np.uint32), _EXPONENT, out=work.view(np.uint32))
        work *= np.float32(1.5 * 2.0 ** (_BITS - self.form.bits))
        np.maximum(work, np.float32(1.5 * 2.0**_BITS * self.form.smallest), out=work)
        np.add(x, work, out=near)
        near -= work

    def _in_bits(self, x: Array, near: Array) -> None:
        bits, out = x.view(np.uint32), near.view(np.uint32)
        dropped = _BITS - self.form.bits
        np.right_shift(bits, np.uint32(dropped), out=out)
        out &= np.uint32(1)  # odd: a tie goes up
        out += np.uint32((1 << (dropped - 1)) - 1)
        out += bits
        out &= np.uint32(0xFFFFFFFF >> dropped << dropped)
        if np.isnan(x.max()):  # whose bits may have carried over
            near[np.isnan(x)] = np.nan


def _count(mask: Array) -> Array:
    """How many are true of each row: (rows,)."""
    if len(mask) == 1:
        return np.array([np.count_nonzero(mask)])
    counts: Array = mask.sum(axis=1)
    return counts


@lru_cache
def rounding(name: str) -> Rounding:
    """Rounding to the format of this name."""
    return Rounding(FORMATS[name], infinite=name != "float8_e4m3fn")
