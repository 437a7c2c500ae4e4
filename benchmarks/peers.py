"""The same cells as others would compute them: the textbook's loop, PyTorch, xyzpy, Hydra's launcher."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

SCALE = {"xavier": 1.0, "kaiming": 2.0}  # W ~ N(0, scale / fan_in)
STD = {"small_normal": 0.01, "big_normal": 1.0}
NUMPY_ACT = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}

Spec = tuple[str, str, int, int, int]  # init, act, depth, width, seed


def std_of(init: str, width: int) -> float:
    return STD[init] if init in STD else (SCALE[init] / width) ** 0.5


def specs(
    inits: Iterable[str], depths: Iterable[int], widths: Iterable[int], seeds: Iterable[int]
) -> list[Spec]:
    return list(itertools.product(inits, NUMPY_ACT, depths, widths, seeds))


def numpy_cell(init: str, act: str, depth: int, width: int, seed: int, batch: int) -> float:
    """The chapter's loop, float64, NumPy's own threads: the std of the last layer."""
    rng = np.random.default_rng(seed)
    h = rng.standard_normal((batch, width))
    std, f = std_of(init, width), NUMPY_ACT[act]
    with np.errstate(all="ignore"):
        for _ in range(depth):
            h = f(h @ (std * rng.standard_normal((width, width))))
        return float(h.std())


def textbook(cells: Iterable[Spec], batch: int) -> None:
    """Cell by cell, and the std of every layer."""
    for init, act, depth, width, seed in cells:
        rng = np.random.default_rng(seed)
        h = rng.standard_normal((batch, width))
        std, f = std_of(init, width), NUMPY_ACT[act]
        with np.errstate(all="ignore"):
            for _ in range(depth):
                h = f(h @ (std * rng.standard_normal((width, width))))
                h.std()


def torch_cells(cells: Iterable[Spec], batch: int) -> None:
    """PyTorch eager, float32, all its threads, no gradients: cell by cell, the std of every layer."""
    import torch  # noqa: PLC0415

    f = torch.nn.functional
    acts = {
        "identity": lambda h: h, "relu": torch.relu, "leaky_relu": f.leaky_relu, "relu6": f.relu6,
        "squared_relu": lambda h: torch.relu(h).square(), "elu": f.elu, "celu": f.celu, "selu": f.selu,
        "gelu": f.gelu, "gelu_tanh": lambda h: f.gelu(h, approximate="tanh"), "silu": f.silu,
        "hardswish": f.hardswish, "mish": f.mish, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
        "hardsigmoid": f.hardsigmoid, "erf": torch.erf, "hardtanh": f.hardtanh, "softplus": f.softplus,
        "softsign": f.softsign, "sin": torch.sin,
    }  # fmt: skip
    with torch.no_grad():
        for init, act, depth, width, seed in cells:
            generator = torch.Generator().manual_seed(seed)
            h = torch.randn(batch, width, generator=generator)
            std, act_of = std_of(init, width), acts[act]
            for _ in range(depth):
                h = act_of(h @ torch.randn(width, width, generator=generator).mul_(std))
                h.std(correction=0).item()


def xyzpy_cells(
    inits: Iterable[str], depths: Iterable[int], widths: Iterable[int], seeds: int, batch: int
) -> Any:
    """xyzpy's serial runner over the cell that gives the last layer's std alone."""
    import xyzpy  # noqa: PLC0415

    def cell(init: str, act: str, depth: int, width: int, seed: int) -> float:
        return numpy_cell(init, act, depth, width, seed, batch)

    combos = {
        "init": list(inits),
        "act": list(NUMPY_ACT),
        "depth": list(depths),
        "width": list(widths),
        "seed": range(seeds),
    }
    return xyzpy.Runner(cell, var_names=["std"]).run_combos(combos, verbosity=0)
