"""Finite width: the cosine of two inputs, whose law over seeds and pairs widens from layer to layer.

Of two inputs a, b with correlation c let A, B, X be a layer's means over n neurons of f_a², f_b² and
f_a f_b, where E[f²] = 1: X has mean C(c), the cosine map. The layer's cosine is c' = X / √(A B). To
first order in 1/n, with o = Var f², s = Cov(f_a², f_b²), k = Cov(f_a f_b, f_a²) at c:

    Var c'     = [s + 1 - C² - 2 C k + C² (o + s) / 2] / n
    E c' - C   = [C (3 o + s) / 4 - k] / n
    Cov(c', log A B) = [2 k - C (o + s)] / n

all 0 at c = 1, where s = k = o: inputs that look alike stay so. The code works in y = artanh c, which never
passes either end.

What strays in common is weighed by the inputs' squares: a pair counts by w = |h_a|² |h_b|² / (mean |h|²)².
Large signals lie closer together, for they met the same neurons. Under w a cosine moves on by the last
line, less what all inputs have in common, the same covariance with log (mean |h|²)²: κ 2 k - 2 C ρ o, with
ρ = s/o over all pairs and κ = √ρ where all pairs have one cosine, ρ where they have none on average. A
layer's part of w fades by the elasticity of the layers above it. Derived in docs/finite-width.md.
"""

from dataclasses import dataclass

import numpy as np

from sweep.base.arrays import Array
from sweep.theory.finite.fluctuations import Fluctuations
from sweep.theory.gaussian.nodes import gauss, hermite, regression

_NODES = 5
_STILL, _MOST = 3.5, 3.8  # artanh of the cosine from which on inputs look alike, and of the largest
_HIGHEST = 0.9999


@dataclass(frozen=True)
class Cosines:
    """Laws of y = artanh c by outer point: (outer, nodes) each.

    y, weights: of the law; moved: by how much w moves y; heavier: log of the mean of w.
    """

    y: Array
    weights: Array
    moved: Array
    heavier: Array


def cosines_of_inputs(c0: float, width: int, outer: int) -> Cosines:
    """Of Gaussian inputs with cosine c0, the same at every outer point: y ~ N(artanh c0, 1/width).

    1/n is the variance of Fisher's z, the artanh of a sample correlation.
    """
    x, weights = hermite(_NODES)
    y = np.arctanh(np.clip(c0, -_HIGHEST, _HIGHEST)) + (x / np.sqrt(width) if abs(c0) < 1 else 0 * x)
    nothing = np.zeros((outer, _NODES))
    return Cosines(nothing + _within(y), nothing + weights, nothing, nothing)


def all_alike() -> Cosines:
    """All inputs are one: c = 1, as nearly as y can say."""
    nothing = np.zeros((1, _NODES))
    return Cosines(nothing + _MOST, nothing + 1 / _NODES, nothing, nothing)


def cosines_after(
    cosines: Cosines,
    layer: Fluctuations,
    width: int,
    log_v: Array,
    weights: Array,
    share: Array,
    fades: Array,
) -> tuple[Array, Cosines]:
    """ρ = s/o, the share of a layer's fluctuation that inputs have in common, and the cosines it leaves.

    Below the layer c_pre = share · c + 1 - share, share = sigma_w² q / v; above it y has mean
    artanh C + bias/(1 - C²) + C Var c'/(1 - C²)² and variance Var c'/(1 - C²)², Var c' and bias as above.
    log_v, weights, share: (outer, points), the sizes of inputs, their weights, and the weights' part of v.
    fades: (outer, 1), the elasticity by which differences between inputs fade. ρ: (outer, points), the mean
    over pairs by weight w. The cosines have three points per node, not merged yet.
    """
    y = np.concatenate([cosines.y, _within(cosines.y + cosines.moved)], axis=1)  # plain; by weight
    share = share[:, :, None]
    own, cosine, squares, cubes = layer.pairs(log_v, share * np.tanh(y)[:, None, :] + 1 - share)
    count = cosines.y.shape[1]
    by_weight = cosines.weights * np.exp(cosines.heavier)
    by_weight = by_weight / by_weight.sum(axis=1, keepdims=True)
    parallel = squares / np.where(own > 0, own, 1.0)  # where below 0 they cancel, they do not add
    shared = np.clip((parallel[:, :, count:] * by_weight[:, None]).sum(axis=-1), 0.0, 1.0)
    common = np.where(own[..., 0] > 0, shared, 1.0)

    c = np.tanh(cosines.y)
    squared = np.maximum((cosines.weights * c * c).sum(axis=1), np.finfo(float).tiny)
    steady = (cosines.weights * c).sum(axis=1) ** 2 / squared
    rho, steady = common[:, :, None], steady[:, None, None]
    kappa = steady * np.sqrt(rho) + (1 - steady) * rho
    variance = squares + 1 - cosine**2 - 2 * cosine * cubes + cosine**2 * (own + squares) / 2
    variance = np.maximum(variance, 0.0) / width
    bias = (cosine * (3 * own + squares) / 4 - cubes) / width
    drift = (2 * cubes * (1 - kappa) - cosine * (own + squares) + 2 * cosine * rho * own) / width

    cosine = np.clip(cosine, -_HIGHEST, _HIGHEST)
    rest = 1 - cosine**2
    mapped = np.arctanh(cosine)
    moves = np.abs(mapped) < _STILL
    averaged = weights[:, None, :]
    mean = (averaged @ np.where(moves, mapped + bias / rest + cosine * variance / rest**2, mapped))[:, 0]
    spread = np.sqrt((averaged @ np.where(moves, variance / rest**2, 0.0))[:, 0, :count])
    pulled = (averaged @ np.where(moves, drift / rest, 0.0))[:, 0, count:]
    moved = fades * (mean[:, count:] - mean[:, :count]) + pulled
    heavier = fades * cosines.heavier + np.log1p(np.maximum((averaged @ squares)[:, 0, count:] / width, 0.0))

    x, x_weights = hermite(3)
    outer = len(mean)
    children = (_within(mean[:, :count])[:, :, None] + spread[:, :, None] * x).reshape(outer, -1)
    child_weights = (cosines.weights[:, :, None] * x_weights).reshape(outer, -1)
    return common, Cosines(
        children, child_weights, np.repeat(moved, 3, axis=1), np.repeat(heavier, 3, axis=1)
    )


def merge(cosines: Cosines, mix: Array) -> Cosines:
    """The cosines of new outer points, each the law Σ_old mix · old held by a Gauss rule; mix: (new, old)."""
    new = len(mix)

    def spread_out(values: Array) -> Array:
        return np.broadcast_to(values.ravel(), (new, values.size))

    old, weights = spread_out(cosines.y), (mix[:, :, None] * cosines.weights).reshape(new, -1)
    y, new_weights = gauss(old, weights, _NODES)
    moved = regression(old, weights, spread_out(cosines.moved), y)
    heavier = regression(old, weights, spread_out(cosines.heavier), y)
    return Cosines(y, new_weights, moved, heavier)


def _within(y: Array) -> Array:
    limited: Array = np.clip(y, -_MOST, _MOST)
    return limited
