"""Theory of residual branches and norms: what a block does to a signal and to a gradient, layer by layer."""

from sweep.theory.blocks.maps import GRAD_OUT, Crossing, Widening, block_prediction, unlike_prediction
from sweep.theory.blocks.unequal import block_cosines
from sweep.theory.blocks.width import block_deviation, samples_part

__all__ = [
    "GRAD_OUT",
    "Crossing",
    "Widening",
    "block_cosines",
    "block_deviation",
    "block_prediction",
    "samples_part",
    "unlike_prediction",
]
