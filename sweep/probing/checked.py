"""What `sweep.probe` is given, checked before anything runs."""

from collections.abc import Collection, Mapping
from typing import Any

import torch

from sweep.base import checks
from sweep.base.errors import RequestError, unknown
from sweep.probing.watching.kinds import plain
from sweep.probing.watching.tensors import floating_in

_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
_SHARDED = ("FullyShardedDataParallel", "FSDPModule")


def module_of(model: Any) -> Any:
    """The module within what compiles it or spreads it over devices; refused where no call is seen."""
    while (inner := _WRAPPERS.get(type(model).__name__)) and isinstance(model, torch.nn.Module):
        model = getattr(model, inner)
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
    return model


def check_inputs(inputs: Mapping[str, Any]) -> None:
    """RequestError where one of these holds what is no number."""
    for name, value in inputs.items():
        for one in floating_in(value):
            if not bool(one.isfinite().all()):
                held = "nan" if bool(one.isnan().any()) else "inf"
                raise RequestError(f"{name} holds {held}: every entry must be a finite number")


def names_of(model: Any, modules: Collection[str] | None) -> set[str] | None:
    """The names of the modules that get rows; None: every leaf."""
    if modules is None:
        return None
    known = [plain(name) for name, _ in model.named_modules()]
    if isinstance(modules, str) or not isinstance(modules, Collection):
        raise RequestError(f"modules={checks.shown(modules)}: give a list of names, as in modules=['0', '2']")
    for name in modules:
        if name not in known:
            raise unknown("module", name, known[:40])
    return set(modules)
