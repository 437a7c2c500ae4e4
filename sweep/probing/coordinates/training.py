"""Trains the model of each width and seed for a few steps, and says how far its layers have moved."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sweep.base.errors import RequestError
from sweep.kernel.draws import streams
from sweep.probing.calling import eager, seed_all
from sweep.probing.checked import module_of
from sweep.probing.coordinates.asked import Asked, said
from sweep.probing.coordinates.recording import Call, Recorder, Weight
from sweep.probing.watching.tensors import Tensor, floating_in

_AFTER_MAKING = 1 << 31  # what a pass draws is not what `make` has drawn


@dataclass(frozen=True)
class Moved:
    """One layer of one model. change: rms of what its output moves by, at each step. size: of it at first."""

    name: str
    kind: str
    weights: tuple[Weight, ...]
    biases: int
    size: float
    change: dict[int, float]


@dataclass(frozen=True)
class Trained:
    """One model that was trained.

    layers: in the order of their first calls. calls: of its first pass. upstream: the norm of the loss's
    gradient at the outputs there. optimizer: its class. eps: the coarsest rounding of any output.
    """

    width: int
    seed: int
    layers: tuple[Moved, ...]
    calls: tuple[Call, ...]
    upstream: float
    optimizer: type[Any]
    eps: float


def trained(asked: Asked) -> list[Trained]:
    """A model for each width, the smallest first, and seed; generators are afterwards as they were."""
    found: list[Trained] = []
    with torch.inference_mode(False), torch.enable_grad(), _generators():
        for width in asked.widths:
            for seed in asked.seeds:
                found.append(_one(asked, width, seed))
                _same_layers(found[0], found[-1])
            if width > asked.widths[0] and _sizes(found[0]) == _sizes(found[-1]):
                raise RequestError(
                    f"make({found[0].width}) and make({width}) have weights of the same shapes: make(width) "
                    "must make layers of that width"
                )
    return found


def _one(asked: Asked, width: int, seed: int) -> Trained:
    seed_all(seed)  # for inputs that are drawn, too
    args, kwargs = asked.arguments(width)
    seed_all(seed)
    with _within(f"make({width})"):
        model = module_of(asked.make(width))
        recorder = Recorder(model)
    with _within(f"optimizer at width {width}"):
        optimizer = asked.optimizer_of(model)
    sizes: dict[str, float] = {}
    changes: dict[str, dict[int, float]] = {}
    upstream = 0.0
    for step in range(asked.steps[-1] + 1):
        seed_all(seed ^ _AFTER_MAKING)
        with _within(f"the model of width {width}"), recorder.watching(), eager(model):
            outputs = model(*_fresh(args), **_fresh(kwargs))
        if step == 0:
            sizes = {name: layer.rms for name, layer in recorder.layers.items()}
            changes = {name: {} for name in sizes}
        elif step in asked.steps:
            for name, layer in recorder.layers.items():
                changes[name][step] = layer.rms
        if step == asked.steps[-1]:
            break
        with _within(f"the loss at width {width}"):
            out, value = _loss_of(asked, outputs)
        out.retain_grad()
        with _within(f"training at width {width}"):
            optimizer.zero_grad()
            value.backward()
            upstream = float(out.grad.float().norm()) if step == 0 and out.grad is not None else upstream
            optimizer.step()
    layers = tuple(
        Moved(name, layer.kind, tuple(layer.weights), layer.biases, sizes[name], changes[name])
        for name, layer in recorder.layers.items()
    )
    return Trained(width, seed, layers, recorder.calls, upstream, type(optimizer), recorder.eps)


def _loss_of(asked: Asked, outputs: Any) -> tuple[Tensor, Tensor]:
    """The first floating output, and the loss: the user's, or sum(G · outputs) / samples."""
    out = next(floating_in(outputs), None)
    if out is None:
        raise RequestError(
            f"no floating tensor in the outputs, a {type(outputs).__name__}: one must be returned"
        )
    if not out.requires_grad:
        raise RequestError("no gradient can come from the first output: some weight it is made of must train")
    if asked.loss is not None:
        value = asked.loss(outputs)
        if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.requires_grad:
            what = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise RequestError(f"it must be one number, a tensor from which gradients come, not {what}")
        return out, value.reshape(())
    if not out.dim():
        return out, out  # a model that returns its loss
    samples = len(out)
    g = streams.upstream_gradient([0], samples, out.numel() // samples)[0]
    g = torch.from_numpy(np.ascontiguousarray(g)).to(out.device, out.dtype).reshape(out.shape)
    return out, (g * out).sum() / samples


def _fresh(values: Any) -> Any:
    """The same values with tensors of our own: a model may change its inputs."""
    if isinstance(values, torch.Tensor):
        return values.detach().clone()
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(_fresh(value) for value in values))
    if isinstance(values, list | tuple):
        return type(values)(_fresh(value) for value in values)
    if type(values) is dict:
        return {key: _fresh(value) for key, value in values.items()}
    return values


def _same_layers(one: Trained, other: Trained) -> None:
    """RequestError where two models have other layers, or other calls of them."""
    first, second = ([(layer.name, layer.kind) for layer in each.layers] for each in (one, other))
    if first == second:
        return
    pairs = enumerate(zip([*first, None], [*second, None], strict=False))
    number, (a, b) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    here, there = (
        f"{kind} '{name}'" if each else "none" for each in (a, b) for name, kind in [each or ("", "")]
    )
    raise RequestError(
        f"make({one.width}) and make({other.width}) must have the same layers: of those called, number "
        f"{number + 1} is {here} in the one and {there} in the other"
    )


def _sizes(one: Trained) -> list[tuple[int, int]]:
    return [(weight.fan_in, weight.fan_out) for layer in one.layers for weight in layer.weights]


@contextmanager
def _within(where: str) -> Iterator[None]:
    """An error of the user's code as one line that says where."""
    try:
        yield
    except Exception as error:
        text = str(error) if isinstance(error, RequestError) else said(error)
        raise RequestError(f"{where}: {text}") from error


@contextmanager
def _generators() -> Iterator[None]:
    """Python's, NumPy's and torch's generators, put back afterwards."""
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002  a user's own
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
