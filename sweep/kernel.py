"""The kernel: pushes random inputs through deep networks and measures every layer.

    h_0 = x;   z_l = h_{l-1} W_l + b_l;   h_l = act(z_l);   L = sum(G * h_depth)

Chains that draw their weights from one distribution meet the same Z_l, so they cross a layer
in one stacked product. A deep chain contains every shallower one, so each runs once, to its
greatest depth; gradients are sent back from every depth that was asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep import draws, layer
from sweep.activations import Activation
from sweep.initializers import Scheme
from sweep.layer import Affine, Signal
from sweep.statistics import Moments

Array = NDArray[Any]
# observe(kind, chain, depth, layer, values): 'h' as it is reached, 'dW' as it is sent back from `depth`.
Observer = Callable[[str, int, int, int, Array], None]

KERNEL_VERSION = "1"  # part of every cell's identity: a change of numbers is a change of version

FORWARD = ("mean", "std", "rms", "pre_rms", "flat", "dead", "sample_cosine", "neuron_corr")
BACKWARD = ("delta_std", "delta_rms", "grad_std", "grad_rms")


@dataclass(frozen=True)
class Chain:
    """One network of a stack.

    depth: how far it is pushed. backward: the depths from which a gradient is sent back.
    """

    scheme: Scheme
    act: Activation
    bias_std: float
    depth: int
    backward: tuple[int, ...] = ()


@dataclass(frozen=True)
class ChainStatistics:
    """What was measured of one chain; NaN where a statistic is not defined.

    forward: name -> (depth + 1,), by layer. backward: depth -> name -> (depth + 1,), by layer.
    histogram: (depth + 1, 30) counts of h by layer, or None.
    """

    forward: dict[str, Array]
    backward: dict[int, dict[str, Array]]
    histogram: Array | None


def propagate(
    chains: Sequence[Chain],
    widths: Sequence[int],
    seed: int,
    batch: int,
    dtype: str = "float32",
    histogram: bool = False,
    observe: Observer | None = None,
) -> list[ChainStatistics]:
    """Push one batch through all chains and the gradients back.

    chains: their schemes share one distribution. widths: (w_0 .. w_L) for the greatest depth L.
    observe: shown every h (batch, width) and every dL/dW (fan_in, fan_out) on the way.
    Returns the statistics in the order of `chains`.
    """
    assert len({chain.scheme.base for chain in chains}) == 1, "the chains of a stack share their draws"
    with np.errstate(all="ignore"):  # divergence is data: it is stored, not warned about
        stack = _Stack(chains, widths, seed, batch, np.dtype(dtype), histogram, observe)
        for number in range(1, stack.depth + 1):
            stack.forward(number)
        for number in range(len(stack.tape), 0, -1):
            stack.backward(number)
    return stack.statistics


@dataclass
class _Run:
    """A chain on its way: its signal at the last layer crossed, None once that is not finite."""

    chain: Chain
    index: int  # in the order the chains were given
    statistics: ChainStatistics
    signal: Signal | None
    exponents: list[int] = field(default_factory=lambda: [0])  # of h, by layer
    affines: list[Affine] = field(default_factory=list)  # by layer, from 1

    def record(self, number: int, measured: dict[str, float]) -> None:
        for name, value in measured.items():
            self.statistics.forward[name][number] = value

    def record_gradient(self, depth: int, number: int, kind: str, moments: Moments, exponent: int) -> None:
        columns = self.statistics.backward[depth]
        columns[f"{kind}_std"][number] = layer.scale(moments.std, exponent)
        columns[f"{kind}_rms"][number] = layer.scale(moments.rms, exponent)


@dataclass(frozen=True)
class _Tape:
    """What the way back needs of one layer."""

    z_unit: Array | None  # Z: (fan_in, fan_out)
    below: Array  # h of the layer below: (1 or chains, batch, fan_in)
    slope: Array  # act'(z): (chains, batch, fan_out)


class _Stack:
    """The chains of one call, deepest first, so that those still active lie at the front."""

    def __init__(
        self,
        chains: Sequence[Chain],
        widths: Sequence[int],
        seed: int,
        batch: int,
        dtype: np.dtype[Any],
        histogram: bool,
        observe: Observer | None,
    ) -> None:
        self.widths, self.seed, self.batch, self.dtype = widths, seed, batch, dtype
        self.observe = observe
        self.base = chains[0].scheme.base
        self.statistics = [_blank(chain, histogram) for chain in chains]
        x = draws.inputs(seed, batch, widths[0]).astype(dtype, copy=False)
        signal, measured = layer.measure_inputs(x)
        runs = [_Run(chain, i, self.statistics[i], signal) for i, chain in enumerate(chains)]
        for run in runs:
            run.record(0, measured)
            self._show(run, 0)
        self.runs = sorted(runs, key=lambda run: -run.chain.depth)
        self.depth = self.runs[0].chain.depth
        self.h = x[None]  # (1 or chains, batch, width): layer 0 is the same for all of them
        self.tape: list[_Tape] = []
        # One gradient per chain and depth, deepest start first: dL/dh = delta · 2^exponent.
        self.gradients = sorted(
            ((depth, index) for index, run in enumerate(self.runs) for depth in run.chain.backward),
            key=lambda gradient: -gradient[0],
        )
        self.delta = np.empty((0, batch, widths[self.depth]), dtype)
        self.delta_exponents: list[int] = []

    def forward(self, number: int) -> None:
        """Cross layer `number` with every chain that reaches it."""
        fan_in, fan_out = self.widths[number - 1], self.widths[number]
        runs = [run for run in self.runs if run.chain.depth >= number]
        z_unit = self._z_unit(number)
        unit_bias = draws.biases(self.seed, self.base, number, fan_in, fan_out)
        below = self.h[: len(runs)]
        product = _product(below, z_unit, fan_out)
        shared = len(below) == 1 and len(runs) > 1
        h = np.empty((len(runs), self.batch, fan_out), self.dtype) if shared else product
        slope = np.empty_like(h) if self.gradients else None

        for i, run in enumerate(runs):
            own = 0 if shared else i
            if run.signal is not None:
                chain = run.chain
                affine = Affine.of(chain.scheme, fan_in, fan_out, chain.bias_std, unit_bias)
                affine = affine.fitted(chain.scheme, run.signal, product[own])
                run.affines.append(affine)
                target = h[i], None if slope is None else slope[i]
                crossed = layer.forward(affine, chain.act, run.signal, product[own], *target)
                if crossed is None:
                    again = product[0] if shared else _product(below[own : own + 1], z_unit, fan_out)[0]
                    crossed = layer.forward_wide(affine, chain.act, run.signal, again, *target)
                run.signal, measured = crossed or (None, layer.DIVERGED)
            else:
                measured = layer.DIVERGED
            if run.signal is None:
                h[i] = 0
                if slope is not None:
                    slope[i] = np.nan  # no gradient is defined through a layer that diverged
            run.record(number, measured)
            run.exponents.append(run.signal.exponent if run.signal else 0)
            self._show(run, number)
        if slope is not None:
            self.tape.append(_Tape(z_unit, below, slope))
        self.h = h

    def backward(self, number: int) -> None:
        """Send every gradient that meets layer `number` back through it."""
        fan_in = self.widths[number - 1]
        tape = self.tape.pop()
        self._start_gradients(number)
        for i, (depth, index) in enumerate(self.gradients[: len(self.delta)]):
            run = self.runs[index]
            self.delta[i] *= tape.slope[index]  # dL/dz
            below = tape.below[min(index, len(tape.below) - 1)]
            weight_gradient = below.T @ self.delta[i]  # dL/dW: (fan_in, fan_out)
            exponent = run.exponents[number - 1] + self.delta_exponents[i]
            run.record_gradient(depth, number, "grad", layer.moments_of(weight_gradient), exponent)
            if self.observe:
                self.observe("dW", run.index, depth, number, np.ldexp(weight_gradient, exponent))

        product = _product(self.delta, None if tape.z_unit is None else tape.z_unit.T, fan_in)
        for i, (depth, index) in enumerate(self.gradients[: len(self.delta)]):
            run = self.runs[index]
            if number > len(run.affines):  # it diverged below: the gradient is NaN as it is
                continue
            affine = run.affines[number - 1]
            exponent = self.delta_exponents[i] + layer.backward(affine, product[i], self.delta[i])
            moments = layer.moments_of(product[i])
            run.record_gradient(depth, number - 1, "delta", moments, exponent)
            self.delta_exponents[i] = layer.recentre(product[i], exponent, moments.rms).exponent
        self.delta = product

    def _show(self, run: _Run, number: int) -> None:
        if run.signal is None:
            return
        if run.statistics.histogram is not None:
            run.statistics.histogram[number] = layer.histogram(run.signal)
        if self.observe:
            h = np.ldexp(run.signal.mantissa, run.signal.exponent)
            self.observe("h", run.index, run.chain.depth, number, h)

    def _z_unit(self, number: int) -> Array | None:
        if self.base is None:
            return None
        fans = self.widths[number - 1], self.widths[number]
        return draws.weights(self.seed, self.base, number, *fans).astype(self.dtype, copy=False)

    def _start_gradients(self, number: int) -> None:
        """Add G to the stack for every gradient that starts at this layer."""
        running = len(self.delta)
        new = [gradient for gradient in self.gradients[running:] if gradient[0] == number]
        if not new:
            return
        upstream = draws.upstream_gradient(self.seed, self.batch, self.widths[number])
        moments = layer.moments_of(upstream)
        for depth, index in new:
            self.runs[index].record_gradient(depth, number, "delta", moments, 0)
        delta = np.empty((running + len(new), *upstream.shape), self.dtype)
        delta[:running] = self.delta if running else 0
        delta[running:] = upstream
        self.delta = delta
        self.delta_exponents += [0] * len(new)


def _blank(chain: Chain, histogram: bool) -> ChainStatistics:
    return ChainStatistics(
        {name: np.full(chain.depth + 1, np.nan) for name in FORWARD},
        {depth: {name: np.full(depth + 1, np.nan) for name in BACKWARD} for depth in chain.backward},
        np.zeros((chain.depth + 1, layer.HISTOGRAM_BINS), np.int64) if histogram else None,
    )


def _product(stack: Array, z_unit: Array | None, fan_out: int) -> Array:
    """Every network of the stack times Z in one product: (networks, batch, fan_out)."""
    networks, batch, fan_in = stack.shape
    if z_unit is None:  # a scheme without randomness: all of W is in its mean
        return np.zeros((networks, batch, fan_out), stack.dtype)
    return (stack.reshape(networks * batch, fan_in) @ z_unit).reshape(networks, batch, fan_out)
