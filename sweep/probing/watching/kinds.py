"""What a call is: one with weights, an elementwise activation, a norm; and where an activation is flat."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from sweep import activations
from sweep.activations import Activation, flat_regions, flat_share
from sweep.base.errors import RequestError
from sweep.probing.watching.tensors import Tensor, nearly_flat, within

WEIGHT, ACT, NORM, LOOKUP, OTHER = "weight", "act", "norm", "lookup", "other"
WHOLE = "whole"  # of a module that calls others, where it is asked for by name

# Functions of data and weights, and those of the input alone that act entry by entry.
WEIGHTED = {
    "linear", "bilinear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "matmul", "mm", "bmm", "addmm", "baddbmm", "einsum", "tensordot",
}  # fmt: skip
ELEMENTWISE = {
    "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid",
    "hardtanh", "hardswish", "hardsigmoid", "softplus", "softsign", "sin", "erf", "prelu", "rrelu",
    "hardshrink", "softshrink", "tanhshrink", "logsigmoid", "threshold",
}  # fmt: skip
# Where functions of these names, and what is theirs, have the features: after the batch, not last.
CHANNELS = (
    "conv",
    "batch_norm",
    "group_norm",
    "instance_norm",
    "BatchNorm",
    "GroupNorm",
    "InstanceNorm",
    "Conv",
)

_PARAMETER = {"leaky_relu": "negative_slope", "elu": "alpha", "celu": "alpha", "softplus": "beta"}
_AS_GIVEN = {"gelu": "approximate", "hardtanh": "min_val"}  # what decides whether it is one of ours
_DEFAULTS: dict[str, float | str] = {
    "negative_slope": 0.01, "alpha": 1.0, "beta": 1.0, "approximate": "none", "min_val": -1.0,
}  # fmt: skip
_MODULES = {name.replace("_", ""): name for name in ELEMENTWISE}  # LeakyReLU is leaky_relu
_QUANTILES = 2001


class Elementwise:
    """An elementwise call: its activation where we have it, else its slope by autograd.

    function: z -> act(z), in torch. act: ours, or None.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], act: Activation | None) -> None:
        self._function, self.act = function, act
        self._regions = flat_regions(act) if act else None

    def flat(self, z: Tensor) -> Tensor:
        """Where an argument has next to no slope: a mask of its shape."""
        if self._regions is not None:
            return within(z.detach(), self._regions)
        return nearly_flat(self._slope(z))

    def flat_share(self, like: Tensor) -> float:
        """Its flat share at unit variance."""
        if self.act:
            return flat_share(self.act)
        points = torch.linspace(0.5 / _QUANTILES, 1 - 0.5 / _QUANTILES, _QUANTILES, dtype=torch.float64)
        normal = math.sqrt(2) * torch.erfinv(2 * points - 1)
        try:
            return float(nearly_flat(self._slope(normal.to(like.device, like.dtype))).double().mean())
        except (RuntimeError, ValueError, IndexError):  # one that takes other shapes, as a slope per channel
            return 0.0

    def _slope(self, z: Tensor) -> Tensor:
        # Hooks of the model's own that pack what autograd saves, as checkpoints do, are not to see this.
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(_same, _same):
            apart = z.detach().clone().requires_grad_()
            (slope,) = torch.autograd.grad(self._function(apart.clone()).sum(), apart)
        return slope


def _same(tensor: Tensor) -> Tensor:
    return tensor


def of_function(name: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Elementwise:
    """The elementwise function that is called so."""

    def again(z: Tensor) -> Tensor:
        return function(z, *args[1:], **kwargs)

    key = _PARAMETER.get(name) or _AS_GIVEN.get(name)
    value = kwargs.get(key, args[1] if len(args) > 1 else _DEFAULTS.get(key or ""))
    return Elementwise(again, _ours(name, value))


def of_module(module: Any) -> Elementwise | None:
    """The elementwise activation that one of torch's own modules is; None of all others."""
    name = _MODULES.get(type(module).__name__.lower())
    if not name or not is_builtin(module):
        return None
    key = _PARAMETER.get(name) or _AS_GIVEN.get(name)
    return Elementwise(module.forward, _ours(name, getattr(module, key) if key else None))


@lru_cache(maxsize=64)
def _ours(name: str, value: float | str | None) -> Activation | None:
    if name == "gelu" and value == "tanh":
        return activations.get("gelu_tanh")
    if name not in activations.ACTIVATIONS or (name in _AS_GIVEN and value != _DEFAULTS[_AS_GIVEN[name]]):
        return None
    try:
        return activations.get(name, **({_PARAMETER[name]: value} if name in _PARAMETER else {}))
    except RequestError:  # a parameter that ours does not take
        return None


def of_own_module(module: Any, z: Tensor, h: Tensor) -> Elementwise | None:
    """A user's module without weights, where it acts entry by entry: as of entries that are moved along."""
    if h.shape != z.shape or not z.dim() or any(one.numel() > 1 for one in module.parameters()):
        return None
    own = Elementwise(module.forward, None)
    try:
        with torch.no_grad():
            step = z.numel() // 3
            step += 1 if step % z.shape[-1] == 0 else 0  # not by whole rows
            moved = own._function(z.detach().reshape(-1).roll(step).reshape(z.shape))
            near = 64 * torch.finfo(h.dtype).eps
            same = torch.allclose(moved.reshape(-1).roll(-step), h.detach().reshape(-1), near, near)
    except Exception:
        return None
    return own if same else None


def plain(name: str) -> str:
    """A module's or a weight's name without what torch.compile puts into it."""
    return name.replace("_orig_mod.", "")


def role_of(module: Any) -> str:
    """What a leaf module is for."""
    name = type(module).__name__
    if "Embedding" in name:
        return LOOKUP
    if "Norm" in name:
        return NORM
    return WEIGHT if weights_of(module) else OTHER


def weights_of(module: Any) -> list[str]:
    """The names of a leaf module's matrices and kernels, the one it is known by first; of a norm its gain."""
    own = {name: one for name, one in module.named_parameters() if one.is_floating_point()}
    names = [name for name, one in own.items() if one.dim() > 1]
    if not names:
        return ["weight"] if "weight" in own and "Norm" in type(module).__name__ else []
    return sorted(names, key=lambda name: (name != "weight", -own[name].numel()))


def is_builtin(module: Any) -> bool:
    """Whether torch itself defines it."""
    return type(module).__module__.startswith("torch.")


def is_leaf(module: Any) -> bool:
    """Whether it has no modules of its own that are called; torch's attention calls none of its."""
    children = [name for name, _ in module.named_children() if name != "parametrizations"]
    return not children or (is_builtin(module) and type(module).__name__ == "MultiheadAttention")


def has_channels_first(name: str) -> bool:
    """Whether a module or function of this name has its features after the batch."""
    return any(part in name for part in CHANNELS)


def are_copies(weight: Tensor) -> bool:
    """Whether all neurons have the same weights, to 1e-6 of the largest."""
    rows = weight.detach().flatten(1).double()
    return bool((rows - rows[:1]).abs().max() <= 1e-6 * rows.abs().max())
