"""Finite width: how far rms strays from the mean field, from seed to seed and on average.

q_a = |h_a|² / n of input a, at a layer of n neurons with f = act, v = sigma_w² q + sigma_b² below it:

    q_a' = E[f(√v_a g)²] · (1 + ξ_a),   1 + ξ_a = mean over n neurons of f_a² / E[f_a²]

log q_a = S + δ_a is a law within a law (`laws`), mapped at every point's own v, so that nothing that the map
magnifies or saturates is linearised. The mean and variance of log(1 + ξ) are exact (`fluctuations`); to first
order they are -o/2n and o/n, o = Var f² / E[f²]². A share ρ of it is common to all inputs and adds to S, the
rest to δ; ρ follows from the inputs' cosines, which stray too (`tilt`). Where f is homogeneous the map is a
factor, and S a sum. Derived in docs/finite-width.md. For ReLU and one input o = 5 (Hanin and Rolnick 2018;
Hanin and Nica 2020).

Right to 15 % of the larger of shift and std, compared with measured seeds, up to a sum of 1/n over the layers
(depth / width) of 6.5 for homogeneous f, 2 for others (1 where a layer is narrower than 16), 1/2 where the
map magnifies what strays more than twice (silu and gelu near the variance that repels). NaN beyond that,
where it magnifies it thirty times, and where few neurons decide (several inputs at widths below 8, o/n above
0.4 unless f is homogeneous, tails that survive by chance). The weights are independent and Gaussian, or so
many that their sum is: uniform ones from width 16.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from sweep.base.arrays import Array
from sweep.base.errors import RequestError
from sweep.theory.finite.fluctuations import Fluctuations, Step, fluctuations
from sweep.theory.gaussian.moments import Act, Gaussian, gaussian
from sweep.theory.gaussian.nodes import gauss, hermite, skewed
from sweep.theory.gaussian.tilt import Cosines, all_alike, cosines_after, cosines_of_inputs, merge
from sweep.theory.laws import PARTED, UNKNOWN, Law, condense, law_of_inputs, moments_of
from sweep.theory.maps import Layer, by_layer

_POINTS = 3  # of S and of δ, where the map does not drive them apart
_DRIVES_APART = 1.005  # an elasticity
_SIZES = 3  # values of v at which the cosines are followed
_HOMOGENEOUS, _OTHERS, _MAGNIFIED = 6.5, 2.0, 0.5  # Σ 1/n up to which it is right to 15 %
_MAGNIFIES, _RUNS_AWAY = 2.0, 30.0
_COARSE = 0.4  # a variance of a layer's factor up to which a few points are enough
_NARROW, _NARROWEST, _FEW_NEURONS = 16, 8, 1.0  # widths, and Σ 1/n below the first, of a batch's networks
_REST = 1e-5  # a change per layer that adds up to nothing


def log_rms_deviation(
    act: Act,
    layers: Sequence[Layer],
    widths: Sequence[int],
    sigma_b: float | Sequence[float],
    batch: int,
    q0: float = 1.0,
    c0: float = 0.0,
) -> tuple[Array, Array]:
    """E and std over seeds of log rms² - log q, q the mean field's: each (depth + 1,), NaN where not known.

    layers: (depth,); widths: (depth + 1,), the input's first; sigma_b: of every layer alike, or by layer.
    Inputs are Gaussian, of second moment q0 and cosine c0; rms² is that of a batch.
    """
    if c0 == 1:  # all inputs are one
        batch = 1
    means_of, biases = gaussian(act), by_layer(sigma_b, len(layers))
    kinds = set(zip(layers, biases, widths[1:], strict=True))
    if len(kinds) == 1 and widths[0] == widths[1]:  # a shallower network of this kind begins this one
        network = _network(means_of, layers[0], widths[0], biases[0], batch == 1, q0, c0)
    else:
        network = _Network(means_of, widths[0], batch == 1, q0, c0)
    first = network.depth
    for layer, of_biases, width in zip(layers[first:], biases[first:], widths[first + 1 :], strict=True):
        network.add(layer, of_biases, width)
    shift, std = np.array([moments_of(law, batch) for law in network.laws[: len(widths)]]).T
    return shift, std


@dataclass
class _Signal:
    """What the layers so far have made of the inputs."""

    law: Law
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
    """A network that grows layer by layer, and the law of log q at each."""

    means_of: Gaussian
    width: int
    alone: bool  # a batch of one
    q0: float
    c0: float
    laws: list[Law] = field(default_factory=list)
    _at_rest: tuple[Layer, float, int] | None = None  # a layer that changes nothing any more
    _biased: bool = False  # so far

    def __post_init__(self) -> None:
        law = law_of_inputs(math.log(self.q0), self.width, self.alone, self.c0)
        cosines = cosines_of_inputs(self.c0, self.width, len(law.weights))
        self._signal = _Signal(law, cosines, rms=math.sqrt(self.q0))
        self.laws.append(law)

    @property
    def depth(self) -> int:
        """How many layers it has."""
        return len(self.laws) - 1

    def add(self, layer: Layer, sigma_b: float, width: int) -> None:
        """Add a layer."""
        signal = self._signal
        self._biased |= sigma_b > 0
        signal.inverse_widths += 1 / width
        signal.narrowest = min(signal.narrowest, width)
        if signal.law.known and self._at_rest == (layer, sigma_b, width):
            signal.law = signal.law if self._in_reach() else UNKNOWN
        elif signal.law.known:
            before = signal.law, signal.cosines
            try:
                silent = layer.sigma_in == 0 == sigma_b
                law = self._without_weights() if silent else self._after(layer, sigma_b, width)
            except RequestError:  # at some network's signal act has no moments
                law = UNKNOWN
            signal.law = law if self._in_reach() else UNKNOWN
            at_rest = _is_at_rest(*before, signal.law, signal.cosines)
            self._at_rest = (layer, sigma_b, width) if at_rest else None
        self.laws.append(signal.law)

    def _in_reach(self) -> bool:
        signal = self._signal
        factor = self.means_of.act.homogeneous and not self._biased
        limit = _HOMOGENEOUS if factor else _OTHERS
        if not self.alone and signal.narrowest < _NARROW:
            limit = _FEW_NEURONS if limit == _OTHERS else limit
            limit = limit if signal.narrowest >= _NARROWEST else 0.0
        if signal.most_magnified > _MAGNIFIES:
            limit = min(limit, _MAGNIFIED) if signal.most_magnified < _RUNS_AWAY else 0.0
        return signal.inverse_widths <= limit + 1e-9

    def _without_weights(self) -> Law:
        """Without weights and biases every input of every seed is act(0)."""
        rms = self.means_of.at(0.0).rms
        self._signal.cosines, self._signal.rms = all_alike(), rms
        if rms == 0:
            return UNKNOWN
        value = 2 * math.log(rms)
        return Law(np.full((1, 1), value), np.ones((1, 1)), np.ones(1), 0.0, value)

    def _after(self, layer: Layer, sigma_b: float, width: int) -> Law:
        """log q' = log E[f²] + log(1 + ξ): the map at every point's own v; log(1 + ξ) adds to S and to δ."""
        signal, tables = self._signal, fluctuations(self.means_of, width)
        old, log_w, log_b = signal.law, _log_square(layer.sigma_in), _log_square(sigma_b)
        mean_field, missed = self._mean_field(layer, sigma_b, width)
        log_v = np.logaddexp(old.x + log_w, log_b)
        step = tables.at(log_v)
        if not np.isfinite(step.log_map).all():  # nothing comes through
            return UNKNOWN
        elasticity = np.exp(old.x + log_w - log_v) * step.elasticity
        signal.magnified *= float(old.weights @ (old.within * elasticity).sum(axis=1))
        signal.most_magnified = max(signal.most_magnified, signal.magnified)
        if (elasticity > _DRIVES_APART).any():
            signal.points = PARTED
        first = step.own / width  # o / n
        if not tables.homogeneous and float(old.weights @ (old.within * first).sum(axis=1)) > _COARSE:
            return UNKNOWN

        is_factor = tables.homogeneous and log_b == -math.inf  # fluctuations only add up
        rho, moved = np.zeros_like(first), None
        if not self.alone:
            rho, moved = self._in_common(tables, width, (log_w, log_b), elasticity, is_factor)
        common_mean, common_variance = _common_part(step, first, rho)
        own_std = np.sqrt(np.maximum(step.log_variance - common_variance, 0.0))
        own, of_own = skewed(step.log_mean - common_mean, own_std)
        x = (step.log_map + missed + common_mean)[..., None] + own  # (outer, inner, 3)
        within = old.within[..., None] * of_own
        if self.alone or is_factor:
            extra = old.extra + float(old.weights @ (old.within * common_variance).sum(axis=1))
            law, mix = condense(x, within, old.weights, extra, mean_field, len(x), old.within.shape[1])
        else:
            ways, of_way = hermite(3)
            x = x[:, None] + np.sqrt(common_variance)[:, None, :, None] * ways[:, None, None]
            within = np.broadcast_to(within[:, None], x.shape)  # (outer, 3, inner, 3)
            weights = (old.weights[:, None] * of_way).ravel()
            law, mix = condense(x, within, weights, 0.0, mean_field, signal.points, signal.points)
        if moved is not None:
            parents = len(old.weights)
            signal.cosines = merge(moved, mix.reshape(len(mix), parents, -1).sum(axis=-1))
        return law

    def _in_common(
        self, tables: Fluctuations, width: int, logs: tuple[float, float], elasticity: Array, is_factor: bool
    ) -> tuple[Array, Cosines]:
        """ρ at every point of the law, (outer, inner), and the cosines after the layer.

        logs: of sigma_w² and sigma_b².
        """
        law, (log_w, log_b) = self._signal.law, logs
        sizes, of_size = gauss(law.x, law.within, 1 if is_factor else _SIZES)
        log_v = np.logaddexp(sizes + log_w, log_b)
        fades = (law.within * np.minimum(elasticity, 1.0)).sum(axis=1, keepdims=True)
        share = np.exp(sizes + log_w - log_v)
        rho, moved = cosines_after(self._signal.cosines, tables, width, log_v, of_size, share, fades)
        return np.stack([np.interp(*pair) for pair in zip(law.x, sizes, rho, strict=True)]), moved

    def _mean_field(self, layer: Layer, sigma_b: float, width: int) -> tuple[float, float]:
        """log q of an infinitely wide network, and how far the tables are from it."""
        signal, tables = self._signal, fluctuations(self.means_of, width)
        log_w, log_b = _log_square(layer.sigma_in), _log_square(sigma_b)
        log_v = np.logaddexp(signal.law.mean_field + log_w, log_b)
        tabled = float(tables.at(np.array([log_v])).log_map[0])
        scale = math.hypot(layer.sigma_in * signal.rms, sigma_b)
        if not 1e-100 < scale < 1e100:
            signal.rms = math.nan  # from here on only the tables
            return tabled, 0.0
        if abs(scale - signal.scale) <= 4e-16 * scale:
            scale = signal.scale
        signal.scale, signal.rms = scale, self.means_of.at(scale).rms
        exact = _log_square(signal.rms)
        if not math.isfinite(exact):
            signal.rms = math.nan
            return tabled, 0.0
        return exact, exact - tabled


@lru_cache(maxsize=64)
def _network(
    means_of: Gaussian, layer: Layer, width: int, sigma_b: float, alone: bool, q0: float, c0: float
) -> _Network:
    """The network all of whose layers are this one, with biases of sigma_b."""
    return _Network(means_of, width, alone, q0, c0)


def _is_at_rest(law: Law, cosines: Cosines, after: Law, cosines_after: Cosines) -> bool:
    """Whether a layer has changed neither the law nor the cosines."""
    before, now = (
        [seeds.x, seeds.weights, seeds.within, *vars(pairs).values()]
        for seeds, pairs in ((law, cosines), (after, cosines_after))
    )
    return law.extra == after.extra and all(
        a.shape == b.shape and bool((np.abs(a - b) <= _REST).all()) for a, b in zip(before, now, strict=True)
    )


def _common_part(step: Step, first: Array, rho: Array) -> tuple[Array, Array]:
    """Mean and variance of the part of log(1 + ξ) that all inputs share; first: o/n.

    To first order -ρ o/2n and ρ o/n, at ρ = 1 exactly those of log(1 + ξ): a parabola in ρ.
    """
    of_variance = np.divide(step.log_variance, first, out=np.ones_like(first), where=first > 0)
    of_mean = np.divide(-2 * step.log_mean, first, out=np.ones_like(first), where=first > 0)
    mean = -rho * first / 2 * (1 + rho * (of_mean - 1))
    return mean, rho * first * (1 + rho * (of_variance - 1))


def _log_square(size: float) -> float:
    return 2 * math.log(size) if size else -math.inf
