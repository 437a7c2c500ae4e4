"""Networks pushed and measured; knows no files. Others use `propagate`, its Chain and ChainStatistics, and streams."""

from sweep.kernel.propagation import BACKWARD, FORWARD, KERNEL_VERSION, Chain, ChainStatistics, propagate

__all__ = ["BACKWARD", "FORWARD", "KERNEL_VERSION", "Chain", "ChainStatistics", "propagate"]
