"""What is learned: inputs of ten classes, apart in training and held-out ones; the same for all seeds.

Every input has unit second moment, so that q_0 = 1. `digits` are images of 64 pixels, turned into as many
neurons as there are by orthonormal rows, which keep all cosines. `mixture` is ten Gaussian classes: the
square of an input's cosine with the middle of its class is SHARE_OF_CLASS.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sweep.base.arrays import Array
from sweep.base.training import CLASSES, SHARE_OF_CLASS, SOURCES
from sweep.kernel.draws import streams
from sweep.kernel.inputs.digits import digits, of_unit_second_moment

_HELD_OUT = 5  # one in so many of every class
_MIDDLES, _AROUND = range(2)  # parts of what is drawn
_APART = 0  # the epoch, before any seed's first, whose order says which inputs are held out


@dataclass(frozen=True)
class Examples:
    """inputs: (count, width) float32. classes: (count,)."""

    inputs: Array
    classes: Array

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True)
class Lessons:
    """What is trained on, and what is held out."""

    training: Examples
    held_out: Examples


@lru_cache(maxsize=4)
def lessons(data: str, width: int) -> Lessons:
    """The set of that name for networks with so many inputs, 4 : 1, of every class; not to be written to."""
    inputs, classes = _MADE[data](width)
    inputs = of_unit_second_moment(inputs)
    source, held = SOURCES[data], np.zeros(len(classes), bool)
    drawn = streams.order(0, source.number, _APART, len(classes))
    for one in range(CLASSES):
        its = drawn[classes[drawn] == one]
        held[its[: round(len(its) / _HELD_OUT)]] = True
    parts = []
    for chosen in (~held, held):
        part = Examples(np.ascontiguousarray(inputs[chosen], np.float32), classes[chosen])
        for array in (part.inputs, part.classes):
            array.setflags(write=False)
        parts.append(part)
    assert tuple(map(len, parts)) == (source.training, source.held_out)
    return Lessons(*parts)


def _mixture(width: int) -> tuple[Array, Array]:
    """Ten Gaussian classes: (2000, width) float64, and which class each is of."""
    source = SOURCES["mixture"]
    each = (source.training + source.held_out) // CLASSES
    middles = streams.examples(source.number, _MIDDLES, CLASSES, width).astype(np.float64)
    around = streams.examples(source.number, _AROUND, CLASSES * each, width).astype(np.float64)
    classes = np.arange(CLASSES * each) % CLASSES
    return SHARE_OF_CLASS**0.5 * middles[classes] + (1 - SHARE_OF_CLASS) ** 0.5 * around, classes


_MADE = {"digits": digits, "mixture": _mixture}


class Batches:
    """The batches of one seed: passes over all training inputs, each in an order of its own, end to end."""

    def __init__(self, seed: int, data: str, count: int, size: int) -> None:
        self._seed, self._data, self._count, self._size = seed, SOURCES[data].number, count, size
        self._epoch, self._left = 0, np.empty(0, np.int64)

    def __next__(self) -> Array:
        """The numbers of the next batch's inputs: (size,)."""
        while len(self._left) < self._size:
            self._epoch += 1
            more = streams.order(self._seed, self._data, self._epoch, self._count)
            self._left = np.concatenate([self._left, more])
        batch, self._left = self._left[: self._size], self._left[self._size :]
        return batch
