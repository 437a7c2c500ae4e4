"""Networks pushed and measured; knows no files: `propagate` takes Chains and gives their ChainStatistics."""

from sweep.kernel.propagation import BACKWARD, FORWARD, KERNEL_VERSION, Chain, ChainStatistics, propagate

__all__ = ["BACKWARD", "FORWARD", "KERNEL_VERSION", "Chain", "ChainStatistics", "propagate"]
