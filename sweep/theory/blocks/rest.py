"""Where networks of blocks settle: those whose norm holds the size of the signal, so that only cosines move.

    ln, rms    v = 1;                   r -> (sigma_w² q C(r) + sigma_b²) / (sigma_w² q + sigma_b²), q = E[f²]
    post_…     v = sigma_w² + sigma_b²; c -> (s² c + a² sigma_v² K(r)) / t, t = s² + a² sigma_v² E[f²]
    bn         v = 1;                   r = -1/(B - 1) after one layer

C(r) = K(r) / E[f²] is the cosine of f at arguments of correlation r. Where nothing but a skip holds h, every
branch adds to it: E[h²] has no fixed point at skip = 1, and that at a smaller one is not derived here.
"""

import math

from sweep.base import blocks, checks
from sweep.base.blocks import AFTER, BATCH, INSIDE, Block, Size, check_batch
from sweep.base.errors import RequestError
from sweep.theory import fixed_points
from sweep.theory.finite.spheres import normalised
from sweep.theory.fixed_points import FixedPoint, depth_scale, settle_correlation
from sweep.theory.gaussian.correlation import slope_of_pair
from sweep.theory.gaussian.moments import Act, Gaussian, gaussian

_NOWHERE = "with skip=1 a branch is added to h at every block, so that E[h²] grows with the depth"


def fixed_point(
    act: Act,
    sigma_w: float,
    sigma_b: float = 0.0,
    q0: float = 1.0,
    *,
    block: str | Block = "plain",
    skip: Size | None = None,
    alpha: Size | None = None,
    sigma_v: float | None = None,
    batch: int = 1000,
) -> FixedPoint:
    """Where inputs of second moment q0 settle: Poole et al. 2016 (v, c, chi1), Schoenholz et al. 2017 (xi).

    v is where iterating the variance map V(v) = sigma_w² E[act²] + sigma_b² from there ends; c is the
    stable fixed point of the correlation map at v, 1 where chi1 <= 1. Where v diverges, v = inf, chi1 is its
    limit and the rest NaN; where act' is not known, all but v; where v does not settle, all (a user's
    function whose E[act²] falls with v, or whose act' is not known where v moves slowly). block: one with a
    norm after or inside it (ln, rms, bn, post_ln, post_rms), which holds v from the first layer on: slope and
    xi_q are 0; skip, alpha, sigma_v, batch: as in `predict`; c: of what goes into act. Raises RequestError
    where a value breaks its rule, and for a block of which none is known.
    """
    given: dict[str, Size | None] = {"skip": skip, "alpha": alpha}
    taken = blocks.resolved(block, {}).takes
    block = blocks.resolved(block, {name: v for name, v in given.items() if name in taken and v is not None})
    if block.plain:
        return fixed_points.fixed_point(act, sigma_w, sigma_b, q0)
    if block.place not in (AFTER, INSIDE):
        held = ", ".join(name for name in blocks.BLOCKS if blocks.REGISTRY.get(name).place in (AFTER, INSIDE))
        raise RequestError(
            f"block={block.name}: no fixed point is known of it: {_NOWHERE}, and where it settles at a "
            f"smaller one, or without a branch, is in predict(…, block='{block.name}'), layer by layer; "
            f"blocks whose fixed point is known: plain, {held}"
        )
    if block.of_depth:
        told = ", ".join(f"{name}={one}" for name, one in block.parameters if isinstance(one, str))
        raise RequestError(f"{told}: a fixed point is one of networks of any depth: give numbers")
    sigma_w, sigma_b = checks.real("sigma_w", sigma_w, 0.0), checks.real("sigma_b", sigma_b, 0.0)
    checks.real("q0", q0, 0.0, strictly=True)
    sigma_v = sigma_w if sigma_v is None else checks.real("sigma_v", sigma_v, 0.0)
    sigma_w, sigma_v = sigma_w * block.number("w_scale"), sigma_v * block.number("v_scale")
    means_of = gaussian(act)
    if block.norm == BATCH:
        return _over_the_batch(means_of, block, sigma_w, checks.whole("batch", batch, 2))
    if block.place == INSIDE:
        return _normed(means_of, sigma_w, sigma_b)
    return _after(means_of, block, sigma_w, sigma_b, sigma_v)


def _normed(means_of: Gaussian, sigma_w: float, sigma_b: float) -> FixedPoint:
    """`ln`, `rms`: the map of a plain layer of which sigma_w² q is a share of 1."""
    at = means_of.at(1.0)
    before = (sigma_w * at.rms) ** 2 + sigma_b**2
    if before == 0:  # the norm of nothing is nothing
        return FixedPoint(0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    share = (sigma_w * at.rms) ** 2 / before
    return _settled(means_of, 1.0, share, sigma_w**2 / before, 0.0)


def _after(means_of: Gaussian, block: Block, sigma_w: float, sigma_b: float, sigma_v: float) -> FixedPoint:
    """`post_ln`, `post_rms`: h has the mean square 1, and its branch as large a share of t at every block."""
    v = sigma_w**2 + sigma_b**2
    at = means_of.at(math.sqrt(v))
    branch = (block.number("alpha") * sigma_v * at.rms) ** 2
    total = block.number("skip") ** 2 + branch
    if total == 0:  # the norm of nothing is nothing, and only biases are left
        return FixedPoint(sigma_b**2, 1.0, 0.0, 0.0, 0.0, 0.0)
    if branch == 0:  # the identity, of which everything is a fixed point
        return FixedPoint(v, math.nan, 1.0, 0.0, 0.0, math.inf)
    share = sigma_w**2 / v if v else 0.0
    return _settled(means_of, v, share, (sigma_w / at.rms) ** 2, 1 - branch / total)


def _settled(means_of: Gaussian, v: float, share: float, per_slope: float, kept: float) -> FixedPoint:
    """The fixed point of r -> kept · r + (1 - kept) (share · C(r) + 1 - share).

    per_slope: what E[act'²], at correlation r, is multiplied by in the slope of the second term.
    """
    scale = math.sqrt(v)
    of_branch = per_slope * means_of.at(scale).slope_rms ** 2
    if math.isnan(of_branch):
        return FixedPoint(v, *(math.nan,) * 5)
    chi1, c = kept + (1 - kept) * of_branch, 1.0
    if of_branch > 1 + fixed_points.CRITICAL:
        c = settle_correlation(means_of, scale, share)
    slope = chi1 if c == 1 else kept + (1 - kept) * per_slope * slope_of_pair(means_of, scale, c) ** 2
    return FixedPoint(v, c, chi1, 0.0, 0.0, depth_scale(slope))


def _over_the_batch(means_of: Gaussian, block: Block, sigma_w: float, batch: int) -> FixedPoint:
    """`bn`: any two inputs are as unlike as can be, from the first layer on."""
    check_batch(block, batch)
    if sigma_w == 0:
        return FixedPoint(0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    over = normalised(means_of, batch)
    varies = over.rms**2 * (1 - over.cosine)
    chi1 = over.back / varies if varies else 0.0
    return FixedPoint(1.0, -1 / (batch - 1), chi1, 0.0, 0.0, 0.0)
