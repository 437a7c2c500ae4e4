"""Theory of rounded copies against the kernel: 1 - cosine over a grid of acts, sigma_w and formats.

    python -m benchmarks.precision

5 activations × 4 sigma_w × 4 formats × layers 1 to 30, sigma_b = 0.3 for tanh and erf, else 0; width 512,
64 inputs, the mean over 20 seeds. Prints how often prediction over measurement lies within 25 %, where
1 - cosine is above the noise, and how far measured shares of zeros and overflows are from theory's.
"""

import math
import sys

import numpy as np

from sweep import activations, initializers, kernel
from sweep.kernel.copies.rounding import FORMATS
from sweep.theory.consequences.precision import rounded_copy
from sweep.theory.gains import gaussian_moments
from sweep.theory.maps import alike

ACTS = ("tanh", "relu", "gelu", "silu", "erf")
# Of order, the critical line and chaos, in units of the gain that keeps the second moment at unit variance.
SIGMAS = (0.9, 1.0, 1.2, 1.6)
WIDTH, DEPTH, BATCH, SEEDS = 512, 30, 64, tuple(range(20))
WITHIN = 1.25
NOISE = 1e-11  # float32's own rounding: (6e-8)² a layer, and what chaos makes of it


def compared(
    act: str, sigma_w: float, bias_std: float, width: int = WIDTH, depth: int = DEPTH, batch: int = BATCH
):
    """By format: measured and predicted 1 - cosine, zeroed and overflowed, (3, 2, depth + 1)."""
    scheme = initializers.get("normal", std=sigma_w / math.sqrt(width))
    f = activations.get(act)
    chains = [kernel.Chain(scheme, f, bias_std, depth, format=name) for name in FORMATS]
    widths = (width,) * (depth + 1)
    found = kernel.propagate(chains, widths, SEEDS, batch)
    for (name, form), one in zip(FORMATS.items(), found, strict=True):
        told = rounded_copy(f, alike(sigma_w, widths), widths, bias_std, form)
        strayed = 1 - one.forward["round_cosine"].mean(axis=0)
        yield (
            name,
            np.array(
                [
                    [strayed, 1 - told.cosine],
                    [one.forward["zeroed"].mean(axis=0), told.zeroed],
                    [one.forward["overflowed"].mean(axis=0), told.overflowed],
                ]
            ),
        )


def judged(both):
    """Of one network: the layers compared, those within 25 %, and the worst differences of shares."""
    (strayed, told), (zeroed, told_zeroed), (overflowed, told_overflowed) = both
    known = np.isfinite(strayed) & np.isfinite(told) & (strayed > NOISE)
    known[0] = False
    ratio = told[known] / strayed[known]
    within = (ratio < WITHIN) & (ratio > 1 / WITHIN)
    finite = np.isfinite(strayed) & np.isfinite(told)  # beyond, nothing is left of the copy
    shares = [
        float(np.abs(a - b)[finite].max(initial=0))
        for a, b in ((zeroed, told_zeroed), (overflowed, told_overflowed))
    ]
    return int(known.sum()), int(within.sum()), *shares, ratio


def main() -> None:
    total = right = 0
    for act in ACTS:
        gain = 1.0 if act in ("tanh", "erf") else 1 / math.sqrt(_second_moment(act))
        for factor in SIGMAS:
            bias_std = 0.3 if act in ("tanh", "erf") else 0.0
            for name, both in compared(act, factor * gain, bias_std):
                known, within, zeroed, overflowed, ratio = judged(both)
                total, right = total + known, right + within
                worst = np.exp(np.abs(np.log(ratio)).max(initial=0))
                print(
                    f"{act:5} {factor * gain:5.3f} {name:13} {within:2}/{known:2} within 25 %, worst factor "
                    f"{worst:6.3f}; shares off by {zeroed:.1e} {overflowed:.1e}",
                    flush=True,
                )
    print(f"{right} of {total} layers within 25 %: {100 * right / total:.1f} %")


def _second_moment(act: str) -> float:
    return float(gaussian_moments(act, 1.0).second)


if __name__ == "__main__":
    sys.exit(main())
