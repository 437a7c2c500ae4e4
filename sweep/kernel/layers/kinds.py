"""Which kind of layer a chain is made of."""

from sweep.kernel.chains.chain import Chain
from sweep.kernel.layers.blocks.block import BLOCK
from sweep.kernel.layers.dense import DENSE
from sweep.kernel.layers.layer import Kind


def kind_of(chain: Chain) -> Kind:
    """The kind of this chain's layers."""
    return DENSE if chain.block.plain else BLOCK
