"""The statistics of a layer, each declared once, with everything the program asks about it.

A new one is a row and its function; columns, figures, page and `verify` follow. Those without a function here
are summed while a layer is computed (`moments`, `flatness`) or come of such sums (`correlation`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from sweep.base.arrays import Array

H, Z, SLOPE, DELTA, GRADIENT = "h", "z = h W + b", "act'(z)", "dL/dh", "dL/dW"
GRADIENT_OUT = "dL/dV"
COPY, DELTA_COPY = "h of the rounded copy", "dL/dz of the rounded copy"
RATIO, SIZE, SHARE, SIGNED = "ratio", "size", "share", "signed"


@dataclass(frozen=True)
class Statistic:
    """One number of one layer of one network; NaN where it is not defined.

    of: the array it describes. meaning: what it is, for the reference.
    title: of figures of the last layer. label: of an axis, if not the name.
    scale: RATIO is positive, and healthy at 1; SIZE is positive; SHARE lies in [0, 1]; SIGNED lies around 0.
    power: of the array's scale that it grows with. lost: its value where h is not finite.
    predicted: whether theory has it too. curve: whether the page draws it by layer.
    since: the version of the tables' schema that first had it.
    function: h in any units, (seeds, batch, width) -> the statistic in those units, (seeds,).
    """

    name: str
    of: str
    title: str
    scale: str
    power: int = 0
    lost: float = math.nan
    predicted: bool = False
    label: str = ""
    curve: bool = True
    since: int = 1
    meaning: str = ""
    function: Callable[[Array], Array] | None = None


STATISTICS = {
    statistic.name: statistic
    for statistic in (
        Statistic(
            "mean", H, "mean of the last layer", SIGNED, 1, predicted=True, label="mean of h",
            meaning="mean of h, over all inputs and neurons",
        ),
        Statistic(
            "std", H, "std of the last layer", RATIO, 1, math.inf, predicted=True, label="std of h",
            meaning="standard deviation of h, over all inputs and neurons (ddof 0)",
        ),
        Statistic(
            "rms", H, "rms of the last layer", RATIO, 1, math.inf, predicted=True, label="rms of h",
            meaning="root mean square of h, √mean(h²): the size that the next layer sees",
        ),
        Statistic(
            "pre_rms", Z, "rms before the last activation", RATIO, 1, label="rms of z", curve=False,
            meaning="root mean square of z = h W + b, before the activation; null at layer 0",
        ),
        Statistic(
            "flat", SLOPE, "share of units that pass no gradient", SHARE, predicted=True,
            meaning="share of entries with next to no slope, abs(act'(z)) < 0.0199; "
            "about 0.5 is healthy for relu",
        ),
        Statistic(
            "dead", SLOPE, "share of neurons flat for every input", SHARE, curve=False,
            meaning="share of neurons that are flat for every input",
        ),
        Statistic(
            "sample_cosine", H, "mean cosine between the first 64 inputs", SHARE, predicted=True,
            meaning="mean cosine between the first 64 inputs at this layer; 1: all inputs look alike",
        ),
        Statistic(
            "neuron_corr", H, "mean |correlation| between the first 64 neurons", SHARE,
            meaning="mean abs(correlation) between the first 64 neurons; 1: all neurons do the same thing. "
            "Null where it would say nothing: batches of two or three, one neuron, neurons that vary by less "
            "than 1e-5 of their rms (float64: 1e-12)",
        ),
        Statistic(
            "branch_corr", H, "mean |correlation| between the first 64 neurons of a branch", SHARE,
            curve=False, since=5,
            meaning="`neuron_corr` of what a block adds to h: of act(z), or of act(z) W + b where act comes "
            "first; null where nothing is added",
        ),
        Statistic(
            "delta_std", DELTA, "std of dL/dh at the last layer", RATIO, 1, curve=False,
            meaning="standard deviation of dL/dh, for a gradient of std 1 at the last layer",
        ),
        Statistic(
            "delta_rms", DELTA, "rms of dL/dh at the last layer", RATIO, 1, predicted=True,
            meaning="root mean square of dL/dh, for a gradient of std 1 at the last layer",
        ),
        Statistic(
            "grad_std", GRADIENT, "std of dL/dW at the last layer", SIZE, 1, curve=False,
            meaning="standard deviation of dL/dW, summed over the batch; null at layer 0",
        ),
        Statistic(
            "grad_rms", GRADIENT, "rms of dL/dW at the last layer", SIZE, 1, predicted=True,
            meaning="root mean square of dL/dW, summed over the batch; null at layer 0",
        ),
        Statistic(
            "grad_out_std", GRADIENT_OUT, "std of dL/dV at the last layer", SIZE, 1, curve=False, since=5,
            meaning="standard deviation of dL/dV, summed over the batch, V being the matrix out of a block's "
            "activation; null where there is none",
        ),
        Statistic(
            "grad_out_rms", GRADIENT_OUT, "rms of dL/dV at the last layer", SIZE, 1, curve=False, since=5,
            meaning="root mean square of dL/dV, summed over the batch; null where there is no V",
        ),
        Statistic(
            "round_cosine", COPY, "cosine of h and of its rounded copy's", SHARE, predicted=True, since=7,
            meaning="mean over inputs of the cosine between h and the h of a copy that computes in `format`; "
            "null without a format, and from the first overflow on",
        ),
        Statistic(
            "zeroed", COPY, "share of the copy's h that rounds to 0", SHARE, predicted=True, curve=False,
            since=7,
            meaning="of the copy's entries that are not 0 as they enter the next product, the share that "
            "rounding turns to 0; under a block, of all that it rounds",
        ),
        Statistic(
            "overflowed", COPY, "share of the copy's h beyond the format", SHARE, predicted=True, curve=False,
            since=7,
            meaning="of the copy's entries that enter the next product, the share beyond the format's "
            "largest number",
        ),
        Statistic(
            "delta_zeroed", DELTA_COPY, "share of the copy's gradient that rounds to 0", SHARE, curve=False,
            since=7,
            meaning="`zeroed` of dL/dz, as the same gradient comes back through the copy; null at layer 0, "
            "where it enters no product, and where h has overflowed",
        ),
        Statistic(
            "delta_overflowed", DELTA_COPY, "share of the copy's gradient beyond the format", SHARE,
            curve=False, since=7,
            meaning="`overflowed` of dL/dz, as the same gradient comes back through the copy; null as "
            "`delta_zeroed` is",
        ),
    )
}  # fmt: skip
FORWARD = tuple(name for name, row in STATISTICS.items() if row.of in (H, Z, SLOPE, COPY))
BACKWARD = tuple(
    name for name, row in STATISTICS.items() if row.of in (DELTA, GRADIENT, GRADIENT_OUT, DELTA_COPY)
)
COPIED = tuple(name for name, row in STATISTICS.items() if row.of in (COPY, DELTA_COPY))
# The columns of theory, which are grouped by array.
PREDICTED = tuple(
    name
    for of in (H, Z, SLOPE, DELTA, GRADIENT, COPY)
    for name, row in STATISTICS.items()
    if row.of == of and row.predicted
)


def by_function(h: Array) -> dict[str, Array]:
    """The statistics that have a function, of h in any units: name -> (seeds,)."""
    return {name: row.function(h) for name, row in STATISTICS.items() if row.function}
