"""The maps layer by layer: every statistic that theory predicts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sweep.base import checks
from sweep.base.arrays import Array
from sweep.base.errors import RequestError
from sweep.theory.gaussian.correlation import Pair, pair
from sweep.theory.gaussian.moments import Act, Gaussian, gaussian

COLUMNS = ("rms", "mean", "std", "pre_rms", "sample_cosine", "flat", "delta_rms", "grad_rms")
_SETTLED = 4e-16  # a relative change that is rounding
_MOST_LOG = 1e300  # of a size that doubles its logarithm layer by layer
_SMALLEST, _LARGEST = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)
_LOG_LARGEST = math.log(_LARGEST)


@dataclass(frozen=True)
class Layer:
    """One layer of a network: sigma_in² = fan_in · Var W, sigma_out² = fan_out · Var W."""

    sigma_in: float
    sigma_out: float


@dataclass(frozen=True)
class Prediction:
    """Statistics by name, each (depth + 1,), NaN where there is none; layer 0 is the input.

    pairs: two inputs at every layer from 1 on. elasticity: d log q_l / d log q_{l-1}.
    """

    statistics: dict[str, Array]
    pairs: tuple[Pair, ...]
    elasticity: Array


def layers_of(weight_stds: Sequence[float], widths: Sequence[int]) -> tuple[Layer, ...]:
    """The layers of a network with these weights: sqrt(Var W) by layer, and its widths, input first."""
    return tuple(
        Layer(min(std * math.sqrt(fan_in), _LARGEST), min(std * math.sqrt(fan_out), _LARGEST))
        for std, (fan_in, fan_out) in zip(weight_stds, pairwise(widths), strict=True)
    )


def alike(sigma_w: float, widths: Sequence[int]) -> tuple[Layer, ...]:
    """The layers of a network with sigma_w² = fan_in · Var W at each, and its widths, input first.

    No size of one weight is computed on the way, which float64 may not hold where it holds sigma_w.
    """
    return tuple(
        Layer(sigma_w, min(sigma_w * math.sqrt(fan_out / fan_in), _LARGEST))
        for fan_in, fan_out in pairwise(widths)
    )


def prediction(
    act: Act,
    layers: Sequence[Layer],
    sigma_b: float | Sequence[float],
    batch: int,
    q0: float = 1.0,
    c0: float = 0.0,
) -> Prediction:
    """The maps from inputs of second moment q0 and cosine c0; RequestError where act has no moments.

    sigma_b: of every layer alike, or by layer.
    A signal beyond float64's range is 0 or inf and followed by its logarithm, so that what does not depend on
    its size, cosines and gradients, stays right. Without weights and biases, z = 0, every statistic is that
    of act(0); a cosine of zeros is NaN.
    """
    means_of = gaussian(act)
    least, most = means_of.scales
    depth = len(layers)
    columns = {name: np.full(depth + 1, math.nan) for name in COLUMNS}
    rms, cosine = math.sqrt(q0), c0
    _set(columns, 0, rms=rms, mean=0.0, std=rms, sample_cosine=cosine)
    pairs: list[Pair] = []
    elasticity, slopes, log_slopes, log_rms = np.full((4, depth + 1), math.nan)
    log_rms[0] = math.log(rms)
    scale_before = math.nan
    for number, (layer, of_biases) in enumerate(zip(layers, by_layer(sigma_b, depth), strict=True), start=1):
        signal = layer.sigma_in * rms
        scale, share = math.hypot(signal, of_biases), 0.0
        beyond = 0.0  # log of how far the scale lies beyond the last at which act is evaluated
        if not least < scale < most:
            log_signal, log_b = _log(layer.sigma_in) + log_rms[number - 1], _log(of_biases)
            log_scale = float(np.logaddexp(2 * log_signal, 2 * log_b)) / 2
            scale = 0.0 if log_scale == -math.inf else least if scale < 1 else most
            share = math.exp(2 * min(log_signal - log_scale, 0.0)) if scale else 0.0
            beyond = log_scale - math.log(scale) if scale else 0.0
        elif abs(scale - scale_before) <= _SETTLED * scale:
            scale = scale_before
        scale_before = scale
        if not beyond and scale:
            share = (signal / scale) ** 2
        correlation = share * cosine + (1 - share)  # without weights and biases all inputs look alike
        if abs(correlation) > 1 - _SETTLED:
            correlation = math.copysign(1.0, correlation)
        means = means_of.at(scale)
        together = _pair(means_of, scale, correlation)
        elasticity[number] = share * means.elasticity
        slopes[number] = means.slope_rms
        log_slopes[number], log_rms[number] = _log(means.slope_rms), _log(means.rms)
        if beyond:  # act goes on as the power law that it is there
            log_slopes[number] = _limited(log_slopes[number] + power_of_slope(means_of, scale) * beyond)
            slopes[number] = _exp(log_slopes[number])
            log_rms[number] = _limited(log_rms[number] + means.elasticity * beyond)
        rms, cosine = _exp(log_rms[number]) if beyond else means.rms, together.cosine
        pairs.append(together)
        factor = rms / means.rms if beyond and means.rms else 1.0
        _set(
            columns, number, rms=rms, mean=means.mean and means.mean * factor,
            std=means.std and means.std * factor, pre_rms=_exp(math.log(scale) + beyond) if beyond else scale,
            sample_cosine=cosine, flat=means_of.flat(scale),
        )  # fmt: skip
    _send_back(columns, layers, slopes, batch, log_slopes, log_rms)
    return Prediction(columns, tuple(pairs), elasticity)


def by_layer(sigma_b: float | Sequence[float], depth: int) -> tuple[float, ...]:
    """sigma_b of every layer: (depth,)."""
    return (sigma_b,) * depth if isinstance(sigma_b, (int, float)) else tuple(sigma_b)


def _log(size: float) -> float:
    return math.log(size) if size else -math.inf


def _limited(log: float) -> float:
    return min(max(log, -_MOST_LOG), _MOST_LOG) if log > -math.inf else log


def power_of_slope(means_of: Gaussian, scale: float) -> float:
    """p of sqrt(E[act'²]) ~ scale^p next to this scale: 0 where act is a line, -1/2 where it is a step."""
    here, nearer = (means_of.at(s).slope_rms for s in (scale, scale / 2 if scale > 1 else scale * 2))
    if not (0 < here < math.inf and 0 < nearer < math.inf):
        return 0.0
    power = math.log2(here / nearer) if scale > 1 else math.log2(nearer / here)
    return round(2 * power) / 2


def _exp(log: float) -> float:
    """exp; 0 or inf beyond float64's range."""
    return math.inf if log >= _LOG_LARGEST else math.exp(log)


def _pair(means_of: Gaussian, scale: float, correlation: float) -> Pair:
    if correlation == 1 and scale:
        means = means_of.at(scale)
        return Pair(1.0, means.slope_rms * means.slope_rms, pair(means_of, scale, 1.0).squares)
    return pair(means_of, scale, correlation)


def _set(columns: dict[str, Array], layer: int, **values: float) -> None:
    for name, value in values.items():
        columns[name][layer] = value


def _send_back(
    columns: dict[str, Array],
    layers: Sequence[Layer],
    slopes: Array,
    batch: int,
    log_slopes: Array,
    log_rms: Array,
) -> None:
    """Set delta_rms, from the last layer's 1 down, and grad_rms, whatever the size of the forward signal.

    By their logarithms where a factor leaves float64's range.
    """
    delta, grad, rms = columns["delta_rms"], columns["grad_rms"], columns["rms"]
    delta[-1] = 1.0
    log_delta = 0.0
    with np.errstate(all="ignore"):
        for number in range(len(layers), 0, -1):
            sigma_out = layers[number - 1].sigma_out
            log_passed = log_delta + float(log_slopes[number])
            log_delta = log_passed + _log(sigma_out)
            passed = slopes[number] * (delta[number] if delta[number] >= _SMALLEST else 0.0)
            delta[number - 1] = sigma_out * passed
            if not 0 < delta[number - 1] < math.inf:
                delta[number - 1] = _exp(log_delta)
            grad[number] = math.sqrt(batch) * rms[number - 1] * passed
            if not 0 < grad[number] < math.inf or rms[number - 1] < _SMALLEST:
                grad[number] = _exp(math.log(batch) / 2 + log_rms[number - 1] + log_passed)


def check_inputs(
    sigma_w: float, sigma_b: float, q0: float, c0: float, batch: int
) -> tuple[float, float, float, float, int]:
    """The arguments that every map takes; RequestError where one breaks its rule."""
    sigma_w, sigma_b = checks.real("sigma_w", sigma_w, 0.0), checks.real("sigma_b", sigma_b, 0.0)
    q0, c0 = checks.real("q0", q0, 0.0, strictly=True), checks.real("c0", c0)
    if abs(c0) > 1:
        raise RequestError(f"c0={c0:g}: c0 is the cosine of two inputs, a number from -1 to 1")
    return sigma_w, sigma_b, q0, c0, checks.whole("batch", batch, 1)
