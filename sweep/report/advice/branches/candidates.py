"""Weights and scales of a block's branch that are worth a look, with what theory says of each."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sweep import theory
from sweep.activations import Activation
from sweep.base import blocks
from sweep.base.blocks import AFTER, BEFORE, INSIDE, PRESETS, Block
from sweep.base.errors import RequestError
from sweep.experiment.outcomes.verdict import flat_share_of, verdict
from sweep.experiment.predictions.prediction import has_mean_mode
from sweep.report.advice.candidates import Survival, is_equal
from sweep.theory.blocks import Widening, block_prediction
from sweep.theory.gaussian.moments import gaussian
from sweep.theory.maps import Layer

GPT2, STABLE, DEEPNET = "GPT-2's rule", "Stable ResNet's rule", "DeepNet's rule"
GIVEN, DERIVED = "as it is", "all branches together add what the input has: E[h²] doubles"
_SCHEMES = (("xavier", 1.0), ("kaiming", math.sqrt(2)))
_MOST = 1e6  # that a branch may be scaled by
_DIGITS = re.compile(r"(\.\d{4})\d+")  # more of a number than a table shows


@dataclass(frozen=True, eq=False)
class Branch:
    """One scheme for all matrices of a block, and the sizes of its parameters.

    block: with them as they are typed. told: those that are not the block's own, 'v_scale=depth**-0.5'. rms,
    cosine, delta: theory's word on the last layer (over the input's), and on dL/dh at the input (NaN where
    it has none); word: its verdict. found: what was measured.
    """

    init: str
    sigma_w: float
    block: Block
    told: str
    why: str
    rms: float
    cosine: float
    delta: float
    word: str
    found: Survival | None = None

    def with_measured(self, found: Survival) -> "Branch":
        """The same with what was measured of it."""
        return replace(self, found=found)

    @property
    def healthy(self) -> bool:
        """Whether it was measured, and survived in every seed."""
        return self.found is not None and self.found.healthy == self.found.of

    @property
    def level(self) -> float:
        """The factor, above 1, by which signal or gradient changes at most: measured, or else predicted."""
        return (self.found or Survival(self.rms, self.delta)).level

    @property
    def name(self) -> str:
        """As a sentence names it."""
        return " ".join(filter(None, (self.init, self.told)))


def branches(act: Activation, block: Block, depth: int) -> list[Branch]:
    """What is worth a look for blocks of this kind, with the parameters that were given.

    Raises RequestError where the activation has no Gaussian moments.
    """
    gain = theory.gain(act)
    schemes = [*_SCHEMES]
    if not any(is_equal(gain, known) for _, known in schemes) and 1 / _MOST < gain < _MOST:
        schemes.append((f"variance_scaling scale={gain**2:.6g}", gain))
    if block.place == INSIDE:  # the norm takes their size away
        schemes = schemes[:1]
    found: list[Branch] = []
    for init, sigma_w in schemes:
        for changes, why in _settings(act, block, sigma_w, depth):
            try:
                sizes: dict[str, Any] = {name: blocks.size(name, value) for name, value in changes.items()}
                told = " ".join(f"{name}={value}" for name, value in changes.items())
                told = _DIGITS.sub(r"\1", told)
                one = predicted(act, init, sigma_w, replace(block, **sizes), told, why, depth)
            except (RequestError, FloatingPointError, OverflowError):  # its signal leaves all moments
                continue
            found.append(one)
    return _distinct(found)


def _distinct(found: Sequence[Branch]) -> list[Branch]:
    """Each once: a rule that gives what was asked for says why in its place."""
    once: dict[tuple[str, Block], Branch] = {}
    for one in found:
        key = one.init, one.block
        if key not in once or once[key].why == GIVEN:
            once[key] = one
    return list(once.values())


def _settings(
    act: Activation, block: Block, sigma_w: float, depth: int
) -> Iterator[tuple[dict[str, Any], str]]:
    """Parameters to change, and why."""
    yield {}, GIVEN
    if not block.skipped or not block.at(depth).number("alpha"):  # there is no branch to scale
        return
    size = "v_scale" if block.out else "alpha"
    if block.place == AFTER:
        yield dict(PRESETS["deepnet"].parameters), DEEPNET
    preset, rule = ("gpt2", GPT2) if block.out else ("stable_resnet", STABLE)
    yield {size: PRESETS[preset].parameters[size]}, rule
    if block.place != AFTER and (factor := _doubling(act, block, sigma_w, size, depth)):
        yield {size: f"{factor:.4g}*depth**-0.5"}, DERIVED


def _doubling(act: Activation, block: Block, sigma_w: float, size: str, depth: int) -> float:
    """c, with which a branch of size c / √depth doubles E[h²] over the network; 0 where none does.

    Means are left out: of `residual`, whose branch may have one, the middle alone would be right.
    """
    from scipy.optimize import brentq  # noqa: PLC0415

    at, means_of = block.at(depth), gaussian(act)
    of_w, of_v = at.number("w_scale") * sigma_w, at.number("v_scale") * sigma_w if block.out else 1.0

    def added(q: float) -> float:
        """E[y²] of a branch of size 1, below which E[h²] = q."""
        if block.act_first:
            return (of_w * means_of.at(math.sqrt(q)).rms) ** 2
        below = 1.0 if block.place == BEFORE else q
        of_branch = 1.0 if size == "alpha" else at.number("alpha")
        return (of_branch * of_v * means_of.at(of_w * math.sqrt(below)).rms) ** 2

    def excess(log_factor: float) -> float:
        square, q = math.exp(2 * log_factor) / depth / (1.0 if size == "alpha" else at.number(size) ** 2), 1.0
        for _ in range(depth):
            q = at.number("skip") ** 2 * q + square * added(q)
            if not q < _MOST:
                break
        return math.log(q) - math.log(2)

    low, high = math.log(1e-3), math.log(1e3)
    try:
        if not excess(low) < 0 < excess(high):
            return 0.0
        return math.exp(brentq(excess, low, high, xtol=1e-4))
    except (RequestError, FloatingPointError, OverflowError, ValueError, ZeroDivisionError):
        return 0.0


def predicted(
    act: Activation,
    init: str,
    sigma_w: float,
    block: Block,
    told: str,
    why: str,
    depth: int,
    known: bool = True,
) -> Branch:
    """One candidate with theory's word on it; known: whether Var W is, else there is no word."""
    if not known:
        return Branch(init, sigma_w, block, told, why, math.nan, math.nan, math.nan, "")
    of = _statistics(act, block, sigma_w, depth)
    rms, cosine, delta = of["rms"], float(of["sample_cosine"][-1]), float(of["delta_rms"][0])
    if has_mean_mode(block, of["mean"]):
        delta = math.nan
    layers = {
        "rms": rms[[0, -1]],
        "neuron_corr": np.full(2, math.nan),
        "flat": of["flat"][[0, -1]],
        "sample_cosine": np.array([math.nan, cosine]),
        "delta_std": np.array([1.0 if math.isnan(delta) else delta, 1.0]),
    }
    word = verdict(layers, flat_share_of(act))[0]
    return Branch(init, sigma_w, block, told, why, float(rms[-1] / rms[0]), cosine, delta, word)


def _statistics(act: Activation, block: Block, sigma_w: float, depth: int) -> dict[str, Any]:
    """Theory's, by layer, of matrices that keep their widths but for `expand`."""
    at = block.at(depth)
    wide = math.sqrt(at.expand) if at.out else 1.0
    of_w, of_v = at.number("w_scale") * sigma_w, at.number("v_scale") * sigma_w
    inner = Layer(of_w, of_w * wide)
    each = Widening(inner, Layer(of_v, of_v / wide) if at.out else None)
    with np.errstate(all="ignore"):
        return block_prediction(at, act, [each] * depth, 0.0, _BATCH).statistics


_BATCH = 100  # of a trial
