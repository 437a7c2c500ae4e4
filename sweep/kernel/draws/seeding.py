"""NumPy's seeding of many streams at once: SeedSequence(seed, spawn_key=key) of every seed, bit for bit.

NumPy hashes seed by seed, 10 µs each, a fifth of the time of a network of ten neurons. Its hash is plain
arithmetic of 32-bit words and fixed for good (NEP 19): taken of all seeds together it costs 1 µs each.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

_POOL = 4  # words that everything is mixed into
_FEW = 8  # streams up to which NumPy's own is as fast
_SHIFT = np.uint32(16)
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_LEFT, _RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_MASK = 0xFFFFFFFF
_Words = NDArray[np.uint32]


def generators(seeds: Sequence[int], key: tuple[int, ...]) -> list[np.random.Generator]:
    """A PCG64 generator of each seed, with SeedSequence(seed, spawn_key=key)."""
    if len(seeds) <= _FEW or max(seeds) >> 64:
        sequences = [np.random.SeedSequence(seed, spawn_key=key) for seed in seeds]
        return [np.random.Generator(np.random.PCG64(one)) for one in sequences]
    known = map(_Known, states(seeds, key))
    return [np.random.Generator(np.random.PCG64(one)) for one in known]  # type: ignore[arg-type]  # as it may be


def states(seeds: Sequence[int], key: tuple[int, ...]) -> NDArray[np.uint64]:
    """What seeds a PCG64: (seeds, 4), the words of generate_state. seeds: below 2^64; key: not empty."""
    wide = np.array(seeds, np.uint64)
    pool: list[_Words] = []
    constants = _constants(_INIT_A, _MULT_A)
    none = np.zeros(len(wide), np.uint32)
    for word in ((wide & np.uint64(_MASK)).astype(np.uint32), (wide >> np.uint64(32)).astype(np.uint32)):
        pool.append(_hashed(word, constants))
    pool += [_hashed(none, constants) for _ in range(_POOL - len(pool))]
    for source in range(_POOL):
        for to in range(_POOL):
            if source != to:
                pool[to] = _mixed(pool[to], _hashed(pool[source], constants))
    for part in key:
        for value in _words(part):
            for to in range(_POOL):
                pool[to] = _mixed(pool[to], _hashed(np.array([value], np.uint32), constants))
    constants = _constants(_INIT_B, _MULT_B)
    halves = np.stack([_hashed(pool[number % _POOL], constants) for number in range(8)], axis=1)
    return halves.astype("<u4").view("<u8").astype(np.uint64)


class _Known(ISeedSequence):
    """A seed sequence whose state is known."""

    def __init__(self, state: NDArray[np.uint64]) -> None:
        self._state = state

    def generate_state(self, n_words: int, dtype: object = np.uint64) -> NDArray[np.uint64]:
        """The words that PCG64 asks for."""
        assert (n_words, dtype) == (len(self._state), np.uint64), "PCG64 is seeded by four 64-bit words"
        return self._state


def _constants(first: int, factor: int) -> Iterator[tuple[np.uint32, np.uint32]]:
    """What one word after another is hashed with: a constant before and one after it is multiplied."""
    while True:
        following = first * factor & _MASK
        yield np.uint32(first), np.uint32(following)
        first = following


def _hashed(value: _Words, constants: Iterator[tuple[np.uint32, np.uint32]]) -> _Words:
    before, after = next(constants)
    value = (value ^ before) * after
    return value ^ (value >> _SHIFT)


def _mixed(x: _Words, y: _Words) -> _Words:
    value: _Words = _LEFT * x - _RIGHT * y
    return value ^ (value >> _SHIFT)


def _words(part: int) -> list[int]:
    """A number as 32-bit words, the lowest first."""
    words = [part & _MASK]
    while part := part >> 32:
        words.append(part & _MASK)
    return words
