"""Layers of one network in long double, whose numbers need no exponents of their own.

Where a long double is only a float64, what lies beyond that is inf or 0.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sweep.activations.extended import WIDE
from sweep.base.arrays import Array
from sweep.base.errors import PrecisionError
from sweep.initializers import Scheme
from sweep.kernel.chains.chain import Chain
from sweep.kernel.draws import streams
from sweep.kernel.layers.affine import UNSURE, centre

_MOST_PRODUCTS = 10_000_000  # of long doubles, at about a nanosecond each
_NONE = np.empty(0, WIDE)
WideEntering = Callable[[Array], None]  # shown dL/dy of every product y = h W


@dataclass(frozen=True)
class WideSignal:
    """h of one network, (batch, width), with z and slope = act'(z), which are empty for the inputs.

    still: (width,) bool, the neurons that are certainly the same for every sample. branch: what tells whether
    the neurons that a skip adds to are copies of each other, empty where there is no skip.
    """

    h: Array
    still: Array
    z: Array = field(default_factory=lambda: _NONE)
    slope: Array = field(default_factory=lambda: _NONE)
    branch: Array = field(default_factory=lambda: _NONE)


@dataclass(frozen=True)
class WideReturned:
    """dL/dW, dL/dh of the layer below, and dL/dV where there is a V."""

    weights: Array
    delta: Array
    out: Array | None = None


class WideLayer(Protocol):
    """One layer of one network."""

    def forward(self, below: WideSignal) -> WideSignal:
        """Cross the layer; PrecisionError where a scheme has to fit a spread that long double cannot tell."""

    def backward(
        self, below: WideSignal, above: WideSignal, delta: Array, entering: WideEntering | None = None
    ) -> WideReturned:
        """What dL/dh of this layer sends back."""

    def push(self, above: WideSignal, changes: Array) -> Array:
        """What the layer makes of small changes of h: (samples, changes, fan_in) -> (…, fan_out), float64.

        above: what `forward` has made of the first samples, and any others.
        """

    def weights(self) -> list[tuple[Array, Array | None]]:
        """As `Layer.weights`, once it is crossed."""


class WideMatrix:
    """One matrix of a layer, and its biases if it has any: y = h W + b.

    fans: of W. factor: what multiplies it. out: whether it is V of a block, which has no biases. free: the
    same of W, whose biases a norm over the batch takes off.
    """

    def __init__(
        self,
        chain: Chain,
        number: int,
        fans: tuple[int, int],
        seed: int,
        factor: float = 1.0,
        out: bool = False,
        free: bool = False,
    ) -> None:
        self._chain, self._number, self._fans, self._seed = chain, number, fans, seed
        self._factor, self._out, self._free = WIDE(factor), out, out or free
        self._scheme = chain.scheme_of(number)
        self._centres = self._scheme.centres and not self._free
        self._weights = self._shift = _NONE

    def forward(self, h: Array, still: Array) -> tuple[Array, Array]:
        """y: (batch, fan_out), and which of its entries are certainly the same for every sample.

        still: the same of h. PrecisionError where a scheme has to fit a spread that long double cannot tell.
        """
        bias = self._bias()
        weights = self._weights = self._drawn(h, still, bias)
        y = self._product(h, weights)
        centred = self._centred(still, y)
        self._shift = bias + (centred[0] - y[0] if self._centres else 0)
        y = centred + bias
        return y, ~((~still)[:, None] & (weights != 0)).any(axis=0)

    def narrow(self) -> tuple[Array, Array | None]:
        """W and b in float32: (1, fan_in, fan_out), and (1, 1, fan_out)."""
        return self._weights[None].astype(np.float32), self._shift[None, None].astype(np.float32)

    def backward(self, h: Array, delta: Array, entering: WideEntering | None = None) -> tuple[Array, Array]:
        """dL/dW and dL/dh, from dL/dy."""
        if entering:
            entering(delta)
        return wide_product(h.T, delta), wide_product(delta, self._weights.T)

    def push(self, changes: Array) -> Array:
        """What W makes of small changes of h: (samples, changes, fan_in) -> (…, fan_out), float64."""
        weights = self._weights.astype(np.float64)
        pushed: Array = changes.reshape(-1, changes.shape[2]) @ weights
        return pushed.reshape(*changes.shape[:2], -1)

    def _product(self, h: Array, weights: Array) -> Array:
        """h W: of one number throughout, all neurons the same to the last bit where a norm asks."""
        if self._scheme.base is None and self._chain.block.norm:
            return np.repeat(h.sum(axis=1, keepdims=True) * weights[0, 0], self._fans[1], axis=1)
        return wide_product(h, weights)

    def _bias(self) -> Array:
        """b: (fan_out,)."""
        chain, number = self._chain, self._number
        std, base, of = chain.bias_std_of(number, *self._fans), self._scheme.base, chain.bias_of(number)
        if not std or self._free:
            return np.zeros(self._fans[1], WIDE)
        unit: Array = streams.biases([self._seed], base, number, *self._fans, of)[0]
        return WIDE(std) * unit

    def _drawn(self, h: Array, still: Array, bias: Array) -> Array:
        """W: (fan_in, fan_out)."""
        scheme, fans = self._scheme, self._fans
        weights = np.full(fans, scheme.weight_mean(*fans), WIDE)
        if scheme.base is not None:
            drawn = streams.weights([self._seed], scheme.base, self._number, *fans, out=self._out)
            unit, std = drawn[0].astype(WIDE), scheme.weight_std(*fans)
            if type(scheme).fit is not Scheme.fit:
                std = self._fitted(h, still, std, unit, bias)
            weights += WIDE(std) * unit
        return weights * self._factor

    def _centred(self, still: Array, product: Array) -> Array:
        """h times weights, less its mean over the batch where the scheme takes that off."""
        if self._centres:
            centre(product)
            if still.all():
                product[...] = 0  # whatever the rounding
        return product

    def _fitted(self, h: Array, still: Array, std: float, unit: Array, bias: Array) -> float:
        """The std of a scheme that looks at y; PrecisionError where y varies by less than can be told."""
        through = self._centred(still, wide_product(h, unit))
        varying = bias if len(bias) > 1 else WIDE(0)  # a single neuron's only shifts y

        def spread(std: float) -> Any:
            y = WIDE(std) * through + varying
            return (y - y[0, 0]).std()  # 0 for equal numbers, whatever their rounding

        products = np.sqrt(np.square(wide_product(np.abs(h), np.abs(unit))).mean())
        if spread(std) <= UNSURE * np.finfo(WIDE).eps * WIDE(std) * products:
            if not still.all():
                raise PrecisionError(
                    f"layer {self._number}: its inputs are too nearly equal for any scale of its weights "
                    "to give it unit variance; choose a smaller bias_std or another init"
                )
            through = np.broadcast_to(through[:1], through.shape)
        return self._scheme.fit(std, lambda std: float(spread(std)))


def narrow_slope(slope: Array, alone: bool) -> Array:
    """act' in float64, for `push`: (samples, neurons) -> (samples, 1, neurons).

    alone: whether nothing is added to what it multiplies, so that the size of a sample's slopes is of no
    account: they are then brought near 1, however small float64 would find them.
    """
    if alone:
        largest = np.abs(slope).max(axis=1, keepdims=True)
        slope = np.ldexp(slope, np.where(np.isfinite(largest), -np.frexp(largest)[1], 0))
    return slope[:, None].astype(np.float64)


def wide_product(a: Array, b: Array) -> Array:
    """a b: (n, k) (k, m) -> (n, m); a large one in float64, its rows and columns scaled by powers of two."""
    if a.size * b.shape[1] <= _MOST_PRODUCTS:
        return a @ b
    rows, columns = (np.frexp(np.abs(m).max(axis=axis, keepdims=True))[1] for m, axis in ((a, 1), (b, 0)))
    narrow = np.ldexp(a, -rows).astype(np.float64) @ np.ldexp(b, -columns).astype(np.float64)
    product: Array = np.ldexp(narrow.astype(WIDE), rows + columns)
    return product
