"""Activations transformed so that a deep plain network trains: DKS and TAT.

    f̂(x) = output_scale · (f(input_scale · x + input_shift) + output_shift)

With Q(q) = E[f̂(√q x)²] and C(c) the cosine map at q = 1, Q(1) = Q'(1) = 1 keeps every signal at the size 1;
C'(1) and C''(1) say how far a network of this depth tells inputs apart. Martens et al. 2021 (DKS); Zhang et
al. 2022 (TAT).
"""

import math
from dataclasses import dataclass, field

import numpy as np

from sweep import activations
from sweep.activations import Activation, kinks_of
from sweep.activations.transformed import DKS, LEAKY, METHODS, TAT, Affine, asked_of, shifted, target_of
from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.theory.consequences.solutions import Equations, dks, moments, nearest, tat
from sweep.theory.gaussian.correlation import pair
from sweep.theory.gaussian.moments import Act, gaussian

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
    known = means_of.act
    value = target_of("target", target, known.name, method)
    if method == DKS and value ** (1 / depth) == 1:
        raise RequestError(
            f"target={value!r}: at depth {depth} target^(1/depth) is 1 to the last digit; "
            "give a larger target, or a smaller depth"
        )
    if method == TAT and known.name in LEAKY:
        affine = _leaky(depth, value)
        slope = dict(affine.of.parameters)["negative_slope"]
    else:
        affine = _tat(known, value / depth) if method == TAT else _dks(known, value ** (1 / depth))
        slope = None
    return Transform(*affine[1:], slope, shifted(affine, _name_of(known), method, value))


def at_depth(act: Activation, depth: int) -> Activation:
    """An activation in a network of this depth: itself, but for one whose constants follow from it."""
    if not (wanted := asked_of(act)):
        return act
    try:
        return transform(wanted.of, depth, wanted.method, wanted.target).activation
    except RequestError as error:
        asked = f"act=transformed act.of={wanted.of.name} act.method={wanted.method}"
        raise RequestError(f"{asked} depth={depth}: {error}") from None


def _name_of(act: Activation) -> str:
    """What act.of would be; else what it computes."""
    listed = act.name in activations.names() and act == activations.get(act.name)
    return act.name if listed else act.formula or act.name


def _dks(act: Activation, steepness: float) -> Affine:
    wanted = f"C'(1) = {steepness:.6g}"
    line = f"act {act.formula or act.name} has no DKS transform: "
    if act.homogeneous:
        way_out = "the method tat" if act.name in LEAKY else "another activation"
        raise RequestError(
            f"{line}Q'(1) = 1 and {wanted} cannot both hold, as f(c z) = c f(z) leaves only "
            f"input_shift / input_scale to choose; use {way_out}"
        )
    a, b = _found(act, dks(steepness), line, "Q'(1) = 1", wanted)
    of = moments(act, np.array([a]), np.array([b]))
    return Affine(act, a, b, 1 / math.sqrt(float(of.variance[0])), -float(of.mean[0]))


def _tat(act: Activation, curvature: float) -> Affine:
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
    return Affine(act, a, b, scale, shift - float(of.mean[0]))


def _found(act: Activation, equations: Equations, line: str, first: str, second: str) -> tuple[float, float]:
    """input_scale and input_shift; RequestError, which begins with `line`, where the equations never meet."""
    found = nearest(act, equations)
    if found.solution:
        return found.solution
    if found.least > found.most:
        raise RequestError(f"{line}it is constant, or has no slope; use another activation")
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


def _leaky(depth: int, target: float) -> Affine:
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
    return Affine(leaky, 1.0, 0.0, math.sqrt(2 / (1 + slope * slope)), 0.0)
