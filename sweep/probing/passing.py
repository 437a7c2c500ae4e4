"""The pass itself: forward with fresh inputs, a loss, and back."""

from collections.abc import Callable, Collection, Mapping, MutableMapping
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.kernel.draws import streams
from sweep.probing.calling import eager
from sweep.probing.watching.gauge import gradients
from sweep.probing.watching.kinds import LOOKUP, plain
from sweep.probing.watching.rows import INPUT, OUTPUT, Row
from sweep.probing.watching.tensors import Tensor, floating_in, tensors_in
from sweep.probing.watching.untouched import untouched
from sweep.probing.watching.watch import Watch


@dataclass(frozen=True)
class Given:
    """What a pass is made with."""

    inputs: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    loss: Callable[..., Any] | None
    target: Any
    batch_dim: int


def passed(model: Any, given: Given, names: Collection[str] | None, seed: int) -> "Pass":
    """A pass that has been made, and left no trace; names: of the modules that get rows, None: every leaf."""
    made = Pass(model, given, names, seed)
    with ExitStack() as stack:
        # Weights made for inference take no gradients, and can be put back in that mode alone.
        stack.enter_context(torch.inference_mode(not made.differentiable))
        stack.enter_context(untouched(model, seed, [*tensors_in((given.inputs, given.kwargs))]))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(eager(model))
        stack.callback(made.watch.weights.restore)
        made.forward()
        made.backward()
    return made


class Pass:
    """One forward and one backward pass.

    watch: what was seen of it. start, output: the rows of the input and of the outputs. trainable: names of
    weights that require a gradient. differentiable: whether weights take part in one. has_gradients: whether
    any was taken. opening: names of parameters that are 0 and learn. end: the node of the loss. unit: whether
    that is sum(G · outputs) of a single tensor.
    """

    def __init__(self, model: Any, given: Given, names: Collection[str] | None, seed: int) -> None:
        self.watch = Watch(model, names, given.batch_dim)
        self.start, self.output = Row("", INPUT, INPUT), Row("", OUTPUT, OUTPUT)
        self.trainable = {plain(name) for name, one in model.named_parameters() if one.requires_grad}
        self.has_gradients = False
        self.opening: set[str] = set()
        self.end: int | None = None
        self.unit = False
        self._model, self._given, self._seed = model, given, seed
        self.differentiable = not any(one.is_inference() for one in model.parameters())
        self._sources: list[Tensor] = []

    @property
    def rows(self) -> list[Row]:
        """Every call, after the input where that is no embedding's output."""
        return [self.start] * (self.start.role == INPUT) + self.watch.rows

    def forward(self) -> None:
        """Call the model with fresh inputs; the loss."""
        watch, (inputs, kwargs) = self.watch, (self._given.inputs, self._given.kwargs)
        given = list(tensors_in((inputs, kwargs)))
        by_tokens = bool(given) and not given[0].is_floating_point()
        args, keywords = self._fresh(inputs), self._fresh(kwargs)
        watch.begin((args, keywords))
        watch.starts_gradient = self.differentiable and by_tokens
        first = next(floating_in((args, keywords)), None)
        if first is not None:
            self.start.node = watch.flow.of(first)
            watch.gauge.measure(self.start, first)
            if not by_tokens and self.start.get("rms") == 0:
                raise RequestError(
                    "the first input is all 0, of which nothing can grow or shrink: pass others"
                )
        with watch.watching():
            try:
                outputs = self._model(*args, **keywords)
            except Exception as error:
                raise RequestError(_refused(watch, error)) from error
            outs = list(floating_in(outputs))
            if not outs:
                raise RequestError(
                    f"no floating tensor in the model's outputs, {_told(outputs)}: it must return one"
                )
            watch.close()
            self.output.node = watch.flow.of(outs[0])
            with watch.aside():
                watch.gauge.measure(self.output, outs[0])
            self._value = self._loss_of(outputs, outs)
            self.unit = self._given.loss is None and len(outs) == 1
            self.end = watch.flow.of(self._value)
        if first is None or (by_tokens and watch.lookup):
            measured = [row for row in watch.rows if row.node is not None]
            found = watch.lookup or next((row for row in measured if row.role == LOOKUP), None)
            self.start = found or next(iter(measured), self.output)

    def backward(self) -> None:
        """Send gradients back, through the hooks of the tensors, and measure those of the weights."""
        # Where no gradient comes to weights that require one, that is what there is to say.
        self.has_gradients = self.differentiable and (bool(self.trainable) or self._value.requires_grad)
        if not (self.differentiable and self._value.requires_grad):
            return
        named = self._model.named_parameters()
        weights = {plain(name): one for name, one in named if one.requires_grad}
        sources = [*self._sources, *self.watch.sources, *weights.values()]
        try:
            found = torch.autograd.grad(self._value, sources, allow_unused=True)
        except Exception as error:
            raise RequestError(f"the backward pass failed: {_line(error)}") from error
        own = dict(zip(weights, found[len(found) - len(weights) :], strict=True))
        gradients(own, self.watch.rows)
        self.opening = {
            name
            for name, gradient in own.items()
            if gradient is not None and not bool(weights[name].any()) and bool(gradient.to_dense().any())
        }

    def _fresh(self, values: Any) -> Any:
        """The same values with tensors of our own, so that the user's neither change nor get gradients."""
        if isinstance(values, torch.Tensor):
            if not (values.is_floating_point() and self.differentiable and values.layout == torch.strided):
                return values.detach().clone()
            # One made for inference takes no gradient; a copy that is made outside of that mode does.
            source = (values.clone() if values.is_inference() else values.detach()).requires_grad_()
            self._sources.append(source)
            return source.clone()
        if isinstance(values, MutableMapping):
            fresh = copy(values)  # of its own type
            for key, value in values.items():
                fresh[key] = self._fresh(value)
            return fresh
        if isinstance(values, tuple) and hasattr(values, "_fields"):
            return type(values)(*(self._fresh(value) for value in values))
        if isinstance(values, list | tuple):
            return type(values)(self._fresh(value) for value in values)
        return values

    def _loss_of(self, outputs: Any, outs: list[Tensor]) -> Tensor:
        loss, target = self._given.loss, self._given.target
        if loss is None:
            return self._upstream(outs)
        try:
            # What was made for inference cannot be kept for the way back; a copy of it can.
            own = target.clone() if isinstance(target, torch.Tensor) and target.is_inference() else target
            value = loss(outputs) if target is None else loss(outputs, own)
        except Exception as error:
            raise RequestError(f"loss: {_line(error)}") from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.is_floating_point():
            what = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise RequestError(f"loss must return one floating number as a tensor, not {what}")
        if outs[0].requires_grad and not value.requires_grad:
            raise RequestError("loss returns what no gradient can come from: it must not detach the outputs")
        return value

    def _upstream(self, outs: list[Tensor]) -> Tensor:
        """sum(G · outputs): G is (samples, features of all outputs), and a sample's is cut up among them."""
        dims = [min(self._given.batch_dim, one.dim() - 1) for one in outs]
        counts = {one.shape[dim] if one.dim() else 0 for one, dim in zip(outs, dims, strict=True)}
        count = max(1, counts.pop()) if len(counts) == 1 else 1
        sizes = [one.numel() // count for one in outs]
        drawn = streams.upstream_gradient([self._seed], count, sum(sizes))[0]
        total = torch.zeros((), device=outs[0].device)
        parts = np.split(drawn, np.cumsum(sizes)[:-1], axis=1)
        for one, dim, part in zip(outs, dims, parts, strict=True):
            moved = one.movedim(dim, 0) if one.dim() and count > 1 else one
            g = torch.from_numpy(np.ascontiguousarray(part)).to(one.device, one.dtype).reshape(moved.shape)
            total = total + (g * moved).sum().to(total.device)
        return total


def _refused(watch: Watch, error: Exception) -> str:
    name, kind = watch.where
    return f"the model refuses these inputs at {name or 'its top'}{f' ({kind})' * bool(kind)}: {_line(error)}"


def _told(outputs: Any) -> str:
    """'a tuple', 'a Tensor of int64, shape (8, 3)'."""
    told = [f"{str(one.dtype)[6:]}, shape {tuple(one.shape)}" for one in tensors_in(outputs)]
    return f"a {type(outputs).__name__}{' of ' * bool(told)}{' and '.join(told[:3])}"


def _line(error: Exception) -> str:
    text = checks.shown(error)
    return f"{type(error).__name__}{': ' * bool(text)}{text}"
