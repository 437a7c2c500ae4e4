"""Which networks can have the singular values of their Jacobian measured."""

from collections.abc import Sequence

from sweep.base.blocks import BATCH, Block
from sweep.base.errors import RequestError

WIDEST = 512  # each costs as many products of weights as it has inputs


def check_jacobian(block: Block, widths: Sequence[int]) -> None:
    """RequestError where dh_L / dh_0 of such a network is not measured; widths: (w_0 .. w_L)."""
    if max(widths) > WIDEST:
        raise RequestError(
            f"jacobian=true with width {max(widths)}: Jacobians are measured up to width {WIDEST}: choose a "
            "smaller width, or leave jacobian out"
        )
    if block.norm == BATCH:
        raise RequestError(
            f"jacobian=true with block {block.name}: its norm is over the batch, so every output depends on "
            "all inputs: leave jacobian out, or choose another block"
        )
