"""What a call is: one with weights, an elementwise activation, a norm; and where an activation is flat."""

import math
import warnings
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
TURNED = {"matmul", "mm", "addmm"}  # these have a weight as (fan_in, fan_out)
ELEMENTWISE = {
    "relu", "relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "silu", "mish", "tanh", "sigmoid",
    "hardtanh", "hardswish", "hardsigmoid", "softplus", "softsign", "sin", "erf", "prelu", "rrelu",
    "hardshrink", "softshrink", "tanhshrink", "logsigmoid", "log_sigmoid", "threshold",
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

# The parameters in their order that say which of our activations a call is, with torch's defaults.
_PARAMETERS: dict[str, dict[str, float | str]] = {
    "leaky_relu": {"negative_slope": 0.01}, "elu": {"alpha": 1.0}, "celu": {"alpha": 1.0},
    "softplus": {"beta": 1.0, "threshold": 20.0}, "gelu": {"approximate": "none"},
    "hardtanh": {"min_val": -1.0, "max_val": 1.0},
}  # fmt: skip
_LINEAR_FROM = _PARAMETERS["softplus"]["threshold"]  # by so far that it does not show
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
            return float(nearly_flat(self._slope(normal.to(like.device, like.dtype))).float().mean())
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

    taken = _PARAMETERS.get(name, {})
    values = {
        key: args[n] if n < len(args) else kwargs.get(key, taken[key]) for n, key in enumerate(taken, 1)
    }
    return Elementwise(again, _ours(name, tuple(values.items())))


def of_module(module: Any) -> Elementwise | None:
    """The elementwise activation that one of torch's own modules is; None of all others."""
    name = _MODULES.get(type(module).__name__.lower())
    if not name or not is_builtin(module):
        return None
    values = tuple((key, getattr(module, key)) for key in _PARAMETERS.get(name, {}))
    return Elementwise(module.forward, _ours(name, values))


@lru_cache(maxsize=64)
def _ours(name: str, values: tuple[tuple[str, Any], ...]) -> Activation | None:
    """The same activation of this program; None where it has none with these values."""
    usual = dict(values) == _PARAMETERS.get(name, {})
    if name == "gelu":
        return activations.get("gelu" if usual else "gelu_tanh")
    given = dict(values)
    if name not in activations.ACTIVATIONS or (name == "hardtanh" and not usual):
        return None
    if given.pop("threshold", _LINEAR_FROM) != _LINEAR_FROM:  # where torch's softplus becomes z itself
        return None
    try:
        return activations.get(name, **(given if name != "hardtanh" else {}))
    except RequestError:  # a value that ours does not take
        return None


def of_own_module(module: Any, z: Tensor, h: Tensor) -> Elementwise | None:
    """A user's module without weights, where it acts entry by entry: as of entries that are moved along.

    One that draws at random, as to drop paths, does not.
    """
    if h.shape != z.shape or not z.dim() or any(one.numel() > 1 for one in module.parameters()):
        return None
    own = Elementwise(module.forward, None)
    before = _generator(z.device)
    try:
        with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # it has said so once
            step = 1 + z.numel() // 3
            step += 1 if step % z.shape[-1] == 0 else 0  # not by whole rows
            moved = own._function(z.detach().reshape(-1).roll(step).reshape(z.shape))
            near = 64 * torch.finfo(h.dtype).eps
            back = moved.reshape(-1).roll(-step)
            same = torch.allclose(back, h.detach().reshape(-1), near, near, equal_nan=True)
    except Exception:  # a user's code that takes no other input is simply not known to be elementwise
        return None
    return own if same and torch.equal(_generator(z.device), before) else None


def _generator(device: Any) -> Tensor:
    """The state of torch's generator there."""
    if device.type == "cpu":
        return torch.get_rng_state()
    return torch.get_device_module(device.type).get_rng_state(device)


def plain(name: str) -> str:
    """A module's or a weight's name without what torch.compile puts into it."""
    return name.replace("_orig_mod.", "")


def role_of(module: Any) -> str:
    """What a leaf module is for."""
    name = type(module).__name__
    if "Embedding" in name and weights_of(module):
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
