"""The tangent kernel of a plain network at its start, its conditioning, and the largest step of descent.

A linear output a · h_L, a of variance 1/N, and all weights are trained, biases where there are any. With D =
E[f'²] for one input, or E[f'(u1) f'(u2)] for two, sigma_w² D is what one layer down does to |dy/dz|²; so

    Theta = N_L q_L c_L + Σ_l (N_{l-1} q_{l-1} c_{l-1} + 1_b) D_L · Π_{k=l}^{L-1} sigma_w,k+1² D_k.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.theory.gaussian.moments import Act, gaussian
from sweep.theory.maps import Layer, Prediction, alike, by_layer, check_inputs, prediction

_STANDS_OUT = 0.7  # of what chance spreads: an eigenvalue is then within a sixth of the mean's


@dataclass(frozen=True)
class StepSize:
    """The tangent kernel of m inputs, and what gradient descent makes of it.

    ntk_diag: Theta(x, x). ntk_off: Theta(x, x'). lr_max: 2 / its largest eigenvalue, for a loss that is a sum
    over the inputs; of a mean over them it is m times as large. kappa: its largest eigenvalue over its least.
    """

    ntk_diag: float
    ntk_off: float
    lr_max: float
    kappa: float


def step_size(
    act: Act,
    sigma_w: float,
    sigma_b: float = 0.0,
    depth: int = 10,
    width: int = 500,
    inputs: int = 1000,
    q0: float = 1.0,
    c0: float = 0.0,
) -> StepSize:
    """The tangent kernel of a wide plain network, its conditioning, and up to which step descent is smooth.

    sigma_w² = width · Var W; sigma_b: std of the biases, which are trained where it is above 0; one linear
    output of variance 1/width; the loss is half the sum over `inputs` of squared errors. q0 = E[h_0²], c0:
    cosine of any two inputs. Theta(x, x) and Theta(x, x') have the eigenvalues Theta(x, x) + (inputs - 1)
    Theta(x, x') and Theta(x, x) - Theta(x, x'); lr_max = 2 / the larger, kappa their ratio. The network
    linearised at its start converges below lr_max and diverges above; the network itself may leap and settle
    beyond it, and rise at first a little below. NaN where act' is not known. Raises RequestError for a wrong
    value. Jacot et al. 2018; Xiao et al. 2020; Lewkowycz et al. 2020.
    """
    sigma_w, sigma_b, q0, c0, _ = check_inputs(sigma_w, sigma_b, q0, c0, 1)
    widths = (checks.whole("width", width, 1),) * (checks.whole("depth", depth, 1) + 1)
    inputs = checks.whole("inputs", inputs, 1)
    return conditioned(act, alike(sigma_w, widths), widths, sigma_b, inputs, q0, c0)


def conditioned(
    act: Act,
    layers: Sequence[Layer],
    widths: Sequence[int],
    sigma_b: float | Sequence[float],
    inputs: int,
    q0: float = 1.0,
    c0: float = 0.0,
) -> StepSize:
    """The same of any layers (depth,) and widths (depth + 1,), the input's first; sigma_b also by layer."""
    return of_maps(act, prediction(act, layers, sigma_b, 1, q0, c0), layers, widths, sigma_b, inputs)


def of_maps(
    act: Act,
    predicted: Prediction,
    layers: Sequence[Layer],
    widths: Sequence[int],
    sigma_b: float | Sequence[float],
    inputs: int,
) -> StepSize:
    """The same where the maps of these layers are known; the inputs' cosine is theirs at layer 0."""
    c0 = float(predicted.statistics["sample_cosine"][0])
    if inputs > 2 and c0 < -1 / (inputs - 1):
        raise RequestError(
            f"c0={c0:g}: no {inputs} inputs have this cosine with one another: it is at least "
            f"-1/{inputs - 1}; give a larger c0 or fewer inputs"
        )
    one, two = (_kernel(act, predicted, layers, widths, sigma_b, alone) for alone in (True, False))
    if inputs == 1:
        eigenvalues = [one]
    else:
        apart = one - two if one < math.inf else math.nan
        eigenvalues = [max(eigenvalue, 0.0) for eigenvalue in (one + (inputs - 1) * two, apart)]
    largest, least = max(eigenvalues), min(eigenvalues)
    if math.isnan(sum(eigenvalues)) or not largest:
        return StepSize(one, two, 2 / eigenvalues[0] if eigenvalues[0] else math.inf, math.nan)
    return StepSize(one, two, 2 / largest, largest / least if least else math.inf)


def stands_out(size: StepSize, widths: Sequence[int], inputs: int) -> bool:
    """Whether a batch of random inputs has this largest eigenvalue in a finite network too.

    (m - 1) Theta(x, x') is that of the direction that all m inputs share. Cosines are what theory has in the
    mean alone: of Gaussian inputs of width N, and again at each of the L layers, they scatter by 1/√N, and
    Theta(x, x) ((1 + √(m (L + 1) / N))² - 1) is as far as that spreads the others (Marchenko and Pastur 1967,
    had every layer its own inputs). Measured in benchmarks/steps.py: above 0.7 of it the mean counts.
    """
    scattered = size.ntk_diag * ((1 + math.sqrt(inputs * len(widths) / min(widths))) ** 2 - 1)
    return inputs == 1 or (inputs - 1) * size.ntk_off >= _STANDS_OUT * scattered


def _kernel(
    act: Act,
    predicted: Prediction,
    layers: Sequence[Layer],
    widths: Sequence[int],
    sigma_b: float | Sequence[float],
    alone: bool,
) -> float:
    """Theta of two inputs; of one with itself, where it is `alone`."""
    means_of, biases = gaussian(act), by_layer(sigma_b, len(layers))
    least, most = means_of.scales
    rms, cosine, pre_rms = (predicted.statistics[name] for name in ("rms", "sample_cosine", "pre_rms"))
    with np.errstate(all="ignore"):
        like = 1.0 if alone else cosine
        product = np.where(rms == 0, 0.0, rms * rms * like) * np.asarray(widths)  # zeros have no cosine
    theta, passed = float(product[-1]), 1.0
    for number in range(len(layers), 0, -1):
        scale = float(pre_rms[number])
        if alone or not scale:
            passed *= means_of.at(min(max(scale, least), most) if scale else 0.0).slope_rms ** 2
        else:
            passed *= predicted.pairs[number - 1].slopes
        below = float(product[number - 1]) + (biases[number - 1] > 0)
        theta += below * passed if below else 0.0
        passed *= layers[number - 1].sigma_in * layers[number - 1].sigma_in
    return theta
