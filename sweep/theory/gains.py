"""Moments at a variance, and the gains that follow, each named for what it preserves."""

import math
from dataclasses import dataclass

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.theory.gaussian.moments import Act, gaussian

PRESERVED = ("second_moment", "variance", "backward")


@dataclass(frozen=True)
class Moments:
    """E[act], E[act²] and E[act'²] at z ~ N(0, variance)."""

    mean: float
    second: float
    slope_second: float


def gaussian_moments(act: Act, variance: float = 1.0) -> Moments:
    """The moments at z ~ N(0, variance), to about 1e-14 of themselves (of E[abs(act)] for the mean).

    Raises RequestError for a variance that is not above 0, and where a moment does not exist.
    """
    variance = checks.real("variance", variance, 0.0, strictly=True)
    means = gaussian(act).at(math.sqrt(variance))
    return Moments(means.mean, means.rms * means.rms, means.slope_rms * means.slope_rms)


def gain(act: Act, preserves: str = "second_moment", variance: float = 1.0) -> float:
    """The sigma_w at which a layer without bias preserves a property of z ~ N(0, variance).

    'second_moment': E[z²] = v, by sqrt(v / E[act²]); at v = 1 torch's gain of the activation, √2 for ReLU.
    'variance': gain² Var act(z) = v, by sqrt(v / Var act). 'backward': E[δ²], by 1 / sqrt(E[act'²]), where
    chi1 = 1. Raises RequestError where there is none.
    """
    checks.option("preserves", preserves, PRESERVED)
    variance = checks.real("variance", variance, 0.0, strictly=True)
    scale = math.sqrt(variance)
    means_of = gaussian(act)
    means = means_of.at(scale)
    numerator, size = {
        "second_moment": (scale, means.rms),
        "variance": (scale, means.std),
        "backward": (1.0, means.slope_rms),
    }[preserves]
    if math.isnan(size):
        raise RequestError(f"no gain is known to preserve the {preserves}: {means_of.without_slope()}")
    if size == 0:
        formula = means_of.act.formula
        raise RequestError(f"no gain preserves the {preserves} of {formula}: it is 0 for all weights")
    return numerator / size
