"""A stack of chains, pushed through their layers and back by arrays of one dtype.

Chains that draw their weights from one distribution meet the same Z_l, which is drawn once. A
deep chain contains every shallower one, so each is pushed once, to its greatest depth; gradients are
sent back from every depth that was asked for. Chains that an exact law makes one are pushed as one.
Several seeds cross a layer together.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.activations import histogram_range
from sweep.base.arrays import Array
from sweep.kernel import homogeneity, ranges, streams
from sweep.kernel.carrier import Carrier, carriers_of
from sweep.kernel.chain import Chain, blank
from sweep.kernel.layers import dense
from sweep.kernel.layers.dense import Affine
from sweep.kernel.layers.signal import histogram
from sweep.kernel.statistics.moments import moments_of, row_squares

# observe(kind, chain, depth, layer, values): 'h' as it is reached, 'dW' as it is sent back from `depth`.
Observer = Callable[[str, int, int, int, Array], None]


class Stack:
    """The chains of one call; `measure` fills in their statistics; its carriers say what is in doubt.

    dtype: of the arrays. as_dtype: the network's, which may have less range.
    """

    def __init__(
        self,
        chains: Sequence[Chain],
        widths: Sequence[int],
        seeds: Sequence[int],
        batch: int,
        dtype: np.dtype[Any],
        as_dtype: np.dtype[Any],
        with_histogram: bool,
        observe: Observer | None,
    ) -> None:
        self.widths, self.seeds, self.batch = widths, seeds, batch
        self.dtype, self.as_dtype = dtype, as_dtype
        self.observe = observe
        self.base = chains[0].scheme.base
        self.statistics = [blank(chain, len(seeds), with_histogram) for chain in chains]
        x = streams.inputs(seeds, batch, widths[0]).astype(dtype, copy=False)
        signal, measured = dense.measure_inputs(x, as_dtype)
        self.carriers = carriers_of(chains, self.statistics, widths, signal)
        for carrier in self.carriers:
            carrier.record(0, measured)
            self._show(carrier, 0)
        self._units: dict[int, Array | None] = {}  # layer -> Z: (seeds, fan_in, fan_out)
        self._first: Array | None = None  # x Z_1, the same for all carriers
        self._upstreams: dict[int, Array] = {}  # width -> G
        self._buffer = np.empty(0, dtype)
        self._forgotten: Array | None = None  # memory that the next h may be written to

    def measure(self) -> None:
        """All chains forward and back."""
        if any(carrier.backward for carrier in self.carriers):  # one's layers are kept at a time, and every Z
            for carrier in self.carriers:
                for number in range(1, carrier.depth + 1):
                    if not carrier.doubts.everywhere:
                        self._forward(carrier, number)
                if carrier.backward and carrier.tape:
                    self._backward(carrier)
            return
        for number in range(
            1, max(carrier.depth for carrier in self.carriers) + 1
        ):  # one Z, everybody's layer
            for carrier in self.carriers:
                if number <= carrier.depth and not carrier.doubts.everywhere:
                    self._forward(carrier, number)
            self._units.pop(number, None)
            self._first = None

    def _forward(self, carrier: Carrier, number: int) -> None:
        fan_in, fan_out = self.widths[number - 1], self.widths[number]
        below, unit = carrier.signal, self._unit(number)
        if number == 1 and len(self.carriers) > 1 and self._first is None and unit is not None:
            self._first = np.matmul(below.mantissa, unit)
        first = self._first if number == 1 else None

        product = _Product(below.mantissa, unit, first, fan_out, self._scratch)
        affine = Affine.of(carrier.scheme, fan_in, fan_out, len(self.seeds), self._bias(carrier, number))
        affine, unsure = affine.fitted(carrier.scheme, below, product)
        h = self._spare((len(self.seeds), self.batch, fan_out))
        slope = np.empty_like(h) if carrier.backward and number <= carrier.backward[0] else None
        carrier.signal, measured, doubt = dense.forward(
            affine, carrier.act, below, product, h, slope, self.as_dtype
        )
        carrier.doubts.of_layer(number, doubt | unsure)
        carrier.doubts.without_slope |= np.isnan(measured["flat"]) & carrier.signal.finite
        carrier.record(number, measured)
        if slope is None and number > 1:  # nobody looks at the layer below again
            self._forgotten = below.mantissa
        if slope is not None:
            carrier.affines.append(affine)
            carrier.exponents.append(carrier.signal.exponent)
            carrier.tape.append((below.mantissa, slope))
        self._show(carrier, number)

    def _backward(self, carrier: Carrier) -> None:
        """Send the gradients of every depth back through the layers of a carrier, which are forgotten."""
        top = len(carrier.tape)  # less than the greatest depth where no network is vouched for above
        starts = [depth for depth in carrier.backward if depth <= top]
        if not starts:
            return
        top = starts[0]
        del carrier.tape[top:], carrier.affines[top:], carrier.exponents[top + 1 :]
        delta = np.empty((0, len(self.seeds), self.batch, self.widths[top]), self.dtype)
        exponents = np.empty((0, len(self.seeds)), np.int64)  # dL/dh = delta · 2^exponent
        arrived = np.empty((0, len(self.seeds), self.batch))  # mean squares of every sample's delta
        for number in range(top, 0, -1):
            affine = carrier.affines.pop()
            below, slope = carrier.tape.pop()
            carrier.exponents.pop()
            if number in starts:
                delta, exponents = self._started(carrier, number, delta, exponents)
                arrived = np.concatenate([arrived, row_squares(delta[-1:]) / delta.shape[3]])
            now = starts[: len(delta)]
            fan_in, fan_out = self.widths[number - 1], self.widths[number]
            lost = None if affine.mixes else (delta != 0) & (slope != 0)
            delta *= slope  # dL/dz
            passed = row_squares(delta) / fan_out
            doubt = ranges.faded(arrived, passed, slope, carrier.act)
            if lost is not None:  # what is small may be all that is left of a neuron further down
                lost &= np.abs(delta) < ranges.RANGES[self.dtype].smallest_sample
                doubt |= lost.any(axis=(2, 3))
            total = np.sqrt(passed.mean(axis=2))
            exponents, _ = ranges.recentre(delta, exponents, total)
            weight_gradient = _weight_gradient(below, delta)
            exponent = carrier.exponents[-1] + exponents
            std, rms = moments_of(weight_gradient.reshape(-1, fan_in, fan_out))
            carrier.record_gradients(
                "grad", number, now, _by_seed(std, delta), _by_seed(rms, delta), exponent
            )
            self._show_gradients(carrier, number, now, weight_gradient, exponent)

            row_sums = delta.sum(axis=3, dtype=np.float64)[..., None] if affine.mean else None
            delta = self._crossed(delta, number)
            exponents = exponents + dense.backward(affine, delta, row_sums)
            squares = row_squares(delta)
            flat_std, flat_rms = moments_of(
                delta.reshape(-1, self.batch, fan_in), squares.reshape(-1, self.batch).sum(axis=1)
            )
            std, rms = _by_seed(flat_std, delta), _by_seed(flat_rms, delta)
            carrier.record_gradients("delta", number - 1, now, std, rms, exponents)
            doubt |= ranges.dropped(total, rms, (affine.std > 0) | bool(affine.mean), self.dtype)
            carrier.doubts.of_gradients(now, doubt)
            before = exponents
            exponents, _ = ranges.recentre(delta, before, rms)
            arrived = squares / fan_in
            if exponents is not before:
                arrived = np.ldexp(arrived, 2 * (before - exponents)[..., None])

    def _started(self, carrier: Carrier, number: int, delta: Array, exponents: Array) -> tuple[Array, Array]:
        """The gradients with G added to them: the one that starts at this layer."""
        upstream = self._upstream(self.widths[number])
        grown = np.concatenate([delta, upstream[None]])
        exponents = np.concatenate([exponents, np.zeros((1, len(self.seeds)), np.int64)])
        std, rms = moments_of(upstream)
        for member in carrier.members:
            if number in member.chain.backward:
                columns = member.statistics.backward[number]
                columns["delta_std"][:, number], columns["delta_rms"][:, number] = std, rms
        return grown, exponents

    def _upstream(self, width: int) -> Array:
        """G: (seeds, batch, width), the same for every chain and depth."""
        if width not in self._upstreams:
            drawn = streams.upstream_gradient(self.seeds, self.batch, width)
            self._upstreams[width] = drawn.astype(self.dtype, copy=False)
        return self._upstreams[width]

    def _crossed(self, delta: Array, number: int) -> Array:
        """dL/dz Z^T: (gradients, seeds, batch, fan_in)."""
        unit, fan_in = self._unit(number), self.widths[number - 1]
        if unit is None:
            return np.zeros((*delta.shape[:3], fan_in), self.dtype)
        gradients, seeds, batch, fan_out = delta.shape
        if seeds == 1:
            tall: Array = delta.reshape(gradients * batch, fan_out) @ unit[0].T
            return tall.reshape(gradients, 1, batch, fan_in)
        crossed: Array = np.matmul(delta, unit.transpose(0, 2, 1))
        return crossed

    def _spare(self, shape: tuple[int, ...]) -> Array:
        """An array to write the next h to."""
        spare, self._forgotten = self._forgotten, None
        return spare if spare is not None and spare.shape == shape else np.empty(shape, self.dtype)

    def _scratch(self, shape: tuple[int, ...]) -> Array:
        """An array to be forgotten before the next is asked for: new memory would cost page faults."""
        size = math.prod(shape)
        if size > self._buffer.size:
            self._buffer = np.empty(size, self.dtype)
        return self._buffer[:size].reshape(shape)

    def _unit(self, number: int) -> Array | None:
        if number not in self._units:
            unit = None
            if self.base is not None:
                fans = self.widths[number - 1], self.widths[number]
                unit = streams.weights(self.seeds, self.base, number, *fans).astype(self.dtype, copy=False)
            self._units[number] = unit
        return self._units[number]

    def _bias(self, carrier: Carrier, number: int) -> Array | None:
        if not carrier.bias_std:
            return None
        fans = self.widths[number - 1], self.widths[number]
        return carrier.bias_std * streams.biases(self.seeds, self.base, number, *fans).astype(np.float64)

    def _show(self, carrier: Carrier, number: int) -> None:
        for member in carrier.members:
            if number > member.chain.depth:
                continue
            log2 = float(member.log2[:number].sum())
            if member.statistics.histogram is not None:
                finite, bounds = carrier.signal.finite, histogram_range(member.chain.act)
                counts = histogram(carrier.signal, bounds, log2)
                member.statistics.histogram[finite, number] = counts[finite]
            if self.observe and carrier.signal.finite[0]:
                h = homogeneity.scaled(carrier.signal.mantissa[0], float(carrier.signal.exponent[0]) + log2)
                self.observe("h", member.index, member.chain.depth, number, h)

    def _show_gradients(
        self, carrier: Carrier, number: int, starts: list[int], weight_gradient: Array, exponents: Array
    ) -> None:
        if self.observe is None:
            return
        for member in carrier.members:
            for i, depth in enumerate(starts):
                if depth in member.chain.backward:
                    log2 = member.log2[: number - 1].sum() + member.log2[number:depth].sum()
                    values = homogeneity.scaled(weight_gradient[i, 0], float(exponents[i, 0]) + log2)
                    self.observe("dW", member.index, depth, number, values)


@dataclass(frozen=True)
class _Product:
    """h (scale Z) of one layer: `sweep.kernel.layers.dense.Product`.

    unit: Z, (networks, fan_in, fan_out); None where all of W is in its mean. first: h Z where it is known.
    """

    h: Array
    unit: Array | None
    first: Array | None
    fan_out: int
    scratch: Callable[[tuple[int, ...]], Array]

    def __call__(self, networks: slice, rows: slice, scale: Array) -> Array:
        factor, own = self.h[networks, rows], scale[networks, None, None]
        out = self.scratch((*factor.shape[:2], self.fan_out))
        if self.unit is None:
            out[...] = 0
        elif self.first is not None:
            np.multiply(self.first[networks, rows], own, out=out)
        elif factor.shape[1] > factor.shape[2]:  # fewer weights than products to be scaled
            np.matmul(factor, np.multiply(self.unit[networks], own), out=out)
        else:
            np.matmul(factor, self.unit[networks], out=out)
            out *= own
        return out

    def columns(self, network: int, chosen: Array, scale: Array) -> Array:
        if self.unit is None:
            return np.zeros((self.h.shape[1], int(chosen.sum())), self.h.dtype)
        columns = self.unit[network][:, : len(chosen)][:, chosen]
        product: Array = self.h[network] @ (columns * scale[network])
        return product


def _weight_gradient(below: Array, delta: Array) -> Array:
    """dL/dW = h^T dL/dz: (gradients, seeds, fan_in, fan_out)."""
    gradient: Array = np.matmul(below.transpose(0, 2, 1), delta)
    return gradient


def _by_seed(values: Array, delta: Array) -> Array:
    return values.reshape(delta.shape[:2])
