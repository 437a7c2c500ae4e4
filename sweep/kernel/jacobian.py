"""The singular values of dh_L / dh_0 of a network: how far they are apart.

J is pushed forward from the inputs, layer by layer, for a few of them together. Its own size is of no
account, so it is brought near 1 at every layer, and no depth takes it out of float64's range; the signal goes
in long double, whatever the network's dtype.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np

from sweep.activations.extended import WIDE
from sweep.base.arrays import Array
from sweep.base.inputs import GAUSSIAN, Inputs
from sweep.initializers import Scheme
from sweep.kernel.chains.chain import Chain
from sweep.kernel.chains.cost import Cost, Rates
from sweep.kernel.inputs.drawn import inputs_of
from sweep.kernel.layers.kinds import kind_of
from sweep.kernel.layers.wide import WideSignal

SAMPLES = 4  # inputs, the first ones, over which the spread is averaged
_WIDE = 8.0  # how much longer than drawing weights it takes to have them in long double
_FITTED = 400.0  # the same of a measured entry, where a scheme is fitted to it in long double


def spreads(
    chain: Chain,
    widths: Sequence[int],
    seed: int,
    batch: int,
    depths: Collection[int],
    inputs: Inputs = GAUSSIAN,
) -> dict[int, float]:
    """Depth L -> Var(s²) / E[s²]² of the min(N_0, N_L) singular values s of dh_L / dh_0: mean over inputs.

    widths: (w_0 .. w_L), up to the chain's depth. Inputs for which dh_L / dh_0 is 0 are left out; NaN where
    it is 0 for all, not finite, or not known.
    """
    rows = batch if _fits(chain) else SAMPLES  # a scheme may look at all of the batch
    x = inputs_of(inputs, [seed], min(rows, batch), widths[0])[0].astype(WIDE)
    signal = WideSignal(x, np.zeros(widths[0], bool))
    samples = min(SAMPLES, batch)
    jacobian = np.broadcast_to(np.eye(widths[0]), (samples, widths[0], widths[0]))
    found = {}
    with np.errstate(all="ignore"):  # what is not finite has no spread, and is no warning
        for number, fans in enumerate(pairwise(widths[: max(depths) + 1]), 1):
            layer = kind_of(chain).wide(chain, number, fans, seed)
            signal = layer.forward(signal)
            jacobian = _near_one(layer.push(signal, jacobian))
            if number in depths:
                found[number] = _spread(jacobian)
    return found


def _fits(chain: Chain) -> bool:
    """Whether a scheme depends on the data."""
    schemes = (chain.scheme, chain.first, chain.last)
    return any(scheme is not None and type(scheme).fit is not Scheme.fit for scheme in schemes)


def _near_one(jacobian: Array) -> Array:
    """The same of each sample, divided by the power of two that brings the largest entry near 1."""
    largest = np.abs(jacobian).max(axis=(1, 2), keepdims=True)
    scaled: Array = np.ldexp(jacobian, -np.frexp(largest)[1])
    return scaled


def _spread(jacobian: Array) -> float:
    """Var(s²) / E[s²]², the mean over samples; jacobian: (samples, inputs, outputs).

    Without the singular values themselves: s² are the eigenvalues of G = J Jᵀ or Jᵀ J, whichever is smaller,
    and Var(s²) = |G - E[s²]|² / n, which loses nothing where they are all alike.
    """
    each = []
    for one in jacobian:
        gram = one @ one.T if len(one) <= one.shape[1] else one.T @ one
        mean = np.trace(gram) / len(gram)
        gram[np.diag_indices(len(gram))] -= mean
        if mean != 0:
            each.append(float(np.square(gram / mean).sum() / len(gram)))
    spread = float(np.mean(each)) if each else np.nan
    return spread if np.isfinite(spread) else np.nan


def cost_of_jacobian(
    chain: Chain, widths: Sequence[int], seeds: int, batch: int, depths: Sequence[int], rates: Rates
) -> Cost:
    """What the spreads of so many networks cost, beside measuring them; bytes: held at once."""
    sizes = [kind_of(chain).size(chain, *fans) for fans in pairwise(widths[: max(depths) + 1])]
    changes, rows = SAMPLES * widths[0], batch if _fits(chain) else SAMPLES
    weights, widest = sum(size.weights for size in sizes), max(size.entries for size in sizes)
    of_grams = 2 * changes * sum(min(widths[0], widths[depth]) * widths[depth] for depth in depths)
    flops = 2 * weights * (changes + rows) + of_grams
    seconds = (
        flops / rates.float64
        + sum(size.entries for size in sizes) * (changes + _FITTED * (rows > SAMPLES) * rows) * rates.entry
        + _WIDE * weights * rates.draw
        + len(sizes) * (rates.layer + rates.stream)
    )
    held = 8 * 4 * changes * max(widest, *widths) + 16 * 4 * (max(size.weights for size in sizes))
    return Cost(seeds * seconds, held + 16 * 4 * rows * max(widest, *widths), seeds * flops)
