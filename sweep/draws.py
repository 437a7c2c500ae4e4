"""The random streams. A stream is keyed by what it is for, never by when or where it is drawn.

So layer l of a depth-50 network is layer l of the depth-10 network of the same seed, and a
cell's numbers do not depend on the order of execution.
"""

import numpy as np
from numpy.typing import NDArray

from sweep.initializers import Distribution
from sweep.normal import standard_normal

_INPUT, _WEIGHTS, _BIAS, _UPSTREAM = range(4)


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def inputs(seed: int, batch: int, width: int) -> NDArray[np.float32]:
    """x: (batch, width) N(0, 1); a smaller batch is the prefix of a larger one."""
    return standard_normal(_stream(seed, _INPUT, width), batch, width)


def upstream_gradient(seed: int, batch: int, width: int) -> NDArray[np.float32]:
    """G = dL/dh at the last layer: (batch, width) N(0, 1)."""
    return standard_normal(_stream(seed, _UPSTREAM, width), batch, width)


def weights(
    seed: int, distribution: Distribution, layer: int, fan_in: int, fan_out: int
) -> NDArray[np.float32]:
    """Z of one layer: (fan_in, fan_out), unit variance."""
    rng = _stream(seed, _WEIGHTS, distribution.key, layer, fan_in, fan_out)
    return distribution.draw(rng, fan_in, fan_out)


def biases(
    seed: int, distribution: Distribution | None, layer: int, fan_in: int, fan_out: int
) -> NDArray[np.float32]:
    """Unit biases of one layer: (fan_out,) N(0, 1)."""
    key = 0 if distribution is None else distribution.key
    return standard_normal(_stream(seed, _BIAS, key, layer, fan_in, fan_out), fan_out)
