"""Theory of residual branches and norms: what a block does to a signal and to a gradient, layer by layer."""

from sweep.theory.blocks.maps import GRAD_OUT, Widening, block_prediction

__all__ = ["GRAD_OUT", "Widening", "block_prediction"]
