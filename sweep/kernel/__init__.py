"""Random networks, pushed and measured: `propagate` turns Chains into ChainStatistics. It knows no files."""

from sweep.kernel.propagation import BACKWARD, FORWARD, KERNEL_VERSION, Chain, ChainStatistics, propagate

__all__ = ["BACKWARD", "FORWARD", "KERNEL_VERSION", "Chain", "ChainStatistics", "propagate"]
