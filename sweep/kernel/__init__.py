"""Random networks, pushed and measured: `propagate` makes ChainStatistics of Chains. It knows no studies."""

from sweep.kernel.propagation import BACKWARD, FORWARD, KERNEL_VERSION, Chain, ChainStatistics, propagate

__all__ = ["BACKWARD", "FORWARD", "KERNEL_VERSION", "Chain", "ChainStatistics", "propagate"]
