"""The loops that numba compiles: an entry is read once, and all that is summed of it comes of that.

numba makes SIMD of a loop over a slice, whose indices cannot be negative, and of one that sums where sums may
be reassociated; a loop over more than a few arrays it gives up on. So a block of 1,024 entries, which stays
in L1, is crossed by short loops. Blocks are summed in float32, and float64 adds them up.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.extending import register_jitable

BLOCK = 1024
ROWS = 32  # whose columns are summed in float32
FLAT = np.float32(0.0199)  # `FLAT_SLOPE`
ZERO = np.float32(0)
FAINT = np.float32(2.0**-100)  # a sum of squares below this may have lost some of them to underflow
_EXACT: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
_SUMS: dict[str, Any] = {"fastmath": {"contract", "reassoc", "nsz"}, "error_model": "numpy"}


def forward(formula: Callable[..., Any], with_slope: bool, by_slope: bool, options: Any) -> Any:
    """The loop from z to all that is asked of it: (z, bias, h, slope, p, q, low, high, columns, flat, sums).

    z, h, slope: (seeds, rows · width); slope is not written unless with_slope. bias: (seeds, width), or
    (seeds, 0) for none. p, q: the formula's parameters, or tuples. low, high: (regions,), where act is flat.
    columns, flat: (seeds, width), sums of h and numbers of flat entries, added to. sums: (seeds, 2):
    those of z² and h², added to. by_slope: whether flat is judged by the slope.
    """

    @numba.njit(**options, nogil=True, **_SUMS)
    def loop(z, bias, h, slope, p, q, low, high, columns, flat, sums):  # type: ignore[no-untyped-def]
        seeds, width = columns.shape
        rows = z.shape[1] // width
        together = min(max(1, BLOCK // width), ROWS)  # rows of a block
        part, counts = np.zeros(width, np.float32), np.zeros(width, np.int32)
        spare = np.empty(together * width, np.float32)
        for i in range(seeds):
            counts[:] = 0
            for start in range(0, rows, ROWS):
                part[:] = ZERO
                for row in range(start, min(start + ROWS, rows), together):
                    stop = min(row + together, start + ROWS, rows)
                    zs, hs = z[i, row * width : stop * width], h[i, row * width : stop * width]
                    if bias.shape[1]:
                        _add_to_rows(zs, bias[i])
                    if with_slope or by_slope:
                        ss = slope[i, row * width : stop * width] if with_slope else spare[: zs.size]
                        _act_and_slope(formula, zs, hs, ss, p, q)
                    else:
                        _act(formula, zs, hs, p, q)
                    _add_squares(zs, hs, sums[i])
                    _add_columns(hs, part)
                    if by_slope:
                        _count_small(ss, counts)
                    else:
                        for r in range(low.size):
                            _count_between(zs, low[r], high[r], counts)
                for k in range(width):
                    columns[i, k] += part[k]
            for k in range(width):
                flat[i, k] += counts[k]

    return loop


def through(options: Any) -> Any:
    """The loop of dL/dh through act: (gradient, slope, squares), gradient *= slope.

    gradient: (gradients, entries, width). slope: (entries, width). squares: (gradients, entries) of the rows,
    written.
    """

    @numba.njit(**options, nogil=True, **_SUMS)
    def loop(gradient, slope, squares):  # type: ignore[no-untyped-def]
        for g in range(gradient.shape[0]):
            for i in range(slope.shape[0]):
                total = 0.0
                for c in range(0, slope.shape[1], BLOCK):
                    d, s = gradient[g, i, c : c + BLOCK], slope[i, c : c + BLOCK]
                    for k in range(d.size):
                        d[k] *= s[k]
                    total += _squares(d)
                squares[g, i] = total

    return loop


def back(options: Any) -> Any:
    """The loop of dL/dh behind the weights: (product, scale, shift, squares, columns), scaled and shifted.

    product: (networks, rows, width). scale: (networks,). shift: (networks, rows), or (networks, 0) for none.
    squares: (networks, rows), written. columns: (networks, width), sums, added to.
    """

    @numba.njit(**options, nogil=True, **_SUMS)
    def loop(product, scale, shift, squares, columns):  # type: ignore[no-untyped-def]
        networks, rows, width = product.shape
        part = np.zeros(width, np.float32)
        for n in range(networks):
            for start in range(0, rows, ROWS):
                part[:] = ZERO
                for i in range(start, min(start + ROWS, rows)):
                    factor, offset = scale[n], shift[n, i] if shift.shape[1] else ZERO
                    total = 0.0
                    for c in range(0, width, BLOCK):
                        d, s = product[n, i, c : c + BLOCK], part[c : c + BLOCK]
                        for k in range(d.size):
                            d[k] = d[k] * factor + offset
                        for k in range(d.size):
                            s[k] += d[k]
                        total += _squares(d)
                    squares[n, i] = total
                for k in range(width):
                    columns[n, k] += part[k]

    return loop


def normal(formula: Callable[..., Any], options: Any) -> Any:
    """The loop of normal draws: (words, draws), two draws from every word: (n,) uint64, (2n,)."""

    @numba.njit(**options, nogil=True, **_EXACT)
    def loop(words, draws):  # type: ignore[no-untyped-def]
        for start in range(0, words.size, BLOCK):
            some = words[start : start + BLOCK]
            pairs = draws[2 * start : 2 * (start + some.size)]
            for k in range(some.size):
                pairs[2 * k], pairs[2 * k + 1] = formula(some[k])

    return loop


@register_jitable(**_EXACT)
def _act(formula: Any, z: Any, h: Any, p: Any, q: Any) -> None:
    for k in range(z.size):
        h[k] = formula(z[k], p, q)[0]


@register_jitable(**_EXACT)
def _act_and_slope(formula: Any, z: Any, h: Any, slope: Any, p: Any, q: Any) -> None:
    for k in range(z.size):
        h[k], slope[k] = formula(z[k], p, q)


@register_jitable(**_EXACT)
def _add_to_rows(values: Any, row: Any) -> None:
    for start in range(0, values.size, row.size):
        part = values[start : start + row.size]
        for k in range(part.size):
            part[k] += row[k]


@register_jitable(**_SUMS)
def _add_squares(z: Any, h: Any, sums: Any) -> None:
    for start in range(0, z.size, BLOCK):
        zs, hs = z[start : start + BLOCK], h[start : start + BLOCK]
        before, after = ZERO, ZERO
        for k in range(zs.size):
            before += zs[k] * zs[k]
            after += hs[k] * hs[k]
        sums[0] += before
        sums[1] += after


@register_jitable(**_SUMS)
def _add_columns(values: Any, columns: Any) -> None:
    for start in range(0, values.size, columns.size):
        part = values[start : start + columns.size]
        for k in range(part.size):
            columns[k] += part[k]


@register_jitable(**_EXACT)
def _count_between(z: Any, low: Any, high: Any, counts: Any) -> None:
    for start in range(0, z.size, counts.size):
        part = z[start : start + counts.size]
        for k in range(part.size):
            counts[k] += np.int32((part[k] >= low) & (part[k] <= high))


@register_jitable(**_EXACT)
def _count_small(slope: Any, counts: Any) -> None:
    for start in range(0, slope.size, counts.size):
        part = slope[start : start + counts.size]
        for k in range(part.size):
            counts[k] += np.int32(abs(part[k]) < FLAT)


@register_jitable(**_SUMS)
def _squares(values: Any) -> Any:
    """The sum of squares of at most BLOCK entries, in float64 where float32 may have lost some."""
    total = ZERO
    for k in range(values.size):
        total += values[k] * values[k]
    if total < FAINT:
        wide = 0.0
        for k in range(values.size):
            wide += np.float64(values[k]) * np.float64(values[k])
        return wide
    return np.float64(total)
