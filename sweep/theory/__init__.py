"""Mean-field theory of signal propagation: what the widest network would do, layer by layer.

v is the variance of a pre-activation, q = rms² the second moment of an activation. A layer maps

    v_l = sigma_w² q_{l-1} + sigma_b²,   q_l = E[act(z)²],   z ~ N(0, v_l),

with sigma_w² = fan_in · Var W; `blocks` has the maps of residual and normalised ones. An act is a name, an
activation, or a function z -> h, everywhere.
Sources: Poole et al. 2016; Schoenholz et al. 2017; Hayou et al. 2019.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sweep.theory.blocks.rest import fixed_point
from sweep.theory.fixed_points import FixedPoint, critical_sigma_w
from sweep.theory.frames import finite_width, predict
from sweep.theory.gains import PRESERVED, Moments, gain, gaussian_moments

if TYPE_CHECKING:
    from sweep.theory.consequences.jacobian import Jacobian, jacobian
    from sweep.theory.consequences.precision import precision
    from sweep.theory.consequences.step import StepSize, step_size
    from sweep.theory.consequences.transform import Transform, transform

# What follows from the maps is loaded when it is asked for: a run predicts without it.
_HOMES = {
    "Jacobian": "jacobian",
    "jacobian": "jacobian",
    "precision": "precision",
    "StepSize": "step",
    "step_size": "step",
    "Transform": "transform",
    "transform": "transform",
}

__all__ = [
    "PRESERVED",
    "FixedPoint",
    "Jacobian",
    "Moments",
    "StepSize",
    "Transform",
    "critical_sigma_w",
    "finite_width",
    "fixed_point",
    "gain",
    "gaussian_moments",
    "jacobian",
    "precision",
    "predict",
    "step_size",
    "transform",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"sweep.theory.consequences.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'sweep.theory' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
