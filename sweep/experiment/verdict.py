"""Statistics to a word: does the signal survive, and if not, how and where does it die?"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from sweep.activations import Activation, flat_share
from sweep.base import checks
from sweep.base.arrays import Array
from sweep.base.errors import RequestError, UserCodeError, unknown


@dataclass(frozen=True)
class Thresholds:
    """Where the words begin; with the reasons for the defaults. Raises RequestError for what cannot be.

    symmetric: neuron_corr at layer 1 this close to 1. Copies agree to rounding, float32's being 1e-7;
        random neurons of any scheme are far from it.
    exploding, vanishing: rms relative to the input's. Textbook failures shrink or grow e-fold per
        layer and pass any bound soon; xavier × tanh, which loses rms like 1/sqrt(depth), stays above 1e-2
        to depth 10,000.
    saturated: how far `flat` is from its share at unit variance, f0, on the way to 1. Half-way, for
        ReLU has f0 = 1/2 by design and tanh 0.008.
    collapsed: sample_cosine above which all inputs look alike: the angle between two is below 2.6°.
    gradient_vanishing, gradient_exploding: delta_std at layer 0, the upstream gradient having 1.
    """

    symmetric: float = 1e-6
    exploding: float = 1e3
    vanishing: float = 1e-2
    saturated: float = 0.5
    collapsed: float = 0.999
    gradient_vanishing: float = 1e-2
    gradient_exploding: float = 1e2

    def __post_init__(self) -> None:
        for name, value in vars(self).copy().items():
            grows = name in ("exploding", "gradient_exploding")
            bounds = {"minimum": 1.0} if grows else {"minimum": 0.0, "below": 1.0}
            number = checks.real(f"verdict.{name}", value, strictly=True, **bounds)
            object.__setattr__(self, name, number)

    @classmethod
    def of(cls, values: "Thresholds | Mapping[str, Any] | None") -> "Thresholds":
        """The thresholds of names and values, defaults where there is none.

        Raises RequestError for an unknown name, and where a value breaks its rule.
        """
        if isinstance(values, Thresholds):
            return values
        if not isinstance(values, Mapping | None):
            raise RequestError(f"verdict={values}: give names and values, as in verdict.vanishing=1e-3")
        names = [field.name for field in fields(cls)]
        for name in values or {}:
            if name not in names:
                raise unknown("verdict threshold", name, names)
        return cls(**(values or {}))

    @property
    def text(self) -> str | None:
        """What differs from the defaults, as canonical JSON; None where nothing does."""
        own = {name: value for name, value in vars(self).items() if value != getattr(DEFAULT, name)}
        return json.dumps(own, sort_keys=True) if own else None

    @property
    def meanings(self) -> dict[str, str]:
        """Every word in a line, with the numbers that decide."""
        return {
            "failed": "could not be computed",
            "symmetric": f"neuron_corr > 1 - {self.symmetric:g} at layer 1: neurons are copies of each other",
            "exploding": f"not finite, or rms > {self.exploding:g} × the input's",
            "vanishing": f"rms < {self.vanishing:g} × the input's",
            "saturated": f"flat > f0 + {self.saturated:g} (1 - f0), f0 the activation's at unit variance",
            "collapsed": f"sample_cosine > {self.collapsed:g}: all inputs look alike",
            "gradient-vanishing": f"delta_std at layer 0 < {self.gradient_vanishing:g}",
            "gradient-exploding": f"delta_std at layer 0 > {self.gradient_exploding:g}",
            "healthy": "none of these",
        }


# What a verdict is made of.
JUDGED = ("rms", "neuron_corr", "flat", "sample_cosine", "delta_std")
DEFAULT = Thresholds()
WORDS = tuple(DEFAULT.meanings)  # in the order in which they are tried


def verdict(
    layers: Mapping[str, Array], flat_share: float, thresholds: Thresholds = DEFAULT
) -> tuple[str, int | None]:
    """The first word that fits, and the layer from which on it does (None for 'healthy').

    layers: statistics by name, each (depth + 1,), by layer. flat_share: the activation's `flat`
    at unit variance. For a gradient, which travels down, the layer is the highest one below which
    it stays out of range.
    """
    several = {name: values[None] for name, values in layers.items()}
    (word,), (since,) = verdicts(several, flat_share, thresholds)
    return word, None if math.isnan(since) else int(since)


def verdicts(
    layers: Mapping[str, Array], flat_share: float, thresholds: Thresholds = DEFAULT
) -> tuple[list[str], Array]:
    """The same for several cells of one depth and activation: words, and layers, NaN for 'healthy'.

    layers: statistics by name, each (cells, depth + 1).
    """
    t = thresholds
    rms, corr = layers["rms"], layers["neuron_corr"]
    words = np.full(len(rms), "healthy", object)
    since = np.full(len(rms), np.nan)
    with np.errstate(invalid="ignore"):
        forward = (
            ("symmetric", np.arange(rms.shape[1]) >= np.where(corr[:, 1:2] > 1 - t.symmetric, 1, np.inf)),
            ("exploding", ~np.isfinite(rms) | (rms > t.exploding * rms[:, :1])),
            ("vanishing", rms < t.vanishing * rms[:, :1]),
            ("saturated", layers["flat"] > flat_share + t.saturated * (1 - flat_share)),
            ("collapsed", layers["sample_cosine"] > t.collapsed),
        )
        delta = layers["delta_std"][:, ::-1]  # last layer first: the way a gradient travels
        backward = (
            ("gradient-vanishing", delta < t.gradient_vanishing),
            ("gradient-exploding", delta > t.gradient_exploding),
        )
    for word, holds in (*forward, *backward):
        fits = holds[:, -1] & (words == "healthy")
        words[fits] = word
        since[fits] = _since(holds[fits])
        if word.startswith("gradient"):
            since[fits] = rms.shape[1] - 1 - since[fits]
    return words.tolist(), since


def flat_share_of(act: Activation) -> float:
    """The activation's share of flat units at unit variance; NaN, which nothing exceeds, if it has none."""
    try:
        with np.errstate(all="ignore"):
            return flat_share(act)
    except UserCodeError:  # a user's function that is not defined everywhere
        return math.nan


def _since(holds: Array) -> Array:
    """The index from which on each row of `holds` is true to the end."""
    broken = ~holds[:, ::-1]
    layers = holds.shape[1]
    return np.where(broken.any(axis=1), layers - broken.argmax(axis=1), 0)
