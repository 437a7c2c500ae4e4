"""Activation functions: f, f', where f is not smooth, and whether f is homogeneous.

`python -m sweep.activations` lists them. A new one is a row of `table` and a file in conf/act/.
"""

from functools import lru_cache

from sweep.activations.activation import FLAT_SLOPE, Activation, flat_share
from sweep.activations.custom import found_of, slope_unknown, user_activation, with_functions
from sweep.activations.regions import flat_regions, flat_within, histogram_range, limits
from sweep.activations.table import ACTIVATIONS
from sweep.activations.transformed import DKS, METHODS, affine_of, asked, asked_of, called, loop_name
from sweep.base import checks
from sweep.base.errors import RequestError, unknown
from sweep.base.registry import CUSTOM, TRANSFORMED, Registry

__all__ = [
    "ACTIVATIONS",
    "CUSTOM",
    "FLAT_SLOPE",
    "REGISTRY",
    "TRANSFORMED",
    "Activation",
    "affine_of",
    "asked_of",
    "called",
    "flat_regions",
    "flat_share",
    "flat_within",
    "get",
    "histogram_range",
    "kinks_of",
    "known",
    "limits",
    "loop_name",
    "names",
    "parameter_names",
    "parameters_of",
    "resolved",
    "slope_unknown",
    "stored",
    "structure_of",
    "with_functions",
]


def _transformed(of: str | None = None, method: str = DKS, target: float | None = None) -> Activation:
    """What act=transformed names: an activation by its name, with constants that follow from the depth."""
    if of is None:
        raise RequestError("act.of: no activation is chosen: choose one, as in act.of=gelu")
    if of not in REGISTRY.names():
        raise unknown("act.of", checks.shown(of), REGISTRY.names())
    return asked(REGISTRY.get(of), checks.option("act.method", method, METHODS), target)


REGISTRY = Registry(
    "act", "activation", Activation, ACTIVATIONS, user_activation, {TRANSFORMED: _transformed}
)

get, names, resolved, stored = REGISTRY.get, REGISTRY.names, REGISTRY.resolved, REGISTRY.stored
known = REGISTRY.known
parameter_names, parameters_of = REGISTRY.parameter_names, REGISTRY.parameters_of


def kinks_of(act: Activation) -> tuple[float, ...]:
    """Where act is not smooth: as declared, or as found for a user's own, at most the 500 nearest to 0."""
    return act.kinks if act.kinks or _is_listed(act) else found_of(act).kinks


def structure_of(act: Activation) -> tuple[float, ...]:
    """Its kinks and, near 0, the points between which a user's own is a polynomial."""
    kinks = kinks_of(act)
    return kinks if act.kinks or _is_listed(act) else (*kinks, *found_of(act).ends)


@lru_cache(maxsize=256)
def _is_listed(act: Activation) -> bool:
    """Whether it is one of `ACTIVATIONS`, whose kinks are declared, or a transformed one of them."""
    if affine := affine_of(act):
        return _is_listed(affine.of)
    given = dict(act.parameters)
    listed = act.name in ACTIVATIONS and set(given) <= set(parameter_names(act.name))
    return listed and act == get(act.name, **given)
