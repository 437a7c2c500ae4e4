"""The passes as numba compiles them: float32 and the built-in activations; everything else is NumPy's."""

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sweep import activations
from sweep.activations import Activation, affine_of, flat_regions, loop_name
from sweep.base.arrays import Array
from sweep.kernel.passes import folder
from sweep.kernel.passes.folder import BACK, NORMAL, THROUGH, in_a_line, key_of
from sweep.kernel.passes.own import compiled
from sweep.kernel.passes.plain import PLAIN, Sums
from sweep.kernel.statistics.flatness import bounds

_FARTHEST = 1e4  # abs(z) up to which a loop knows the sine
_NARROW = 64  # neurons; NumPy's own loops go over more rows at once than a loop that ends with each row
_NONE = np.empty((0, 0), np.float32)


class Compiled:
    """The passes in loops that numba has compiled, or compiles when they are first called."""

    _loops: ClassVar[dict[str, Any]] = {}  # of this process

    def __init__(self, own: bool = False) -> None:
        self._own = own

    @classmethod
    @cache
    def here(cls, own: bool = False) -> "Compiled":
        """Those of this process. own: a user's own activations are compiled too, where numba can."""
        return cls(own)

    def forward(
        self,
        act: Activation,
        sums: Sums,
        seeds: slice,
        z: Array,
        offset: Array | None,
        h: Array,
        slope: Array | None,
    ) -> None:
        """See `Passes`."""
        known = _formula_of(act) if z.dtype == np.float32 else None
        if known is None:
            PLAIN.forward(compiled(act) if self._own else act, sums, seeds, z, offset, h, slope)
            return
        arrays = [z, h] if slope is None else [z, h, slope]
        if len(z) > 1 and not all(array.flags.c_contiguous for array in arrays):
            for i in range(len(z)):
                one, first = slice(i, i + 1), (seeds.start or 0) + i
                own = None if offset is None else offset[one]
                to = None if slope is None else slope[one]
                self.forward(act, sums, slice(first, first + 1), z[one], own, h[one], to)
            return
        bias = _NONE
        if offset is not None:
            if offset.shape[1] == 1:
                bias = np.array(np.broadcast_to(offset[:, 0], (len(z), z.shape[2])), np.float32)
            else:
                z += offset
        if act.period is not None:
            with_offset = z if offset is None or offset.shape[1] > 1 else z + offset
            if not np.abs(with_offset).max() * (2 * np.pi / act.period) < _FARTHEST:
                PLAIN.forward(act, sums, seeds, z, None if bias is _NONE else offset, h, slope)
                return
        count, rows, width = z.shape
        columns, flat, squares = (
            np.zeros((count, width)),
            np.zeros((count, width), np.int64),
            np.zeros((count, 2)),
        )
        name, p, q, low, high = known
        loop = self._loop(key_of(name, slope is not None))
        loop(
            z.reshape(count, -1),
            bias if bias.size else np.empty((count, 0), np.float32),
            h.reshape(count, -1),
            _NONE if slope is None else slope.reshape(count, -1),
            p, q, low, high, columns, flat, squares,
        )  # fmt: skip
        sums.before.add_sums(seeds, squares[:, 0])
        sums.after.add_sums(seeds, squares[:, 1], columns)
        sums.flat.add_counts(seeds, flat, rows)

    def through(self, gradient: Array, slope: Array) -> Array:
        """See `Passes`."""
        contiguous = gradient.flags.c_contiguous and slope.flags.c_contiguous
        if gradient.dtype != np.float32 or gradient.shape[-1] < _NARROW or not contiguous:
            return PLAIN.through(gradient, slope)
        loop = self._loop(THROUGH)
        gradients, seeds, batch, width = gradient.shape
        squares = np.empty((gradients, seeds * batch))
        loop(gradient.reshape(gradients, -1, width), slope.reshape(-1, width), squares)
        return squares.reshape(gradients, seeds, batch)

    def back(self, product: Array, scale: Array, shift: Array | None) -> tuple[Array, Array]:
        """See `Passes`."""
        if product.dtype != np.float32 or product.shape[-1] < _NARROW or not product.flags.c_contiguous:
            return PLAIN.back(product, scale, shift)
        loop = self._loop(BACK)
        gradients, seeds, batch, width = product.shape
        count = gradients * seeds
        squares, columns = np.empty((count, batch)), np.zeros((count, width))
        offset = np.empty((count, 0), np.float32)
        if shift is not None:
            offset = shift.reshape(count, batch).astype(np.float32)
        loop(product.reshape(count, batch, width), np.tile(scale, gradients), offset, squares, columns)
        return squares.reshape(gradients, seeds, batch), columns.reshape(gradients, seeds, width)

    def normals(self, words: NDArray[np.uint64], out: NDArray[np.float32]) -> None:
        """See `Passes`."""
        if out.flags.c_contiguous and words.dtype.isnative:
            self._loop(NORMAL)(np.require(words, requirements=["C", "W"]), out.reshape(-1))
        else:
            PLAIN.normals(words, out)

    def load(self, keys: Iterable[str]) -> None:
        """Have these loops at hand; raises RuntimeError as a pass does that lacks one."""
        for key in keys:
            self._loop(key)

    def _loop(self, key: str) -> Any:
        """The loop of this key. Raises RuntimeError where there is none: who asks has been told there is."""
        if key not in self._loops:
            try:
                self._loops[key] = folder.loop(key)
            except Exception as error:
                why = f"the compiled loop {key} cannot be had ({in_a_line(error)})"
                raise RuntimeError(f"{why}: SWEEP_PASSES=numpy does without") from error
        return self._loops[key]


@lru_cache(maxsize=256)
def _formula_of(act: Activation) -> tuple[str, Any, Any, Array, Array] | None:
    """Its loop's name and parameters, and the bounds of where it is flat; None for one of a user's own."""
    affine = affine_of(act)
    of = affine.of if affine else act
    given = dict(of.parameters)
    name = of.name
    if name not in folder.ACTS or not set(given) <= set(activations.parameter_names(name)):
        return None
    if of != activations.get(name, **given):
        return None
    value = next(iter(given.values()), 1.0)
    # softplus and silu: f(beta z) / beta.
    p, q = np.float32(value), np.float32(1 / value if name in ("softplus", "silu") else 0)
    low, high = bounds(flat_regions(act) or (), np.dtype(np.float32))
    if affine is None:
        return name, p, q, low, high
    a, b, scale, shift = affine[1:]
    return loop_name(act), (p, q), tuple(map(np.float32, (a, b, scale, shift, scale * a))), low, high
