"""Cosines of two inputs of unequal sizes through blocks; sizes are those of each input's own crossing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.base.arrays import Array
from sweep.base.blocks import AFTER, BATCH, BEFORE, INSIDE, LAYER, Block
from sweep.theory.blocks.maps import Widening
from sweep.theory.gaussian.correlation import unequal_cosine
from sweep.theory.gaussian.moments import Act, Gaussian, gaussian
from sweep.theory.maps import by_layer

_ALIKE = 4e-16  # a distance from 1 that is rounding


@dataclass(frozen=True)
class _Both:
    """Something of each of two inputs: rms, mean and std; and its cosine."""

    rms: Array
    mean: Array
    std: Array
    cosine: float

    @property
    def product(self) -> float:
        """E of one times the other."""
        return float(self.rms.prod()) * self.cosine


_NONE, _ONES = np.zeros(2), np.ones(2)


def block_cosines(
    block: Block,
    act: Act,
    blocks: Sequence[Widening],
    sigma_b: float | Sequence[float],
    first: Mapping[str, Array],
    second: Mapping[str, Array],
    c: float,
) -> Array:
    """The cosine by layer; first, second: the statistics of each input, of `block_prediction`.

    NaN from where a size is no number of float64. No norm over a batch, which mixes samples.
    """
    assert block.norm != BATCH
    means_of, cosines = gaussian(act), np.full(len(blocks) + 1, math.nan)
    cosines[0] = c
    with np.errstate(all="ignore"):
        for number, (matrices, of_biases) in enumerate(
            zip(blocks, by_layer(sigma_b, len(blocks)), strict=True), start=1
        ):
            rms, mean, std = (
                np.array([one[name][number - 1] for one in (first, second)])
                for name in ("rms", "mean", "std")
            )
            scale = np.array([one["pre_rms"][number] for one in (first, second)])
            c = _crossed(block, means_of, matrices, of_biases, _Both(rms, mean, std, c), scale)
            cosines[number] = c
    return cosines


def _crossed(
    block: Block, means_of: Gaussian, matrices: Widening, of_biases: float, h: _Both, scale: Array
) -> float:
    """The cosine above a block; scale: of z of each."""
    inner, skip, alpha = matrices.inner.sigma_in, block.number("skip"), block.number("alpha")
    if block.place == INSIDE:
        return _act(means_of, scale, _argument(h, inner, of_biases)).cosine
    if block.act_first:
        branch = _act(means_of, scale, h.cosine)
        size = np.hypot(inner * branch.rms, of_biases)
        cosine = _ratio(inner**2 * branch.product + of_biases**2, size)
        return _sum(h, skip, _Both(size, _NONE, size, cosine), alpha).cosine
    below = _normalised(h, block.norm) if block.place == BEFORE else h
    branch = _act(means_of, scale, _argument(below, inner, of_biases))
    if matrices.outer is not None:
        size = matrices.outer.sigma_in * branch.rms
        branch = _Both(size, _NONE, size, branch.cosine)
    above = _sum(h, skip, branch, alpha)
    return _normalised(above, block.norm).cosine if block.place == AFTER else above.cosine


def _argument(h: _Both, sigma: float, of_biases: float) -> float:
    """The cosine of h W + b."""
    return _ratio(sigma**2 * h.product + of_biases**2, np.hypot(sigma * h.rms, of_biases))


def _act(means_of: Gaussian, scale: Array, cosine: float) -> _Both:
    """act(z)."""
    if not np.isfinite(scale).all():
        return _Both(*(np.full(2, math.nan),) * 3, math.nan)
    each = [means_of.at(float(one)) for one in scale]
    rms, mean, std = (np.array([getattr(one, name) for one in each]) for name in ("rms", "mean", "std"))
    return _Both(rms, mean, std, unequal_cosine(means_of, float(scale[0]), float(scale[1]), cosine))


def _sum(h: _Both, skip: float, branch: _Both, alpha: float) -> _Both:
    """skip · h + alpha · branch."""
    crossed = skip * alpha * float(h.mean[0] * branch.mean[1] + h.mean[1] * branch.mean[0])
    product = sum(
        factor**2 * one.product if factor and one.rms.all() else 0.0
        for factor, one in ((skip, h), (alpha, branch))
    )
    own = (skip * h.rms) ** 2 + (alpha * branch.rms) ** 2 + 2 * skip * alpha * h.mean * branch.mean
    rms, mean = np.sqrt(own), skip * h.mean + alpha * branch.mean
    return _Both(rms, mean, np.hypot(skip * h.std, alpha * branch.std), _ratio(product + crossed, rms))


def _normalised(h: _Both, norm: str) -> _Both:
    """h after a norm over the neurons of each."""
    if norm == LAYER and h.mean.any():
        return _Both(_ONES, _NONE, _ONES, _ratio(h.product - float(h.mean.prod()), h.std))
    return _Both(_ONES, h.mean / h.rms, h.std / h.rms, h.cosine)


def _ratio(product: float, sizes: Array) -> float:
    """A cosine of this product; NaN of nothing."""
    cosine = float(product / sizes[0] / sizes[1]) if sizes.all() else math.nan
    return math.copysign(1.0, cosine) if abs(cosine) > 1 - _ALIKE else cosine
