"""Weight initialization schemes: W = mean + std · Z, with Z from a distribution of unit variance.

Schemes of one distribution differ only in mean and std, so the kernel draws Z once for all of them.
`python -m sweep.initializers` lists them. A new one is a line in `schemes` and a file in conf/init/.
"""

from sweep.base.registry import CUSTOM, Registry
from sweep.initializers import schemes
from sweep.initializers.custom import Custom
from sweep.initializers.distributions import NORMAL, ORTHOGONAL
from sweep.initializers.frameworks import jax, keras, torch
from sweep.initializers.scheme import Distribution, Entries, Scheme

__all__ = [
    "CUSTOM",
    "NORMAL",
    "ORTHOGONAL",
    "REGISTRY",
    "SCHEMES",
    "Distribution",
    "Scheme",
    "get",
    "names",
    "parameter_names",
    "parameters_of",
    "resolved",
    "stored",
]

SCHEMES: Entries = {**schemes.SCHEMES, **torch.SCHEMES, **keras.SCHEMES, **jax.SCHEMES}
REGISTRY: Registry[Scheme] = Registry("init", "scheme", Scheme, SCHEMES, Custom)

get, names, resolved, stored = REGISTRY.get, REGISTRY.names, REGISTRY.resolved, REGISTRY.stored
parameter_names, parameters_of = REGISTRY.parameter_names, REGISTRY.parameters_of
