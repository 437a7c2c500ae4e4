"""Finite width of blocks: how far rms strays from the mean field, from seed to seed and on average.

To first order in 1/width log q_a = log q + δ_a. A block of shares 1 - p = s² q / q' and p, the branch's, of
two Gaussian matrices N -> M -> N takes

    δ' = (1 - p + p η) δ + noise,   η = d log E[f²] / d log q, 0 behind a norm
    Var noise = (4 p - 2 p²) / N + p² o / M,                             o = Var f² / E[f²]²
    Cov of two inputs = (2 p² C² + 4 p (1 - p) c C) / N + p² s / M,      s = Cov(f_a², f_b²) / E[f²]²

with c their cosine at h and C at f. `residual` (E[f] = 0) has no V, and p² o / N + 4 p (1 - p) / N; in
`preact` f sees the same neurons at every layer, so that what is special in them adds up. The norm of `ln` and
`rms` forgets: what it holds is taken off o, and only the cosines of inputs are carried on. A norm after the
sum leaves 1. Derived in docs/finite-width.md.

Right to 15 % of the larger of shift and std, compared with measured seeds, up to the Σ 1/n over the layers of
_REACH. NaN beyond that; under `ln` and `rms` where cosines stray too far, as deep networks of tanh's do; for
`residual` where E[f] is not 0, as the means add up over its skips; and for `bn`, whose spread is that of all
the cosines of a batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sweep.base.arrays import Array
from sweep.base.blocks import AFTER, BATCH, BEFORE, INSIDE, LAYER, Block
from sweep.base.errors import RequestError
from sweep.theory.blocks.maps import BlockSignal, Crossing, Widening
from sweep.theory.finite.fluctuations import Fluctuations, fluctuations
from sweep.theory.finite.spheres import normalised
from sweep.theory.gaussian.moments import Act, Gaussian, gaussian
from sweep.theory.maps import by_layer

_REACH, _REACH_OF_PREACT = 0.4, 0.125  # Σ 1/n: 24 blocks of width 64, of 192
_NARROWEST = 16
_APART = 0.1  # a variance of cosines up to which one of a norm's network is a normal number
_PARTED = 4.0  # a variance of log size from which on gradients were measured two thirds above the mean field
_STEP = 1e-3  # of a correlation: s(r) = s_1 r + s_2 r² + … is told apart by it
_NODES, _WEIGHTS = math.sqrt(3) * np.array([-1.0, 0.0, 1.0]), np.array([1, 4, 1]) / 6  # of N(0, 1)


def block_deviation(
    block: Block,
    act: Act,
    blocks: Sequence[Widening],
    widths: Sequence[int],
    sigma_b: float | Sequence[float],
    batch: int,
    q0: float = 1.0,
    c0: float = 0.0,
) -> tuple[Array, Array]:
    """E and std over seeds of log rms² - log q, q the mean field's: each (depth + 1,), NaN where not known.

    block: `at` its depth. blocks: (depth,); widths: (depth + 1,), the input's first; the other arguments as
    in `block_prediction`.
    """
    means_of, depth = gaussian(act), len(blocks)
    shift, std = np.full((2, depth + 1), math.nan)
    network = _Network(block, means_of, batch, BlockSignal(math.log(q0) / 2, 0.0, 1.0, c0), widths[0])
    shift[0], std[0] = network.strays.of_batch(batch)
    try:
        for number, (each, of_biases) in enumerate(zip(blocks, by_layer(sigma_b, depth), strict=True), 1):
            network.add(each, of_biases, widths[number - 1], widths[number], number == depth)
            if not network.known:
                break
            shift[number], std[number] = network.strays.of_batch(batch)
    except RequestError:  # act has no moments there
        pass
    return shift, std


def samples_part(act: Act, widths: Sequence[int]) -> bool:
    """Whether under `bn` samples differ in size by so much that a gradient is not the mean field's.

    The norm holds a batch, not each of its samples: where one is larger than the others by x (of log size),
    its centred f² is by λ x, λ = (d E[f²]/d log v - 2 E[f] d E[f]/d log v) / Var f at v = 1. A layer adds
    o / n to Var x, which grows by λ² a layer where λ is above 1: silu's 1.10, gelu's 1.06, squared_relu's 2.
    """
    means_of = gaussian(act)
    below, at, above = (means_of.at(math.exp(x / 2)) for x in (-_STEP, 0.0, _STEP))
    if not at.std:
        return False
    rate = (at.elasticity * at.rms**2 - at.mean * (above.mean - below.mean) / _STEP) / at.std**2
    variance = 0.0
    for width in widths[1:]:
        own = float(fluctuations(means_of, width).at(np.zeros(1)).own[0])
        variance = rate**2 * variance + own / width
    return rate > 1 and variance > _PARTED


@dataclass(frozen=True)
class _Strays:
    """δ of one input: its mean and variance; the covariance of two; the variance of their cosine."""

    mean: float
    variance: float
    common: float
    cosine: float = 0.0

    def of_batch(self, batch: int) -> tuple[float, float]:
        """E and std of the log of the mean over a batch."""
        variance = ((batch - 1) * self.common + self.variance) / batch
        return self.mean + (self.variance - variance) / 2, math.sqrt(max(variance, 0.0))


@dataclass(frozen=True)
class _Added:
    """What a block adds to each of _Strays, and the cosine of f, at three cosines of two inputs: (3,)."""

    variance: Array
    common: Array
    cosine: Array
    of_f: Array


@dataclass
class _Network:
    """A network that grows block by block."""

    block: Block
    means_of: Gaussian
    batch: int
    signal: BlockSignal
    width: int
    inverse_widths: float = 0.0
    known: bool = True
    # Of `preact`, by layer below: the weight of what is special in its neurons, in δ; and their correlation
    # with those of the present layer, of one input and of two.
    _weights: Array = field(default_factory=lambda: np.empty(0))
    _alike: Array = field(default_factory=lambda: np.empty((2, 0)))

    def __post_init__(self) -> None:
        c, width = self.signal.cosine, self.width
        self.strays = _Strays(-1 / width, 2 / width, 2 * c * c / width, (1 - c * c) ** 2 / width)

    def add(self, matrices: Widening, sigma_b: float, fan_in: int, fan_out: int, last: bool) -> None:
        """Cross a block; `known` says whether anything is known of what is above it."""
        block, h = self.block, self.signal
        crossed = Crossing(block, self.means_of, matrices, sigma_b, self.batch, last).cross(h)
        self.signal, log_v = crossed.signal, 2 * crossed.log_scale
        self.inverse_widths += 1 / fan_out
        of_a_mean = block.skipped and not (block.out or block.act_first) and crossed.signal.mean != 0
        reach = _REACH_OF_PREACT if block.act_first else _REACH
        in_reach = self.inverse_widths <= reach + 1e-9 and min(fan_in, fan_out) >= _NARROWEST
        there = all(map(math.isfinite, (log_v, h.log_rms, self.signal.log_rms)))
        self.known &= (in_reach or block.place == AFTER) and not of_a_mean and block.norm != BATCH and there
        if not self.known:
            return
        if block.place == AFTER:
            self.strays = _Strays(0.0, 0.0, 0.0)
        elif block.place == INSIDE:
            self.strays = self._forgotten(fan_out, h, matrices, sigma_b)
            self.known = self.strays.cosine <= _APART
        else:
            self.strays = self._summed(fan_in, fan_out, matrices, log_v, h)

    def _forgotten(self, width: int, h: BlockSignal, matrices: Widening, sigma_b: float) -> _Strays:
        """`ln`, `rms`: a mean over neurons of what a norm leaves, of mean square 1 exactly."""
        tables, log_v, old = fluctuations(self.means_of, width), np.zeros(()), self.strays.cosine
        step = tables.at(np.zeros(1))
        own, of_square = float(step.own[0]), 2 * float(step.elasticity[0]) ** 2
        small = tables.pairs(log_v, np.array([-_STEP, _STEP]))[2]
        of_mean = float(small[1] - small[0]) / (2 * _STEP) if self.block.norm == LAYER else 0.0
        signal, of_biases = (2 * _log(size) for size in (matrices.inner.sigma_in, sigma_b))
        share = math.exp(signal + 2 * h.log_rms - np.logaddexp(signal + 2 * h.log_rms, of_biases))
        c = np.clip(h.cosine + math.sqrt(old) * _NODES, -1, 1)
        r = share * c + 1 - share
        _, of_f, s, k = tables.pairs(log_v, r)
        variance = (own - of_square - of_mean) / width
        common = float(_WEIGHTS @ (s - of_square * r**2 - of_mean * r)) / width
        over = normalised(self.means_of, width if self.block.norm == LAYER else width + 1)
        moved = 2 * math.log(over.rms) - float(step.log_map[0])
        noise = s + 1 - of_f**2 - 2 * of_f * k + of_f**2 * (own + s) / 2
        return _Strays(
            moved - variance / 2,
            variance,
            common,
            _slope(c, of_f) ** 2 * old + max(0.0, float(_WEIGHTS @ noise) / width),
        )

    def _summed(self, fan_in: int, fan_out: int, matrices: Widening, log_v: float, h: BlockSignal) -> _Strays:
        """Blocks with a skip, whose branch is of mean 0."""
        block, old, above = self.block, self.strays, self.signal
        tables = fluctuations(self.means_of, fan_out)
        step = tables.at(np.array([log_v]))
        own, eta, share = float(step.own[0]), float(step.elasticity[0]), 1.0
        if not block.act_first:  # of the variance of z, what is the signal's
            size = 0.0 if block.place == BEFORE else h.log_rms
            share = math.exp(2 * (size + _log(matrices.inner.sigma_in)) - log_v)
            eta = 0.0 if block.place == BEFORE else eta * share
        kept = (block.number("skip") * math.exp(h.log_rms - above.log_rms)) ** 2
        p, spread = 1 - kept, math.sqrt(old.cosine)
        c = np.clip(h.cosine + spread * _NODES, -1, 1)
        r = share * c + 1 - share
        _, of_f, s, k = tables.pairs(np.array(log_v), r)
        added = self._added(p, c, of_f, s, k, own, fan_in, fan_out)
        passed, second = kept + p * eta, p * kept * (eta - 1) ** 2
        turned = kept + p * _slope(c, of_f)
        variance, common = passed**2 * old.variance, passed**2 * old.common
        if block.act_first:
            more = self._special(tables, log_v, h.cosine, p, passed, eta, fan_out)
            variance, common = variance + more[0], common + more[1]
            self._alike *= block.number("skip") * math.exp(h.log_rms - above.log_rms)
        of_own = float(_WEIGHTS @ added.variance)
        return _Strays(
            passed * old.mean
            + second * old.variance / 2
            - (variance - passed**2 * old.variance + of_own) / 2,
            variance + of_own,
            common + float(_WEIGHTS @ added.common),
            turned**2 * old.cosine + max(0.0, float(_WEIGHTS @ added.cosine)),
        )

    def _special(
        self,
        tables: Fluctuations,
        log_v: float,
        cosine: float,
        p: float,
        passed: float,
        eta: float,
        width: int,
    ) -> Array:
        """What `preact` adds to the variance of δ, and to the covariance of two, by the mean of f(h)² alone.

        ε, what it is beyond η δ, is of the same neurons at every layer: Cov(ε_j, ε_l) = (s(r) - 2 η² r²) / N,
        r their correlation.
        """
        self._alike = np.column_stack([self._alike, [1.0, cosine]])
        s = tables.pairs(np.array(log_v), self._alike.ravel())[2].reshape(self._alike.shape)
        covariance = (s - 2 * eta**2 * self._alike**2) / width
        before = covariance[:, :-1] @ self._weights
        self._weights = np.append(self._weights * passed, p)
        return 2 * passed * p * before + p * p * covariance[:, -1]

    def _added(
        self, p: float, c: Array, of_f: Array, s: Array, k: Array, own: float, fan_in: int, fan_out: int
    ) -> _Added:
        """Of h · y between skip and branch, of |y|² where y is a Gaussian matrix's, and of the mean of f²."""
        block = self.block
        cross, square = p * (1 - p) / fan_out, 0.0 if not (block.out or block.act_first) else p * p / fan_out
        many = block.expand * fan_in if block.out else fan_out
        of_mean = 0.0 if block.act_first else p * p / many
        variance = 4 * cross + 2 * square + of_mean * own + 0 * c
        common = 4 * cross * c * of_f + 2 * square * of_f**2 + of_mean * s
        # X, the mean of h_a h_b, and how it goes with A, of h_a²; the cosine is X / √(A B)
        product = 2 * cross * (1 + c * of_f) + square * (1 + of_f**2) + of_mean * (s + 1 - of_f**2)
        with_square = 2 * cross * (of_f + c) + 2 * square * of_f + of_mean * k
        new = (1 - p) * c + p * of_f
        cosine = product - 2 * new * with_square + new**2 / 2 * (variance + common)
        return _Added(variance, common, cosine, of_f)


def _slope(c: Array, of_f: Array) -> float:
    """How fast the cosine at f moves with that at h, over three of these."""
    return float((of_f[2] - of_f[0]) / (c[2] - c[0])) if c[2] > c[0] else 0.0


def _log(size: float) -> float:
    return math.log(size) if size else -math.inf
