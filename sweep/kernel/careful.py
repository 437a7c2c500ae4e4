"""One network after another in long double: what float64 cannot hold, without any of the kernel's laws."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from sweep.activations import FLAT_SLOPE, histogram_range
from sweep.activations.extended import WIDE
from sweep.base.arrays import Array
from sweep.kernel import streams
from sweep.kernel.chain import Chain, ChainStatistics, blank
from sweep.kernel.layers.kinds import kind_of
from sweep.kernel.layers.signal import Signal, histogram
from sweep.kernel.layers.wide import WideLayer, WideSignal
from sweep.kernel.stack import Observer
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


def measured(
    chains: Sequence[Chain],
    widths: Sequence[int],
    seeds: Sequence[int],
    batch: int,
    dtype: np.dtype[Any],
    histogram: bool,
    observe: Observer | None,
) -> list[ChainStatistics]:
    """As `sweep.kernel.propagate`; dtype: the networks'."""
    found = [blank(chain, len(seeds), histogram) for chain in chains]
    for index, (chain, statistics) in enumerate(zip(chains, found, strict=True)):
        for place, seed in enumerate(seeds):
            show = None if place or observe is None else partial(_shown, observe, index)
            _Network(chain, widths, seed, batch, dtype, show).cross(statistics, place)
    return found


def _shown(observe: Observer, index: int, kind: str, depth: int, layer: int, values: Array) -> None:
    observe(kind, index, depth, layer, values.astype(np.float64))


class _Network:
    """One chain of one seed. show: (kind, depth, layer, values), or None."""

    def __init__(
        self,
        chain: Chain,
        widths: Sequence[int],
        seed: int,
        batch: int,
        dtype: np.dtype[Any],
        show: Show | None,
    ) -> None:
        self.chain, self.widths, self.seed, self.batch, self.dtype = chain, widths, seed, batch, dtype
        self.show = show
        inputs = streams.inputs([seed], batch, widths[0])[0].astype(WIDE)
        self.signals = [WideSignal(inputs, np.zeros(widths[0], bool))]
        self.layers: list[WideLayer] = []

    def cross(self, statistics: ChainStatistics, place: int) -> None:
        """Forward and back, into the row `place` of the statistics."""
        self._record(statistics, place, 0, {})
        kept = max(self.chain.backward, default=0)  # layers that gradients are sent back through
        for number in range(1, self.chain.depth + 1):
            fans = self.widths[number - 1], self.widths[number]
            layer = kind_of(self.chain).wide(self.chain, number, fans, self.seed)
            signal = layer.forward(self.signals[-1])
            if not np.isfinite(signal.h).all():  # nor is any deeper layer, and no gradient is defined here
                for name, values in statistics.forward.items():
                    values[place, number:] = STATISTICS[name].lost
                break
            if number <= kept:
                self.layers.append(layer)
            elif number > kept + 1:
                self.signals.pop()
            self.signals.append(signal)
            self._record(statistics, place, number, {"pre_rms": _moments(signal.z)[2], **_flat(signal.slope)})
            if self.show:
                self.show("h", self.chain.depth, number, signal.h)
        for depth in self.chain.backward:
            self._send_back(statistics.backward[depth], place, depth)

    def _record(self, statistics: ChainStatistics, place: int, number: int, more: dict[str, float]) -> None:
        """What is measured of the signal of a layer; more: what is of its z."""
        h = self.signals[-1].h
        mean, std, rms = _moments(h)
        samples = in_float64(h[:COSINE_SAMPLES], axis=1)
        found = {
            "mean": mean, "std": std, "rms": rms, **more,
            "sample_cosine": float(sample_cosine(samples[None])[0][0]),
            "neuron_corr": _neuron_corr(h[:, :CORRELATED_NEURONS], self.dtype), **_by_function(h),
        }  # fmt: skip
        for name, value in found.items():
            statistics.forward[name][place, number] = value
        if statistics.histogram is not None:
            near_one, exponent = _near_one(h)
            signal = Signal(near_one[None], np.array([exponent]), np.ones(1))
            counts = histogram(signal, histogram_range(self.chain.act))
            statistics.histogram[place, number] = counts[0]

    def _send_back(self, columns: dict[str, Array], place: int, depth: int) -> None:
        """The gradients from `depth` down, NaN from where a slope is not known."""
        delta = streams.upstream_gradient([self.seed], self.batch, self.widths[depth])[0].astype(WIDE)
        _, columns["delta_std"][place, depth], columns["delta_rms"][place, depth] = _moments(delta)
        if depth > len(self.layers):
            return
        for number in range(depth, 0, -1):
            below, above = self.signals[number - 1 : number + 1]
            gradient, delta = self.layers[number - 1].backward(below, above, delta)
            for name, row, values in (("grad", number, gradient), ("delta", number - 1, delta)):
                _, columns[f"{name}_std"][place, row], columns[f"{name}_rms"][place, row] = _moments(values)
            if self.show:
                self.show("dW", depth, number, gradient)


def _moments(values: Array) -> tuple[float, float, float]:
    """Mean, std and rms, as float64 holds them; NaN where an entry is not finite."""
    near_one, exponent = _near_one(values)
    std, rms = moments_of(near_one[None])
    found = np.ldexp(np.array([near_one.mean(), std[0], rms[0]], WIDE), exponent)
    return float(found[0]), float(found[1]), float(found[2])


def _by_function(h: Array) -> dict[str, float]:
    near_one, exponent = _near_one(h)
    measured = by_function(near_one[None])
    return {
        name: float(np.ldexp(own[0], STATISTICS[name].power * exponent)) for name, own in measured.items()
    }


def _near_one(values: Array) -> tuple[Array, int]:
    """The values in float64, divided by 2^exponent so that the largest is near 1; and the exponent."""
    largest = np.abs(values).max()
    exponent = int(np.frexp(largest)[1]) if np.isfinite(largest) else 0
    return np.ldexp(values, -exponent).astype(np.float64), exponent


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
