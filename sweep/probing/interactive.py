"""`sweep.probe`: one forward and one backward pass of a user's own torch module, and what they say."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.base import checks
from sweep.base.errors import RequestError, unknown
from sweep.kernel import streams

try:
    import torch
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise RequestError(
        "sweep.probe needs torch, which is not installed: pip install 'sweep[torch]'"
    ) from None

from sweep.probing import judging
from sweep.probing.advice import advised
from sweep.probing.chain import links_of
from sweep.probing.result import Probe
from sweep.probing.watching.gauge import gradients
from sweep.probing.watching.rows import INPUT, OUTPUT, Row
from sweep.probing.watching.tensors import Tensor, floating_in, tensors_in
from sweep.probing.watching.untouched import untouched
from sweep.probing.watching.watch import Watch

if TYPE_CHECKING:
    from torch import nn

_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
_SHARDED = ("FullyShardedDataParallel", "FSDPModule")


def probe(
    model: "nn.Module",
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    modules: Collection[str] | None = None,
    batch_dim: int = 0,
    seed: int = 0,
    **kwargs: Any,
) -> Probe:
    """Push a batch through a torch module and gradients back; measure every call, and judge.

    model: as it is, in training or evaluation; afterwards as it was. inputs, kwargs: what it is called with.
    loss: outputs -> a scalar, or (outputs, target) -> one; None: sum(G · outputs), G ~ N(0, 1), over all
    floating outputs. modules: qualified names of those that get rows; None: every leaf, every functional
    activation and every weight used without its module. batch_dim: of the inputs. seed: of G, and of torch's
    generators during the call, as for dropout.
    Gradients are measured under `no_grad` as well; a frozen weight has none, and stays frozen. Raises
    RequestError for what is no module, inputs that the model refuses, outputs without a floating tensor.
    """
    model = _unwrapped(model)
    _check(model)
    seed = checks.whole("seed", seed, 0)
    batch_dim = checks.whole("batch_dim", batch_dim, 0)
    _check_inputs({**{f"input {n}": one for n, one in enumerate(inputs, 1)}, **kwargs})
    shown = _shown(model, modules)
    given = list(tensors_in((inputs, kwargs)))
    watch = Watch(model, shown, batch_dim)
    with ExitStack() as stack:
        stack.enter_context(untouched(model, seed, given))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(_eager(model))
        passed = _Pass(model, watch, loss, target, batch_dim, seed)
        first = passed.forward(inputs, kwargs)
        passed.backward()
    rows = [*watch.rows]
    start = first or watch.lookup or (rows[0] if rows else passed.output)
    links = links_of(watch, start, passed.output)
    found = judging.judged(watch, links, passed)
    if first is not None:
        rows.insert(0, first)
    return Probe(rows, links, found, advised(found, links))


class _Pass:
    """One forward and one backward pass. output: the row of the outputs; weights: which have a gradient."""

    def __init__(self, model: Any, watch: Watch, loss: Any, target: Any, batch_dim: int, seed: int) -> None:
        self._model, self._watch, self._loss, self._target = model, watch, loss, target
        self._batch_dim, self._seed = batch_dim, seed
        self.trainable = {name for name, one in model.named_parameters() if one.requires_grad}
        self.differentiable = not any(one.is_inference() for one in model.parameters())
        self.output = Row("", OUTPUT, OUTPUT)
        self.has_gradients = False
        self.end: int | None = None  # the node of the loss
        self._sources: list[Tensor] = []

    def forward(self, inputs: Any, kwargs: Any) -> Row | None:
        """The row of the first input of floating numbers; None where the inputs begin with tokens."""
        tensors = list(tensors_in((inputs, kwargs)))
        by_tokens = bool(tensors) and not tensors[0].is_floating_point()
        args, keywords = self._fresh(inputs), self._fresh(kwargs)
        watch = self._watch
        watch.begin((args, keywords))
        watch.starts_gradient = self.differentiable and by_tokens
        row = None
        first = next(floating_in((args, keywords)), None)
        if first is not None and not by_tokens:
            row = Row("", INPUT, INPUT, node=watch.flow.of(first))
            watch.gauge.measure(row, first)
        with watch.watching():
            try:
                self._outputs = self._model(*args, **keywords)
            except Exception as error:
                raise RequestError(_refused(watch, error)) from error
            outs = list(floating_in(self._outputs))
            if not outs:
                what = type(self._outputs).__name__
                raise RequestError(f"no floating tensor in the model's outputs, a {what}: it must return one")
            watch.close()
            self.output.node = watch.flow.of(outs[0])
            self._value = self._loss_of(outs)
            self.end = watch.flow.of(self._value)
        watch.gauge.measure(self.output, outs[0])
        if by_tokens and watch.lookup is None and first is not None:
            row = Row("", INPUT, INPUT, node=watch.flow.of(first))
            watch.gauge.measure(row, first)
        return row

    def backward(self) -> None:
        """Send gradients back, through the hooks of the tensors, and measure those of the weights."""
        if not (self.differentiable and self._value.requires_grad):
            return
        weights = {name: one for name, one in self._model.named_parameters() if one.requires_grad}
        sources = [*self._sources, *self._watch.sources, *weights.values()]
        try:
            found = torch.autograd.grad(self._value, sources, allow_unused=True)
        except Exception as error:
            raise RequestError(f"the backward pass failed: {_line(error)}") from error
        self.has_gradients = True
        own = found[len(found) - len(weights) :]
        gradients(dict(zip(weights, own, strict=True)), self._watch.rows)

    def _fresh(self, values: Any) -> Any:
        """The same values with tensors of our own, so that the user's neither change nor get gradients."""
        if isinstance(values, torch.Tensor):
            if not (values.is_floating_point() and self.differentiable):
                return values.detach().clone()
            source = values.detach().requires_grad_()
            self._sources.append(source)
            return source.clone()
        if isinstance(values, dict):
            return {key: self._fresh(value) for key, value in values.items()}
        if isinstance(values, tuple) and hasattr(values, "_fields"):
            return type(values)(*(self._fresh(value) for value in values))
        if isinstance(values, list | tuple):
            return type(values)(self._fresh(value) for value in values)
        return values

    def _loss_of(self, outs: list[Tensor]) -> Tensor:
        if self._loss is None:
            return self._upstream(outs)
        try:
            given = () if self._target is None else (self._target,)
            value = self._loss(self._outputs, *given)
        except Exception as error:
            raise RequestError(f"loss: {_line(error)}") from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.is_floating_point():
            what = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise RequestError(f"loss must return one floating number as a tensor, not {what}")
        return value

    def _upstream(self, outs: list[Tensor]) -> Tensor:
        """sum(G · outputs): G is (samples, features of all outputs), and a sample's is cut up among them."""
        dims = [min(self._batch_dim, one.dim() - 1) for one in outs]
        counts = {one.shape[dim] if one.dim() else 0 for one, dim in zip(outs, dims, strict=True)}
        count = counts.pop() if len(counts) == 1 else 1
        count = max(1, count)
        sizes = [one.numel() // count for one in outs]
        drawn = streams.upstream_gradient([self._seed], count, sum(sizes))[0]
        total = torch.zeros((), device=outs[0].device)
        with torch.no_grad():
            parts = np.split(drawn, np.cumsum(sizes)[:-1], axis=1)
        for one, dim, part in zip(outs, dims, parts, strict=True):
            moved = one.movedim(dim, 0) if one.dim() and count > 1 else one
            g = torch.from_numpy(np.ascontiguousarray(part)).to(one.device, one.dtype).reshape(moved.shape)
            total = total + (g * moved).sum().to(total.device)
        return total


def _unwrapped(model: Any) -> Any:
    while (inner := _WRAPPERS.get(type(model).__name__)) and isinstance(model, torch.nn.Module):
        model = getattr(model, inner)
    return model


def _check(model: Any) -> None:
    if not isinstance(model, torch.nn.Module):
        raise RequestError(f"model: {type(model).__name__} is not a torch.nn.Module: pass the module itself")
    for name, module in model.named_modules():
        label = f"model{f'.{name}' if name else ''}"
        if isinstance(module, torch.jit.ScriptModule):
            raise RequestError(f"{label} is compiled by torch.jit, which shows no calls: pass it as it was")
        if any(one.__name__ in _SHARDED for one in type(module).__mro__):
            raise RequestError(f"{label} is sharded: pass the module as it is before it is sharded")
        for one in [*module._parameters.values(), *module._buffers.values()]:
            if torch.nn.parameter.is_lazy(one):
                raise RequestError(
                    f"{label} is lazy, and has no weights before its first call, which would change it: "
                    "call the model once, then probe it"
                )
            if one is not None and one.is_meta:
                raise RequestError(f"{label} is on the meta device and holds no numbers: move it to another")


def _check_inputs(inputs: dict[str, Any]) -> None:
    for name, value in inputs.items():
        for one in floating_in(value):
            if not bool(one.isfinite().all()):
                held = "nan" if bool(one.isnan().any()) else "inf"
                raise RequestError(f"{name} holds {held}: every entry must be a finite number")


def _shown(model: Any, modules: Collection[str] | None) -> set[str] | None:
    if modules is None:
        return None
    known = [name.replace("_orig_mod.", "") for name, _ in model.named_modules()]
    if isinstance(modules, str) or not isinstance(modules, Collection):
        raise RequestError(f"modules={checks.shown(modules)}: give a list of names, as in modules=['0', '2']")
    for name in modules:
        if name not in known:
            raise unknown("module", name, known[:40])
    return set(modules)


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """Compiled parts run as they are written, so that their calls are seen."""
    compiled = [
        one
        for one in model.modules()
        if type(one).__name__ == "OptimizedModule" or getattr(one, "_compiled_call_impl", None)
    ]
    if not compiled:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def _refused(watch: Watch, error: Exception) -> str:
    name, kind = watch.where
    return f"the model refuses these inputs at {name or 'its top'}{f' ({kind})' * bool(kind)}: {_line(error)}"


def _line(error: Exception) -> str:
    text = checks.shown(error)
    return f"{type(error).__name__}{': ' * bool(text)}{text}"
