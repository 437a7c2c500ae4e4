"""Finite width: how far rms strays from the mean field, from seed to seed and on average.

q_a = |h_a|² / n of input a, at a layer of n neurons with f = act, v = sigma_w² q + sigma_b² below it:

    q_a' = E[f(√v_a g)²] · (1 + ξ_a),   1 + ξ_a = mean over n neurons of f_a² / E[f_a²]

The neurons are independent given the layer below, so log(1 + ξ_a) has a mean and a variance that are
found exactly (`fluctuations`); to first order in 1/n they are -o/2n and o/n, o = Var f² / E[f²]²: 5/n
a layer for ReLU with one input (Hanin and Rolnick 2018). What two inputs share of it is

    Cov(ξ_a, ξ_b) = Cov(f_a², f_b²) / n,   ρ = Cov(f_a², f_b²) / o at their correlation c

and c itself strays (`tilt`); ρ = 1 where c = 1, and then nothing strays between inputs. Over a batch of
B inputs R = mean of q_a, whose variance has the pairs a ≠ b with ρ o/n and weight (B - 1)/B, and a = b
with o/n and weight 1/B, once.

log q is followed as a law within a law: log q_a = S + δ_a, with S common to all inputs of a seed and δ
their own. A layer adds a part of variance ρ o/n to S and the rest to δ, each with the map at its own v,
so that what the map magnifies or saturates is not linearised. Both laws are held as Gauss rules
(`nodes`). Where f is homogeneous the map is a factor, and S a sum. shift and std are those of
log mean of exp(S + δ_a) over B draws of δ. Seeds whose rms is 0 (every neuron dead) are left out.

Right to 15 % of the larger of shift and std, by comparison with measured seeds, for homogeneous f up to
Σ 1/n = 6.5 over the layers (depth / width), others up to 2 (1 where a layer is narrower than 16), and up
to 1/2 where the map magnifies what strays more than twice (silu and gelu near the variance that repels):
beyond that NaN, as it is where it magnifies it thirty times; where few neurons decide (several inputs at
widths below 8, o/n above 0.4 unless f is homogeneous, tails in which nothing but chance survives). It is
for weights that are independent and Gaussian, or so many that their sum is: uniform ones from width 16.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sweep.base import checks
from sweep.base.arrays import Array
from sweep.base.errors import RequestError
from sweep.theory.fluctuations import fluctuations
from sweep.theory.maps import Layer, inputs_checked, layers_of
from sweep.theory.moments import Act, Gaussian, gaussian
from sweep.theory.nodes import gauss, hermite, log_gamma, log_mean_exp, log_mean_moments, shares, skewed
from sweep.theory.tilt import Cosines, alike, cosines_of_inputs, merged, through

if TYPE_CHECKING:
    import pandas as pd

_POINTS, _PARTED, _ALONE = 3, 7, 13  # of S and of δ; where the map drives them apart; of a single input
_DRIVES_APART = 1.005  # an elasticity
_SIZES = 3  # of v, at which the cosines are followed
_HOMOGENEOUS, _OTHERS, _MAGNIFIED = 6.5, 2.0, 0.5  # Σ 1/n up to which it is right to 15 %
_MAGNIFIES, _RUNS_AWAY = 2.0, 30.0
_COARSE = 0.4  # a variance of a layer's factor up to which a few points hold what becomes of it
_NARROW, _NARROWEST, _FEW_NEURONS = 16, 8, 1.0  # widths, and Σ 1/n below the first, of a batch's networks
_NOTHING = 2e-6  # a std that is the rounding of laws
_REST = 1e-5  # a change per layer that adds up to nothing


def finite_width(
    act: Act,
    sigma_w: float,
    sigma_b: float = 0.0,
    depth: int = 10,
    width: int = 500,
    batch: int = 1000,
    q0: float = 1.0,
    c0: float = 0.0,
) -> "pd.DataFrame":
    """What a network of finite width adds to the mean field, with independent Gaussian weights.

    A row per layer 0 .. depth: layer; shift, the mean over seeds of log rms² less the mean field's;
    std, its standard deviation over seeds (of those whose rms is not 0). Gaussian inputs. NaN where it
    would be off by more than 15 %: beyond depth / width = 6.5 for homogeneous activations, 2 for
    others (1 at widths below 16), 1/2 where fluctuations grow by themselves; for several inputs at widths
    below 8; and where a few neurons decide. Raises RequestError for a wrong value.
    """
    import pandas as pd  # noqa: PLC0415

    sigma_w, sigma_b, q0, c0, batch = inputs_checked(sigma_w, sigma_b, q0, c0, batch)
    widths = (checks.whole("width", width, 1),) * (checks.whole("depth", depth, 1) + 1)
    layers = layers_of([sigma_w / math.sqrt(width)] * depth, widths)
    shift, std = log_rms_deviation(act, layers, widths, sigma_b, batch, q0, c0)
    return pd.DataFrame({"layer": range(len(widths)), "shift": shift, "std": std})


def log_rms_deviation(
    act: Act,
    layers: Sequence[Layer],
    widths: Sequence[int],
    sigma_b: float,
    batch: int,
    q0: float = 1.0,
    c0: float = 0.0,
) -> tuple[Array, Array]:
    """Mean and standard deviation over seeds of log rms² less the mean field's, by layer; or NaN."""
    if c0 == 1:  # all inputs are one
        batch = 1
    means_of = gaussian(act)
    kinds = set(zip(layers, widths[1:], strict=True))
    if len(kinds) == 1 and widths[0] == widths[1]:  # a shallower network of the kind begins this one
        network = _network(means_of, layers[0], widths[0], sigma_b, batch == 1, q0, c0)
    else:
        network = _Network(means_of, widths[0], sigma_b, batch == 1, q0, c0)
    for layer, width in zip(layers[network.depth :], widths[network.depth + 1 :], strict=True):
        network.add(layer, width)
    found = np.array([network.moments(number, batch) for number in range(len(widths))])
    return found[:, 0], found[:, 1]


@dataclass(frozen=True)
class _Law:
    """log q of one layer: S at `weights` (outer,), log q = S + δ at x with `within` (outer, inner).

    extra: variance of S beyond what its points have. known: False where nothing is predicted.
    """

    x: Array
    within: Array
    weights: Array
    extra: float
    mean_field: float
    known: bool = True


_UNKNOWN = _Law(np.zeros((1, 1)), np.ones((1, 1)), np.ones(1), 0.0, 0.0, known=False)


@dataclass
class _Signal:
    """What the layers so far have made of the inputs."""

    law: _Law
    cosines: Cosines
    scale: float = math.nan  # sqrt(v) of the mean field, as `prediction` follows it
    rms: float = math.nan
    inverse_widths: float = 0.0
    narrowest: int = _NARROW
    magnified: float = 1.0
    most_magnified: float = 1.0
    points: int = _POINTS


@dataclass
class _Network:
    """A network that grows by a layer at a time, and the law of log q at each."""

    means_of: Gaussian
    width: int
    sigma_b: float
    alone: bool  # a batch of one
    q0: float
    c0: float
    laws: list[_Law] = field(default_factory=list)
    _moments: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)
    _at_rest: tuple[Layer, int] | None = None  # a layer that changes nothing any more

    def __post_init__(self) -> None:
        start = math.log(self.q0)
        law = _inputs(start, self.width, self.alone, self.c0)
        cosines = cosines_of_inputs(self.c0, self.width, len(law.weights))
        self._signal = _Signal(law, cosines, rms=math.sqrt(self.q0))
        self.laws.append(law)

    @property
    def depth(self) -> int:
        """How many layers it has."""
        return len(self.laws) - 1

    def add(self, layer: Layer, width: int) -> None:
        """One more layer."""
        signal = self._signal
        signal.inverse_widths += 1 / width
        signal.narrowest = min(signal.narrowest, width)
        if signal.law.known and self._at_rest == (layer, width):
            signal.law = signal.law if self._in_reach() else _UNKNOWN
        elif signal.law.known:
            before = signal.law, signal.cosines
            try:
                law = self._cut() if layer.sigma_in == 0 == self.sigma_b else self._through(layer, width)
            except RequestError:  # some network has a signal of which act has no moments
                law = _UNKNOWN
            signal.law = law if self._in_reach() else _UNKNOWN
            at_rest = _alike(*before, signal.law, signal.cosines)
            self._at_rest = (layer, width) if at_rest else None
        self.laws.append(signal.law)

    def moments(self, number: int, batch: int) -> tuple[float, float]:
        """shift and std of the layer of this number; NaN where they are not known."""
        found = self._moments.get((number, batch))
        if found is None:
            found = self._moments[number, batch] = _moments_of(self.laws[number], batch)
        return found

    def _in_reach(self) -> bool:
        signal = self._signal
        factor = self.means_of.act.homogeneous and self.sigma_b == 0
        limit = _HOMOGENEOUS if factor else _OTHERS
        if not self.alone and signal.narrowest < _NARROW:
            limit = min(limit, _FEW_NEURONS) if limit == _OTHERS else limit
            limit = limit if signal.narrowest >= _NARROWEST else 0.0
        if signal.most_magnified > _MAGNIFIES:
            limit = min(limit, _MAGNIFIED) if signal.most_magnified < _RUNS_AWAY else 0.0
        return signal.inverse_widths <= limit + 1e-9

    def _cut(self) -> _Law:
        """Without weights and biases every input of every seed is act(0)."""
        rms = self.means_of.at(0.0).rms
        self._signal.cosines, self._signal.rms = alike(), rms
        if rms == 0:
            return _UNKNOWN
        value = 2 * math.log(rms)
        return _Law(np.full((1, 1), value), np.ones((1, 1)), np.ones(1), 0.0, value)

    def _through(self, layer: Layer, width: int) -> _Law:
        signal, tables = self._signal, fluctuations(self.means_of, width)
        old = signal.law
        log_w, log_b = _log_square(layer.sigma_in), _log_square(self.sigma_b)
        mean_field, missed = self._mean_field(layer, log_w, log_b, width)
        log_v = np.logaddexp(old.x + log_w, log_b)
        share = np.exp(old.x + log_w - log_v)
        step = tables.at(log_v)
        if not np.isfinite(step.log_map).all():  # nothing comes through
            return _UNKNOWN
        elasticity = share * step.elasticity
        signal.magnified *= float(old.weights @ (old.within * elasticity).sum(axis=1))
        signal.most_magnified = max(signal.most_magnified, signal.magnified)
        if (elasticity > _DRIVES_APART).any():
            signal.points = _PARTED

        first = step.own / width
        if not tables.homogeneous and float(old.weights @ (old.within * first).sum(axis=1)) > _COARSE:
            return _UNKNOWN
        bent = np.divide(step.log_variance, first, out=np.ones_like(first), where=first > 0)
        tilted = np.divide(-2 * step.log_mean, first, out=np.ones_like(first), where=first > 0)
        common, moved = np.zeros_like(first), None
        factor = tables.homogeneous and log_b == -math.inf  # what strays only adds up
        if not self.alone:
            sizes, of_size = gauss(old.x, old.within, 1 if factor else _SIZES)
            at_size = np.logaddexp(sizes + log_w, log_b)
            fades = (old.within * np.minimum(elasticity, 1.0)).sum(axis=1, keepdims=True)
            shared, moved = through(
                signal.cosines, tables, width, at_size, of_size, np.exp(sizes + log_w - at_size), fades
            )
            common = np.stack([np.interp(*pair) for pair in zip(old.x, sizes, shared, strict=True)])
        common_variance = common * first * (1 + common * (bent - 1))
        common_mean = -common * first / 2 * (1 + common * (tilted - 1))
        own_variance = np.maximum(step.log_variance - common_variance, 0.0)
        own_points, own_weights = skewed(step.log_mean - common_mean, np.sqrt(own_variance))
        x = (step.log_map + missed + common_mean)[..., None] + own_points  # (outer, inner, 3)
        within = old.within[..., None] * own_weights
        if self.alone or factor:
            extra = old.extra + float(old.weights @ (old.within * common_variance).sum(axis=1))
            law, mix = _settled(x, within, old.weights, extra, mean_field, len(x), old.within.shape[1])
        else:
            ways, of_way = hermite(3)
            x = x[:, None] + np.sqrt(common_variance)[:, None, :, None] * ways[:, None, None]
            within = np.broadcast_to(within[:, None], x.shape)  # (outer, 3, inner, 3)
            weights = (old.weights[:, None] * of_way).ravel()
            law, mix = _settled(x, within, weights, 0.0, mean_field, signal.points, signal.points)
        if moved is not None:
            parents = len(old.weights)
            signal.cosines = merged(moved, mix.reshape(len(mix), parents, -1).sum(axis=-1))
        return law

    def _mean_field(self, layer: Layer, log_w: float, log_b: float, width: int) -> tuple[float, float]:
        """log q of an infinitely wide network, and how far the tables are from it."""
        signal, tables = self._signal, fluctuations(self.means_of, width)
        log_v = np.logaddexp(signal.law.mean_field + log_w, log_b)
        tabled = float(tables.at(np.array([log_v])).log_map[0])
        scale = math.hypot(layer.sigma_in * signal.rms, self.sigma_b)
        if not 1e-100 < scale < 1e100:
            signal.rms = math.nan  # from here on the tables alone
            return tabled, 0.0
        if abs(scale - signal.scale) <= 4e-16 * scale:
            scale = signal.scale
        signal.scale, signal.rms = scale, self.means_of.at(scale).rms
        exact = _log_square(signal.rms)
        if not math.isfinite(exact):
            signal.rms = math.nan
            return tabled, 0.0
        return exact, exact - tabled


def _inputs(start: float, width: int, alone: bool, c0: float) -> _Law:
    """log q of Gaussian inputs: of χ² laws whose covariance is c0² of their variance."""
    common = c0 * c0
    if alone or common == 0:
        x, weights = log_gamma(_ALONE if alone else _PARTED, width / 2)
        return _Law(start + x[None], weights[None], np.ones(1), 0.0, start)
    if common == 1:  # an input and its mirror image
        x, weights = log_gamma(_PARTED, width / 2)
        same = np.ones((_PARTED, _PARTED))  # what layers add to δ needs its points
        return _Law(start + x[:, None] * same, same / _PARTED, weights, 0.0, start)
    x, weights = log_gamma(_PARTED, width / 2)
    mean = weights @ x
    variance = weights @ (x - mean) ** 2
    ways = [skewed(np.array(part * mean), np.sqrt(part * variance)) for part in (common, 1 - common)]
    (s, of_s), (own, of_own) = ways
    return _Law(start + s[:, None] + own, np.ones((len(s), 1)) * of_own, of_s, 0.0, start)


@lru_cache(maxsize=64)
def _network(
    means_of: Gaussian, layer: Layer, width: int, sigma_b: float, alone: bool, q0: float, c0: float
) -> _Network:
    """The network of which all layers are this one."""
    return _Network(means_of, width, sigma_b, alone, q0, c0)


def _settled(
    x: Array, within: Array, weights: Array, extra: float, mean_field: float, outer: int, inner: int
) -> tuple[_Law, Array]:
    """The law held by `outer` and `inner` points, and of which old outer points the new ones are made."""
    x, within = x.reshape(len(weights), -1), within.reshape(len(weights), -1)
    common = log_mean_exp(x, within)
    if outer == len(weights):  # one and the same
        points, inside = gauss(x, within, inner)
        return _Law(points, inside, weights, extra, mean_field), np.eye(outer)
    order = np.argsort(common)
    points, found = gauss(common[order], weights[order], outer)
    points, found = points[found > 1e-12], found[found > 1e-12]
    found = found / found.sum()
    mix = np.zeros((len(found), len(weights)))
    mix[:, order] = shares(weights[order], found)
    most = int((mix > 0).sum(axis=1).max())
    taken = np.argsort(-mix, axis=1)[:, :most]  # the rest has no share
    part = np.take_along_axis(mix, taken, axis=1)[:, :, None] * within[taken]
    apart = (x - common[:, None])[taken]
    own, inside = gauss(apart.reshape(len(found), -1), part.reshape(len(found), -1), inner)
    own = own - log_mean_exp(own, inside)[:, None]
    return _Law(points[:, None] + own, inside, found, extra, mean_field), mix


def _alike(law: _Law, cosines: Cosines, after: _Law, cosines_after: Cosines) -> bool:
    before, now = (
        [at.x, at.weights, at.within, pairs.y, pairs.weights, pairs.moved, pairs.heavier]
        for at, pairs in ((law, cosines), (after, cosines_after))
    )
    return law.extra == after.extra and all(
        a.shape == b.shape and bool((np.abs(a - b) <= _REST).all()) for a, b in zip(before, now, strict=True)
    )


def _moments_of(law: _Law, batch: int) -> tuple[float, float]:
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


def _log_square(size: float) -> float:
    return 2 * math.log(size) if size else -math.inf
