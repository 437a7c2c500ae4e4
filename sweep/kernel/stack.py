"""A stack of chains, pushed forward and back in arrays of one dtype.

Chains whose weights come from one distribution share Z_l, which is drawn once. A deep chain contains every
shallower one, so each is pushed once, to its greatest depth; gradients are sent back from every depth that
was asked for. (A chain whose last layer has a scheme of its own contains none, and is in none.) Chains that
are one by an exact law are pushed as one. Several seeds cross a layer together.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from sweep.activations import histogram_range
from sweep.base.arrays import Array
from sweep.base.inputs import Inputs
from sweep.kernel.chains import homogeneity
from sweep.kernel.chains.chain import Chain, blank
from sweep.kernel.copies.copy import Copy
from sweep.kernel.copies.loss_scale import Sizes
from sweep.kernel.layers.draws import Draws
from sweep.kernel.layers.kinds import kind_of
from sweep.kernel.layers.layer import Entering
from sweep.kernel.layers.signal import Delta, histogram, measure_inputs
from sweep.kernel.passes import Passes
from sweep.kernel.precision.carrier import Carrier, Member, carriers_of
from sweep.kernel.statistics.moments import moments_of

# observe(kind, chain, depth, layer, values); kind: 'h', or 'dW', 'dV' for gradients sent back from `depth`.
Observer = Callable[[str, int, int, int, Array], None]


class Stack:
    """The chains of one call. `measure` fills in their statistics; the carriers then say what is in doubt.

    dtype: of the arrays. as_dtype: the networks', which may have less range.
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
        passes: Passes,
        inputs: Inputs,
    ) -> None:
        self._passes = passes
        self.as_dtype, self.observe = as_dtype, observe
        # A float64 network promises the reference's numbers to 1e-12.
        write = passes.normals if as_dtype == np.float32 else None
        self.draws = Draws(seeds, batch, widths, dtype, inputs, write)
        self.statistics = [blank(chain, len(seeds), with_histogram) for chain in chains]
        signal, measured = measure_inputs(self.draws.inputs(), as_dtype)
        self.carriers = carriers_of(chains, self.statistics, widths, signal, partial(self._copy_of, chains))
        self.draws.shared = len(self.carriers) > 1
        for carrier in self.carriers:
            carrier.record(0, measured)
            self._show(carrier, 0)

    def _copy_of(self, chains: Sequence[Chain], index: int) -> Copy | None:
        if chains[index].format is None:
            return None
        return Copy(chains[index], self.statistics[index], self.draws, self._passes)

    def measure(self) -> None:
        """Push all chains forward and back."""
        if any(carrier.backward for carrier in self.carriers):  # one by one: only one's layers are held
            for carrier in self.carriers:
                for number in range(1, carrier.depth + 1):
                    if not carrier.doubts.everywhere:
                        self._forward(carrier, number)
                if carrier.backward and carrier.layers:
                    self._backward(carrier)
            return
        deepest = max(carrier.depth for carrier in self.carriers)
        for number in range(1, deepest + 1):  # layer by layer: only one Z is held
            for carrier in self.carriers:
                if number <= carrier.depth and not carrier.doubts.everywhere:
                    self._forward(carrier, number)
            self.draws.forget(number)

    def _forward(self, carrier: Carrier, number: int) -> None:
        layer = kind_of(carrier.chain).layer(carrier.chain, number, self.draws, self._passes)
        below, keep = carrier.signal, bool(carrier.backward) and number <= carrier.backward[0]
        crossed = layer.forward(below, self.draws.spare(number), keep, self.as_dtype)
        carrier.signal = crossed.signal
        carrier.doubts.add_layer(number, crossed.doubt)
        carrier.doubts.without_slope |= crossed.without_slope
        carrier.record(number, crossed.measured)
        for member in carrier.members:
            if member.copy and number <= member.chain.depth:
                own = layer
                if member.by_law:
                    own = kind_of(member.chain).layer(member.chain, number, self.draws, self._passes)
                member.copy.cross(number, own.weights, below, crossed.signal)
        if keep:
            carrier.layers.append(layer)
        elif number > 1:  # the inputs are shared
            self.draws.give_back(below.mantissa)
        self._show(carrier, number)

    def _backward(self, carrier: Carrier) -> None:
        """Send the gradients of every depth back through the layers of a carrier, dropping each."""
        top = len(carrier.layers)  # lower than asked for where every network is in doubt above
        starts = [depth for depth in carrier.backward if depth <= top]
        if not starts:
            return
        del carrier.layers[starts[0] :]
        copied = [(member, Sizes()) for member in carrier.members if member.copy and member.chain.backward]
        for member, _ in copied:
            assert member.copy is not None
            member.copy.send_back()  # what it has kept is freed before the exact gradients are made
        delta = None
        for number in range(starts[0], 0, -1):
            layer = carrier.layers.pop()
            if number in starts:
                delta = self._with_upstream(carrier, number, delta)
            assert delta is not None
            begun = starts[: len(delta.samples)]
            returned = layer.backward(delta, _noting(copied, number, begun) if copied else None)
            carrier.record_gradients("grad", number, begun, returned.of_weights)
            self._show_gradients("dW", carrier, number, begun, returned.weights, returned.of_weights[2])
            if returned.of_out is not None and returned.out is not None:
                carrier.record_gradients("grad_out", number, begun, returned.of_out)
                self._show_gradients("dV", carrier, number, begun, returned.out, returned.of_out[2])
            carrier.record_gradients("delta", number - 1, begun, returned.of_delta)
            carrier.doubts.add_gradients(begun, returned.doubt)
            delta = returned.delta
        for member, sizes in copied:
            assert member.copy is not None
            for place, depth in enumerate(starts):
                if depth in member.chain.backward:
                    scale = sizes.loss_scale(place, member.copy.rounding)
                    member.statistics.loss_scale[depth][:] = scale

    def _with_upstream(self, carrier: Carrier, number: int, delta: Delta | None) -> Delta:
        """The gradients, and with them the one that begins at this layer, G."""
        upstream = self.draws.upstream(number)
        std, rms = moments_of(upstream)
        for member in carrier.members:
            if number in member.chain.backward:
                columns = member.statistics.backward[number]
                columns["delta_std"][:, number], columns["delta_rms"][:, number] = std, rms
        first = Delta.of_upstream(upstream)
        return first if delta is None else delta.joined(first)

    def _show(self, carrier: Carrier, number: int) -> None:
        for member in carrier.members:
            if number > member.chain.depth:
                continue
            log2 = member.log2_of_h(number)
            if member.statistics.histogram is not None:
                finite, bounds = carrier.signal.finite, histogram_range(member.chain.act)
                counts = histogram(carrier.signal, bounds, log2)
                member.statistics.histogram[finite, number] = counts[finite]
            if self.observe and carrier.signal.finite[0]:
                h = homogeneity.scaled(carrier.signal.mantissa[0], float(carrier.signal.exponent[0]) + log2)
                self.observe("h", member.index, member.chain.depth, number, h)

    def _show_gradients(
        self,
        kind: str,
        carrier: Carrier,
        number: int,
        starts: list[int],
        weight_gradient: Array,
        exponents: Array,
    ) -> None:
        if self.observe is None:
            return
        for member in carrier.members:
            for i, depth in enumerate(starts):
                if depth in member.chain.backward:
                    log2 = float(exponents[i, 0]) + member.log2_of_grad(number, depth)
                    values = homogeneity.scaled(weight_gradient[i, 0], log2)
                    self.observe(kind, member.index, depth, number, values)


def _noting(copied: Sequence[tuple[Member, Sizes]], number: int, starts: Sequence[int]) -> Entering:
    """Notes the sizes of what enters the products on the way back, of each chain that has a copy."""

    def note(gradient: Array, exponent: Array) -> None:
        for member, sizes in copied:
            sizes.add(gradient, exponent, [member.log2_of_delta(number, depth) for depth in starts])

    return note
