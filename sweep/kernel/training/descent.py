"""Plain SGD of softmax cross-entropy, of networks of one shape together; and of their readouts alone.

A network that diverges ends there and leaves the others as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.base.arrays import Array
from sweep.base.inputs import GAUSSIAN, Inputs
from sweep.base.training import Training
from sweep.kernel.chains.chain import Chain
from sweep.kernel.training.crossing import Crossing, Memory, Take
from sweep.kernel.training.drawing import drawn
from sweep.kernel.training.examples import Batches, Examples, Lessons, lessons
from sweep.kernel.training.outcomes import OUTCOMES
from sweep.kernel.training.weights import Network, joined

_TOO_MUCH = 100.0  # times the first loss
_TOGETHER = 1 << 18  # bytes of one signal of the networks that cross a layer together
EVALUATED = 512  # inputs at once, where no norm is over the batch


@dataclass(frozen=True)
class Pupil:
    """A network to be trained. batch, inputs: how many, and which, it was measured with. lr: its step."""

    chain: Chain
    seed: int
    batch: int
    lr: float
    inputs: Inputs = GAUSSIAN


def train(pupils: Sequence[Pupil], widths: Sequence[int], training: Training, dtype: str) -> dict[str, Array]:
    """OUTCOMES by name, (pupils,) each, of networks of one act, block and shape; NaN: it did not diverge.

    widths: (w_0 .. w_L). Losses and accuracies are those of the weights that the training ended with, over
    all inputs; a norm over the batch is one over each of the two sets.
    """
    most = together(training, widths, np.dtype(dtype).itemsize)
    found: dict[str, list[Array]] = {name: [] for name in OUTCOMES}
    with np.errstate(all="ignore"):  # divergence is data: it is stored, not warned about
        for start in range(0, len(pupils), most):
            some = pupils[start : start + most]
            for name, values in _Class(some, widths, training, np.dtype(dtype)).taught().items():
                found[name].append(values)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def together(training: Training, widths: Sequence[int], itemsize: int) -> int:
    """How many networks cross a layer together: their signal stays in the cache."""
    return max(1, _TOGETHER // (training.batch * max(widths) * itemsize))


class Learner:
    """Networks of one act and block, and the layers that they cross."""

    def __init__(self, network: Network, chain: Chain) -> None:
        self.network, self._shared = network, Memory()
        numbers = range(len(network.layers))
        self._crossings = [Crossing(chain.block, chain.act, number, self._shared) for number in numbers]

    def forward(self, inputs: Array) -> Array:
        """h of the last layer: (networks, batch, width); inputs: likewise."""
        h = inputs
        for crossing, weights in zip(self._crossings, self.network.layers, strict=True):
            h = crossing.forward(weights, h)
        return h

    def logits(self, h: Array) -> Array:
        """What is read off the last layer: (networks, batch, CLASSES) float64."""
        read: Array = (np.matmul(h, self.network.readout) + self.network.offset).astype(np.float64)
        return read

    def backward(self, h: Array, gradient: Array, take: Take) -> None:
        """Every parameter with its gradient, from those of the logits; h: of the last layer."""
        delta = np.matmul(gradient, self.network.readout.transpose(0, 2, 1))
        read(self.network, h, gradient, take)
        for number in range(len(self._crossings) - 1, -1, -1):
            weights, down = self.network.layers[number], number > 0
            delta = self._crossings[number].backward(weights, delta, take, down)


def read(network: Network, h: Array, gradient: Array, take: Take) -> None:
    """The parameters of the readout with their gradients, from those of the logits."""
    take(network.offset, gradient.sum(axis=1, keepdims=True))
    take(network.readout, np.matmul(h.transpose(0, 2, 1), gradient))


def cross_entropy(logits: Array, classes: Array, dtype: Any) -> tuple[Array, Array]:
    """The mean loss of each network, (networks,), and its gradient to the logits.

    classes: (networks, batch).
    """
    logits = logits - logits.max(axis=2, keepdims=True)
    shares = np.exp(logits)
    total = shares.sum(axis=2, keepdims=True)
    index = classes[..., None]
    losses = np.log(total) - np.take_along_axis(logits, index, axis=2)
    shares /= total
    np.put_along_axis(shares, index, np.take_along_axis(shares, index, axis=2) - 1, axis=2)
    shares /= classes.shape[1]
    return losses.mean(axis=(1, 2)), shares.astype(dtype)


class _Class:
    """Networks that are trained together."""

    def __init__(
        self, pupils: Sequence[Pupil], widths: Sequence[int], training: Training, dtype: np.dtype[Any]
    ) -> None:
        self._training, self._dtype = training, dtype
        self._pupils, self._chain = pupils, pupils[0].chain
        self._lessons: Lessons = lessons(training.data, widths[0])
        self._network = joined(
            [drawn(one.chain, widths, one.seed, one.batch, dtype, one.inputs) for one in pupils]
        )

    def taught(self) -> dict[str, Array]:
        """OUTCOMES by name."""
        features = [self._seen(examples) for examples in (self._lessons.training, self._lessons.held_out)]
        alone = self._of_readouts(*features)
        del features
        ended, steps, diverged, first = self._descended()
        losses, accuracies = self._judged(ended, self._lessons.training)
        last = np.isnan(diverged) & (losses > _TOO_MUCH * first)  # a step that no further batch has judged
        diverged[last] = self._training.steps + 1
        _, held_out = self._judged(ended, self._lessons.held_out)
        epochs = steps * self._training.batch / len(self._lessons.training)
        values = (losses, accuracies, held_out, alone, epochs, diverged)
        return dict(zip(OUTCOMES, values, strict=True))

    def _descended(self) -> tuple[Network, Array, Array, Array]:
        """The networks as their trainings ended, the steps of each, where it diverged, first losses."""
        count = len(self._pupils)
        steps, diverged = np.full(count, self._training.steps), np.full(count, np.nan)
        first, left = np.full(count, np.inf), np.arange(count)
        learner, inputs = Learner(self._network, self._chain), self._lessons.training
        ended: dict[int, Network] = {}
        descend = Descent(self._rates(left))
        for step, numbers in enumerate(self._batches(), 1):
            losses = h = gradient = np.empty(0)
            while len(left):
                chosen = numbers[left]
                h = learner.forward(inputs.inputs[chosen].astype(self._dtype, copy=False))
                losses, gradient = cross_entropy(learner.logits(h), inputs.classes[chosen], self._dtype)
                if step == 1:
                    first[left] = losses
                over = ~np.isfinite(losses) | (losses > _TOO_MUCH * first[left])
                if not over.any():
                    break
                for place in np.flatnonzero(over):
                    ended[int(left[place])] = learner.network.of([place])
                steps[left[over]], diverged[left[over]] = step - 1, step
                learner, left = Learner(learner.network.of(~over), self._chain), left[~over]
                descend = Descent(self._rates(left))
            if not len(left):
                break
            learner.backward(h, gradient, descend)
        ended |= {int(one): learner.network.of([place]) for place, one in enumerate(left)}
        return joined([ended[one] for one in range(count)]), steps, diverged, first

    def _of_readouts(self, features: Array, held_out: Array) -> Array:
        """What the readouts reach alone, on what the networks make of the inputs: (networks,)."""
        network = Network([], self._network.readout.copy(), self._network.offset.copy())
        learner, descend = Learner(network, self._chain), Descent(self._rates(np.arange(len(network))))
        places = np.arange(len(network))[:, None]
        for numbers in self._batches():
            h, classes = features[places, numbers], self._lessons.training.classes[numbers]
            _, gradient = cross_entropy(learner.logits(h), classes, self._dtype)
            learner.backward(h, gradient, descend)
        return _accuracies(learner.logits(held_out), self._lessons.held_out.classes)

    def _batches(self) -> Iterator[Array]:
        """The inputs of every step: (networks, batch)."""
        seeds = [one.seed for one in self._pupils]
        count, size = len(self._lessons.training), self._training.batch
        of_seed = {seed: Batches(seed, self._training.data, count, size) for seed in dict.fromkeys(seeds)}
        for _ in range(self._training.steps):
            each = {seed: next(batches) for seed, batches in of_seed.items()}
            yield np.stack([each[seed] for seed in seeds])

    def _rates(self, chosen: Array) -> Array:
        return np.array([self._pupils[one].lr for one in chosen], self._dtype)[:, None, None]

    def _seen(self, examples: Examples) -> Array:
        """What the networks make of these at their start: (networks, count, width)."""
        return _crossed(self._network, self._chain, examples, self._dtype)

    def _judged(self, network: Network, examples: Examples) -> tuple[Array, Array]:
        """The mean loss and the accuracy of each network over these: (networks,); a loss of NaN is inf."""
        h = _crossed(network, self._chain, examples, self._dtype)
        logits = Learner(network, self._chain).logits(h)
        classes = np.broadcast_to(examples.classes, logits.shape[:2])
        losses, _ = cross_entropy(logits, classes, self._dtype)
        return np.where(np.isnan(losses), np.inf, losses), _accuracies(logits, examples.classes)


@dataclass
class Descent:
    """The step of descent; rates: (networks, 1, 1)."""

    rates: Array

    def __call__(self, parameter: Array, gradient: Array) -> None:
        gradient *= self.rates
        parameter -= gradient


def _crossed(network: Network, chain: Chain, examples: Examples, dtype: np.dtype[Any]) -> Array:
    """h of the last layer of all of these, network by network: (networks, count, width)."""
    at_once = len(examples) if chain.block.norm == "bn" else EVALUATED
    found = np.empty((len(network), len(examples), network.readout.shape[1]), dtype)
    for place in range(len(network)):
        learner = Learner(network.of([place]), chain)
        for start in range(0, len(examples), at_once):
            inputs = examples.inputs[None, start : start + at_once].astype(dtype, copy=False)
            found[place, start : start + at_once] = learner.forward(inputs)[0]
    return found


def _accuracies(logits: Array, classes: Array) -> Array:
    """The share of inputs whose class is read off right: (networks,); what is no number is none."""
    right = (logits.argmax(axis=2) == classes) & np.isfinite(logits).all(axis=2)
    accuracies: Array = right.mean(axis=1)
    return accuracies
