"""What `sweep.coord_check` is asked, checked before anything runs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from sweep.base import checks
from sweep.base.errors import RequestError, unknown
from sweep.probing.checked import check_inputs

_NAMED = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
_SEEDS = 2**32  # those that NumPy's generator takes


@dataclass(frozen=True)
class Asked:
    """One request. widths, steps: increasing; see `sweep.coord_check` for the rest."""

    make: Callable[[int], Any]
    inputs: Any
    widths: tuple[int, ...]
    loss: Callable[[Any], Any] | None
    optimizer: str | Callable[..., Any]
    lr: float
    steps: tuple[int, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(
        cls, make: Any, inputs: Any, widths: Any, loss: Any, optimizer: Any, lr: Any, steps: Any, seeds: Any
    ) -> "Asked":
        """The request, every part in its own type."""
        if isinstance(make, torch.nn.Module) or not callable(make):
            what = type(make).__name__
            raise RequestError(f"make must be a function width -> a new torch.nn.Module, not {what}")
        if loss is not None and not callable(loss):
            raise RequestError(
                f"loss={checks.shown(loss)}: give a function outputs -> a scalar tensor, or none"
            )
        if isinstance(optimizer, str) and optimizer not in _NAMED:
            raise unknown("optimizer", checks.shown(optimizer), _NAMED)
        if not isinstance(optimizer, str) and not callable(optimizer):
            raise RequestError(
                f"optimizer={checks.shown(optimizer)}: give 'sgd', 'adam', a class of torch.optim, or a "
                "function (model, lr) -> optimizer"
            )
        several = tuple(sorted(set(_wholes("widths", widths, 1, "[64, 128, 256]"))))
        if len(several) < 2:
            raise RequestError(
                f"widths={checks.shown(list(several))}: a slope takes two different widths or more"
            )
        after = _wholes("steps", steps, 1, "(1, 3)")
        if not after or any(late <= early for early, late in pairwise(after)):
            raise RequestError(f"steps={checks.shown(list(after))}: steps must increase, as in (1, 3)")
        if not callable(inputs):
            arguments_of(inputs)
        rate = checks.real("lr", lr, 0, strictly=True)
        return cls(make, inputs, several, loss, optimizer, rate, after, _seeds(seeds))

    def arguments(self, width: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the model of a width is called with."""
        if not callable(self.inputs):
            return arguments_of(self.inputs)
        try:
            given = self.inputs(width)
        except Exception as error:
            raise RequestError(f"inputs({width}): {said(error)}") from error
        return arguments_of(given)

    def optimizer_of(self, model: Any) -> Any:
        """The optimizer of a model."""
        make = _NAMED[self.optimizer] if isinstance(self.optimizer, str) else self.optimizer
        of_parameters = isinstance(make, type) and issubclass(make, torch.optim.Optimizer)
        made = make(model.parameters(), lr=self.lr) if of_parameters else make(model, self.lr)
        if not isinstance(made, torch.optim.Optimizer):
            raise RequestError(f"optimizer must return a torch.optim.Optimizer, not a {type(made).__name__}")
        return made


def arguments_of(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named ones; refused where they hold no tensor, or what is no number."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if isinstance(inputs, torch.Tensor):
        args = (inputs,)
    elif isinstance(inputs, Mapping):
        kwargs = dict(inputs)
    elif isinstance(inputs, tuple | list) and len(inputs):
        args = tuple(inputs)
    else:
        raise RequestError(
            "inputs must be a tensor, a tuple of them, a dict of keywords, or a function width -> such, not "
            f"{type(inputs).__name__}"
        )
    check_inputs({f"input {number}": one for number, one in enumerate(args, 1)} | kwargs)
    return args, kwargs


def said(error: Exception) -> str:
    """An error of a user's code in a line."""
    text = checks.shown(error)
    return f"{type(error).__name__}{': ' * bool(text)}{text}"


def _seeds(given: Any) -> tuple[int, ...]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        return tuple(range(checks.whole("seeds", given, 1)))
    seeds = _wholes("seeds", given, 0, "[0, 1, 2]")
    if not seeds or len(set(seeds)) < len(seeds) or max(seeds) >= _SEEDS:
        raise RequestError(
            f"seeds={checks.shown(list(seeds))}: give different ones below 2^32, as in [0, 1, 2]"
        )
    return seeds


def _wholes(name: str, given: Any, least: int, example: str) -> tuple[int, ...]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        raise RequestError(f"{name}={checks.shown(given)}: give a list of whole numbers, as in {example}")
    return tuple(checks.whole(name.removesuffix("s"), one, least) for one in given)
