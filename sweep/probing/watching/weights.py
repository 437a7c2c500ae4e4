"""A model's weights by name, and what a pass makes of them."""

import weakref
from typing import Any

import torch

from sweep.probing.watching import kinds
from sweep.probing.watching.rows import Row
from sweep.probing.watching.tensors import Tensor

_SAME = 1e-6  # as in the rule of `symmetric`


class Weights:
    """The parameters of a model, and the tensors made of one alone, as its transpose."""

    def __init__(self, model: Any) -> None:
        weights = [(kinds.plain(name), one) for name, one in model.named_parameters(remove_duplicate=False)]
        self._known = {id(one): (weakref.ref(one), name) for name, one in reversed(weights)}
        self._by_place: dict[int, list[weakref.ref[Any]]] = {}
        for one in model.parameters():
            self._by_place.setdefault(_place_of(one), []).append(weakref.ref(one))
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._first: dict[str, str] = {name: self._known[id(one)][1] for name, one in weights}

    def named(self, module: str, name: str) -> str:
        """The name of a module's parameter, of a tied one its first."""
        full = f"{module}.{name}" if module else name
        return self._first.get(full, full)

    def add(self, tensor: Tensor, name: str) -> None:
        """A tensor made of a parameter."""
        self._known[id(tensor)] = weakref.ref(tensor), name

    def among(self, given: list[Tensor]) -> list[str]:
        """The names of matrices and kernels among tensors, or of those that they were made of."""
        matrices = [one for one in given if one.dim() > 1 and one.is_floating_point()]
        entries = [(one, self._known.get(id(one))) for one in matrices]
        return [entry[1] for one, entry in entries if entry and entry[0]() is one]

    def is_whole(self, tensor: Tensor) -> bool:
        """Whether a tensor has all the numbers of a parameter, as its transpose has, and no other ones."""
        owners = (ref() for ref in self._by_place.get(_place_of(tensor), ()))
        return any(one is not None and one.numel() == tensor.numel() for one in owners)

    def are_copies(self, row: Row) -> bool:
        """Whether a call's weights make copies of all its neurons.

        Outputs that correlate fully say so. Of constant weights after a norm that takes the mean off they do
        not, for nothing but biases is left: matrices say so themselves.
        """
        found = (ref() for ref, name in self._known.values() if name == row.weight)
        weight = next((one for one in found if one is not None), None)
        alike = row.get("neuron_corr") > 1 - _SAME
        if weight is None or not (alike or weight.dim() == 2):
            return False
        neurons = weight.detach().t() if row.kind in kinds.TURNED else weight.detach().flatten(1)
        return _agree(neurons[:2]) and _agree(neurons) and (alike or bool(neurons.any()))

    def keep(self, tensor: Any) -> None:
        """Copies of the weights that share their numbers with a tensor about to be changed in place."""
        if isinstance(tensor, torch.Tensor):
            for ref in self._by_place.pop(_place_of(tensor), ()):
                if (weight := ref()) is not None:
                    self._kept.append((weight, weight.detach().clone()))

    def restore(self) -> None:
        """Put weights back that the model has changed."""
        with torch.no_grad():
            for weight, before in self._kept:
                weight.copy_(before)


def _agree(neurons: Tensor) -> bool:
    """Whether all rows are one, to 1e-6 of the largest entry."""
    wide = neurons.cpu().double()
    return bool((wide - wide[:1]).abs().max() <= _SAME * wide.abs().max())


def _place_of(tensor: Tensor) -> int:
    """Where a tensor has its numbers, which a weight's `.data` and its views share."""
    return int(tensor.untyped_storage().data_ptr())
