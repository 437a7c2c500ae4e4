"""Statistics to a word: does the signal survive, and if not, how and where does it die?

Thresholds say where the words begin; they are no part of a cell's identity.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.activations import Activation, flat_share
from sweep.base import checks
from sweep.base.arrays import Array
from sweep.base.errors import RequestError, UserCodeError, unknown


@dataclass(frozen=True)
class Thresholds:
    """Where the words begin, and why there. Raises RequestError for a value that cannot be one.

    symmetric: neuron_corr at layer 1 this close to 1, or branch_corr where there is a skip, which adds inputs
        that differ to neurons that do not. Copies agree to rounding, float32's being 1e-7;
        random neurons of any scheme are far from it.
    exploding, vanishing: rms relative to the input's. Textbook failures shrink or grow e-fold per layer
        and soon pass any bound; xavier × tanh, whose rms falls like 1/sqrt(depth), stays above 1e-2 down
        to depth 10,000. With a norm before each branch rms grows like sqrt(depth), for every block adds as
        much to its square: that is healthy, and stays below 1e3 down to a depth of 500,000.
    saturated: how far `flat` is from its share at unit variance, f0, on the way to 1. Half-way, for
        ReLU has f0 = 1/2 by design and tanh 0.008.
    collapsed: sample_cosine above which all inputs look alike: the angle between two is below 2.6°.
    overflowing: the share of a rounded copy's h that its format cannot hold: any is too much, for one inf is
        in every sum of the next layer. underflowing: that of h, or of dL/dz, which rounds to 0: most of it.
        imprecise: round_cosine below which most of the copy's h is noise: at 0.9 its angle with h is 26°.
    gradient_vanishing, gradient_exploding: delta_std at layer 0, that of the upstream gradient being 1.
    """

    symmetric: float = 1e-6
    exploding: float = 1e3
    vanishing: float = 1e-2
    saturated: float = 0.5
    collapsed: float = 0.999
    overflowing: float = 0.0
    underflowing: float = 0.5
    imprecise: float = 0.9
    gradient_vanishing: float = 1e-2
    gradient_exploding: float = 1e2

    def __post_init__(self) -> None:
        for name, value in vars(self).copy().items():
            grows = name in ("exploding", "gradient_exploding")
            bounds = {"minimum": 1.0} if grows else {"minimum": 0.0, "below": 1.0}
            number = checks.real(f"verdict.{name}", value, strictly=name != "overflowing", **bounds)
            object.__setattr__(self, name, number)

    @classmethod
    def of(cls, values: "Thresholds | Mapping[str, Any] | None") -> "Thresholds":
        """The thresholds of these names and values, else the defaults; RequestError for a bad one."""
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
        changed = {name: value for name, value in vars(self).items() if value != getattr(DEFAULT, name)}
        return json.dumps(changed, sort_keys=True) if changed else None


DEFAULT = Thresholds()
THRESHOLDS = tuple(vars(DEFAULT))  # their names

# Statistics by name, each (cells, depth + 1); the thresholds; the activation's `flat` at unit variance, f0.
# Returns where the word holds: (cells, depth + 1) bool.
Rule = Callable[[Mapping[str, Array], Thresholds, float], Array]


@dataclass(frozen=True)
class Word:
    """One word of a verdict.

    meaning: when it is said, with the thresholds in braces. rule: the same of statistics; None where nothing
    is measured, or nothing wrong. letter, colour: how a map of verdicts shows it. mark: its sign beside any
    other number, '' where nothing is wrong. told: what a legend adds to the name.
    """

    name: str
    meaning: str
    letter: str
    colour: str
    rule: Rule | None = None
    mark: str = ""
    told: str = ""

    @property
    def legend(self) -> str:
        """The mark, and what it stands for."""
        return f"{self.mark} {self.name}{': ' * bool(self.told)}{self.told}"

    @property
    def of_format(self) -> bool:
        """Whether it is said of a copy in a number format."""
        return self.meaning.startswith("with a format")

    @property
    def backward(self) -> bool:
        """Whether it is said of gradients, which travel from the last layer to the first."""
        return self.name.startswith("gradient")


# In the order in which they are tried. Colours are paper where all is well, else tell what died and how;
# letters tell what greys cannot.
WORDS = {
    word.name: word
    for word in (
        Word("failed", "could not be computed", "×", "#ffffff", None, "×"),
        Word(
            "symmetric",
            "neuron_corr > 1 - {symmetric:g} at layer 1, or branch_corr where there is a skip: neurons are "
            "copies of each other",
            "=", "#b9a3cf", lambda of, t, f0: _from_layer_1(_copied(of) > 1 - t.symmetric),
            "=", "all neurons do the same thing",
        ),
        Word(
            "exploding", "not finite, or rms > {exploding:g} × the input's", "E", "#c8702a",
            lambda of, t, f0: ~np.isfinite(of["rms"]) | (of["rms"] > t.exploding * of["rms"][:, :1]),
            "▲",
        ),
        Word(
            "vanishing", "rms < {vanishing:g} × the input's", "V", "#27598b",
            lambda of, t, f0: of["rms"] < t.vanishing * of["rms"][:, :1],
            "▼",
        ),
        Word(
            "saturated", "flat > f0 + {saturated:g} (1 - f0), where f0 is the activation's at unit variance",
            "S", "#8fb8d6", lambda of, t, f0: of["flat"] > f0 + t.saturated * (1 - f0),
            "■", "most units pass no gradient",
        ),
        Word(
            "collapsed", "sample_cosine > {collapsed:g}: all inputs look alike", "C", "#7d8894",
            lambda of, t, f0: of["sample_cosine"] > t.collapsed,
            "●", "all inputs look alike",
        ),
        Word(
            "overflowing", "with a format: overflowed > {overflowing:g} at any layer", "O", "#a8443a",
            lambda of, t, f0: np.maximum.accumulate(_of_copy(of, "overflowed") > t.overflowing, axis=1),
            "◆", "the number format cannot hold it",
        ),
        Word(
            "underflowing", "with a format: zeroed or delta_zeroed > {underflowing:g} at any layer",
            "U", "#6f7fb5", lambda of, t, f0: _underflown(of, t.underflowing),
            "◇", "the number format turns it to 0",
        ),
        Word(
            "imprecise", "with a format: round_cosine < {imprecise:g}", "I", "#c9b27c",
            lambda of, t, f0: _of_copy(of, "round_cosine") < t.imprecise,
            "≈", "the number format leaves noise",
        ),
        Word(
            "gradient-vanishing", "delta_std at layer 0 < {gradient_vanishing:g}", "gV", "#5d8fb8",
            lambda of, t, f0: of["delta_std"] < t.gradient_vanishing,
            "▽",
        ),
        Word(
            "gradient-exploding", "delta_std at layer 0 > {gradient_exploding:g}", "gE", "#e8b06f",
            lambda of, t, f0: of["delta_std"] > t.gradient_exploding,
            "△",
        ),
        Word("healthy", "none of these", "H", "#fbfaf5"),
    )
}  # fmt: skip
ORDER = tuple(WORDS)
FAILED = 1 << ORDER.index("failed")  # the code of a cell that could not be computed: see `codes`
_HEALTHY = 1 << ORDER.index("healthy")
JUDGED = (
    "rms",
    "neuron_corr",
    "branch_corr",
    "flat",
    "sample_cosine",
    "delta_std",
    "round_cosine",
    "zeroed",
    "overflowed",
    "delta_zeroed",
)  # what a verdict is made of


def meanings(thresholds: Thresholds) -> dict[str, str]:
    """Every word in a line, with the numbers that decide."""
    return {name: word.meaning.format(**vars(thresholds)) for name, word in WORDS.items()}


def verdict(
    layers: Mapping[str, Array], flat_share: float, thresholds: Thresholds = DEFAULT
) -> tuple[str, int | None]:
    """The first word that fits, and the layer from which on it does (None for 'healthy').

    layers: statistics by name, each (depth + 1,). flat_share: the activation's `flat` at unit variance.
    For a gradient, which travels down, it is the highest layer from which down it stays out of range.
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
    held, since = codes(layers, flat_share, thresholds)
    return [words_of(code)[0] for code in held.tolist()], since


def codes(
    layers: Mapping[str, Array], flat_share: float, thresholds: Thresholds = DEFAULT
) -> tuple[NDArray[np.int64], Array]:
    """All words that hold of each cell, as a number (see `words_of`); the layer from which on the first does.

    layers: statistics by name, each (cells, depth + 1).
    """
    cells, depth = len(layers["rms"]), layers["rms"].shape[1] - 1
    held, since = np.zeros(cells, np.int64), np.full(cells, np.nan)
    for bit, word in enumerate(WORDS.values()):
        if word.rule is None:
            continue
        with np.errstate(invalid="ignore"):
            holds = word.rule(layers, thresholds, flat_share)
        holds = holds[:, ::-1] if word.backward else holds  # as the signal or the gradient travels
        fits = holds[:, -1]
        first = fits & (held == 0)
        since[first] = depth - _since(holds[first]) if word.backward else _since(holds[first])
        held[fits] |= 1 << bit
    held[held == 0] = _HEALTHY
    return held, since


@lru_cache(maxsize=1 << len(ORDER))
def words_of(code: int) -> tuple[str, ...]:
    """The words that a number stands for, in their order: its bits are those of ORDER."""
    return tuple(word for bit, word in enumerate(ORDER) if code >> bit & 1)


def flat_share_of(act: Activation) -> float:
    """The activation's share of flat units at unit variance; NaN, which nothing exceeds, if it has none."""
    try:
        with np.errstate(all="ignore"):
            return flat_share(act)
    except UserCodeError:  # a user's function, not defined everywhere
        return math.nan


def _copied(of: Mapping[str, Array]) -> Array:
    """How much neurons are copies: where h is added to, of what is added, for inputs are no copies."""
    branch = of.get("branch_corr")
    if branch is None:
        return of["neuron_corr"]
    return np.where(np.isnan(branch), of["neuron_corr"], branch)


def _of_copy(of: Mapping[str, Array], name: str) -> Array:
    """A statistic of a rounded copy, NaN where there is none."""
    return of[name] if name in of else np.full_like(of["rms"], np.nan)


def _underflown(of: Mapping[str, Array], most: float) -> Array:
    """From the first layer on whose h is lost, else from the highest one whose gradient is."""
    lost = np.maximum.accumulate(_of_copy(of, "zeroed") > most, axis=1)
    faded = _of_copy(of, "delta_zeroed") > most
    layer = np.arange(faded.shape[1])
    highest = np.where(faded, layer, -1).max(axis=1, keepdims=True)
    return np.where(lost.any(axis=1, keepdims=True), lost, (highest >= 0) & (layer >= highest))


def _from_layer_1(holds: Array) -> Array:
    """Of every layer from the first on, what holds of the first."""
    return np.broadcast_to(holds[:, 1:2], holds.shape) & (np.arange(holds.shape[1]) >= 1)


def _since(holds: Array) -> Array:
    """The index from which on each row of `holds` is true to the end."""
    broken = ~holds[:, ::-1]
    layers = holds.shape[1]
    return np.where(broken.any(axis=1), layers - broken.argmax(axis=1), 0)
