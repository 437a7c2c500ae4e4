"""Inputs that are not all of one size, nor equally alike: maps averaged over the laws of both.

Of an input only its second moment q counts for what becomes of it, and of two inputs their cosine too. So
every statistic is the mean over the law of q, and sample_cosine that over the law of (q, q', c), each
crossing all layers by itself. That is not the map of the mean: activations bend, and E[K(c)] is not K(E[c]).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.base.arrays import Array
from sweep.theory.gaussian.correlation import unequal_cosine
from sweep.theory.gaussian.moments import Act, Gaussian, gaussian
from sweep.theory.maps import COLUMNS, Layer, by_layer, prediction

_ALIKE = 4e-16  # a distance from 1 that is rounding
_MEANS = ("mean", "flat")  # what is averaged as it is; std apart, and squares of all else
Statistics = dict[str, Array]
Of = Callable[[float, float], Statistics]
Cosines = Callable[[Statistics, Statistics, float], Array]


@dataclass(frozen=True)
class Law:
    """What theory knows of inputs.

    sizes: second moments of single inputs, with their shares. pairs: (q, q', cosine, share) of two inputs.
    mean: that of all entries, of each input in proportion to its rms.
    """

    sizes: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    pairs: tuple[tuple[float, float, float, float], ...] = ((1.0, 1.0, 0.0, 1.0),)
    mean: float = 0.0

    @property
    def means(self) -> tuple[float, float]:
        """E[q] and E[c]."""
        return sum(q * share for q, share in self.sizes), sum(c * share for *_, c, share in self.pairs)

    @property
    def relative_mean(self) -> float:
        """The mean of an input's entries over their rms."""
        of_rms = sum(math.sqrt(q) * share for q, share in self.sizes)
        return min(max(self.mean / of_rms, -1.0), 1.0) if of_rms else 0.0


UNIT = Law()  # independent normal numbers: q = 1, c = 0


def mixed_prediction(
    act: Act, layers: Sequence[Layer], sigma_b: float | Sequence[float], batch: int, law: Law
) -> Statistics:
    """The statistics of `maps.prediction` for inputs of this law: (depth + 1,) each."""

    def of(q: float, c: float) -> Statistics:
        return prediction(act, layers, sigma_b, batch, q, c).statistics

    def cosines(first: Statistics, second: Statistics, c: float) -> Array:
        return _cosines(gaussian(act), layers, by_layer(sigma_b, len(layers)), first, second, c)

    return _with_inputs(mixture(of, cosines, law), law)


def mixture(of: Of, cosines: Cosines, law: Law) -> Statistics:
    """The mean of any maps over a law.

    of: the maps of one second moment and cosine. cosines: by layer those of two inputs, by the statistics of
    each and the cosine that they begin with.
    """
    if len(law.sizes) == len(law.pairs) == 1:
        return of(law.sizes[0][0], law.pairs[0][2])
    crossing = {q: of(q, math.nan) for q in {q for q, _ in law.sizes} | {q for p in law.pairs for q in p[:2]}}
    found = _averaged([(crossing[q], share) for q, share in law.sizes])
    each = [
        (of(q, c)["sample_cosine"] if q == r else cosines(crossing[q], crossing[r], c), share)
        for q, r, c, share in law.pairs
    ]
    found["sample_cosine"] = _mean_where_known(each)
    return found


def _with_inputs(found: Statistics, law: Law) -> Statistics:
    """The same with the mean of the inputs' entries, which no layer above sees."""
    if law.mean:
        variance = found["rms"][0] ** 2 - law.mean**2
        found["mean"][0], found["std"][0] = law.mean, math.sqrt(max(variance, 0.0))
    return found


def _averaged(each: Sequence[tuple[Statistics, float]]) -> Statistics:
    """What all samples together have, of each kind's statistics and its share."""
    shares = np.array([share for _, share in each])
    columns = {name: np.stack([one[name] for one, _ in each]) for name in each[0][0]}
    found = {
        name: shares @ values if name in _MEANS else _root_mean_square(values, shares)
        for name, values in columns.items()
    }
    between = _root_mean_square(columns["mean"] - found["mean"], shares)
    found["std"] = np.hypot(_root_mean_square(columns["std"], shares), between)
    return found


def _root_mean_square(values: Array, shares: Array) -> Array:
    """√(Σ share · value²) over the first axis, also where a square is no number of float64."""
    largest = np.abs(values).max(axis=0)
    with np.errstate(all="ignore"):
        scaled = np.sqrt(shares @ np.square(values / largest)) * largest
    return np.asarray(np.where((largest == 0) | np.isinf(largest), largest, scaled))


def _mean_where_known(each: Sequence[tuple[Array, float]]) -> Array:
    """The mean of cosines, of those pairs of which none is 0."""
    values, shares = np.stack([one for one, _ in each]), np.array([share for _, share in each])
    known = ~np.isnan(values)
    with np.errstate(all="ignore"):
        return np.asarray(shares @ np.where(known, values, 0.0) / (shares @ known))


def _cosines(
    means_of: Gaussian,
    layers: Sequence[Layer],
    biases: Sequence[float],
    first: Statistics,
    second: Statistics,
    c: float,
) -> Array:
    """The cosine of two inputs by layer; first, second: the statistics of each."""
    cosines = np.full(len(layers) + 1, math.nan)
    cosines[0] = c
    for number, (layer, of_biases) in enumerate(zip(layers, biases, strict=True), start=1):
        scales, shared, common = [], c, 1.0
        for one in (first, second):
            scale, signal = one["pre_rms"][number], layer.sigma_in * one["rms"][number - 1]
            scales.append(_held(means_of, scale, layer.sigma_in))
            if of_biases and 0 < scale < math.inf:
                shared, common = shared * signal / scale, common * of_biases / scale
            else:
                common = 0.0
        correlation = shared + common
        if abs(correlation) > 1 - _ALIKE:
            correlation = math.copysign(1.0, correlation)
        c = cosines[number] = unequal_cosine(means_of, *scales, float(correlation))
    return cosines


def _held(means_of: Gaussian, scale: float, sigma_in: float) -> float:
    """A scale at which act can be evaluated; 0 where there are no weights."""
    least, most = means_of.scales
    return float(min(max(scale, least), most)) if scale or sigma_in else 0.0


assert set(_MEANS) < set(COLUMNS)
