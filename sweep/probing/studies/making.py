"""What makes a model: found by its name, known by its source, called with torch's seed set."""

import hashlib
import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sweep.base.checks import shown
from sweep.base.errors import RequestError, UserCodeError
from sweep.base.user_code import imported, one_line
from sweep.experiment.ingredients.models import Given
from sweep.kernel.draws import streams
from sweep.probing import checked
from sweep.probing.calling import seed_all

_DIGEST_BYTES = 8


class Maker:
    """A function without arguments, or a class, that gives a torch module.

    name: 'package.module:make', as it is stored. Raises RequestError where there is none of that name.
    """

    def __init__(self, path: str) -> None:
        self.name, self._make = _imported(path)

    def made(self, seed: int, dtype: str = "float32", device: str = "cpu") -> Any:
        """The module of a seed: torch's, NumPy's and Python's generators begin with it.

        UserCodeError where the call raises, RequestError where it returns no module.
        """
        seed_all(seed)
        try:
            model = self._make()
        except (Exception, SystemExit) as error:
            raise UserCodeError(f"{self.name} raised {one_line(error)}") from error
        if not isinstance(model, torch.nn.Module):
            raise RequestError(f"{self.name} returns {type(model).__name__}, not a torch.nn.Module")
        checked.module_of(model)
        if dtype != "float32":
            model = model.to(getattr(torch, dtype))
        return model if device == "cpu" else model.to(device)

    def source_of(self, model: Any) -> str:
        """A digest of its source and of that of the classes of a module, and their bases, but torch's."""
        kinds = {type(one) for one in model.modules()}
        bases = {base for kind in kinds for base in kind.__mro__}
        kinds |= {one for one in bases if one.__module__.partition(".")[0] not in sys.stdlib_module_names}
        named = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in kinds}
        texts = [_source(self._make)]
        texts += [_source(kind) for name, kind in sorted(named.items()) if not name.startswith("torch.")]
        return hashlib.blake2b("\0".join(texts).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def check_device(device: str) -> None:
    """RequestError where there is no such device."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RequestError(f"--device {shown(device)}: {one_line(error).partition('. ')[0]}") from error


def vocabulary(model: Any) -> int | None:
    """How many tokens a model's first embedding knows; None where it has none."""
    found = (one for one in model.modules() if isinstance(one, torch.nn.Embedding))
    first = next(found, None)
    return None if first is None else int(first.num_embeddings)


def drawn(inputs: tuple[Given, ...], seed: int, device: str = "cpu") -> tuple[Any, ...]:
    """The inputs of a seed, each of its own stream: N(0, 1), or tokens all as likely."""
    found = []
    for number, one in enumerate(inputs):
        batch, *rest = one.shape
        width = int(np.prod(rest, dtype=np.int64))
        if one.below is not None:
            values = torch.from_numpy(streams.tokens(seed, number, batch * width, one.below))
        else:
            more = streams.more_inputs(seed, number, batch, width) if number else None
            own = streams.inputs([seed], batch, width)[0] if more is None else more
            values = torch.from_numpy(own).to(getattr(torch, one.dtype))
        found.append(values.reshape(one.shape).to(device))
    return tuple(found)


def _imported(path: str) -> tuple[str, Callable[[], Any]]:
    """The name as it is stored, and what it names."""
    module_name, _, name = path.rpartition(":" if ":" in path else ".")
    make = imported("model", path, module_name, name, "name what makes the model, as in my_models:make")
    if isinstance(make, torch.nn.Module):
        raise RequestError(f"model={path}: {name} is a {type(make).__name__}, not a function that makes one")
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise RequestError(f"model={path}: {name} is called without arguments, but {error}") from error
    except ValueError:  # a compiled function may not tell; its call will
        pass
    return f"{module_name}:{name}", make


def _source(thing: Any) -> str:
    inner = inspect.unwrap(getattr(thing, "func", thing))
    try:
        return inspect.getsource(inner)
    except (OSError, TypeError):  # typed at a prompt: its code, or else its name
        code = getattr(inner, "__code__", None)
        return repr((code.co_code, code.co_consts, code.co_names)) if code else repr(inner).split(" at 0x")[0]
