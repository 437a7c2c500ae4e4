"""What theory says of weights: the gains step by step, and how deep a network they keep healthy."""

import math

import numpy as np
from numpy.typing import NDArray

from sweep import activations, theory
from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.base.errors import RequestError
from sweep.experiment.verdict import DEFAULT, Thresholds, flat_share_of, verdicts
from sweep.theory.maps import layers_of, prediction
from sweep.theory.moments import Act, gaussian
from sweep.theory.width import log_rms_deviation

DEEPEST = 1000  # how far theory is followed
_LEVEL = 1e-9  # a slope this close to 1 is 1


def derivation(act: Act) -> list[str]:
    """The gains of an activation step by step, a line each: what `sweep.theory.gain` computes."""
    activation = activations.resolved(act, {})
    moments = theory.gaussian_moments(activation)
    gain = theory.gain(activation)
    variance = moments.second - moments.mean**2
    lines = [
        f"f(z) = {activation.formula}, z ~ N(0, 1): "
        f"E[f] = {moments.mean:.6g}, E[f²] = {moments.second:.6g}, E[f'²] = {moments.slope_second:.6g}",
        f"forward:  sigma_w² E[f²] = 1    ->  sigma_w = 1/√{moments.second:.6g} = {gain:.6g}"
        "   keeps the second moment: the gain",
    ]
    if variance > 0 and moments.mean:
        lines.append(
            f"forward:  sigma_w² Var[f] = 1   ->  sigma_w = 1/√{variance:.6g} = {variance**-0.5:.6g}"
            "   keeps the variance, not the second moment"
        )
    if moments.slope_second > 0:
        lines.append(
            f"backward: sigma_w² E[f'²] = 1   ->  sigma_w = 1/√{moments.slope_second:.6g} = "
            f"{moments.slope_second**-0.5:.6g}   keeps the gradient where v = 1"
        )
    lines.append(
        f"both at once: with the gain chi1 = {gain:.6g}² · {moments.slope_second:.6g} = "
        f"{gain**2 * moments.slope_second:.6g} per layer"
    )
    return [*lines, *_stability(gaussian(activation).at(1.0).elasticity), _edge_of_chaos(activation)]


def _stability(slope: float) -> list[str]:
    """Whether the fixed point v = 1 of V(v) = E[f(√v z)²] / E[f(z)²] attracts; slope: V'(1)."""
    if abs(slope - 1) < _LEVEL:
        return ["stability: V'(1) = 1: every variance stays where it is"]
    if slope < 1:
        return [f"stability: V'(1) = E[z f f'] / E[f²] = {slope:.4g} < 1: v = 1 attracts"]
    return [
        f"caution: V'(1) = E[z f f'] / E[f²] = {slope:.4g} > 1: the fixed point v = 1 repels, e-fold in "
        f"{1 / math.log(slope):.0f} layers",
        "         give the first layer sigma_w = 1 (E[x²] = 1 already) and normalise what is deeper",
    ]


def _edge_of_chaos(act: Activation) -> str:
    try:
        return f"edge of chaos without bias: sigma_w = {theory.critical_sigma_w(act):.6g}"
    except RequestError as error:
        return f"edge of chaos without bias: none ({str(error).partition(': ')[2]})"


def trusted_depth(act: Act, sigma_w: float, width: int, thresholds: Thresholds = DEFAULT) -> int | None:
    """The greatest depth, up to DEEPEST, at which theory finds the network healthy.

    Forward with the spread over seeds of its width: nineteen seeds in twenty are still inside. It also
    ends where that spread is not predicted: at depth / width beyond what `finite_width` reaches. None
    where it is predicted at no depth.
    """
    activation = activations.resolved(act, {})
    depth = 32
    while True:
        healthy = _is_healthy(activation, sigma_w, width, depth, thresholds)
        if healthy is None:
            return None
        ill = np.flatnonzero(~healthy)
        if len(ill) or depth >= DEEPEST:
            return min(max(int(ill[0]) - 1, 0) if len(ill) else depth, DEEPEST)
        depth *= 2


def _is_healthy(
    act: Activation, sigma_w: float, width: int, depth: int, thresholds: Thresholds
) -> NDArray[np.bool_] | None:
    """(depth + 1,): whether a network of 0 .. depth layers is, two standard deviations off on either side.

    None where the first layer's spread over seeds is not predicted.
    """
    widths = (width,) * (depth + 1)
    layers = layers_of([sigma_w / math.sqrt(width)] * depth, widths)
    shift, std = log_rms_deviation(act, layers, widths, 0.0, 100)
    if np.isnan(std[1]):
        return None
    predicted = prediction(act, layers, 0.0, 1).statistics
    with np.errstate(all="ignore"):
        typical = predicted["rms"] * np.exp(shift / 2)  # NaN, and so exploding, where not predicted
        low, high = typical * np.exp(-std), typical * np.exp(std)  # std is of log rms²: twice that of log rms
        delta = predicted["delta_rms"][0] / predicted["delta_rms"]  # at layer 0, of a network so deep
    rest = {
        "neuron_corr": _of_networks(math.nan, math.nan, depth),
        "flat": _of_networks(math.nan, predicted["flat"], depth),
        "sample_cosine": _of_networks(math.nan, predicted["sample_cosine"], depth),
        "delta_std": _of_networks(np.nan_to_num(delta, nan=0.0), 1.0, depth),  # NaN: none is left
    }
    share = flat_share_of(act)
    words = [
        verdicts({"rms": _of_networks(predicted["rms"][0], rms, depth), **rest}, share, thresholds)[0]
        for rms in (low, high)
    ]
    healthy: NDArray[np.bool_] = (np.array(words) == "healthy").all(axis=0)
    return healthy


def _of_networks(first: Array | float, last: Array | float, depth: int) -> Array:
    """(networks, 2): the input's and the last layer's statistic of the networks of 0 .. depth layers."""
    return np.stack(np.broadcast_arrays(first, last, np.empty(depth + 1))[:2], axis=1)
