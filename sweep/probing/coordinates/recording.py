"""Watches the layers of one model: their outputs at first, and how far they have moved since."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from sweep.base.errors import RequestError
from sweep.probing.watching import kinds
from sweep.probing.watching.tensors import Tensor, floating_in, pieces

_ATTENTION = ("Softmax", "ScaledDotProduct", "EfficientAttention", "FlashAttention")  # nodes of autograd


@dataclass(frozen=True)
class Weight:
    """A matrix or a kernel. name: of tied ones that of the first. trained: whether it requires a gradient."""

    name: str
    fan_in: int
    fan_out: int
    trained: bool


@dataclass(frozen=True)
class Call:
    """One call of a layer: which, by its place in the order of first calls.

    square, absolute: means over the entries of its input, 1 where it looks rows up. entries: of its output.
    parents: the calls whose outputs it was made of, by their place in the order of calls. attends: whether a
    softmax of theirs was in between, or before them. delta: the norm of the loss's gradient at its output.
    """

    layer: int
    square: float
    absolute: float
    entries: float
    parents: tuple[int, ...]
    attends: bool
    delta: float = 0.0


@dataclass
class Layer:
    """A module with weights, and biases that are trained: how many vectors.

    before: its outputs at initialisation, a call each. seen: calls in this pass.
    """

    name: str
    kind: str
    biases: int = 0
    weights: list[Weight] = field(default_factory=list)
    before: list[Tensor] = field(default_factory=list)
    seen: int = 0
    squares: float = 0.0  # of this pass, summed
    entries: int = 0

    @property
    def rms(self) -> float:
        """Of what was summed in this pass; inf where anything is not finite."""
        mean = self.squares / self.entries if self.entries else 0.0
        return math.sqrt(mean) if math.isfinite(mean) else math.inf


class Recorder:
    """The layers of a model in the order of their first calls."""

    def __init__(self, model: Any) -> None:
        self.layers: dict[str, Layer] = {}
        self._calls: list[Call] = []
        self._deltas: dict[int, float] = {}
        self.eps = 0.0  # the coarsest rounding of any output
        self._names = {
            module: kinds.plain(name)
            for name, module in model.named_modules()
            if kinds.is_leaf(module)
            and kinds.role_of(module) != kinds.NORM
            and any(one.dim() > 1 for one in module.parameters())
        }
        if not self._names:
            raise RequestError("the model has no module with matrices or kernels, which alone are watched")
        self._tied = {id(one): name for name, one in model.named_parameters()}
        self._made: dict[Any, int] = {}  # node of autograd -> the call whose output it made
        self._first = True

    @property
    def calls(self) -> tuple[Call, ...]:
        """Those of the first pass, after its gradients have come back."""
        return tuple(replace(one, delta=self._deltas.get(n, 0.0)) for n, one in enumerate(self._calls))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """One pass: the first keeps outputs, any later one is compared with it."""
        handles = [one.register_forward_hook(self._called, with_kwargs=True) for one in self._names]
        for layer in self.layers.values():
            layer.seen, layer.squares, layer.entries = 0, 0.0, 0
        try:
            yield
        finally:
            for handle in handles:  # a checkpoint calls modules again on the way back
                handle.remove()
        if not self.layers:
            some = ", ".join([*self._names.values()][:3])
            raise RequestError(f"it calls none of its modules that have weights, which are {some}")
        for layer in self.layers.values():
            if layer.seen != len(layer.before):
                raise _differs(layer.name, f"{len(layer.before)} and then {layer.seen} calls")
        self._made.clear()
        self._first = False

    def _called(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        out = next(floating_in(output), None)
        if out is None:
            return
        name = self._names[module]
        if self._first:
            layer = self.layers.setdefault(name, Layer(name, type(module).__name__))
            self._place(layer, module, next(floating_in((args, kwargs)), None), out)
            layer.before.append(out.detach().clone())
            differences = pieces(out)
        else:
            known = self.layers.get(name)
            if known is None or known.seen >= len(known.before):
                raise _differs(name, "more calls than at first")
            layer, before = known, known.before[known.seen]
            if before.shape != out.shape:
                raise _differs(name, f"outputs of {tuple(before.shape)} and then {tuple(out.shape)}")
            differences = (a - b for a, b in zip(pieces(out), pieces(before), strict=True))
        layer.squares += sum(float(one.square().sum()) for one in differences)
        layer.entries += out.numel()
        layer.seen += 1

    def _place(self, layer: Layer, module: Any, below: Tensor | None, out: Tensor) -> None:
        """What is to be known of a first pass's call, beside its output."""
        if not layer.weights:
            own = list(module.parameters())
            layer.weights = [
                Weight(self._tied[id(one)], *fans(module, tuple(one.shape), below, out), one.requires_grad)
                for one in own
                if one.dim() > 1
            ]
            layer.biases = sum(one.dim() == 1 and one.requires_grad for one in own)
        self.eps = max(self.eps, torch.finfo(out.dtype).eps)
        square = absolute = 1.0
        if below is not None:
            count = below.numel()
            square = sum(float(one.square().sum()) for one in pieces(below)) / count
            absolute = sum(float(one.abs().sum()) for one in pieces(below)) / count
        place, number = [*self.layers].index(layer.name), len(self._calls)
        parents, attends = self._before(out)
        self._calls.append(Call(place, square, absolute, out.numel(), parents, attends))
        if out.grad_fn is not None:
            self._made[out.grad_fn] = number
            out.register_hook(lambda grad: self._deltas.update({number: float(grad.float().norm())}))

    def _before(self, out: Tensor) -> tuple[tuple[int, ...], bool]:
        """The nearest calls on every way back from an output, and whether there was attention on any."""
        left = [out.grad_fn] if out.grad_fn is not None else []
        seen, found, attends = set(left), [], False
        while left:
            node = left.pop()
            if node in self._made:
                found.append(self._made[node])
                continue
            attends |= node.name().startswith(_ATTENTION)
            fresh = {before for before, _ in node.next_functions if before is not None} - seen
            seen |= fresh
            left += fresh
        return tuple(sorted(found)), attends or any(self._calls[one].attends for one in found)


def fans(module: Any, shape: tuple[int, ...], below: Tensor | None, out: Tensor) -> tuple[int, int]:
    """fan_in and fan_out of a weight of this shape; fan_in 1 where it is looked up or added, not multiplied.

    Whether a module of a user's own has it as (out, in) or (in, out), its input and its output say.
    """
    if below is None:
        return 1, shape[-1]
    places = math.prod(shape[2:])
    straight, turned = (shape[1] * places, shape[0]), (shape[0] * places, shape[1])
    if kinds.is_builtin(module):
        return turned if "Transpose" in type(module).__name__ else straight
    for ways, fan_in, fan_out in ((straight, shape[1], shape[0]), (turned, shape[0], shape[1])):
        if fan_in in _features(below) and fan_out in _features(out):
            return ways
    added = len(shape) <= out.dim() and all(
        one in (1, other) for one, other in zip(shape[::-1], tuple(out.shape)[::-1], strict=False)
    )
    return (1, shape[-1]) if added else straight


def _features(tensor: Tensor) -> set[int]:
    """The sizes that may be a tensor's features: the last, of images the channels."""
    return {tensor.shape[-1]} | ({tensor.shape[1]} if tensor.dim() > 3 else set()) if tensor.dim() else set()


def _differs(name: str, how: str) -> RequestError:
    return RequestError(f"layer {name or 'of the model itself'}: {how}: each pass must make the same calls")
