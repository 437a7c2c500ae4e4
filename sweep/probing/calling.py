"""How a user's model is called: compiled parts as they are written, every generator set."""

import random
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch


def eager(model: Any) -> AbstractContextManager[Any]:
    """Compiled parts run as they are written, so that their calls are seen."""
    compiled = any(
        type(one).__name__ == "OptimizedModule" or getattr(one, "_compiled_call_impl", None)
        for one in model.modules()
    )
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


def seed_all(seed: int) -> None:
    """Set torch's, NumPy's and Python's generators; NumPy's takes 32 bits of the seed."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  the generator that a user's code may use
    random.seed(seed)
