"""Standard normal draws, float32: Box and Muller 1958, over whole arrays.

Three times as fast as the generator's own ziggurat, which draws number by number: a tenth of the kernel's
time, with products stacked.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

_WORDS = 1 << 14  # 64-bit words drawn at once: their temporaries stay in L2
_HALF_TURN = np.float32(math.pi / 2**31)
# (words, out): writes two draws from every word to out, (rows, 2 · words of each).
Write = Callable[[NDArray[np.uint64], NDArray[np.float32]], None]


def standard_normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """N(0, 1) of that shape; the draws of a smaller first axis are the prefix of a larger one's.

    One 64-bit word makes two draws, r cos t and r sin t: r = sqrt(-2 ln u) with u from its lower half, t
    from its upper half. No draw lies beyond sqrt(66 ln 2) = 6.8.
    """
    draws: NDArray[np.float32] = standard_normals([rng], *shape)[0]
    return draws


def standard_normals(
    rngs: Sequence[np.random.Generator], *shape: int, write: Write | None = None
) -> NDArray[np.float32]:
    """The same for every generator: (rngs, *shape). Small shapes are drawn together, ten calls for all.

    write: makes draws of words, in place of `box_muller`.
    """
    write = write or box_muller
    size = math.prod(shape)
    pairs = (size + 1) // 2
    out = np.empty((len(rngs), 2 * pairs), np.float32)
    together = max(1, _WORDS // max(1, pairs))
    for first in range(0, len(rngs), together):
        for start in range(0, pairs, _WORDS):
            count = min(_WORDS, pairs - start)
            drawn = [_words(rng, count) for rng in rngs[first : first + together]]
            words = drawn[0] if len(drawn) == 1 else np.concatenate(drawn)
            write(words, out[first : first + together, 2 * start : 2 * (start + count)])
    return out[:, :size].reshape(len(rngs), *shape)


def box_muller(words: NDArray[np.uint64], out: NDArray[np.float32]) -> None:
    """Write two draws from every word to `out`: (rows, 2 · words of each)."""
    halves = words.view("<u4")
    r = halves[0::2].astype(np.float32)
    r += 0.5  # never 0
    r *= 2.0**-32
    np.log(r, out=r)
    r *= -2.0
    np.sqrt(r, out=r)
    angle = halves[1::2].view("<i4").astype(np.float32)
    angle *= _HALF_TURN
    shape = out.shape[0], out.shape[1] // 2
    np.multiply(r.reshape(shape), np.cos(angle).reshape(shape), out=out[:, 0::2])
    np.multiply(r.reshape(shape), np.sin(angle).reshape(shape), out=out[:, 1::2])


def _words(rng: np.random.Generator, count: int) -> NDArray[np.uint64]:
    """Random 64-bit words, little-endian whatever the machine."""
    bits = rng.bit_generator
    if isinstance(bits, np.random.MT19937):  # its raw words have 32 bits
        return np.frombuffer(rng.bytes(8 * count), "<u8")
    words: NDArray[np.uint64] = bits.random_raw(count)
    return words.astype("<u8", copy=False)
