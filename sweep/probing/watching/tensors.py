"""What is measured of one tensor, in float64 and a piece at a time, so that nothing of it is kept."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from sweep.activations import FLAT_SLOPE
from sweep.activations.regions import Regions
from sweep.base.arrays import Array
from sweep.kernel.statistics.correlation import (
    CORRELATED_NEURONS,
    COSINE_SAMPLES,
    neuron_corr,
    sample_cosine,
)

Tensor = Any  # a torch.Tensor
_PIECE = 1 << 16  # entries that are widened at once: they stay in L2
_CANCELS = 1e-6  # a variance below this share of the mean square is summed again about the mean
_MOST_SAMPLES = 4096  # that neuron_corr is taken over, spread evenly over more
LAST, FIRST = -1, 1  # where a tensor has its features: (batch, …, features) or (batch, features, …)


def tensors_in(values: Any) -> Iterator[Tensor]:
    """Every tensor among nested tuples, lists, mappings and dataclasses, in their order."""
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from tensors_in(value)
    elif isinstance(values, tuple | list):
        for value in values:
            yield from tensors_in(value)
    elif is_dataclass(values) and not isinstance(values, type):
        for field in fields(values):
            yield from tensors_in(getattr(values, field.name))


def floating_in(values: Any) -> Iterator[Tensor]:
    """Those of floating numbers that hold any; a sparse one, as a graph's edges, is no signal."""
    dense = (one for one in tensors_in(values) if one.layout == torch.strided)
    return (one for one in dense if one.is_floating_point() and one.numel())


def pieces(tensor: Tensor) -> Iterator[Tensor]:
    """A tensor's entries in float64, a piece at a time; on the CPU where its device has no float64."""
    flat = tensor.detach().reshape(-1)
    on_cpu = flat.device.type == "mps"
    for piece in flat.split(_PIECE if flat.device.type == "cpu" else 1 << 24):
        yield (piece.cpu() if on_cpu else piece).double()


def moments(tensor: Tensor) -> dict[str, float]:
    """mean, std (ddof 0) and rms of all entries; NaN, inf and inf where one is not finite."""
    count = tensor.numel()
    sums = [torch.stack((piece.sum(), piece.dot(piece))) for piece in pieces(tensor)]
    total, squares = torch.stack(sums).sum(dim=0).tolist()
    if not (math.isfinite(total) and math.isfinite(squares)) and not bool(tensor.isfinite().all()):
        return {"mean": math.nan, "std": math.inf, "rms": math.inf}
    mean, square = total / count, squares / count
    variance = square - mean * mean
    if variance < _CANCELS * square:
        variance = float(sum(float((piece - mean).square().sum()) for piece in pieces(tensor))) / count
    return {"mean": mean, "std": math.sqrt(variance), "rms": math.sqrt(square)}


def samples(tensor: Tensor, features: int, batch_dim: int) -> Tensor:
    """A view of (batch, places, features): what lies between batch and features are places of a sample.

    features: FIRST or LAST. A tensor without a batch, as a scalar, is one sample.
    """
    if tensor.dim() < 2:
        return tensor.reshape(-1 if tensor.dim() else 1, 1, 1)
    tensor = tensor.movedim(batch_dim if batch_dim < tensor.dim() else 0, 0)
    if features == FIRST and tensor.dim() > 2:
        tensor = tensor.movedim(1, -1)
    return tensor.reshape(len(tensor), -1, tensor.shape[-1])


def alike(tensor: Tensor, features: int, batch_dim: int) -> dict[str, float]:
    """sample_cosine and neuron_corr of a tensor that is finite.

    The cosine is of the first 64 samples; of fewer, several places of each count, evenly spread. The
    correlation is of the first 64 neurons, over all samples and places, or 4096 of them.
    """
    whole = samples(tensor.detach(), features, batch_dim)  # (batch, places, features)
    batch, places, width = whole.shape
    several = min(places, math.ceil(COSINE_SAMPLES / batch))
    spread = torch.linspace(0, places - 1, several, device=whole.device).long()
    some = whole[:COSINE_SAMPLES][:, spread] if places > 1 else whole[:COSINE_SAMPLES]
    vectors = _array(some.reshape(-1, width)[:COSINE_SAMPLES])
    step = max(1, math.ceil(batch * places / _MOST_SAMPLES))
    # By index, for to bring the places of an image in a row would copy all of it.
    chosen = torch.arange(0, batch * places, step, device=whole.device)
    columns = _array(whole[..., :CORRELATED_NEURONS][chosen // places, chosen % places])
    with np.errstate(all="ignore"), _threads().limit(limits=1, user_api="blas"):
        cosine, _ = sample_cosine(vectors[None])
        return {
            "sample_cosine": float(cosine[0]),
            "neuron_corr": float(neuron_corr(columns[None], columns.dtype)[0]),
        }


@cache
def _threads() -> ThreadpoolController:
    """NumPy's: more than one gain nothing on so small products, and wait for each other on a busy machine."""
    return ThreadpoolController()


def _array(tensor: Tensor) -> Array:
    """As NumPy has it: float64, or float32 for anything narrower."""
    wide = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
    array: Array = np.ascontiguousarray(wide.cpu().numpy())
    return array


def flatness(mask: Tensor, features: int, batch_dim: int) -> dict[str, float]:
    """flat and dead; mask: where the slope is next to nothing, of the tensor's shape."""
    dead = samples(mask, features, batch_dim).flatten(0, 1).all(dim=0)
    return {
        "flat": float(mask.sum()) / mask.numel(),
        "dead": float(dead.sum()) / dead.numel(),
    }


def within(z: Tensor, regions: Regions) -> Tensor:
    """Where z lies in one of these closed intervals."""
    mask = torch.zeros(z.shape, dtype=torch.bool, device=z.device)
    for low, high in regions:
        if low == -math.inf:
            mask |= z <= high
        elif high == math.inf:
            mask |= z >= low
        else:
            mask |= (z >= low) & (z <= high)
    return mask


def nearly_flat(slope: Tensor) -> Tensor:
    """Where a slope passes no gradient to speak of."""
    return slope.abs() < FLAT_SLOPE
