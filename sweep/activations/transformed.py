"""Activations between an affine map of z and one of f: of what constants, and what is asked of them.

    f̂(z) = output_scale · (f(input_scale · z + input_shift) + output_shift)

`sweep.theory.transform` solves for the constants, which follow from a network's depth. What a cell names,
act=transformed, has none yet: `asked_of` says what is asked for.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NoReturn

import numpy as np

from sweep.activations.activation import Activation, Given
from sweep.base import checks
from sweep.base.arrays import Array
from sweep.base.errors import RequestError
from sweep.base.registry import CUSTOM, TRANSFORMED

METHODS = DKS, TAT = ("dks", "tat")
LEAKY = ("relu", "leaky_relu")  # of which TAT makes a leaky ReLU of another slope
_TARGETS = {"dks": 1.5, "tat": 0.3, "slope": 0.9}
SUFFIX = "-transformed"  # of a loop's name
_REVISION = 1  # raised with every correction of the constants


class Affine(NamedTuple):
    """What a transformed activation is made of, and its constants."""

    of: Activation
    input_scale: float
    input_shift: float
    output_scale: float
    output_shift: float


@dataclass(frozen=True)
class Asked:
    """What `act=transformed` names: a transform of `of` whose constants are another's at every depth.

    It stands for f and f' of an activation that has none before its depth is known.
    """

    of: Activation
    method: str
    target: float

    def __call__(self, *arrays: Array) -> NoReturn:
        raise RequestError(
            f"act {TRANSFORMED}: its constants follow from a network's depth; "
            f"sweep.theory.transform({self.of.name!r}, depth, {self.method!r}).activation has them"
        )


def target_of(name: str, given: float | None, of: str, method: str) -> float:
    """The target as a number; RequestError, which calls it `name`, where it breaks the method's rule."""
    kind = _kind(of, method)
    least, below = (1.0 if kind == "dks" else 0.0), (1.0 if kind == "slope" else math.inf)
    value = _TARGETS[kind] if given is None else given
    return checks.real(name, value, least, strictly=True, below=below)


def _kind(of: str, method: str) -> str:
    return "slope" if method == TAT and of in LEAKY else method


def asked(of: Activation, method: str, target: float | None) -> Activation:
    """The activation that act=transformed stands for, before its depth is known; RequestError for a target.

    Its revision is that of the transform and of what is transformed.
    """
    value = target_of("act.target", target, of.name, method)
    wanted = Asked(of, method, value)
    return Activation(
        TRANSFORMED,
        wanted,
        wanted,
        formula=f"{of.name}, {method}",
        parameters=_parameters(of.name, method, value),
        revision=_REVISION + of.revision - 1,
    )


def asked_of(act: Activation) -> Asked | None:
    """What is asked of the constants of an activation that has none yet; None where it is complete."""
    return act.f if isinstance(act.f, Asked) else None


def affine_of(act: Activation) -> Affine | None:
    """What a transformed activation is made of; None of any other."""
    if isinstance(act.f, Given) and act.f.function is _value:
        return Affine(*act.f.arguments)
    return None


def loop_name(act: Activation) -> str:
    """What the loop that crosses an activation is called: its name, or 'gelu-transformed'."""
    if wanted := asked_of(act):
        leaky = _kind(wanted.of.name, wanted.method) == "slope"
        return f"{'leaky_relu' if leaky else wanted.of.name}{SUFFIX}"
    affine = affine_of(act)
    return f"{affine.of.name}{SUFFIX}" if affine else act.name


def called(act: Activation) -> str:
    """What people call an activation: 'gelu, tat' of a transformed one, a user's own by its function."""
    if act.name != TRANSFORMED:
        return act.formula if act.name == CUSTOM else act.name
    told = dict(act.parameters)
    return f"{told['of']}, {told['method']}"


def shifted(affine: Affine, of: str, method: str, target: float) -> Activation:
    """The activation with these constants; of: the name of what was transformed, by which it is known."""
    act, a, b, scale, shift = affine
    identical = a == 1 and b == shift == 0
    arguments = (act, a, b, scale, shift)
    inner = act.formula or act.name
    formula = f"{scale:.5g} (f({a:.5g} z {b:+.5g}) {shift:+.5g}), f = {inner}"
    return replace(
        act,
        name=TRANSFORMED,
        f=Given(_value, arguments),
        derivative=Given(_slope, arguments),
        kinks=tuple((kink - b) / a for kink in act.kinks),
        homogeneous=act.homogeneous and identical,
        piecewise_linear=act.piecewise_linear and identical,  # else what is 0 of it is not only where f is
        formula=f"{scale:.5g} ({inner})" if identical else formula,
        parameters=_parameters(of, method, target),
        revision=1,
        rough_slope=act.rough_slope * a * scale,
        period=act.period and act.period / a,
        unit=act.unit / a,
    )


def _parameters(of: str, method: str, target: float) -> tuple[tuple[str, Any], ...]:
    return ("of", of), ("method", method), ("target", target)


def _value(
    z: Array, act: Activation, a: float, b: float, scale: float, shift: float, out: Array | None = None
) -> Array:
    h: Array = np.empty_like(z, order="C", subok=False) if out is None else out
    act.into(_inner(z, a, b), h)
    h += shift
    h *= scale
    return h


def _slope(
    z: Array, h: Array, act: Activation, a: float, b: float, scale: float, shift: float,
    out: Array | None = None,
) -> Array:  # fmt: skip
    """f̂'(z); f is computed again, for h / scale - shift has lost its last digits."""
    slope: Array = np.empty_like(z, order="C", subok=False) if out is None else out
    inner = _inner(z, a, b)
    act.slope_into(inner, act.f(inner), slope)
    slope *= scale * a
    return slope


def _inner(z: Array, a: float, b: float) -> Array:
    inner: Array = np.multiply(z, a, out=np.empty_like(z, order="C", subok=False))
    inner += b
    return inner


_value.takes_out = _slope.takes_out = True  # type: ignore[attr-defined]
