"""What theory says of weights: the gains step by step."""

import math

from sweep import activations, theory
from sweep.activations import Activation
from sweep.base.errors import RequestError
from sweep.theory.gaussian.moments import Act, gaussian

_LEVEL = 1e-9  # a slope this close to 1 is 1


def derivation(act: Act) -> list[str]:
    """The gains of an activation step by step, a line each: what `sweep.theory.gain` computes."""
    activation = activations.resolved(act, {})
    moments = theory.gaussian_moments(activation)
    gain = theory.gain(activation)
    variance = moments.second - moments.mean**2
    lines = [
        f"f(z) = {activation.formula}, z ~ N(0, 1): "
        f"E[f] = {moments.mean:.6g}, E[f²] = {moments.second:.6g}, E[f'²] = {moments.slope_second:.6g}",
        f"forward:  sigma_w² E[f²] = 1    ->  sigma_w = 1/√{moments.second:.6g} = {gain:.6g}"
        "   keeps the second moment: the gain",
    ]
    if variance > 0 and moments.mean:
        lines.append(
            f"forward:  sigma_w² Var[f] = 1   ->  sigma_w = 1/√{variance:.6g} = {variance**-0.5:.6g}"
            "   keeps the variance, not the second moment"
        )
    if moments.slope_second > 0:
        lines.append(
            f"backward: sigma_w² E[f'²] = 1   ->  sigma_w = 1/√{moments.slope_second:.6g} = "
            f"{moments.slope_second**-0.5:.6g}   keeps the gradient where v = 1"
        )
    lines.append(
        f"both at once: with the gain chi1 = {gain:.6g}² · {moments.slope_second:.6g} = "
        f"{gain**2 * moments.slope_second:.6g} per layer"
    )
    return [*lines, *_stability(gaussian(activation).at(1.0).elasticity), _edge_of_chaos(activation)]


def _stability(slope: float) -> list[str]:
    """Whether the fixed point v = 1 of V(v) = E[f(√v z)²] / E[f(z)²] attracts; slope: V'(1)."""
    if abs(slope - 1) < _LEVEL:
        return ["stability: V'(1) = 1: every variance stays where it is"]
    said = f"V'(1) = E[z f f'] / E[f²] = {_with_digits(slope)}"
    if slope < 1:
        faintly = f", e-fold in {-1 / math.log(slope):.2g} layers" if f"{slope:.4g}" == "1" else ""
        return [f"stability: {said} < 1: v = 1 attracts{faintly}"]
    return [
        f"caution: {said} > 1: the fixed point v = 1 repels, e-fold in {1 / math.log(slope):.0f} layers",
        "         give the first layer sigma_w = 1 (E[x²] = 1 already) and normalise what is deeper",
    ]


def _with_digits(slope: float) -> str:
    """Four digits, or where those are 1 the distance from it: '1 - 7.1e-08'."""
    text = f"{slope:.4g}"
    return text if text != "1" else f"1 {'-' if slope < 1 else '+'} {abs(slope - 1):.2g}"


def _edge_of_chaos(act: Activation) -> str:
    try:
        return f"edge of chaos without bias: sigma_w = {theory.critical_sigma_w(act):.6g}"
    except RequestError as error:
        return f"edge of chaos without bias: none ({str(error).partition(': ')[2]})"
