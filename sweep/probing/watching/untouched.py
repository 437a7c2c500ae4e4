"""The module, its gradients and every generator are afterwards what they were before."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def untouched(model: Any, seed: int, others: list[Any]) -> Iterator[None]:
    """Put back whatever a pass changes, also where it fails; within, torch's generators are seeded.

    others: tensors on devices whose generators count as well.
    """
    modules = list(model.modules())
    attributes = [dict(vars(module)) for module in modules]
    lists = [one for kept in attributes for one in kept.values() if isinstance(one, list)]
    held = [(one, one.copy()) for one in lists]
    tables = [(dict(module._parameters), dict(module._buffers), dict(module._modules)) for module in modules]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    weights = [(one, one.grad, one.requires_grad) for one in model.parameters()]
    # The one module of torch's own that writes to its weights as it is called.
    renewed = [module.weight for module in modules if getattr(module, "max_norm", None) is not None]
    buffers += [(weight, weight.detach().clone()) for weight in renewed]
    devices = {one.device for one in [*model.parameters(), *model.buffers(), *others]}
    try:
        with _generators(devices, seed):
            yield
    finally:
        for module, kept, parts in zip(modules, attributes, tables, strict=True):
            vars(module).clear()
            vars(module).update(kept)
            for table, part in zip(
                (module._parameters, module._buffers, module._modules), parts, strict=True
            ):
                table.clear()
                table.update(part)
        for one, entries in held:
            one[:] = entries
        with torch.no_grad():
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)
        for weight, grad, required in weights:
            weight.grad = grad
            if weight.requires_grad != required:
                weight.requires_grad_(required)


@contextmanager
def _generators(devices: set[Any], seed: int) -> Iterator[None]:
    """Python's, NumPy's and torch's generators, the last on every device, put back afterwards."""
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002  a user's own
    elsewhere = []
    for device in devices:
        if device.type not in ("cpu", "meta"):
            own = torch.get_device_module(device.type)
            elsewhere.append((own, device, own.get_rng_state(device)))
    try:
        torch.default_generator.manual_seed(seed)
        for own, device, _ in elsewhere:
            with own.device(device):
                own.manual_seed(seed)
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.set_rng_state(kept[2])
        for own, device, state in elsewhere:
            own.set_rng_state(state, device)
