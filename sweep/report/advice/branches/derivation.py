"""What a block does to signal and gradient, step by step."""

import math

from sweep.activations import Activation
from sweep.base.blocks import AFTER, BATCH, BEFORE, INSIDE, Block
from sweep.theory.gaussian.moments import gaussian

_OF_TWO = math.sqrt(2)


def derivation(act: Activation, block: Block, depth: int) -> list[str]:
    """Lines for z ~ N(0, sigma_w²), as behind a norm."""
    means = gaussian(act).at(1.0)
    second, slope = means.rms**2, means.slope_rms**2
    lines = [
        f"h' = {block.formula}, f(z) = {act.formula}; z ~ N(0, 1): E[f²] = {second:.6g}, E[f'²] = {slope:.6g}"
    ]
    if 0 in (block.alpha, block.v_scale):
        return [
            *lines,
            "the branch is 0 at the start: h and its gradient pass as they are, whatever the weights",
        ]
    if block.place == INSIDE:
        return [*lines, *_of_a_norm(block, means.mean, second, slope, depth)]
    if block.place == BEFORE:
        added = _added(act, _OF_TWO)
        lines += [
            "the norm makes z of one variance at every depth, so each block adds the same a² sigma_v² E[f²]: "
            "E[h²] grows linearly,",
            f"by {added:.4g} a block with kaiming (sigma_w² = sigma_v² = 2): × {1 + depth * added:.3g} over "
            f"{depth} blocks; with a branch of 1/√depth by {added:.4g} in all, however deep",
            "the gradient grows downwards about as much, exactly so where f is homogeneous: linear growth is "
            "no explosion, and the verdict counts it healthy",
        ]
    elif block.place == AFTER:
        lines.append(
            "the norm after the sum holds E[h²] = 1; a block changes the gradient's mean square by "
            "(s² + a² sigma_v² sigma_w² E[f'²]) / (s² + a² sigma_v² E[f²]): by 1 where f is homogeneous"
        )
    elif block.out or block.act_first:
        lines.append(
            "each block multiplies E[h²] by about 1 + x, x = a² sigma_v² E[f²] / E[h²]: "
            "(1 + x)^depth, which a branch of 1/√depth turns into e^x"
        )
    else:
        lines.append(
            "the branch has a mean where E[f] is not 0; it adds up over the skips, and a gradient of all "
            "entries alike grows with it: theory has no word on that gradient"
        )
    return lines


def _added(act: Activation, sigma_w: float) -> float:
    return (sigma_w * gaussian(act).at(sigma_w).rms) ** 2


def _of_a_norm(block: Block, mean: float, second: float, slope: float, depth: int) -> list[str]:
    """What a norm without a skip costs: a factor of the gradient at every layer."""
    divided = second - mean**2 if block.norm == BATCH else second
    name = "Var f" if block.norm == BATCH else "E[f²]"
    if not divided:
        return ["the norm of f that does not vary is nothing"]
    rate = slope / divided
    return [
        "the norm takes the weights' size away: only its direction counts, and any sigma_w is as good",
        f"it costs a gradient E[f'²]/{name} = {rate:.6g} a layer (mean square): "
        f"× {rate ** ((depth - 1) / 2):.3g} in size over all {depth - 1} but the first",
    ]
