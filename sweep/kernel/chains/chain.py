"""A chain, which is what the kernel is asked about, and its statistics, the answer."""

from dataclasses import dataclass

import numpy as np

from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.base.blocks import PLAIN, Block
from sweep.initializers import NORMAL, Distribution, Scheme
from sweep.kernel.layers.signal import HISTOGRAM_BINS
from sweep.kernel.statistics.table import BACKWARD, FORWARD


@dataclass(frozen=True)
class Chain:
    """One kind of network in a stack.

    bias_std: of the biases; without effect where a layer's scheme draws its own. depth: how far it is pushed.
    backward: the depths from which a gradient is sent back. first, last: the schemes of these layers alone,
    where they have others; of a single layer it is `last`. With `last` a chain ends at `depth`: it is no
    prefix of a deeper one. block: what each layer is, with numbers for its parameters. format: that of a
    rounded copy beside it.
    """

    scheme: Scheme
    act: Activation
    bias_std: float
    depth: int
    backward: tuple[int, ...] = ()
    first: Scheme | None = None
    last: Scheme | None = None
    block: Block = PLAIN
    format: str | None = None

    def __post_init__(self) -> None:
        assert self.last is None or set(self.backward) <= {self.depth}

    def scheme_of(self, number: int) -> Scheme:
        """What draws the weights of a layer, from 1."""
        if self.last is not None and number == self.depth:
            return self.last
        return self.first if self.first is not None and number == 1 else self.scheme

    def bias_of(self, number: int) -> Distribution:
        """Where the biases of a layer come from."""
        return self.scheme_of(number).bias or NORMAL

    def bias_std_of(self, number: int, fan_in: int, fan_out: int) -> float:
        """sqrt(Var b) of a layer."""
        scheme = self.scheme_of(number)
        return self.bias_std if scheme.bias is None else scheme.bias_std(fan_in, fan_out)


@dataclass(frozen=True)
class ChainStatistics:
    """What was measured of one chain; NaN where a statistic is not defined.

    forward: name -> (seeds, depth + 1), by layer. backward: depth -> name -> (seeds, depth + 1).
    unheld: whether float32 could not hold h, (seeds, depth + 1) bool.
    histogram: (seeds, depth + 1, 30) counts of h by layer, or None. loss_scale: depth -> (seeds,), of a chain
    with a format.
    """

    forward: dict[str, Array]
    backward: dict[int, dict[str, Array]]
    unheld: Array
    histogram: Array | None
    loss_scale: dict[int, Array]

    def of_seed(self, index: int) -> "ChainStatistics":
        """The statistics of one seed: the same arrays without their first axis."""
        return self.rows(index)

    def rows(self, index: int | slice) -> "ChainStatistics":
        """The statistics of some seeds: views of the same arrays."""
        return ChainStatistics(
            {name: values[index] for name, values in self.forward.items()},
            {
                depth: {name: values[index] for name, values in columns.items()}
                for depth, columns in self.backward.items()
            },
            self.unheld[index],
            None if self.histogram is None else self.histogram[index],
            {depth: values[index] for depth, values in self.loss_scale.items()},
        )


def blank(chain: Chain, seeds: int, histogram: bool) -> ChainStatistics:
    """Statistics to be filled in."""
    return ChainStatistics(
        {name: np.full((seeds, chain.depth + 1), np.nan) for name in FORWARD},
        {depth: {name: np.full((seeds, depth + 1), np.nan) for name in BACKWARD} for depth in chain.backward},
        np.zeros((seeds, chain.depth + 1), bool),
        np.zeros((seeds, chain.depth + 1, HISTOGRAM_BINS), np.int64) if histogram else None,
        {depth: np.full(seeds, np.nan) for depth in chain.backward if chain.format},
    )
