"""The drawing of the networks that are trained: those that were measured, from the same streams.

What a scheme fits to its layer's data it fits to the measurement's, so the networks are the same here too.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.base.blocks import BATCH
from sweep.base.inputs import GAUSSIAN, Inputs
from sweep.base.training import CLASSES
from sweep.initializers import Scheme
from sweep.kernel.chains.chain import Chain
from sweep.kernel.draws import streams
from sweep.kernel.inputs.drawn import inputs_of
from sweep.kernel.layers.affine import centre
from sweep.kernel.layers.blocks.matrices import fans_of
from sweep.kernel.training.crossing import Crossing
from sweep.kernel.training.weights import Network, Weights


def is_biased(chain: Chain, number: int, fans: tuple[int, int]) -> bool:
    """Whether a layer has biases, which are then trained; a norm over the batch takes them off."""
    inner, _ = fans_of(chain.block, *fans)
    has = chain.scheme_of(number).centres or chain.bias_std_of(number, *inner) > 0
    return has and chain.block.norm != BATCH


def drawn(
    chain: Chain,
    widths: Sequence[int],
    seed: int,
    batch: int,
    dtype: np.dtype[Any],
    inputs: Inputs = GAUSSIAN,
) -> Network:
    """The network of a seed; batch, inputs: how many, and which, it was measured with."""
    fits = any(type(chain.scheme_of(n)).fit is not Scheme.fit for n in range(1, len(widths)))
    h = inputs_of(inputs, [seed], batch, widths[0]).astype(np.float64) if fits else None
    layers = []
    for number, fans in enumerate(pairwise(widths), 1):
        layer = _Drawing(chain, number, fans, seed)
        weights = layer.as_drawn()
        if h is not None:
            crossing = Crossing(chain.block, chain.act)
            h = crossing.forward(weights, h, layer.fitted)
        layers.append(weights.as_type(dtype))
    readout = streams.readout([seed], widths[-1], CLASSES) / np.sqrt(widths[-1])
    return Network(layers, readout.astype(dtype), np.zeros((1, 1, CLASSES), dtype))


class _Drawing:
    """The drawing of one layer of one network, in float64."""

    def __init__(self, chain: Chain, number: int, fans: tuple[int, int], seed: int) -> None:
        self._chain, self._number, self._seed = chain, number, seed
        self._scheme = chain.scheme_of(number)
        self._fans, self._outer_fans = fans_of(chain.block, *fans)
        self._biased = is_biased(chain, number, fans)

    def as_drawn(self) -> Weights:
        """The weights, before any fit."""
        block, outer = self._chain.block, None
        if self._outer_fans is not None:
            outer = block.number("v_scale") * self._matrix(self._outer_fans, out=True)
        return Weights(block.number("w_scale") * self._matrix(self._fans), self._bias(), outer)

    def _matrix(self, fans: tuple[int, int], out: bool = False) -> Array:
        scheme = self._scheme
        weights = np.full((1, *fans), scheme.weight_mean(*fans))
        if scheme.base is not None:
            unit = streams.weights([self._seed], scheme.base, self._number, *fans, out=out)
            weights += scheme.weight_std(*fans) * unit.astype(np.float64)
        return weights

    def _bias(self) -> Array | None:
        if not self._biased:
            return None
        chain, fans = self._chain, self._fans
        unit = streams.biases(
            [self._seed], self._scheme.base, self._number, *fans, chain.bias_of(self._number)
        )
        bias: Array = chain.bias_std_of(self._number, *fans) * unit.astype(np.float64)[:, None]
        return bias

    def fitted(self, weights: Weights, h: Array, out: bool) -> None:
        """Fit the weights of W, or of V, to what they are applied to, (1, batch, fan_in), in place."""
        scheme, fans = self._scheme, self._outer_fans if out else self._fans
        if type(scheme).fit is Scheme.fit or fans is None:
            return
        matrix, bias = (weights.outer, None) if out else (weights.inner, weights.bias)
        assert matrix is not None
        factor, std = self._chain.block.number("v_scale" if out else "w_scale"), scheme.weight_std(*fans)
        unit = h[0] @ (self._matrix(fans, out)[0] / std)
        centres = scheme.centres and bias is not None
        mean = centre(unit) if centres else 0.0
        shift = bias[0] if bias is not None and not centres and bias.shape[2] > 1 else 0.0
        fitted = scheme.fit(std, partial(_spread, unit, shift))
        matrix *= fitted / std
        if bias is not None and centres:
            bias[0] = -factor * fitted * mean


def _spread(unit: Array, shift: Array | float, std: float) -> float:
    return float((std * unit + shift).std())
