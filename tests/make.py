"""Cells, tasks and networks as the tests want them, a line each."""

from dataclasses import replace

from sweep import activations, initializers, kernel
from sweep.execution.plan.tasks import pack
from sweep.experiment.batches import Cells
from sweep.experiment.cell import Cell
from sweep.kernel import Chain

VALUES = {
    "init": {"name": "xavier"},
    "act": {"name": "tanh"},
    "depth": 10,
    "width": 500,
    "widths": None,
    "seed": 0,
    "bias_std": 0.0,
    "batch": 1000,
    "dtype": "float32",
    "backward": True,
}


def cell(**values):
    return Cell.of(VALUES | values)


def grid(inits=("xavier", "kaiming"), depths=(2, 5), widths=(8, 16), seeds=(0, 1), **values):
    return [
        cell(init={"name": init}, depth=depth, width=width, seed=seed, **values)
        for init in inits
        for depth in depths
        for width in widths
        for seed in seeds
    ]


def packed(cells, workers=1, memory=None):
    """The tasks of a list of cells."""
    return pack(Cells.of(cells), workers, memory)


def chain(init="xavier", act="tanh", depth=10, bias_std=0.0, backward=None, **parameters):
    back = (depth,) if backward is None else backward
    return Chain(initializers.get(init, **parameters), activations.get(act), bias_std, depth, back)


def with_ends(one, first=None, last=None):
    """A chain whose first and last layers have schemes of their own: each a name, a scheme, or None."""
    ends = {"first": first, "last": last}
    return replace(one, **{k: initializers.get(v) if isinstance(v, str) else v for k, v in ends.items()})


def alone(one, width=500, seed=0, batch=1000, dtype="float32", widths=None, **options):
    profile = widths or [width] * (one.depth + 1)
    return kernel.propagate([one], profile, [seed], batch, dtype, **options)[0].of_seed(0)
