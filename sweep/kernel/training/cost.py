"""What a short training costs, beside measuring the network."""

from collections.abc import Sequence
from itertools import pairwise

from sweep.base.training import CLASSES, Training
from sweep.kernel.chains.chain import Chain
from sweep.kernel.chains.cost import Cost, Rates
from sweep.kernel.layers.kinds import kind_of
from sweep.kernel.training.descent import EVALUATED, together

_SLOW = 1.3  # how much longer than a large product the small ones of a training take
_PASSES = 1.5  # over the entries of a layer, forward and back, beside those of a measurement
_LAYER = 1 / 8  # of what Python and NumPy add to a measured layer: nothing is measured here


def cost_of_training(
    chain: Chain, widths: Sequence[int], training: Training, networks: int, dtype: str, rates: Rates
) -> Cost:
    """What so many networks of this chain's shape cost; seconds: of one core. bytes: held at once."""
    sizes = [kind_of(chain).size(chain, *fans) for fans in pairwise(widths)]
    weights = sum(size.weights for size in sizes) + widths[-1] * CLASSES
    entries, kept = sum(size.entries for size in sizes), sum(size.kept for size in sizes)
    inputs = training.source.training + training.source.held_out
    steps, batch, depth = training.steps, training.batch, len(widths) - 1
    # Forward, to the weights and to the layer below; of all inputs before and after, forward alone.
    flops = 2 * weights * (3 * steps * batch + 2 * inputs)
    itemsize = 4 if dtype == "float32" else 8
    at_once = min(networks, together(training, widths, itemsize))
    rate = rates.float32 if dtype == "float32" else rates.float64
    each = (
        _SLOW * flops / rate
        + _PASSES * entries * (steps * batch + 2 * inputs) * rates.entry
        + depth * (steps / at_once + 2 * -(-inputs // EVALUATED)) * _LAYER * rates.layer
    )
    held = at_once * (batch * (2 * kept + 6 * max(widths)) + 3 * weights + inputs * widths[-1])
    held += EVALUATED * (2 * kept + 6 * max(widths)) + inputs * widths[0]
    return Cost(networks * each, itemsize * held, networks * flops)
