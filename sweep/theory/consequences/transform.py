"""Activations transformed so that a deep plain network trains: DKS and TAT.

    f̂(x) = output_scale · (f(input_scale · x + input_shift) + output_shift)

With Q(q) = E[f̂(√q x)²] and C(c) the cosine map at q = 1, Q(1) = Q'(1) = 1 keeps every signal at the size 1;
C'(1) and C''(1) say how far a network of this depth tells inputs apart. Martens et al. 2021 (DKS); Zhang et
al. 2022 (TAT).
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from sweep import activations
from sweep.activations import Activation, kinks_of
from sweep.activations.activation import Given
from sweep.base import checks
from sweep.base.arrays import Array
from sweep.base.errors import RequestError
from sweep.theory.consequences.solutions import Equations, dks, moments, nearest, tat
from sweep.theory.correlation import pair
from sweep.theory.moments import Act, gaussian

METHODS = ("dks", "tat")
_TARGETS = {"dks": 1.5, "tat": 0.3, "slope": 0.9}
_LEAKY = ("relu", "leaky_relu")
_ASIDE, _JUMP = 1e-7, 1e-4  # where f' is compared, and how far apart it is where it jumps: shares of its size


@dataclass(frozen=True)
class Transform:
    """f̂(x) = output_scale (f(input_scale x + input_shift) + output_shift), as an activation too.

    negative_slope: of the leaky ReLU that f then is; None where f is another.
    """

    input_scale: float
    input_shift: float
    output_scale: float
    output_shift: float
    negative_slope: float | None
    activation: Activation = field(repr=False)


def transform(act: Act, depth: int, method: str = "dks", target: float | None = None) -> Transform:
    """The constants with which an activation keeps signals and inputs apart in a plain network of this depth.

    'dks': Q(1) = 1, Q'(1) = 1, C(0) = 0, C'(1) = target^(1/depth), target 1.5. 'tat': Q(1) = Q'(1) = C'(1)
    = 1, C''(1) = target / depth, target 0.3; of relu and leaky_relu the negative slope with which C applied
    depth times takes 0 to the target, 0.9. sigma_w = 1 belongs to it. Both scales are above 0, and of several
    solutions this is the one of the smallest abs(input_shift) (of two alike the positive). Raises
    RequestError for a wrong value, and where there is no solution, which says why. Martens et al. 2021; Zhang
    et al. 2022.
    """
    depth = checks.whole("depth", depth, 1)
    checks.option("method", method, METHODS)
    means_of = gaussian(act)
    if unknown := means_of.without_slope():
        raise RequestError(unknown)
    if method == "tat" and means_of.act.name in _LEAKY:
        return _leaky(depth, _target(target, "slope", depth))
    value = _target(target, method, depth)
    if method == "tat":
        return _tat(means_of.act, value / depth)
    return _dks(means_of.act, value ** (1 / depth))


def _target(given: float | None, kind: str, depth: int) -> float:
    below = 1.0 if kind == "slope" else math.inf
    least = 1.0 if kind == "dks" else 0.0
    target = checks.real(
        "target", _TARGETS[kind] if given is None else given, least, strictly=True, below=below
    )
    if kind == "dks" and target ** (1 / depth) == 1:
        raise RequestError(
            f"target={target!r}: at depth {depth} target^(1/depth) is 1 to the last digit; "
            "give a larger target, or a smaller depth"
        )
    return target


def _dks(act: Activation, steepness: float) -> Transform:
    wanted = f"C'(1) = {steepness:.6g}"
    line = f"act {act.formula or act.name} has no DKS transform: "
    if act.homogeneous:
        way_out = "method='tat'" if act.name in _LEAKY else "another activation"
        raise RequestError(
            f"{line}Q'(1) = 1 and {wanted} cannot both hold, as f(c z) = c f(z) leaves only "
            f"input_shift / input_scale to choose; use {way_out}"
        )
    a, b = _found(act, dks(steepness), line, "Q'(1) = 1", wanted)
    of = moments(act, np.array([a]), np.array([b]))
    return _transformed(act, a, b, 1 / math.sqrt(float(of.variance[0])), -float(of.mean[0]))


def _tat(act: Activation, curvature: float) -> Transform:
    wanted = f"C''(1) = {curvature:.6g}"
    line = f"act {act.formula or act.name} has no TAT transform: "
    if act.homogeneous and not act.kinks:
        raise RequestError(f"{line}{wanted} cannot hold, for C''(1) of a line is 0; use another activation")
    if jumps := _jumps(act):
        raise RequestError(
            f"{line}{wanted} cannot hold, for C''(1) is infinite where f' jumps, here at z = {jumps[0]:g}; "
            "use relu, leaky_relu or a smoother activation"
        )
    a, b = _found(act, tat(curvature), line, "Q(1) = Q'(1) = C'(1) = 1", wanted)
    of = moments(act, np.array([a]), np.array([b]))
    shift = -float(of.across[0] / of.bend[0])  # of the mean
    scale = 1 / math.sqrt(float(of.variance[0]) + shift * shift)
    return _transformed(act, a, b, scale, shift - float(of.mean[0]))


def _found(act: Activation, equations: Equations, line: str, first: str, second: str) -> tuple[float, float]:
    """input_scale and input_shift; RequestError, which begins with `line`, where the equations never meet."""
    found = nearest(act, equations)
    if found.solution:
        return found.solution
    if found.least > found.most:
        raise RequestError(f"{line}it is constant; use another activation")
    if found.least <= 0 <= found.most:
        raise RequestError(f"{line}{first} holds nowhere that {second} does; use another activation")
    size = "smaller" if found.most < 0 else "larger"
    raise RequestError(
        f"{line}{second} holds nowhere, it is {size} at every input_scale and input_shift; "
        "use another activation, depth or target"
    )


def _jumps(act: Activation) -> list[float]:
    """The kinks at which f' jumps."""
    kinks = np.array(kinks_of(act))
    unit = np.maximum(np.abs(kinks), act.unit)
    z = kinks + unit * np.array([[-1.0], [-_ASIDE], [_ASIDE], [1.0]])
    with np.errstate(all="ignore"):
        slopes = np.asarray(act.derivative(z, act.f(z)), np.float64)  # (4, kinks)
    jumps = np.abs(slopes[2] - slopes[1]) > _JUMP * np.abs(slopes).max(axis=0)
    return [float(kink) for kink in kinks[jumps]]


def _transformed(act: Activation, a: float, b: float, scale: float, shift: float) -> Transform:
    constants = (a, b, scale, shift)
    changed = replace(
        act,
        name="transformed",
        f=Given(_value, (act, *constants)),
        derivative=Given(_slope, (act, *constants)),
        kinks=tuple((kink - b) / a for kink in act.kinks),
        homogeneous=False,
        piecewise_linear=False,  # what is 0 of it is not only where f is
        formula=f"{scale:.5g} (f({a:.5g} z {b:+.5g}) {shift:+.5g}), f = {act.formula or act.name}",
        parameters=(),
        revision=1,
        rough_slope=act.rough_slope * a * scale,
        period=act.period and act.period / a,
        unit=act.unit / a,
    )
    return Transform(*constants, None, changed)


def _value(z: Array, act: Activation, a: float, b: float, scale: float, shift: float) -> Array:
    return scale * (act.f(a * z + b) + shift)


def _slope(z: Array, h: Array, act: Activation, a: float, b: float, scale: float, shift: float) -> Array:
    """f̂'(z); f is computed again, for h / scale - shift has lost its last digits."""
    inner = a * z + b
    return scale * a * act.derivative(inner, act.f(inner))


def _leaky(depth: int, target: float) -> Transform:
    """The leaky ReLU for which C, applied depth times, takes 0 to target."""
    from scipy.optimize import brentq  # noqa: PLC0415

    def missed(slope: float) -> float:
        means_of, cosine = gaussian(activations.get("leaky_relu", negative_slope=slope)), 0.0
        for _ in range(depth):
            cosine = pair(means_of, 1.0, cosine).cosine
        return cosine - target

    most = missed(0.0) + target
    if most < target:
        raise RequestError(
            f"target={target:g}: at depth {depth} no negative slope from 0 to 1 takes a cosine of 0 so far, "
            f"relu takes it to {most:.4g}; give a smaller target, or a larger depth"
        )
    slope = float(brentq(missed, 0.0, 1.0, xtol=1e-14, rtol=1e-14))
    leaky = activations.get("leaky_relu", negative_slope=slope)
    scale = math.sqrt(2 / (1 + slope * slope))
    changed = replace(
        leaky,
        name="transformed",
        f=Given(_value, (leaky, 1.0, 0.0, scale, 0.0)),
        derivative=Given(_slope, (leaky, 1.0, 0.0, scale, 0.0)),
        formula=f"{scale:.5g} ({leaky.formula})",
        parameters=(),
    )
    return Transform(1.0, 0.0, scale, 0.0, slope, changed)
