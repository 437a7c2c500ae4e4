"""The singular values of the Jacobian dh_L / dh_0: their mean square and how far they are apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from sweep.base import checks
from sweep.theory.gaussian.moments import Act, Gaussian, gaussian, over_a_period, waves
from sweep.theory.gaussian.nodes import normal_grid
from sweep.theory.maps import Layer, Prediction, alike, check_inputs, prediction

WEIGHTS = GAUSSIAN, ORTHOGONAL = "gaussian", "orthogonal"
_BASE = np.linspace(-13.0, 13.0, 27)  # edges of panels, in standard deviations
_PHASES = 512


@dataclass(frozen=True)
class Jacobian:
    """mean_square = E[s²] of the singular values s, spread = Var(s²) / E[s²]²: 0 where all are alike."""

    mean_square: float
    spread: float


def jacobian(
    act: Act,
    sigma_w: float,
    sigma_b: float = 0.0,
    depth: int = 10,
    weights: str = "gaussian",
    q0: float = 1.0,
) -> Jacobian:
    """The singular values s of dh_L / dh_0 of a wide plain network: dynamical isometry is s = 1 for all.

    sigma_w² = width · Var W; sigma_b: std of the biases; weights: 'gaussian', or 'orthogonal', sigma_w times
    an orthogonal matrix; q0 = E[h_0²]. With mu_k = E[f'(z)^2k] at layer l, E[s²] = Π sigma_w² mu_1 and
    Var(s²) / E[s²]² = Σ (mu_2 / mu_1² - 1 - s_1), s_1 = -1 for Gaussian weights, 0 for orthogonal ones. NaN
    where act' is not known, or 0 throughout. Raises RequestError for a wrong value. Pennington, Schoenholz
    and Ganguli 2017.
    """
    sigma_w, sigma_b, q0, _, _ = check_inputs(sigma_w, sigma_b, q0, 0.0, 1)
    checks.option("weights", weights, WEIGHTS)
    widths = (1,) * (checks.whole("depth", depth, 1) + 1)
    layers = alike(sigma_w, widths)
    return of_maps(act, prediction(act, layers, sigma_b, 1, q0, 1.0), layers, widths, (weights,) * depth)


def of_maps(
    act: Act,
    predicted: Prediction,
    layers: Sequence[Layer],
    widths: Sequence[int],
    weights: Sequence[str],
) -> Jacobian:
    """The same where the maps of these layers are known; widths: (depth + 1,); weights: (depth,), of WEIGHTS.

    Of min(N_0, N_L) singular values. With R = tr (J Jᵀ)² / (tr J Jᵀ)², which is 1/N_0 of the inputs, a layer
    adds (mu_2 / mu_1² - 1) / N_l, and Gaussian weights 1/N_l, orthogonal ones what N_l falls short of
    N_{l-1}, 1/N_l - 1/N_{l-1}; spread = min(N_0, N_L) R - 1.
    """
    means_of = gaussian(act)
    least, most = means_of.scales
    values = min(widths[0], widths[-1])
    spread = values / widths[0] - 1
    scales = predicted.statistics["pre_rms"][1:].tolist()
    for scale, kind, (below, above) in zip(scales, weights, pairwise(widths), strict=True):
        of_weights = 1 / above if kind == GAUSSIAN else max(0.0, 1 / above - 1 / below)
        of_slopes = slope_kurtosis(means_of, min(max(scale, least), most) if scale else 0.0) - 1
        spread += values * (of_slopes / above + of_weights)
    of_input = float(predicted.statistics["delta_rms"][0])
    mean_square = of_input * of_input * widths[0] / values
    return Jacobian(mean_square, spread if all(layer.sigma_in for layer in layers) else math.nan)


@lru_cache(maxsize=20_000)
def slope_kurtosis(means_of: Gaussian, scale: float) -> float:
    """E[f'⁴] / E[f'²]² at z ~ N(0, scale²); NaN where f' is 0 throughout, or not known."""
    act, means = means_of.act, means_of.at(scale)
    if not means.slope_rms:
        return math.nan
    if scale == 0:
        return 1.0
    if waves(act, scale):
        _, slope = over_a_period(act, _PHASES)
        return float(np.mean((slope / means.slope_rms) ** 4))
    edges = means.structure / scale
    x, weight = normal_grid(np.union1d(_BASE, edges[np.abs(edges) < _BASE[-1]]), 24)
    with np.errstate(all="ignore"):
        z = scale * x
        slope = np.asarray(act.derivative(z, act.f(z)), np.float64) / means.slope_rms
        return float(weight @ slope**4)
