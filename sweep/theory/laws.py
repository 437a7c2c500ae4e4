"""Finite width: the law over seeds of log q, q_a = |h_a|²/n of input a, held as a few weighted points.

log q_a = S + δ_a: S is common to all inputs of a seed, δ_a an input's own, E[exp δ_a] = 1. Derived in
docs/finite-width.md.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sweep.base.arrays import Array
from sweep.theory.gaussian.nodes import gauss, log_gamma, log_mean_exp, log_mean_moments, shares, skewed

PARTED, _ALONE = 7, 13  # points of S and of δ where the map drives them apart; of a single input
_NOTHING = 2e-6  # a std that is the laws' rounding
_NO_WEIGHT = 1e-12  # of a point that a Gauss rule does not need


@dataclass(frozen=True, eq=False)
class Law:
    """log q_a = S + δ_a of one layer, at points x: (outer, inner), a row for each point of S.

    weights: (outer,) of S over seeds; within: (outer, inner) of δ over the inputs of a seed; each sums to 1.
    extra: the variance of S beyond that of its points. mean_field: log q of an infinitely wide network.
    known: False where nothing is predicted.
    """

    x: Array
    within: Array
    weights: Array
    extra: float
    mean_field: float
    known: bool = True


UNKNOWN = Law(np.zeros((1, 1)), np.ones((1, 1)), np.ones(1), 0.0, 0.0, known=False)


def law_of_inputs(log_q0: float, width: int, alone: bool, c0: float) -> Law:
    """log q_a of Gaussian inputs, E[q_a] = q0 and cosine c0: q_a/q0 is χ²(n)/n, Cov(q_a, q_b) = c0² Var q_a.

    width: n. alone: of a single input. c0² of the variance of log q_a goes to S, the rest to δ.
    """
    common = c0 * c0
    x, weights = log_gamma(_ALONE if alone else PARTED, width / 2)
    if alone or common == 0:
        return Law(log_q0 + x[None], weights[None], np.ones(1), 0.0, log_q0)
    if common == 1:  # an input and its mirror image
        same = np.ones((PARTED, PARTED))  # the layers will need points of δ
        return Law(log_q0 + x[:, None] * same, same / PARTED, weights, 0.0, log_q0)
    mean = weights @ x
    variance = weights @ (x - mean) ** 2
    s, of_s = skewed(np.array(common * mean), np.sqrt(common * variance))
    delta, of_delta = skewed(np.array((1 - common) * mean), np.sqrt((1 - common) * variance))
    return Law(log_q0 + s[:, None] + delta, np.ones((len(s), 1)) * of_delta, of_s, 0.0, log_q0)


def condense(
    x: Array, within: Array, weights: Array, extra: float, mean_field: float, outer: int, inner: int
) -> tuple[Law, Array]:
    """A law of many points held by `outer` of S and `inner` of δ, with the first moments of both.

    x, within: (points of S, …); weights: (points of S,). Also returned: the shares of the old points of S in
    each new one, (outer, points of S). S is log E[q | S], so that E[exp δ] stays 1.
    """
    x, within = x.reshape(len(weights), -1), within.reshape(len(weights), -1)
    common = log_mean_exp(x, within)
    if outer == len(weights):  # the points of S stay
        points, inside = gauss(x, within, inner)
        return Law(points, inside, weights, extra, mean_field), np.eye(outer)
    order = np.argsort(common)
    points, of_points = gauss(common[order], weights[order], outer)
    points, of_points = points[of_points > _NO_WEIGHT], of_points[of_points > _NO_WEIGHT]
    of_points = of_points / of_points.sum()
    mix = np.zeros((len(of_points), len(weights)))
    mix[:, order] = shares(weights[order], of_points)
    most = int((mix > 0).sum(axis=1).max())
    taken = np.argsort(-mix, axis=1)[:, :most]  # the rest has no share
    part = np.take_along_axis(mix, taken, axis=1)[:, :, None] * within[taken]
    apart = (x - common[:, None])[taken]
    delta, inside = gauss(apart.reshape(len(mix), -1), part.reshape(len(mix), -1), inner)
    delta = delta - log_mean_exp(delta, inside)[:, None]
    return Law(points[:, None] + delta, inside, of_points, extra, mean_field), mix


@lru_cache(maxsize=4096)
def moments_of(law: Law, batch: int) -> tuple[float, float]:
    """Mean, less the mean field, and standard deviation over seeds of log rms² = S + log mean_a exp δ_a.

    The mean runs over `batch` independent draws of δ. The variance over seeds is that of the mean at each S,
    plus the mean over S of the variance that draws of δ leave. NaN where the law is not known.
    """
    if not law.known:
        return math.nan, math.nan
    if law.x.size == 1:
        return float(law.x[0, 0]) - law.mean_field, math.sqrt(law.extra)
    if batch == 1:
        mean = (law.within * law.x).sum(axis=1)
        variance = (law.within * (law.x - mean[:, None]) ** 2).sum(axis=1)
    else:
        mean, variance = log_mean_moments(law.x, law.within, batch)
    centre = float(law.weights @ mean)
    whole = float(law.weights @ (variance + (mean - centre) ** 2)) + law.extra
    std = math.sqrt(whole)
    return centre - law.mean_field, std if std > _NOTHING else 0.0
