"""Finite width: how far rms strays from the mean field, from seed to seed and on average.

A layer of n neurons averages n draws of act² that are independent given the layer below, so that
log rms² takes a random step of variance Cov / n: Hanin and Rolnick 2018 for ReLU. Cov is the mean of
Cov(act²(z_a), act²(z_b)) / q² over all pairs of samples, a = b among them. What a layer below strayed
counts by d log q_l / d log q_(l-1), which is 1 for a homogeneous activation.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweep import check
from sweep.theory.correlation import pair
from sweep.theory.moments import Act, gaussian
from sweep.theory.signal import Layer, inputs_checked, layers_of, prediction

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[Any]


def finite_width(
    act: Act,
    sigma_w: float,
    sigma_b: float = 0.0,
    depth: int = 10,
    width: int = 500,
    batch: int = 1000,
    q0: float = 1.0,
    c0: float = 0.0,
) -> "pd.DataFrame":
    """What a network of finite width adds to the mean field, to first order in 1 / width.

    A row per layer 0 .. depth: layer; shift, the mean over seeds of log rms² less the mean field's;
    std, its standard deviation over seeds. Gaussian inputs. Raises RequestError for a wrong value.
    """
    import pandas as pd  # noqa: PLC0415

    sigma_w, sigma_b, q0, c0, batch = inputs_checked(sigma_w, sigma_b, q0, c0, batch)
    widths = (check.whole("width", width, 1),) * (check.whole("depth", depth, 1) + 1)
    layers = layers_of([sigma_w / math.sqrt(width)] * depth, widths)
    shift, std = strayed(act, layers, widths, sigma_b, batch, q0, c0)
    return pd.DataFrame({"layer": range(len(widths)), "shift": shift, "std": std})


def strayed(
    act: Act,
    layers: Sequence[Layer],
    widths: Sequence[int],
    sigma_b: float,
    batch: int,
    q0: float = 1.0,
    c0: float = 0.0,
) -> tuple[Array, Array]:
    """Mean and standard deviation over seeds of log rms² less the mean field's, by layer.

    sample: the variance of log |h_a|² of one input a; it bends the mean by the second derivative of
    the variance map. tilt: the variance over pairs of their cosine, which lets squares correlate
    (2 e² c² near c = 0, e the elasticity: the second Hermite coefficient of act²).
    """
    means_of = gaussian(act)
    found = prediction(act, layers, sigma_b, batch, q0, c0)
    shift, variance = np.full((2, len(widths)), np.nan)
    sample, tilt = 2 / widths[0], 1 / widths[0]
    shift[0], variance[0] = 0.0, sample / batch
    rms, scale = found.statistics["rms"], found.statistics["pre_rms"]
    for number, together in enumerate(found.pairs, start=1):
        if scale[number] == 0:  # no seed differs from another; of log 0 nothing is known
            shift[number] = variance[number] = 0.0 if rms[number] else math.nan
            sample = tilt = 0.0
            continue
        n, means = widths[number], means_of.at(float(scale[number]))
        share = (layers[number - 1].sigma_in * rms[number - 1] / scale[number]) ** 2
        passed = share * means.elasticity
        bent = share**2 * means.curvature * sample / 2
        own = pair(means_of, float(scale[number]), 1.0).squares
        turned = share * (scale[number] / rms[number]) ** 2 * together.slopes
        tilt_here = turned**2 * tilt + (together.squares + 1 - together.cosine**2) / n
        common = together.squares + 2 * means.elasticity**2 * tilt + own / batch
        shift[number] = passed * shift[number - 1] + bent
        variance[number] = passed**2 * variance[number - 1] + common / n
        sample, tilt = passed**2 * sample + own / n, tilt_here
    return shift - variance / 2, np.sqrt(variance)
