"""What theory says of training with recommended weights: the largest step, and how near an isometry."""

import math
from dataclasses import dataclass

from sweep import theory
from sweep.activations import Activation
from sweep.base.errors import RequestError
from sweep.report.advice.candidates import LSUV, ORTHOGONAL, Candidate, bias_std_of
from sweep.report.advice.outlook import BATCH
from sweep.report.frames.text import number
from sweep.theory.consequences.jacobian import slope_kurtosis
from sweep.theory.consequences.step import StepSize, stands_out
from sweep.theory.gaussian.moments import gaussian

_HALF = 0.01  # of a share that is a half
_NEAR_LINE = 0.25  # what slopes add to the spread at a layer: of less, orthogonal weights are worth it


# What chance spreads the eigenvalues by is then more than what the inputs have in common.
_BOUND = (
    "; here that is an upper bound, maybe far too large: inputs are at right angles in the mean alone, "
    "and chance counts for more"
)


@dataclass(frozen=True)
class Descent:
    """Of plain networks with a candidate's weights. step: for a loss summed over BATCH inputs of cosine 0.

    spread: Var(s²) / E[s²]² of the singular values of dh_L / dh_0; independent, orthogonal: what it is with
    such weights. Both None or NaN of lsuv, which looks at the data, and where theory knows of none.
    slopes: E[f'⁴] / E[f'²]² - 1 at the last layer, what slopes add there. flat: the share of them next to 0.
    """

    depth: int
    width: int
    step: StepSize | None
    spread: float
    independent: float = math.nan
    orthogonal: float = math.nan
    slopes: float = math.nan
    flat: float = math.nan

    @property
    def holds(self) -> bool:
        """Whether a batch of random inputs has that step too, and not only the mean of many."""
        return self.step is not None and stands_out(self.step, (self.width,) * (self.depth + 1), BATCH)


def descent_of(act: Activation, candidate: Candidate, depth: int, width: int) -> Descent:
    """What follows for a candidate at this depth and width."""
    if candidate.kind == LSUV:
        return Descent(depth, width, None, math.nan)
    sigma_w, sigma_b = candidate.sigma_w, bias_std_of(candidate.schemes[0], width)
    try:
        step = theory.step_size(act, sigma_w, sigma_b, depth, width, BATCH)
        independent = theory.jacobian(act, sigma_w, sigma_b, depth).spread
        orthogonal = theory.jacobian(act, sigma_w, sigma_b, depth, "orthogonal").spread
        scale = float(theory.predict(act, sigma_w, sigma_b, depth)["pre_rms"].iloc[-1])
    except RequestError:
        return Descent(depth, width, None, math.nan)
    means = gaussian(act)
    least, most = means.scales
    scale = min(max(scale, least), most)
    mine = orthogonal if candidate.kind == ORTHOGONAL else independent
    return Descent(
        depth, width, step, mine, independent, orthogonal, slope_kurtosis(means, scale) - 1, means.flat(scale)
    )


def told(of: Descent, act: str) -> list[str]:
    """The same in words, a line for each; none where theory has none."""
    if of.step is None or not math.isfinite(of.spread):
        return []
    summed, mean, kappa = (_of(value) for value in (of.step.lr_max, of.step.lr_max * BATCH, of.step.kappa))
    slopes = f"mu2/mu1² - 1 = {_of(of.slopes)}"  # mu_k = E[f'^2k]
    if of.slopes < _NEAR_LINE:
        why = f"{act} is nearly a line there ({slopes} at the last layer), so that they can bring it to 0"
    else:
        half = ", as half of them are 0" if abs(of.flat - 0.5) < _HALF else ""
        why = f"they take away 1 a layer, and not what the slopes of {act} add: {slopes} a layer{half}"
    bound = "" if of.holds else _BOUND
    return [
        f"step: descent is smooth up to lr_max = {summed} for a loss summed over {BATCH} inputs of cosine 0, "
        f"{mean} for their mean (× {BATCH}); kappa = {kappa}; above it a network may leap, and settle{bound}",
        f"isometry: singular values s of dh_L/dh_0 have Var(s²)/E[s²]² = {_of(of.spread)} here, "
        f"{_of(of.independent)} with independent weights, {_of(of.orthogonal)} with orthogonal ones: {why}",
    ]


def _of(value: float) -> str:
    return number(value, 3)
