"""The weights of several networks of one shape, together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.base.arrays import Array


@dataclass
class Weights:
    """Those of one layer of several networks.

    inner: W, (networks, fan_in, fan_out). bias: b, (networks, 1, fan_out), None where there is none. outer: V
    of a block, (networks, fan_out, next), or None.
    """

    inner: Array
    bias: Array | None = None
    outer: Array | None = None

    def of(self, chosen: Any) -> "Weights":
        """Those of some networks, copied; chosen: an index of several."""
        return self._each(lambda array: np.array(array[chosen]))

    def as_type(self, dtype: np.dtype[Any]) -> "Weights":
        """The same in arrays of this dtype."""
        return self._each(lambda array: array.astype(dtype))

    def _each(self, made: Callable[[Array], Array]) -> "Weights":
        bias, outer = (None if array is None else made(array) for array in (self.bias, self.outer))
        return Weights(made(self.inner), bias, outer)


@dataclass
class Network:
    """Several networks of one shape. readout: (networks, width, CLASSES); offset: its bias."""

    layers: list[Weights]
    readout: Array
    offset: Array

    def __len__(self) -> int:
        """How many."""
        return len(self.readout)

    def of(self, chosen: Any) -> "Network":
        """Some of them, copied; chosen: an index of several."""
        layers = [weights.of(chosen) for weights in self.layers]
        return Network(layers, np.array(self.readout[chosen]), np.array(self.offset[chosen]))


def joined(networks: Sequence[Network]) -> Network:
    """Networks of one shape, together."""
    layers = []
    for each in zip(*(network.layers for network in networks), strict=True):
        inner, bias, outer = (
            np.concatenate(there) if (there := [array for array in arrays if array is not None]) else None
            for arrays in zip(*((one.inner, one.bias, one.outer) for one in each), strict=True)
        )
        assert inner is not None
        layers.append(Weights(inner, bias, outer))
    readouts, offsets = zip(*((network.readout, network.offset) for network in networks), strict=True)
    return Network(layers, np.concatenate(readouts), np.concatenate(offsets))
