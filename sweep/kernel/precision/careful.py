"""What float64 cannot hold, in long double: one network after another, by none of the exact laws."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from sweep.activations import FLAT_SLOPE, histogram_range
from sweep.activations.extended import WIDE
from sweep.base.arrays import Array
from sweep.base.inputs import GAUSSIAN, Inputs
from sweep.kernel.chains.chain import Chain, ChainStatistics, blank
from sweep.kernel.copies.copy import Copy
from sweep.kernel.copies.loss_scale import Sizes
from sweep.kernel.draws import streams
from sweep.kernel.inputs.drawn import inputs_of
from sweep.kernel.layers.draws import Draws
from sweep.kernel.layers.kinds import kind_of
from sweep.kernel.layers.signal import Signal, histogram
from sweep.kernel.layers.wide import WideLayer, WideSignal
from sweep.kernel.passes import PLAIN, Passes
from sweep.kernel.stack import Observer
from sweep.kernel.statistics import float32
from sweep.kernel.statistics.correlation import (
    CORRELATED_NEURONS,
    COSINE_SAMPLES,
    agree,
    correlation_of,
    in_float64,
    sample_cosine,
)
from sweep.kernel.statistics.moments import moments_of
from sweep.kernel.statistics.table import STATISTICS, by_function

Show = Callable[[str, int, int, Array], None]


def measure(
    chains: Sequence[Chain],
    widths: Sequence[int],
    seeds: Sequence[int],
    batch: int,
    dtype: np.dtype[Any],
    with_histogram: bool,
    observe: Observer | None,
    inputs: Inputs = GAUSSIAN,
    passes: Passes = PLAIN,
) -> list[ChainStatistics]:
    """As `sweep.kernel.propagate`; dtype: the networks', not that of the arrays. passes: the copies'."""
    results = [blank(chain, len(seeds), with_histogram) for chain in chains]
    for index, (chain, statistics) in enumerate(zip(chains, results, strict=True)):
        for row, seed in enumerate(seeds):
            show = None if row or observe is None else partial(_show, observe, index)
            x, copy = inputs_of(inputs, [seed], batch, widths[0])[0], None
            if chain.format:
                narrow = Draws([seed], batch, widths, np.dtype(np.float32), inputs=inputs)
                copy = Copy(chain, statistics.rows(slice(row, row + 1)), narrow, passes)
            _Network(chain, widths, seed, x, dtype, show, copy).cross(statistics, row)
    return results


def _show(observe: Observer, index: int, kind: str, depth: int, layer: int, values: Array) -> None:
    observe(kind, index, depth, layer, values.astype(np.float64))


class _Network:
    """One chain of one seed. x: (batch, width). show: (kind, depth, layer, values), or None."""

    def __init__(
        self,
        chain: Chain,
        widths: Sequence[int],
        seed: int,
        x: Array,
        dtype: np.dtype[Any],
        show: Show | None,
        copy: Copy | None,
    ) -> None:
        self.chain, self.widths, self.seed, self.batch, self.dtype = chain, widths, seed, len(x), dtype
        self.show = show
        self.signals = [WideSignal(x.astype(WIDE), np.zeros(widths[0], bool))]
        self.layers: list[WideLayer] = []
        self.copy, self.sizes = copy, Sizes()

    def cross(self, statistics: ChainStatistics, row: int) -> None:
        """Push the network forward and back, filling in a row of the statistics."""
        self._record(statistics, row, 0, {})
        kept = max(self.chain.backward, default=0)  # how many layers gradients are sent back through
        for number in range(1, self.chain.depth + 1):
            fans = self.widths[number - 1], self.widths[number]
            layer = kind_of(self.chain).wide(self.chain, number, fans, self.seed)
            signal = layer.forward(self.signals[-1])
            if not np.isfinite(signal.h).all():  # nor is any deeper h, and no gradient is defined here
                for name, values in statistics.forward.items():
                    values[row, number:] = STATISTICS[name].lost
                statistics.unheld[row, number:] = True
                break
            if number <= kept:
                self.layers.append(layer)
            elif number > kept + 1:
                self.signals.pop()
            self.signals.append(signal)
            self._record(statistics, row, number, {"pre_rms": _moments(signal.z)[2], **_flat(signal.slope)})
            if self.show:
                self.show("h", self.chain.depth, number, signal.h)
            if self.copy:
                self.copy.cross(number, layer.weights, _signal(self.signals[-2].h), _signal(signal.h))
        if self.copy:
            self.copy.send_back()
        for depth in self.chain.backward:
            self.sizes = Sizes()
            self._send_back(statistics.backward[depth], row, depth)
            if self.copy and self.sizes.known:
                statistics.loss_scale[depth][row] = self.sizes.loss_scale(0, self.copy.rounding)[0]

    def _record(self, statistics: ChainStatistics, row: int, number: int, of_z: dict[str, float]) -> None:
        """Measure the latest signal, h of layer `number`; of_z: the statistics of its z."""
        h = self.signals[-1].h
        mean, std, rms = _moments(h)
        samples = in_float64(h[:COSINE_SAMPLES], axis=1)
        measured = {
            "mean": mean, "std": std, "rms": rms, **of_z,
            "sample_cosine": float(sample_cosine(samples[None])[0][0]),
            "neuron_corr": _neuron_corr(h[:, :CORRELATED_NEURONS], self.dtype), **_by_function(h),
        }  # fmt: skip
        if (branch := self.signals[-1].branch).size:
            measured["branch_corr"] = _neuron_corr(branch[:, :CORRELATED_NEURONS], self.dtype)
        for name, value in measured.items():
            statistics.forward[name][row, number] = value
        statistics.unheld[row, number] = float32.cannot_hold(np.abs(h).max())
        if statistics.histogram is not None:
            counts = histogram(_signal(h), histogram_range(self.chain.act))
            statistics.histogram[row, number] = counts[0]

    def _note(self, gradient: Array) -> None:
        signal = _signal(gradient)
        self.sizes.add(signal.mantissa[None], signal.exponent[None], [0.0])

    def _send_back(self, columns: dict[str, Array], row: int, depth: int) -> None:
        """Send the gradients of one depth back; NaN below a layer whose slope is unknown."""
        delta = streams.upstream_gradient([self.seed], self.batch, self.widths[depth])[0].astype(WIDE)
        _, columns["delta_std"][row, depth], columns["delta_rms"][row, depth] = _moments(delta)
        if depth > len(self.layers):
            return
        for number in range(depth, 0, -1):
            below, above = self.signals[number - 1 : number + 1]
            returned = self.layers[number - 1].backward(
                below, above, delta, self._note if self.copy else None
            )
            delta = returned.delta
            sent = [("grad", number, returned.weights), ("delta", number - 1, delta)]
            if returned.out is not None:
                sent.append(("grad_out", number, returned.out))
            for name, layer, values in sent:
                _, columns[f"{name}_std"][row, layer], columns[f"{name}_rms"][row, layer] = _moments(values)
            if self.show:
                self.show("dW", depth, number, returned.weights)
                if returned.out is not None:
                    self.show("dV", depth, number, returned.out)


def _moments(values: Array) -> tuple[float, float, float]:
    """Mean, std and rms; NaN where an entry is not finite."""
    near_one, exponent = _near_one(values)
    std, rms = moments_of(near_one[None])
    moments = np.ldexp(np.array([near_one.mean(), std[0], rms[0]], WIDE), exponent)
    return float(moments[0]), float(moments[1]), float(moments[2])


def _by_function(h: Array) -> dict[str, float]:
    near_one, exponent = _near_one(h)
    return {
        name: float(np.ldexp(values[0], STATISTICS[name].power * exponent))
        for name, values in by_function(near_one[None]).items()
    }


def _near_one(values: Array) -> tuple[Array, int]:
    """The values in float64, divided by the 2^exponent that brings the largest near 1, and the exponent."""
    largest = np.abs(values).max()
    exponent = int(np.frexp(largest)[1]) if np.isfinite(largest) else 0
    return np.ldexp(values, -exponent).astype(np.float64), exponent


def _signal(values: Array) -> Signal:
    """(batch, width) as the signal of one network."""
    near_one, exponent = _near_one(values)
    return Signal(near_one[None], np.array([exponent]), np.ones(1))


def _flat(slope: Array) -> dict[str, float]:
    if np.isnan(slope).any():
        return {"flat": math.nan, "dead": math.nan}
    flat = np.abs(slope) < FLAT_SLOPE
    return {"flat": float(flat.mean()), "dead": float(flat.all(axis=0).mean())}


def _neuron_corr(neurons: Array, dtype: np.dtype[Any]) -> float:
    """`sweep.kernel.statistics.neuron_corr` of the first neurons: (batch, neurons) long double."""
    if neurons.shape[1] > 1 and agree(_near_one(neurons)[0]):
        return 1.0
    return correlation_of(neurons, dtype)
