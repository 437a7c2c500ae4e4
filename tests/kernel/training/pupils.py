"""Small networks to be trained."""

from dataclasses import replace

import numpy as np

from sweep.base.blocks import REGISTRY as BLOCKS
from sweep.base.training import REGISTRY
from sweep.kernel.training.descent import Pupil, train
from sweep.kernel.training.drawing import drawn
from tests.make import chain

BATCH = 24  # inputs of the measurement


def made(block="plain", init="xavier", act="tanh", depth=3, bias_std=0.1, params=None, **init_params):
    """A chain of a block."""
    layer = BLOCKS.get(block, **(params or {})).at(depth)
    return replace(chain(init, act, depth, bias_std, **init_params), block=layer)


def training(**parameters):
    return REGISTRY.get("sgd", **({"data": "mixture", "steps": 20, "batch": 16} | parameters))


def pupil(seed=0, lr=0.1, **values):
    return Pupil(made(**values), seed, BATCH, lr)


def taught(pupils, width=12, dtype="float32", **parameters):
    depth = pupils[0].chain.depth
    return train(pupils, (width,) * (depth + 1), training(**parameters), dtype)


def network(one, width=12, seed=0, dtype="float64", widths=None):
    widths = widths or (width,) * (one.depth + 1)
    return drawn(one, widths, seed, BATCH, np.dtype(dtype))
