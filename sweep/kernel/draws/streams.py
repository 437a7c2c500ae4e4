"""The random streams, each keyed by what it is for, never by when or where it is drawn.

So a depth-50 network begins with the depth-10 network of the same seed, and a cell's numbers do not depend on
the order of execution.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sweep.initializers import NORMAL, Distribution
from sweep.initializers.normal import Write, standard_normals
from sweep.kernel.draws.seeding import generators

_INPUT, _WEIGHTS, _BIAS, _UPSTREAM, _OUT, _READOUT, _ORDER, _EXAMPLES = range(8)
_COMMON, _STUDENT, _ROWS = range(8, 11)  # of inputs of other laws
_MORE, _TOKENS = range(11, 13)  # of models that take several inputs, or whole numbers
_UNUSED = np.uint64(11)  # of the 64 bits of a word: 53 make a number in [0, 1)
_WORDS = 1 << 16  # drawn at once
Seeds = Sequence[int]
Drawn = NDArray[np.float32]


def inputs(seeds: Seeds, batch: int, width: int) -> Drawn:
    """x: (seeds, batch, width), N(0, 1); a smaller batch is a prefix of a larger one."""
    return standard_normals(_streams(seeds, _INPUT, width), batch, width)


def common_input(seeds: Seeds, width: int) -> Drawn:
    """What all inputs of a seed have in common: (seeds, 1, width), N(0, 1)."""
    return standard_normals(_streams(seeds, _COMMON, width), 1, width)


def student_inputs(seeds: Seeds, batch: int, width: int, df: float) -> Drawn:
    """x: (seeds, batch, width), Student's t of df, scaled to unit second moment; prefixes as with `inputs`.

    Bailey 1994, as Box and Muller for the normal law, which it is at df = ∞: √(df (u^(-2/df) - 1)) cos t is
    t_df, of variance df / (df - 2). The same u and t whatever df.
    """
    out = np.empty((len(seeds), batch, width), np.float32)
    rows = max(1, _WORDS // (2 * width))
    for x, rng in zip(out, _streams(seeds, _STUDENT, width), strict=True):
        for start in range(0, batch, rows):
            some = x[start : start + rows]
            words = rng.bit_generator.random_raw(2 * some.size).reshape(len(some), 2, width) >> _UNUSED
            u, turn = (words[:, 0] + 0.5) * 2.0**-53, words[:, 1] * (2 * np.pi * 2.0**-53)
            some[:] = np.sqrt((df - 2) * np.expm1(np.log(u) * (-2 / df))) * np.cos(turn)
    return out


def rows(seed: int, count: int, most: int) -> NDArray[np.int64]:
    """Which rows of so many a seed takes, `most` distinct ones: (most,); fewer are the first of more.

    Fisher and Yates's shuffle of all of them, as far as it is needed.
    """
    (rng,) = _streams([seed], _ROWS, count)
    words = rng.bit_generator.random_raw(most) >> _UNUSED
    left = count - np.arange(most)
    picks = np.arange(most) + np.minimum((words * 2.0**-53 * left).astype(np.int64), left - 1)
    moved: dict[int, int] = {}
    taken = []
    for place, pick in enumerate(picks.tolist()):
        taken.append(moved.get(pick, pick))
        moved[pick] = moved.get(place, place)
    return np.array(taken, np.int64)


def more_inputs(seed: int, number: int, batch: int, width: int) -> Drawn:
    """Another input of a model that takes several, the first being `inputs`: (batch, width), N(0, 1)."""
    drawn: Drawn = standard_normals(_streams([seed], _MORE, number, width), batch, width)[0]
    return drawn


def tokens(seed: int, number: int, count: int, below: int) -> NDArray[np.int64]:
    """Whole numbers from 0 to below - 1, all as likely: (count,); number: that of the input."""
    (rng,) = _streams([seed], _TOKENS, number, below)
    words = rng.bit_generator.random_raw(count) >> _UNUSED
    return np.minimum((words * (2.0**-53 * below)).astype(np.int64), below - 1)


def upstream_gradient(seeds: Seeds, batch: int, width: int) -> Drawn:
    """G = dL/dh of the last layer: (seeds, batch, width), N(0, 1)."""
    return standard_normals(_streams(seeds, _UPSTREAM, width), batch, width)


def weights(
    seeds: Seeds,
    distribution: Distribution,
    layer: int,
    fan_in: int,
    fan_out: int,
    write: Write | None = None,
    out: bool = False,
) -> Drawn:
    """Z of one layer: (seeds, fan_in, fan_out), of unit variance; write: as `standard_normals` takes it.

    out: that of V, the matrix out of a block's act, not of W.
    """
    streams = _streams(seeds, _OUT if out else _WEIGHTS, distribution.key, layer, fan_in, fan_out)
    return distribution.draw_each(streams, fan_in, fan_out, write)


def biases(
    seeds: Seeds,
    distribution: Distribution | None,
    layer: int,
    fan_in: int,
    fan_out: int,
    of: Distribution = NORMAL,
) -> Drawn:
    """Biases of one layer before they are scaled: (seeds, fan_out), of unit variance.

    distribution: that of the weights, which keys the stream. of: the biases' own.
    """
    key = 0 if distribution is None else distribution.key
    rngs = _streams(seeds, _BIAS, key, layer, fan_in, fan_out)
    return standard_normals(rngs, fan_out) if of == NORMAL else of.draw_each(rngs, 1, fan_out)[:, 0]


def readout(seeds: Seeds, width: int, classes: int) -> Drawn:
    """What reads classes off the last layer before it is scaled: (seeds, width, classes), N(0, 1)."""
    return standard_normals(_streams(seeds, _READOUT, width, classes), width, classes)


def order(seed: int, data: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order in which a pass over so many examples takes them: (count,); data: the number of the set."""
    (rng,) = _streams([seed], _ORDER, data, epoch)
    return np.argsort(rng.bit_generator.random_raw(count), kind="stable")


def examples(data: int, part: int, *shape: int) -> Drawn:
    """What a set of examples is made of, the same for all seeds: `shape`, N(0, 1); part: which of it."""
    drawn: Drawn = standard_normals(_streams([0], _EXAMPLES, data, part, *shape), *shape)[0]
    return drawn


def _streams(seeds: Seeds, *key: int) -> list[np.random.Generator]:
    return generators(seeds, key)
