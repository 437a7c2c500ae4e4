"""How much of a layer is flat: entries that pass no gradient, and neurons all of whose entries are such."""

import math
from typing import Any

import numpy as np

from sweep.activations import FLAT_SLOPE, Activation, flat_regions
from sweep.activations.regions import Regions
from sweep.base.arrays import Array

_MANY = 4096  # entries of a network above which a call to count its own is faster
_FEW = 32  # samples that rule out nearly every neuron that is not dead


class Flat:
    """Counts the flat entries, and the dead neurons: those that are flat for every sample.

    Both are NaN for a network with an entry whose slope is unknown.
    """

    def __init__(self, act: Activation, shape: tuple[int, ...]) -> None:
        seeds, self._batch, self._width = shape
        self._regions = flat_regions(act)
        self.needs_slope = self._regions is None
        self._flat = np.zeros(seeds)
        self._dead = np.full((seeds, self._width), self._regions != ())
        ends = [0.0 if low <= 0 <= high else min(abs(low), abs(high)) for low, high in self._regions or ()]
        self._nearest = min(ends, default=0.0)

    def add(self, seeds: slice, z: Array, derivative: Array | None, reach: float) -> None:
        """Count a chunk of some seeds; reach: a bound on abs(z), but for rounding."""
        if reach < 0.999 * self._nearest:  # a vanished signal
            self._dead[seeds] = False
            return
        if self._regions is None:
            assert derivative is not None
            mask = np.abs(derivative) < FLAT_SLOPE
            unknown = np.isnan(derivative).reshape(len(mask), -1).any(axis=1)
            self._flat[seeds][unknown] = math.nan
        elif self._regions:
            mask = _inside(z, *self._regions[0])
            for region in self._regions[1:]:
                mask |= _inside(z, *region)
        else:
            return
        if mask[0].size > _MANY:
            self._flat[seeds] += [np.count_nonzero(network) for network in mask]
        else:
            self._flat[seeds] += mask.reshape(len(mask), -1).sum(axis=1)
        if self._dead[seeds].any():
            dead = mask[:, :_FEW].all(axis=1)
            self._dead[seeds] &= mask.all(axis=1) if dead.any() else dead

    def add_counts(self, seeds: slice, counts: Array, rows: int) -> None:
        """Add how many of so many rows are flat in each neuron of some seeds: (seeds, width)."""
        self._flat[seeds] += counts.sum(axis=1)
        self._dead[seeds] &= counts == rows

    def shares(self) -> dict[str, Array]:
        """The share of flat entries and of dead neurons: name -> (seeds,)."""
        dead = np.where(np.isnan(self._flat), math.nan, self._dead.mean(axis=1))
        return {"flat": self._flat / (self._batch * self._width), "dead": dead}


def bounds(regions: Regions, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """The ends of closed intervals in a dtype, as they are compared with z: (regions,) each."""
    low, high = np.array(regions, np.float64).reshape(-1, 2).T.astype(dtype)
    return np.ascontiguousarray(low), np.ascontiguousarray(high)


def _inside(z: Array, low: float, high: float) -> Array:
    mask: Array
    if low == -math.inf:
        mask = z <= z.dtype.type(high)
    elif high == math.inf:
        mask = z >= z.dtype.type(low)
    else:
        mask = (z >= z.dtype.type(low)) & (z <= z.dtype.type(high))
    return mask
