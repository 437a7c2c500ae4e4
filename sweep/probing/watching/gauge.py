"""Takes the figures of a tensor into its row, and knows where it has its features."""

import math
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from sweep.probing.watching import kinds, tensors
from sweep.probing.watching.flow import Flow
from sweep.probing.watching.rows import Row
from sweep.probing.watching.tensors import FIRST, LAST, Tensor, moments

# Features may lie elsewhere after these functions, and modules of these names.
_TURNS = {"transpose", "permute", "movedim", "moveaxis", "swapaxes", "t", "rearrange"}
_KEEPS_LAST = ("linear", "layernorm", "rmsnorm", "embedding", "matmul")


class Gauge:
    """Measures tensors of one pass. A size that is known is not measured again.

    flow: of the pass. batch_dim: of its tensors.
    """

    def __init__(self, flow: Flow, batch_dim: int) -> None:
        self._flow, self._batch_dim = flow, batch_dim
        self._sizes: dict[int, tuple[weakref.ref[Any], int, float]] = {}
        self._layouts: dict[int, tuple[int, int]] = {}  # node -> (dimensions, where features are)
        self._views: dict[int, tuple[weakref.ref[Any], weakref.ref[Any]]] = {}  # of a hidden tensor the first

    def measure(self, row: Row, out: Tensor) -> None:
        """The statistics of a tensor into a row; those of its gradient as it passes."""
        layout = self._layout(out)
        row.entries = out.numel()
        row.width = out.shape[layout] if out.dim() > 1 else 1
        row.values |= moments(out)
        if row.values["rms"] < math.inf:
            row.values |= self.alike(out)
        self._note(out, row.values["rms"])
        if out.requires_grad:
            self._source(out).register_hook(_into(row.values))

    def alike(self, tensor: Tensor) -> dict[str, float]:
        """sample_cosine and neuron_corr of a tensor that is finite."""
        return tensors.alike(tensor, self._layout(tensor), self._batch_dim)

    def rms(self, tensor: Tensor) -> float:
        """Its rms, inf where it is not finite."""
        entry = self._sizes.get(id(tensor))
        if entry and entry[0]() is tensor and entry[1] == _version(tensor):
            return entry[2]
        return self._note(tensor, moments(tensor)["rms"])

    def flat(self, row: Row, z: Tensor) -> None:
        """How flat the row's activation is at its argument."""
        assert row.act
        if self.rms(z) < math.inf:
            row.values |= tensors.flatness(row.act.flat(z), self._layout(z), self._batch_dim)
            row.share = row.act.flat_share(z)

    def place(self, node: int, tensor: Tensor, parents: tuple[int, ...], name: str) -> None:
        """Note where what a function of this name made has its features: mostly where its argument has."""
        self._view(tensor)
        known = self._layouts.get(parents[0]) if parents else None
        if kinds.has_channels_first(name):
            layout = FIRST
        elif name.lower().replace("_", "") in _KEEPS_LAST:
            layout = LAST
        elif known and known[0] == tensor.dim() and name.lower() not in _TURNS:
            layout = known[1]
        else:
            layout = _usual(tensor)
        self._layouts[node] = tensor.dim(), layout

    def _view(self, tensor: Tensor) -> None:
        base = tensor._base
        if base is not None and base.numel() == tensor.numel() and self._flow.of(base) is None:
            entry = self._views.get(id(base))
            if entry is None or entry[0]() is not base:
                self._views[id(base)] = weakref.ref(base), weakref.ref(tensor)

    def _source(self, out: Tensor) -> Tensor:
        """The tensor whose gradient is that of an output, whatever is done to that in place.

        torch's linear of (batch, places, features) is a view of a matrix that nobody else sees. What changes
        a view in place is taken back to that matrix, past the hooks that the view had.
        """
        base = out._base
        entry = None if base is None else self._views.get(id(base))
        return base if entry and entry[0]() is base and entry[1]() is out else out

    def _note(self, tensor: Tensor, size: float) -> float:
        self._sizes[id(tensor)] = weakref.ref(tensor), _version(tensor), size
        return size

    def _layout(self, tensor: Tensor) -> int:
        node = self._flow.of(tensor)
        known = None if node is None else self._layouts.get(node)
        return known[1] if known else _usual(tensor)


def gradients(found: Mapping[str, Tensor | None], rows: list[Row]) -> None:
    """The gradients of weights, by name, into the rows that own them."""
    known: dict[str, dict[str, float]] = {}
    for row in rows:
        gradient = None if row.weight is None else found.get(row.weight)
        if row.weight is not None and gradient is not None:
            if row.weight not in known:
                dense = gradient.to_dense() if gradient.is_sparse else gradient
                known[row.weight] = moments(dense.detach())
            row.values |= {f"grad_{end}": known[row.weight][end] for end in ("std", "rms")}


def _version(tensor: Tensor) -> int:
    """How often a tensor was changed in place; of one that does not count it, never."""
    return -1 if tensor.is_inference() else int(tensor._version)


def _usual(tensor: Tensor) -> int:
    """Where a tensor of so many dimensions mostly has its features: an image after the batch, else last."""
    return FIRST if tensor.dim() > 3 else LAST


def _into(values: dict[str, float]) -> Callable[[Tensor], None]:
    def hook(gradient: Tensor) -> None:
        found = moments(gradient.detach())
        values["delta_std"], values["delta_rms"] = found["std"], found["rms"]

    return hook
