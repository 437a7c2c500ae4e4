"""The maps of blocks: residual branches and norms, layer by layer, to leading order in 1/width.

A block takes q = E[h²] of a layer and the cosine c of two inputs to those of the next, and multiplies the
square of a gradient that comes back by a factor. h + act(…) adds second moments where the branch has the mean
0, or h has; else their means add too. Sizes are followed by their logarithms, so that 2^depth is a number at
every depth. Sources: Yang and Schoenholz 2017; Yang et al. 2019 for norms over the batch (`spheres`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.base.arrays import Array
from sweep.base.blocks import AFTER, BATCH, BEFORE, INSIDE, LAYER, Block, check_batch
from sweep.theory.finite.spheres import normalised
from sweep.theory.gaussian.correlation import pair
from sweep.theory.gaussian.moments import Act, Gaussian, gaussian
from sweep.theory.maps import COLUMNS, Layer, Prediction, by_layer, power_of_slope

GRAD_OUT = "grad_out_rms"
_LARGEST = math.log(float(np.finfo(np.float64).max))
_SETTLED = 4e-16  # a distance from 1 that is rounding


@dataclass(frozen=True)
class Widening:
    """One block's matrices: W, and V where it has one, as `Layer` says of each."""

    inner: Layer
    outer: Layer | None = None


@dataclass(frozen=True)
class BlockSignal:
    """h of one layer: log of its rms, its mean and std over its rms, and the cosine of two inputs."""

    log_rms: float
    mean: float
    std: float
    cosine: float


@dataclass(frozen=True)
class _Act:
    """act(z), z ~ N(0, exp(2 log_scale)): as a signal; log of sqrt(E[act'²]); the share of flat units."""

    log_scale: float
    signal: BlockSignal
    log_slope: float
    flat: float


@dataclass(frozen=True)
class Crossed:
    """What a block did: the signal above it, z, and logs of factors of dL/dh of that signal.

    through: of dL/dh below. weights, out: of dL/dW and dL/dV, the batch's √ included.
    """

    signal: BlockSignal
    log_scale: float
    flat: float
    through: float
    weights: float
    out: float = -math.inf


def block_prediction(
    block: Block,
    act: Act,
    blocks: Sequence[Widening],
    sigma_b: float | Sequence[float],
    batch: int,
    q0: float = 1.0,
    c0: float = 0.0,
    mean: float = 0.0,
) -> Prediction:
    """The maps of a block `at` its depth from inputs of second moment q0 and cosine c0.

    mean: that of their entries, over their rms.

    Statistics are those of `prediction`, and GRAD_OUT, that of dL/dV. A `residual` block whose act has a mean
    sends back more than this to first order in 1/width: see docs/theory.md. Raises RequestError where act has
    no moments, and for a norm over too few inputs.
    """
    means_of, depth = gaussian(act), len(blocks)
    each = zip(blocks, by_layer(sigma_b, depth), strict=True)
    crossings = [
        Crossing(block, means_of, matrices, of_biases, batch, number == depth)
        for number, (matrices, of_biases) in enumerate(each, start=1)
    ]
    return Prediction(unlike_prediction(crossings, q0, c0, mean), (), np.full(depth + 1, math.nan))


def unlike_prediction(
    crossings: Sequence["Crossing"], q0: float = 1.0, c0: float = 0.0, mean: float = 0.0
) -> dict[str, Array]:
    """The statistics of `block_prediction` for a network whose blocks need not be alike.

    crossings: its blocks in their order, plain layers too. GRAD_OUT is NaN where one has no V.
    """
    depth = len(crossings)
    columns = {name: np.full(depth + 1, math.nan) for name in (*COLUMNS, GRAD_OUT)}
    signal = BlockSignal(math.log(q0) / 2, mean, math.sqrt(1 - mean * mean), c0)
    _set(columns, 0, signal)
    crossed = []
    for number, crossing in enumerate(crossings, start=1):
        check_batch(crossing.block, crossing.batch)
        one = crossing.cross(signal)
        crossed.append(one)
        signal = one.signal
        _set(columns, number, signal)
        columns["pre_rms"][number], columns["flat"][number] = _exp(one.log_scale), one.flat
    log_delta = 0.0
    columns["delta_rms"][depth] = 1.0
    for number in range(depth, 0, -1):
        one = crossed[number - 1]
        columns["grad_rms"][number] = _exp(log_delta + one.weights)
        if crossings[number - 1].matrices.outer:
            columns[GRAD_OUT][number] = _exp(log_delta + one.out)
        log_delta += one.through
        columns["delta_rms"][number - 1] = _exp(log_delta)
    return columns


@dataclass(frozen=True)
class Crossing:
    """One block of a network, about to be crossed.

    last: whether gradients start above it. sigma_out: std of biases after V, of which our own have none.
    """

    block: Block
    means_of: Gaussian
    matrices: Widening
    sigma_b: float
    batch: int
    last: bool
    sigma_out: float = 0.0

    def cross(self, h: BlockSignal) -> Crossed:
        if self.block.norm == BATCH:
            return self._over_the_batch(h)
        if self.block.place == INSIDE:
            return self._normed(h)
        return self._preact(h) if self.block.act_first else self._residual(h)

    def _residual(self, h: BlockSignal) -> Crossed:
        """`residual`, `mlp`, and those with a norm before or after them."""
        inner, outer = self.matrices.inner, self.matrices.outer
        log_a, below, unit = _log(self.block.number("alpha")), h, -math.inf
        if self.block.place == BEFORE:
            below, unit = _normalised(h, self.block.norm)
        act = self._applied(below, inner.sigma_in)
        branch, log_passed = act.signal, log_a + act.log_slope
        out, log_root = -math.inf, math.log(self.batch) / 2
        if outer is not None:
            product = branch.log_rms + _log(outer.sigma_in)
            log_branch, cosine = _biased(product, branch.cosine, self.sigma_out)
            branch = BlockSignal(log_branch, 0.0, 1.0, cosine)
            log_passed += _log(outer.sigma_out)
            out = log_root + log_a + act.signal.log_rms
        above = _sum(h, _log(self.block.number("skip")), branch, log_a)
        further = log_passed + _log(inner.sigma_out)  # of the branch
        if self.block.place == BEFORE:
            further -= unit
        through = _both(_log(self.block.number("skip")), further)
        weights = log_root + below.log_rms + log_passed
        if self.block.place == AFTER:
            above, unit = _normalised(above, self.block.norm)
            through, weights, out = (log - unit for log in (through, weights, out))
        return Crossed(above, act.log_scale, act.flat, through, weights, out)

    def _preact(self, h: BlockSignal) -> Crossed:
        inner, log_a = self.matrices.inner, _log(self.block.number("alpha"))
        act = self._seen(h.log_rms, h.cosine)
        product = act.signal.log_rms + _log(inner.sigma_in)
        log_branch, cosine = _biased(product, act.signal.cosine, self.sigma_b)
        branch = BlockSignal(log_branch, 0.0, 1.0, cosine)
        log_skip = _log(self.block.number("skip"))
        through = _both(log_skip, log_a + _log(inner.sigma_out) + act.log_slope)
        weights = math.log(self.batch) / 2 + log_a + act.signal.log_rms
        return Crossed(_sum(h, log_skip, branch, log_a), act.log_scale, act.flat, through, weights)

    def _normed(self, h: BlockSignal) -> Crossed:
        """`ln`, `rms`: over so many neurons z is Gaussian again, of variance 1."""
        inner = self.matrices.inner
        before, correlation = self._argument(h, inner.sigma_in)
        act = self._seen(0.0 if before > -math.inf else before, correlation)
        passed = act.log_slope - before if before > -math.inf else -math.inf
        weights = math.log(self.batch) / 2 + h.log_rms + passed
        return Crossed(act.signal, act.log_scale, act.flat, passed + _log(inner.sigma_out), weights)

    def _over_the_batch(self, h: BlockSignal) -> Crossed:
        """`bn`: the bias, and all that inputs have in common, is taken off."""
        inner = self.matrices.inner
        own = h.log_rms + math.log(1 - h.cosine) / 2 if h.cosine < 1 else -math.inf  # √(q (1 - c))
        if own + _log(inner.sigma_in) == -math.inf:
            act = self._seen(-math.inf, 1.0)
            return Crossed(act.signal, act.log_scale, act.flat, -math.inf, -math.inf)
        over = normalised(self.means_of, self.batch)
        rms = over.rms
        signal = BlockSignal(
            _log(rms), over.mean / rms if rms else 0.0, over.std / rms if rms else 0.0, over.cosine
        )
        rate = over.back_from_the_top if self.last else over.back
        passed = math.log(rate) / 2 - own if rate else -math.inf  # of dL/dz, over what W divides
        through = passed + _log(inner.sigma_out) - _log(inner.sigma_in)
        weights = math.log(self.batch) / 2 + own + passed - _log(inner.sigma_in)
        return Crossed(signal, 0.0, over.flat, through, weights)

    def _applied(self, h: BlockSignal, sigma_in: float) -> _Act:
        """act(h W + b)."""
        return self._seen(*self._argument(h, sigma_in))

    def _argument(self, h: BlockSignal, sigma_in: float) -> tuple[float, float]:
        """log of the rms of h W + b, and the correlation of two inputs' there."""
        return _biased(h.log_rms + _log(sigma_in), h.cosine, self.sigma_b)

    def _seen(self, log_scale: float, correlation: float) -> _Act:
        """act at z of this size; beyond where it can be evaluated, as the power law that it is there."""
        means_of = self.means_of
        least, most = (math.log(scale) for scale in means_of.scales)
        inside = min(max(log_scale, least), most)
        scale = math.exp(inside) if log_scale > -math.inf else 0.0
        beyond = log_scale - inside if scale else 0.0
        means = means_of.at(scale)
        log_rms, log_slope = _log(means.rms), _log(means.slope_rms)
        if beyond:
            log_rms += means.elasticity * beyond
            log_slope += power_of_slope(means_of, scale) * beyond
        cosine = pair(means_of, scale, correlation).cosine
        mean, std = (means.mean / means.rms, means.std / means.rms) if means.rms else (0.0, 0.0)
        return _Act(log_scale, BlockSignal(log_rms, mean, std, cosine), log_slope, means_of.flat(scale))


def _normalised(h: BlockSignal, norm: str) -> tuple[BlockSignal, float]:
    """h after a norm, and log of what it was divided by; nothing of nothing."""
    unit, cosine, mean = h.log_rms, h.cosine, h.mean
    if norm == LAYER and mean:
        varies = h.std * h.std
        cosine = (cosine - mean * mean) / varies if varies else math.nan
        unit += _log(h.std)
        mean = 0.0
    if unit == -math.inf:
        return BlockSignal(-math.inf, 0.0, 0.0, math.nan), math.inf
    return BlockSignal(0.0, mean, h.std if mean else 1.0, cosine), unit


def _sum(h: BlockSignal, log_skip: float, branch: BlockSignal, log_branch: float) -> BlockSignal:
    """skip · h + alpha · branch, by the logs of both factors."""
    old, new = log_skip + h.log_rms, log_branch + branch.log_rms
    top = max(old, new)
    if top == -math.inf:
        return BlockSignal(-math.inf, 0.0, 0.0, math.nan)
    a, b = math.exp(old - top), math.exp(new - top)
    crossed = 2 * a * b * h.mean * branch.mean
    total = a * a + b * b + crossed
    if total <= 0:
        return BlockSignal(-math.inf, 0.0, 0.0, math.nan)
    cosine = ((a * a * h.cosine if a else 0.0) + (b * b * branch.cosine if b else 0.0) + crossed) / total
    rms = math.sqrt(total)
    mean, std = (a * h.mean + b * branch.mean) / rms, math.hypot(a * h.std, b * branch.std) / rms
    return BlockSignal(top + math.log(rms), mean, std, cosine)


def _biased(product: float, cosine: float, sigma_b: float) -> tuple[float, float]:
    """log of the rms of a product, by its own, and biases; and the cosine of two inputs' there."""
    log_scale = _both(product, _log(sigma_b))
    share = math.exp(2 * (product - log_scale)) if log_scale > -math.inf else 0.0
    return log_scale, _mixed(share, cosine)


def _mixed(share: float, cosine: float) -> float:
    """The correlation of two inputs where biases, which all inputs share, are the rest of the variance."""
    correlation = share * cosine + (1 - share) if share else 1.0
    return math.copysign(1.0, correlation) if abs(correlation) > 1 - _SETTLED else correlation


def _set(columns: dict[str, Array], layer: int, signal: BlockSignal) -> None:
    rms = _exp(signal.log_rms)
    columns["rms"][layer], columns["sample_cosine"][layer] = rms, signal.cosine
    columns["mean"][layer] = rms * signal.mean if signal.mean else 0.0
    columns["std"][layer] = rms * signal.std if signal.std else 0.0


def _both(a: float, b: float) -> float:
    """log √(exp(a)² + exp(b)²)."""
    return float(np.logaddexp(2 * a, 2 * b)) / 2


def _log(size: float) -> float:
    return math.log(size) if size else -math.inf


def _exp(log: float) -> float:
    """exp; 0 or inf beyond float64's range."""
    return math.inf if log >= _LARGEST else math.exp(log)
