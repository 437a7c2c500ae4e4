"""Does the signal survive at a depth and width? Theory's word, with its spread over seeds.

A seed strays from the mean field. How far log rms² does is `sweep.theory.finite_width`'s. A gradient, and the
distance between two inputs, are carried by one product of Jacobians, each of whose layers adds

    (3 E[f'⁴] / E[f'²]² - 1) / n

to the variance of log δ²: W is drawn afresh and Gaussian, so every entry of Wᵀδ is Gaussian (5/n for ReLU,
Hanin and Nica 2020). That is a single input's; a batch strays less.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.experiment.outcomes.verdict import DEFAULT, Thresholds, flat_share_of, verdicts
from sweep.theory.finite.width import log_rms_deviation
from sweep.theory.gaussian.correlation import pair
from sweep.theory.gaussian.moments import gaussian
from sweep.theory.maps import alike, prediction

BATCH = 100  # of a trial: so many inputs are averaged over
_SIGMAS = 2.0  # standard deviations: nineteen seeds in twenty are closer
_UNKNOWN = math.log(10)  # in log rms, where no spread is predicted: two of them are a factor of 100
_TOLERANCE = 0.05  # LSUV's, in log rms: Var z within 0.1 of 1
_REACH = np.linspace(-6, 6, 2401)  # z / scale
_DENSITY = np.exp(-(_REACH**2) / 2) / np.exp(-(_REACH**2) / 2).sum()


@dataclass(frozen=True, eq=False)
class Outlook:
    """Theory's word on the networks of 0 .. depth layers of one kind: each (depth + 1,).

    log_rms_std, log_delta_std: over seeds, NaN where not known. rms: at the last layer over the input's.
    delta: dL/dh at the input over the last layer's. words: the typical network's verdict. sure: healthy two
    standard deviations off on either side. possible: healthy somewhere between. mean_field: the verdict of
    a network so wide that its seeds are all alike.
    """

    rms: Array
    delta: Array
    words: NDArray[np.object_]
    sure: NDArray[np.bool_]
    possible: NDArray[np.bool_]
    mean_field: NDArray[np.object_]
    log_rms_std: Array
    log_delta_std: Array

    def __repr__(self) -> str:
        return f"<Outlook on depths 0 to {self.followed_to}, good to {self.good_to}>"

    @property
    def of_orthogonal(self) -> "Outlook":
        """Of orthogonal weights, which keep every norm: they stray no farther than independent ones do."""
        possible = self.possible | (self.mean_field == "healthy")
        return replace(self, words=self.mean_field, possible=possible)

    @property
    def followed_to(self) -> int:
        """The greatest depth that it speaks of."""
        return len(self.sure) - 1

    @property
    def good_to(self) -> int:
        """The depth down to which every network is surely healthy."""
        ill = np.flatnonzero(~self.sure[1:])
        return int(ill[0]) if len(ill) else len(self.sure) - 1


@dataclass(frozen=True, eq=False)
class _Typical:
    """By layer 0 .. depth: what the mean field says, and scale, the rms of what enters f, (depth + 1,)."""

    rms: Array
    flat: Array
    cosine: Array
    scale: Array
    shift: Array  # of log rms, from the mean field's to the typical seed's
    spread: Array  # two standard deviations of log rms; NaN where not predicted


def outlook(
    act: Activation,
    sigma_w: float,
    width: int,
    depth: int,
    sigma_b: float = 0.0,
    thresholds: Thresholds = DEFAULT,
) -> Outlook:
    """Independent weights of variance sigma_w² / width, biases of variance sigma_b², at every layer.

    Raises RequestError where the activation has no Gaussian moments on the way.
    """
    widths = (width,) * (depth + 1)
    layers = alike(sigma_w, widths)
    with np.errstate(all="ignore"):
        of = prediction(act, layers, sigma_b, 1).statistics
        shift, std = log_rms_deviation(act, layers, widths, sigma_b, BATCH)
    typical = _Typical(
        of["rms"], of["flat"], of["sample_cosine"], of["pre_rms"], shift / 2, _SIGMAS * std / 2
    )
    return _judged(act, typical, np.full(depth, sigma_w), width, thresholds)


def outlook_of_lsuv(act: Activation, width: int, depth: int, thresholds: Thresholds = DEFAULT) -> Outlook:
    """LSUV's, which keeps Var z = 1 at every layer whatever becomes of it elsewhere."""
    means_of = gaussian(act)
    at = means_of.at(1.0)
    cosine = np.zeros(depth + 1)
    for layer in range(1, depth + 1):
        cosine[layer] = min(pair(means_of, 1.0, float(cosine[layer - 1])).cosine, 1.0)
    rms = np.array([1.0] + [at.rms] * depth)
    ones = np.ones(depth + 1)
    typical = _Typical(rms, means_of.flat(1.0) * ones, cosine, ones, 0 * ones, _TOLERANCE * ones)
    sigma_w = np.array([1.0] + [1 / at.rms] * (depth - 1))  # E[x²] = 1 already
    return _judged(act, typical, sigma_w, width, thresholds)


def _judged(
    act: Activation, typical: _Typical, sigma_w: Array, width: int, thresholds: Thresholds
) -> Outlook:
    means_of = gaussian(act)
    scales = typical.scale[1:]
    with np.errstate(all="ignore"):
        slopes = np.array([means_of.at(scale).slope_rms if scale < math.inf else 0.0 for scale in scales])
        log_delta = np.concatenate([[0.0], np.cumsum(np.log(sigma_w * slopes))])
        jacobian = np.concatenate([[0.0], np.cumsum(_slope_noise(act, scales) / width)])  # Var log δ²
        known = np.isfinite(typical.spread) & np.isfinite(jacobian)
        shift = np.where(known, typical.shift, 0.0)
        wide = np.where(known, typical.spread, _SIGMAS * _UNKNOWN)
        away = np.where(known, _SIGMAS * np.sqrt(jacobian) / 2, _SIGMAS * _UNKNOWN)  # of log δ
        fades = np.where(known, jacobian / 4, 0.0)  # the mean of δ² is the mean field's; its log lies lower
        share = np.sqrt(typical.flat * (1 - typical.flat) / width)  # of n neurons
        ends = [
            _of_networks(
                typical.rms[0],
                typical.rms * np.exp(shift + side * wide),
                typical.flat - side * _SIGMAS * share,
                1 - (1 - typical.cosine) * np.exp(2 * (side * away - (side < 0) * fades)),
                np.exp(log_delta + side * away - (side < 0) * fades),
            )
            for side in (-1, 0, 1)
        ]
        ends.append(
            _of_networks(typical.rms[0], typical.rms, typical.flat, typical.cosine, np.exp(log_delta))
        )
        words = np.array([verdicts(end, flat_share_of(act), thresholds)[0] for end in ends], object)
        delta = np.exp(log_delta)
    healthy = words[:3] == "healthy"
    sure, possible = healthy.all(axis=0) & known, healthy.any(axis=0)
    spreads = typical.spread / _SIGMAS, np.sqrt(jacobian) / 2
    return Outlook(typical.rms / typical.rms[0], delta, words[1], sure, possible, words[3], *spreads)


def _of_networks(first: float, rms: Array, flat: Array, cosine: Array, delta: Array) -> dict[str, Array]:
    """What a verdict takes of networks of 0 .. depth layers: (networks, 2), the input's and the last's."""

    def pairs(of_input: Array | float, last: Array | float) -> Array:
        return np.stack(np.broadcast_arrays(of_input, last, rms)[:2], axis=1)

    return {
        "rms": pairs(first, rms),
        "neuron_corr": pairs(math.nan, math.nan),
        "flat": pairs(math.nan, flat),
        "sample_cosine": pairs(math.nan, cosine),
        "delta_std": pairs(np.nan_to_num(delta, nan=0.0), 1.0),  # NaN: none is left
    }


def _slope_noise(act: Activation, scales: Array) -> Array:
    """3 E[f'⁴] / E[f'²]² - 1 at z ~ N(0, scale²) of every scale; NaN where f' is 0 or not known."""
    rounded = np.array([float(f"{scale:.3g}") for scale in scales])  # three digits of a spread are enough
    different, where = np.unique(np.clip(rounded, 1e-100, 1e100), return_inverse=True)
    noise = np.empty(len(different))
    for index, scale in enumerate(different):
        z = scale * _REACH
        slope = np.asarray(act.derivative(z, act.f(z)), np.float64)
        slope = slope / np.abs(slope).max()
        noise[index] = 3 * (_DENSITY @ slope**4) / (_DENSITY @ slope**2) ** 2 - 1
    return noise[where]
