"""The spread of the singular values of dh_L / dh_0 of a network of the plain loop, by an SVD."""

import numpy as np

from sweep.base.blocks import AFTER, BEFORE, INSIDE, PLAIN, RMS
from tests.bounds import ANY, GAIN, NULL, Allowed
from tests.exact import LONG
from tests.plain import COPIES

SAMPLES = 4  # the first inputs
NOISE = 64 * np.finfo(LONG).eps
CLOSE = 1e-9  # what float64 has of a product of many matrices and of its singular values
CLOSE_OF_DIFFERENCES = 1e-4  # the same where slopes are differences


def jac_spread(network):
    """What the spread may be; network: of dtype float64, its copies moved by that."""
    depth = len(network.widths) - 1
    if min(network.lost_at, network.adrift_at) <= depth or network.chaotic_at <= depth:
        return ANY
    with np.errstate(all="ignore"):
        of = np.array([_spread_of(network, copy) for copy in range(COPIES + 1)])
    if np.isnan(of[0]):
        return NULL
    apart = np.abs(of[1:] - of[0]).max()
    if not apart < 0.1 * (of[0] + 1e-6):  # kinks, or next to nothing passes
        return ANY
    close = CLOSE_OF_DIFFERENCES if network.act.numerical else CLOSE
    within = GAIN * apart + close * (1 + of[0])
    return Allowed(float(of[0]), float(of[0] - within), float(of[0] + within))


def _spread_of(network, copy):
    found = []
    for sample in range(min(SAMPLES, network.batch)):
        jacobian = np.eye(network.widths[0], dtype=LONG)
        for layer in range(1, len(network.widths)):
            jacobian = _pushed(network, layer, copy, sample, jacobian)
            jacobian = jacobian / (np.abs(jacobian).max() or 1)
        squares = np.linalg.svd(jacobian.astype(float), compute_uv=False) ** 2
        if squares.max() > 0:
            found.append(squares.var() / squares.mean() ** 2)
    return np.mean(found) if found else np.nan


def _pushed(network, layer, copy, sample, changes):
    """What a layer makes of changes of h: (changes, fan_in) -> (changes, fan_out)."""
    weights = [of[min(copy, len(of) - 1)] for of, _, _ in network.matrices(layer)]
    block = getattr(network, "block", PLAIN)
    if block is PLAIN or block.name == PLAIN.name:
        _, z, *_ = network.layers[layer - 1]
        return (changes @ weights[0]) * network.act.slope(z[copy, sample])
    _, crossed = network.layers[layer - 1]
    slope = network.act.slope(crossed.z[copy, sample])

    def normed(values):
        y, inverse = (of[copy, sample] for of in crossed.norm)
        along = y * (values * y).mean(axis=1, keepdims=True)
        passed = values - along
        if block.norm != RMS:
            passed = passed - values.mean(axis=1, keepdims=True)
        if np.abs(passed).max() <= NOISE * np.abs(values).max():
            return 0 * values
        return passed * inverse

    branch = normed(changes) if block.place == BEFORE else changes
    if block.act_first:
        branch = (branch * slope) @ weights[0]
    else:
        branch = branch @ weights[0]
        branch = (normed(branch) if block.place == INSIDE else branch) * slope
    if block.out:
        branch = branch @ weights[1]
    if block.skipped:
        branch = LONG(block.number("alpha")) * branch
        if skip := block.number("skip"):
            branch = branch + LONG(skip) * changes
    return normed(branch) if block.place == AFTER else branch
