"""What theory has to know of a call: its matrix and biases, its norm, or what it multiplies by."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sweep.base.blocks import LAYER, RMS
from sweep.probing.watching.flow import Flow
from sweep.probing.watching.kinds import is_builtin
from sweep.probing.watching.tensors import Tensor, moments

if TYPE_CHECKING:
    from sweep.probing.watching.rows import Row
    from sweep.probing.watching.weights import Weights

_ARRANGES = {
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous", "clone",
    "to", "float", "double", "half", "bfloat16", "identity",
}  # fmt: skip
_SAME = 1e-6  # a std over an rms that says: all entries are one number
_BY_CHANCE = 5.0  # standard errors that the mean of entries of mean 0 is hardly ever away from it


@dataclass(frozen=True, eq=False)
class Matrix:
    """h W + b, W being (fan_in, fan_out), however it lies.

    version: of W and b as they were used. biased: the node that has b, where another call added it.
    """

    weight: Tensor
    fan_in: int
    fan_out: int
    bias: Tensor | None = None
    biased: int | None = None
    version: tuple[int, ...] = ()

    @classmethod
    def of(cls, weight: Tensor, fan_in: int, fan_out: int, bias: Tensor | None = None) -> "Matrix":
        """The same, as it is now."""
        return cls(weight, fan_in, fan_out, bias, version=_versions(weight, bias))

    def stds(self) -> tuple[float, float] | None:
        """sqrt of the mean squares of W and of b; None of entries that are not random ones of mean 0."""
        if self.version != _versions(self.weight, self.bias):  # changed since, in place
            return None
        weight, bias = _std(self.weight), 0.0 if self.bias is None else _std(self.bias)
        # Of one entry to a neuron, as of the identity, there is no sum over many.
        if weight and int(self.weight.count_nonzero()) <= self.fan_out:
            return None
        return None if weight is None or bias is None else (weight, bias)


@dataclass(frozen=True, eq=False)
class Norm:
    """A norm over the features, before its gain and shift."""

    name: str
    eps: float
    gain: Tensor | None
    shift: Tensor | None

    @property
    def alone(self) -> bool:
        """Whether its gain is 1 and its shift 0, as at first."""
        kept = self.gain is None or bool((self.gain == 1).all())
        return kept and (self.shift is None or not bool(self.shift.any()))


def of_module(module: Any) -> Matrix | Norm | None:
    """What one of torch's own modules is."""
    if not is_as_written(module):
        return None
    if type(module) is nn.Linear:
        return Matrix.of(module.weight, module.in_features, module.out_features, module.bias)
    name = {nn.LayerNorm: LAYER, nn.RMSNorm: RMS}.get(type(module))
    if name is None or len(module.normalized_shape) > 1:
        return None
    eps = torch.finfo(torch.float32).eps if module.eps is None else module.eps
    return Norm(name, eps, module.weight, getattr(module, "bias", None))


def of_function(name: str, given: Sequence[Tensor], flow: Flow, weights: "Weights") -> Matrix | None:
    """What a function made of data is; given: all tensors that it was called with.

    None of a weight that is not a parameter as it is, whose gradient would be another.
    """
    data, weight, *bias = (*given, None)[:3] if len(given) > 1 else (None, None)
    if data is None or weight is None or len(given) > 3 or weight.dim() != 2:
        return None
    if flow.of(data) is None or any(flow.of(one) is not None for one in given[1:]):
        return None
    if not weights.is_whole(weight):
        return None
    if name == "linear":
        fan_out, fan_in = weight.shape
        return Matrix.of(weight, fan_in, fan_out, bias[0])
    return Matrix.of(weight, *weight.shape) if name in ("matmul", "mm") and len(given) == 2 else None


def is_as_written(module: Any) -> bool:
    """Whether a module does what its class does: nobody else's hook or method of its own may change that."""
    hooks = len(module._forward_hooks), len(module._forward_pre_hooks)
    return "forward" not in vars(module) and hooks <= (1, 1)  # ours


def step_of(
    name: str, args: Sequence[Any], kwargs: Mapping[str, Any], flow: Flow, rows: "Sequence[Row]"
) -> float | None:
    """What a function multiplies every entry of its data by, if that is all that it does; 1 of a plain sum.

    Biases that it adds to what the last row's matrix has made are that matrix's from now on.
    """
    if name in _ARRANGES:
        return 1.0
    if name == "dropout":
        p, training = (*args[1:], *(kwargs[one] for one in ("p", "training", "train") if one in kwargs))[:2]
        return None if training and p else 1.0
    if name not in ("add", "mul", "div") or len(args) != 2 or kwargs:
        return None
    others = [one for one in args if flow.of(one) is None]
    if name == "add":
        return _biased(rows, args, others[0], flow) if others else 1.0
    number = _number(others[0]) if len(others) == 1 else None
    if name == "mul" or number is None:
        return number
    return 1 / number if number and others[0] is args[1] else None


def step_of_module(module: Any) -> float | None:
    """The same of a module of torch's own."""
    if not (is_builtin(module) and is_as_written(module)):
        return None
    name = type(module).__name__
    if "Dropout" in name:
        return None if module.training and module.p else 1.0
    return 1.0 if name in ("Identity", "Flatten", "Unflatten") else None


def _biased(rows: "Sequence[Row]", args: Sequence[Any], other: Any, flow: Flow) -> float | None:
    row = rows[-1] if rows else None
    if row is None or not isinstance(row.known, Matrix) or row.known.bias is not None:
        return None
    if row.node is None or row.node not in [flow.of(one) for one in args]:
        return None
    if not isinstance(other, torch.Tensor) or other.shape != (row.known.fan_out,):
        return None
    own = Matrix.of(row.known.weight, row.known.fan_in, row.known.fan_out, other)
    row.known = replace(own, biased=len(flow.parents))  # the node about to be made
    return 1.0


def _number(value: Any) -> float | None:
    if isinstance(value, torch.Tensor):
        return float(value.detach()) if value.numel() == 1 and value.is_floating_point() else None
    return float(value) if isinstance(value, int | float) else None


def _std(tensor: Tensor) -> float | None:
    found = moments(tensor)
    mean, std, rms = found["mean"], found["std"], found["rms"]
    count = tensor.numel()
    if not math.isfinite(rms) or (count > 1 and rms and std <= _SAME * rms):
        return None
    return rms if abs(mean) * math.sqrt(count) <= _BY_CHANCE * rms else None


def _versions(*tensors: Tensor | None) -> tuple[int, ...]:
    """How often each was changed in place."""
    return tuple(-1 if one.is_inference() else int(one._version) for one in tensors if one is not None)
