"""What a stack costs: products, seconds of one core, and memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sweep.initializers import Distribution, Scheme
from sweep.kernel.chains.chain import Chain
from sweep.kernel.chains.homogeneity import carried
from sweep.kernel.layers.kinds import kind_of


@dataclass(frozen=True)
class Rates:
    """How fast one core is.

    float32, float64: operations of a product per second. Then seconds: entry, for activation, slope and
    statistics of one entry of h; layer, what Python and NumPy add to one layer of one chain; draw, for one
    weight; stream, to begin one.
    """

    float32: float
    float64: float
    entry: float
    layer: float
    draw: float
    stream: float


# Rough figures of a present-day server: good enough to balance tasks.
RATES = Rates(float32=1.3e11, float64=5e10, entry=1.5e-9, layer=4e-4, draw=4e-9, stream=1.5e-5)


_ROUNDED = 2.0  # to round an entry and to measure it, over what an entry of h costs


@dataclass(frozen=True)
class Cost:
    """seconds: of one core. bytes: the most held at once. flops: of the matrix products."""

    seconds: float
    bytes: int
    flops: int


def joined(cost: Cost, others: Sequence[Cost]) -> Cost:
    """What one thing after another costs."""
    return Cost(
        cost.seconds + sum(one.seconds for one in others),
        max(cost.bytes, *(one.bytes for one in others)),
        cost.flops + sum(one.flops for one in others),
    )


def cost_of(
    chains: Sequence[Chain], widths: Sequence[int], seeds: int, batch: int, dtype: str, rates: Rates = RATES
) -> Cost:
    """What `propagate` needs for these chains; widths: of the deepest."""
    signal = batch * max(widths)
    rounded = 0  # entries of copies, and their weights
    flops = entries = layers = kept = held = weights = 0
    others: set[tuple[int, Distribution | None]] = set()  # by layer, what is drawn besides
    for group in carried(chains, widths):
        members = [chains[index] for index in group.indices]
        depth = max(chain.depth for chain in members)
        back = sorted({start for chain in members for start in chain.backward})
        products, crossed, most = _sums(group.pushed, widths, depth)
        weights = max(weights, products)
        flops += 2 * batch * products
        entries += batch * crossed
        layers += depth + max(back, default=0)
        for start in back:
            products, crossed, _ = _sums(group.pushed, widths, start)
            flops += 4 * batch * products  # dL/dW and dL/dh
            entries += batch * crossed
        slopes = 0
        for copied in (chain for chain in members if chain.format):
            highest = max(copied.backward, default=0)
            for end in (copied.depth, *copied.backward):
                products, crossed, _ = _sums(copied, widths, end)
                flops += 2 * batch * products
                rounded += batch * crossed + products
            slopes += batch * _sums(copied, widths, highest)[1]  # all copies beside one network are kept
            layers += copied.depth + highest
            held += 4 * signal + 2 * max(widths) ** 2
        held += 2 * signal  # each carrier's signal and the next
        others |= {(number, scheme.base) for number, scheme in _ends(group.pushed, depth)}
        layer = max(2 * signal, batch * most)
        kept = max(kept, slopes + layer * max(back, default=0) + 2 * signal * len(back))  # layers, gradients
    depth = len(widths) - 1
    more = sum(widths[number - 1] * widths[number] for number, base in others if base is not None)
    seconds = (
        seeds * flops / (rates.float32 if dtype == "float32" else rates.float64)
        + seeds * (entries + rounded * _ROUNDED) * rates.entry
        + layers * rates.layer
        + seeds * (weights + more) * rates.draw
        + seeds * (depth + len(others)) * rates.stream
    )
    itemsize = 4 if dtype == "float32" else 8
    size = itemsize * seeds * ((weights if kept else max(widths) ** 2) + more + held + kept)
    return Cost(seconds, size, seeds * flops)


def _sums(chain: Chain, widths: Sequence[int], depth: int) -> tuple[int, int, int]:
    """Of the layers up to `depth`: weights, entries of each sample, and the most that one layer keeps."""
    sizes = [kind_of(chain).size(chain, *fans) for fans in pairwise(widths[: depth + 1])]
    return (
        sum(size.weights for size in sizes),
        sum(size.entries for size in sizes),
        max((size.kept for size in sizes), default=0),
    )


def _ends(chain: Chain, depth: int) -> Iterator[tuple[int, Scheme]]:
    """The layers that have a scheme of their own, with it."""
    if chain.first is not None:
        yield 1, chain.first
    if chain.last is not None:
        yield depth, chain.last
