"""A network and its copy in a narrow number format: how far they part, and what the format cannot hold.

The copy's weights, its inputs and every h that enters a product are rounded, R; biases and z are not. With
S = sigma_w² q, v = S + sigma_b², c the cosine of h and the copy's h, the pre-activations' correlation is

    r = (a a' S c + sigma_b²) / √(v (b b' S + sigma_b²)),   a = E[h R(h)] / E[h²],  b = E[R(h)²] / E[h²],

a' and b' those of the weights, and the next cosine E[act(u1) act(u2)] / E[act²] at r. Where nearly all
numbers are normal, R adds uncorrelated noise of a known relative size eps: a = 1, b = 1 + eps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sweep.base import checks
from sweep.base.arrays import Array
from sweep.theory.consequences.formats import FORMATS, Format
from sweep.theory.consequences.shares import share_between
from sweep.theory.gaussian.correlation import pair
from sweep.theory.gaussian.moments import Act, Gaussian, gaussian
from sweep.theory.maps import Layer, alike, by_layer, check_inputs, prediction

if TYPE_CHECKING:
    import pandas as pd

_FEW = 0.01  # the share of subnormal numbers from which on rounding is no noise of one relative size
_NEVER = 1e-9  # a share that a layer of 500 units and 1000 inputs meets once in 2000 layers
_FLOAT32 = 2.0**-150  # up to which the copy's h, a float32, is 0 before it is rounded
_POINTS = 1 << 16


@dataclass(frozen=True)
class Rounded:
    """By layer, each (depth + 1,): cosine of h and its copy's; shares of h that become 0, and overflow."""

    cosine: Array
    zeroed: Array
    overflowed: Array


def precision(
    act: Act,
    sigma_w: float,
    sigma_b: float = 0.0,
    depth: int = 10,
    format: str = "bfloat16",
    width: int = 500,
    q0: float = 1.0,
) -> "pd.DataFrame":
    """How far a copy of the network that computes in a narrow format strays from it: the precision horizon.

    A row per layer 0 .. depth: layer; cosine of h and of the copy's h, before that is rounded for the next
    product; zeroed: of h that is not 0, the share that rounding turns to 0; overflowed: the share of h beyond
    the format's largest number (0 below 1e-9). The copy's weights, inputs and every h that enters a product
    are rounded to `format` (float16, bfloat16, float8_e4m3fn, float8_e5m2); biases, sums and z are not. From
    the first overflow on, and where nothing is left of the copy, the cosine is NaN. sigma_w² = width · Var W;
    sigma_b: std of the biases; width: how small single weights are, q0 = E[h_0²]. 1 - cosine grows e-fold per
    1 / ln chi1 layers in chaos, by as much every layer on the critical line, and settles in order. Raises
    RequestError for a wrong value.
    """
    import pandas as pd  # noqa: PLC0415

    sigma_w, sigma_b, q0, _, _ = check_inputs(sigma_w, sigma_b, q0, 0.0, 1)
    checks.option("format", format, FORMATS)
    widths = (checks.whole("width", width, 1),) * (checks.whole("depth", depth, 1) + 1)
    found = rounded_copy(act, alike(sigma_w, widths), widths, sigma_b, FORMATS[format], q0)
    return pd.DataFrame({"layer": range(len(widths)), **vars(found)})


def rounded_copy(
    act: Act,
    layers: Sequence[Layer],
    widths: Sequence[int],
    sigma_b: float | Sequence[float],
    form: Format,
    q0: float = 1.0,
) -> Rounded:
    """The same of any layers (depth,) and widths (depth + 1,), the input's first; sigma_b also by layer."""
    means_of = gaussian(act)
    biases = by_layer(sigma_b, len(layers))
    exact = prediction(act, layers, biases, 1, q0, 1.0).statistics
    least, most = means_of.scales
    pre_rms = [min(max(scale, least), most) if scale else 0.0 for scale in exact["pre_rms"][1:].tolist()]
    sources = [(gaussian("identity"), math.sqrt(q0)), *((means_of, scale) for scale in pre_rms)]
    zeroed, _, overflowed = np.array([_shares(form, *source) for source in sources]).T
    cosine = np.full(len(sources), math.nan)
    cosine[0] = 1.0
    for number, (layer, of_biases) in enumerate(zip(layers, biases, strict=True), start=1):
        weights = gaussian("identity"), layer.sigma_in / math.sqrt(widths[number - 1])
        if overflowed[number - 1] or _shares(form, *weights)[2]:
            break
        (kept, size), (kept_weights, size_weights) = (
            _rounding(form, *source) for source in (sources[number - 1], weights)
        )
        scale, together = pre_rms[number - 1], 1.0
        if scale:
            fixed = min(of_biases / scale, 1.0) ** 2  # sigma_b² / v
            squared = size * size_weights * (1 - fixed) + fixed
            if not squared:  # nothing is left of the copy
                break
            together = kept * kept_weights * (1 - fixed) * cosine[number - 1] + fixed
            together = min(together / math.sqrt(squared), 1.0)
        cosine[number] = pair(means_of, scale, together).cosine
    cosine[np.cumsum(overflowed) > 0] = math.nan
    return Rounded(cosine, zeroed, overflowed)


@lru_cache(maxsize=4096)
def _shares(form: Format, means_of: Gaussian, scale: float) -> tuple[float, float, float]:
    """Of h that is not 0 what becomes 0, and what is subnormal; of h what overflows."""
    something = share_between(means_of, scale, _FLOAT32, math.inf)
    zeroed = share_between(means_of, scale, _FLOAT32, max(form.smallest / 2, _FLOAT32))
    subnormal = share_between(means_of, scale, form.smallest / 2, form.normal)
    overflowed = share_between(means_of, scale, form.overflow, math.inf)
    if not something:  # and so nothing that could become 0
        return math.nan, 0.0, 0.0
    return zeroed / something, subnormal / something, overflowed if overflowed > _NEVER else 0.0


@lru_cache(maxsize=4096)
def _rounding(form: Format, means_of: Gaussian, scale: float) -> tuple[float, float]:
    """E[h R(h)] and E[R(h)²], over E[h²]; what overflows is left out."""
    zeroed, subnormal, _ = _shares(form, means_of, scale)
    if zeroed + subnormal <= _FEW:
        return 1.0, 1 + form.noise
    x, weight = _midpoints()
    with np.errstate(all="ignore"):
        h = np.asarray(means_of.act.f(scale * x), np.float64)
        near = form.rounded(h)
    unit = float(np.abs(h).max())
    if not unit:
        return 1.0, 1.0
    h, near = h / unit, np.where(np.isfinite(near), near, 0.0) / unit
    square = float(weight @ (h * h))
    return float(weight @ (h * near)) / square, float(weight @ (near * near)) / square


@lru_cache(maxsize=1)
def _midpoints() -> tuple[Array, Array]:
    """x and weights of E over N(0, 1): many to a spacing where rounding is coarse, at random where not."""
    x = (np.arange(_POINTS) + 0.5) * (17 / _POINTS) - 8.5
    density = np.exp(-x * x / 2)
    return x, density / density.sum()
