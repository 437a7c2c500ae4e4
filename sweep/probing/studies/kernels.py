"""The weights of a module that a scheme can draw: which they are, their fans, and how a matrix becomes one.

A scheme draws matrices (fan_in, fan_out). Torch keeps them as (out, in), a kernel as (out, in / groups,
sizes), that of a transposed one as (in, out / groups, sizes); attention and recurrent layers stack several.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from sweep.base.arrays import Array
from sweep.initializers import ORTHOGONAL, Scheme
from sweep.kernel.draws import streams
from sweep.probing.watching.kinds import LOOKUP, plain, role_of

_TABLE = "an embedding's table"
_UNKNOWN = "how it is used is not known"
_SOLVED = "made of other parameters, which it does not determine"


@dataclass(frozen=True)
class Kernel:
    """A parameter that a scheme draws.

    name: the qualified one. owner, attribute: where it is. shape: torch's. fan_in: how many entries each of
    its outputs is a sum of; fan_out: how many outputs each input goes into, of a convolution as
    with a stride of 1, which is torch's. rows, columns: of each matrix that is drawn for it; pieces: how
    many. arranged: (rows, columns) -> its piece, as torch has it.
    """

    name: str
    owner: Any
    attribute: str
    shape: tuple[int, ...]
    fan_in: float
    fan_out: float
    rows: int
    columns: int
    pieces: int
    arranged: Callable[[Array], Array]

    def drawn(self, scheme: Scheme, seed: int, number: int) -> Array:
        """What a scheme draws: float32 of its shape; number: that of its first matrix among the model's."""
        found = [self._matrix(scheme, seed, number + piece) for piece in range(self.pieces)]
        return np.concatenate([self.arranged(matrix) for matrix in found]).reshape(self.shape)

    def put(self, values: Array) -> None:
        """Make these its values."""
        with torch.no_grad():
            old = getattr(self.owner, self.attribute)
            new = torch.from_numpy(values).to(old.device, old.dtype)
            if parametrize.is_parametrized(self.owner, self.attribute):
                setattr(self.owner, self.attribute, new)
            else:
                old.copy_(new)

    def _matrix(self, scheme: Scheme, seed: int, number: int) -> Array:
        # What is orthogonal is the matrix as it is drawn, whatever meets it. A fan may be no whole number.
        orthogonal = scheme.base == ORTHOGONAL
        fans: Any = (self.rows, self.columns) if orthogonal else (self.fan_in, self.fan_out)
        mean = np.float32(scheme.weight_mean(*fans))
        if scheme.base is None:
            return np.full((self.rows, self.columns), mean, np.float32)
        z = streams.weights([seed], scheme.base, number, self.rows, self.columns)[0]
        drawn: Array = mean + np.float32(scheme.weight_std(*fans)) * z
        return drawn


@dataclass(frozen=True)
class Weights:
    """kernels: those that a scheme draws, in the module's order. left: name -> why it is left as it is."""

    kernels: tuple[Kernel, ...]
    left: dict[str, str]

    def told(self, most: int) -> str:
        """In a line: how many there are of both, some by name."""
        names = [kernel.name for kernel in self.kernels]
        line = f"weights that are drawn: {_named(names, most)}"
        return line + (f"; left as they are made: {_named(list(self.left), most)}" if self.left else "")

    def listed(self) -> str:
        """All of them, a line each."""
        lines = [
            f"{one.name} {list(one.shape)}: drawn, fan_in {one.fan_in:g}, fan_out {one.fan_out:g}"
            for one in self.kernels
        ]
        return "".join(
            f"{line}\n" for line in [*lines, *(f"{n}: left, {why}" for n, why in self.left.items())]
        )

    def draw(self, scheme: Scheme, seed: int) -> None:
        """Draw all of them, each by its own stream; those of a plain chain are the layers of our networks."""
        number = 1
        for kernel in self.kernels:
            kernel.put(kernel.drawn(scheme, seed, number))
            number += kernel.pieces


def weights_of(model: Any) -> Weights:
    """The weights of a module: matrices and kernels whose use is known, and what else has two dimensions."""
    tables = {
        id(one)
        for module in model.modules()
        if role_of(module) == LOOKUP
        for one in module.parameters(recurse=False)
    }
    kernels: dict[int, Kernel] = {}
    left: dict[str, str] = {}
    for path, module in model.named_modules():
        for kernel in _kernels(plain(path), module):
            tensor = getattr(module, kernel.attribute)
            if id(tensor) in tables:
                left[kernel.name] = _TABLE
            elif _is_solvable(module, kernel.attribute):
                kernels.setdefault(_key(module, kernel.attribute, tensor), kernel)
            else:
                left[kernel.name] = _SOLVED
    known = {kernel.name for kernel in kernels.values()} | left.keys()
    made = {id(getattr(one.owner, one.attribute)) for one in kernels.values()}
    for name, one in model.named_parameters():
        here = plain(name)
        if (
            one.dim() > 1
            and id(one) not in made
            and here not in known
            and ".parametrizations." not in f".{here}"
        ):
            left[here] = _TABLE if id(one) in tables else _UNKNOWN
    return Weights(tuple(kernels.values()), left)


def _named(names: list[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} ({', '.join(names[:most])}{more})"


def _key(module: Any, attribute: str, tensor: Any) -> int:
    """What makes two parameters one."""
    if parametrize.is_parametrized(module, attribute):
        return id(module.parametrizations[attribute])
    return id(tensor)


def _is_solvable(module: Any, attribute: str) -> bool:
    """Whether it can be given values: a parameter, or one whose parametrization can be solved for."""
    if attribute in module._parameters:
        return True
    if not parametrize.is_parametrized(module, attribute):
        return False
    return all(hasattr(one, "right_inverse") for one in module.parametrizations[attribute])


def _kernels(path: str, module: Any) -> Iterator[Kernel]:
    """The weights of one module."""
    nn = torch.nn

    def named(attribute: str) -> str:
        return f"{path}.{attribute}" if path else attribute

    def matrix(attribute: str, pieces: int = 1) -> Kernel:
        """(pieces · out, in)."""
        shape = tuple(getattr(module, attribute).shape)
        out, fan_in = shape[0] // pieces, shape[1]
        return Kernel(
            named(attribute), module, attribute, shape, fan_in, out, fan_in, out, pieces, lambda w: w.T
        )

    if isinstance(module, nn.Linear):
        yield matrix("weight")
    elif isinstance(module, nn.modules.conv._ConvNd):
        yield (
            _transposed(named("weight"), module)
            if module.transposed
            else _convolution(named("weight"), module)
        )
    elif isinstance(module, nn.Bilinear):
        shape = tuple(module.weight.shape)
        fan_in = shape[1] * shape[2]
        yield Kernel(
            named("weight"), module, "weight", shape, fan_in, shape[0], fan_in, shape[0], 1, lambda w: w.T
        )
    elif isinstance(module, nn.MultiheadAttention):
        if module.in_proj_weight is not None:
            yield matrix("in_proj_weight", 3)
        else:
            yield from map(matrix, ("q_proj_weight", "k_proj_weight", "v_proj_weight"))
    elif isinstance(module, nn.RNNBase | nn.RNNCellBase):
        gates = _gates(module)
        for name, one in module.named_parameters(recurse=False):
            if one.dim() == 2:
                yield matrix(name, 1 if name.startswith("weight_hr") else gates)
    elif type(module).__name__ == "Conv1D" and getattr(module, "weight", None) is not None:  # of transformers
        fan_in, out = module.weight.shape
        yield Kernel(
            named("weight"), module, "weight", (fan_in, out), fan_in, out, fan_in, out, 1, lambda w: w
        )


def _gates(module: Any) -> int:
    """How many matrices a recurrent layer stacks in one parameter."""
    kind = type(module).__name__.removesuffix("Cell")
    mode = getattr(module, "mode", kind)
    return {"LSTM": 4, "GRU": 3}.get(mode, 1)


def _convolution(name: str, module: Any) -> Kernel:
    shape = tuple(module.weight.shape)  # (out, in / groups, sizes)
    area = math.prod(shape[2:])
    fan_in = shape[1] * area
    return Kernel(
        name, module, "weight", shape, fan_in, shape[0] // module.groups * area, fan_in, shape[0], 1,
        lambda w: w.T,
    )  # fmt: skip


def _transposed(name: str, module: Any) -> Kernel:
    """Of a stride s a place of the output meets one entry in s of the kernel along each side."""
    shape = tuple(module.weight.shape)  # (in, out / groups, sizes)
    groups, area = module.groups, math.prod(shape[2:])
    inside, out = shape[0] // groups, shape[1]
    rows = inside * area

    def arranged(w: Array) -> Array:
        apart = w.reshape(inside, area, groups, out)
        return apart.transpose(2, 0, 3, 1).reshape(shape)

    met = rows / math.prod(module.stride)
    return Kernel(name, module, "weight", shape, met, out * area, rows, out * groups, 1, arranged)
