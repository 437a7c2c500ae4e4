"""What a kind of layer is: how it is crossed, and what it costs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sweep.base.arrays import Array
from sweep.kernel.chains.chain import Chain
from sweep.kernel.layers.draws import Draws
from sweep.kernel.layers.signal import Delta, Measured, Signal
from sweep.kernel.layers.wide import WideLayer
from sweep.kernel.passes import Passes

# W, or V, (seeds, fan_in, fan_out), and its biases, (seeds, 1, fan_out) or None, as they are drawn or fitted.
Drawn = tuple[Array, Array | None]  # float32
# Shown dL/dy of every product y = h W: mantissas (gradients, seeds, batch, width), exponents of each network.
Entering = Callable[[Array, Array], None]
Sizes = tuple[Array, Array, Array]  # std and rms of the mantissas, and the exponents: (gradients, seeds) each


@dataclass(frozen=True)
class Crossed:
    """The signal above a layer, and its statistics: name -> (seeds,).

    doubt: the seeds for which neither is vouched for. without_slope: those whose act'(z) is unknown. Both
    (seeds,) bool.
    """

    signal: Signal
    measured: Measured
    doubt: Array
    without_slope: Array


@dataclass(frozen=True)
class Returned:
    """The gradients that a layer sends back.

    delta: dL/dh of the layer below. weights: mantissas of dL/dW, (gradients, seeds, fan_in, fan_out).
    of_delta, of_weights: the sizes of both. doubt: those not vouched for, (gradients, seeds) bool. out,
    of_out: the same as of weights, of dL/dV where there is a V.
    """

    delta: Delta
    of_delta: Sizes
    of_weights: Sizes
    weights: Array
    doubt: Array
    of_out: Sizes | None = None
    out: Array | None = None


class Layer(Protocol):
    """A layer of one carrier, crossed by several seeds at once; it keeps what `backward` needs."""

    def forward(self, below: Signal, h: Array, keep: bool, dtype: np.dtype[Any]) -> Crossed:
        """Cross the layer, writing the new mantissa into `h`.

        keep: whether gradients will be sent back. dtype: the network's, no wider than h's.
        """

    def backward(self, delta: Delta, entering: Entering | None = None) -> Returned:
        """dL/dW, and dL/dh of the layer below, from dL/dh of this one, whose mantissas are overwritten."""

    def weights(self) -> list[Drawn]:
        """Those of W and, where there is one, of V; once it is crossed where a scheme looks at the data."""


@dataclass(frozen=True)
class Size:
    """A layer's weights and, of each sample, the entries that it computes, and keeps for gradients."""

    weights: int
    entries: int
    kept: int


@dataclass(frozen=True)
class Kind:
    """A kind of layer. Theory predicts it where there is a map of its name.

    layer: (chain, number from 1, draws, passes) -> the layer. wide: (chain, number, (fan_in, fan_out), seed)
    -> the same of one seed, in long double. homogeneous: whether a scale of the weights is a scale of h,
    where act is positively homogeneous. size: of a layer of (chain, fan_in, fan_out).
    """

    name: str
    layer: Callable[[Chain, int, Draws, Passes], Layer]
    wide: Callable[[Chain, int, tuple[int, int], int], WideLayer]
    homogeneous: bool
    size: Callable[[Chain, int, int], Size]
