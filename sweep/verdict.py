"""Statistics to a word: does the signal survive, and if not, how and where does it die?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Thresholds:
    """Where the words begin.

    symmetric: neuron_corr at layer 1 this close to 1: the neurons are copies of each other.
    exploding, vanishing: rms relative to the input's.
    collapsed: sample_cosine above which all inputs look alike.
    gradient: delta_std at layer 0 outside this range, the upstream gradient having 1.
    """

    symmetric: float = 1e-6
    exploding: float = 1e3
    vanishing: float = 1e-2
    collapsed: float = 0.999
    gradient: tuple[float, float] = (1e-2, 1e2)


DEFAULT = Thresholds()
WORDS = (
    "failed",
    "symmetric",
    "exploding",
    "vanishing",
    "saturated",
    "collapsed",
    "gradient-vanishing",
    "gradient-exploding",
    "healthy",
)


def verdict(
    layers: Mapping[str, Array], flat_share: float, thresholds: Thresholds = DEFAULT
) -> tuple[str, int | None]:
    """The first word that fits, and the layer from which on it does (None for 'healthy').

    layers: statistics by name, each (depth + 1,), by layer. flat_share: the activation's `flat`
    at unit variance; halfway from there to 1 a layer counts as saturated. For a gradient, which
    travels down, the layer is the highest one below which it stays out of range.
    """
    t = thresholds
    rms, corr = layers["rms"], layers["neuron_corr"]
    if corr[1] > 1 - t.symmetric:
        return "symmetric", 1
    with np.errstate(invalid="ignore"):
        forward = (
            ("exploding", ~np.isfinite(rms) | (rms > t.exploding * rms[0])),
            ("vanishing", rms < t.vanishing * rms[0]),
            ("saturated", layers["flat"] > (1 + flat_share) / 2),
            ("collapsed", layers["sample_cosine"] > t.collapsed),
        )
        delta = layers["delta_std"][::-1]  # last layer first: the way a gradient travels
        backward = (
            ("gradient-vanishing", delta < t.gradient[0]),
            ("gradient-exploding", delta > t.gradient[1]),
        )
    for word, holds in forward:
        if holds[-1]:
            return word, _since(holds)
    for word, holds in backward:
        if holds[-1]:
            return word, len(delta) - 1 - _since(holds)
    return "healthy", None


def _since(holds: Array) -> int:
    """The index from which on `holds` is true to the end."""
    broken = np.flatnonzero(~holds)
    return int(broken[-1]) + 1 if len(broken) else 0
