"""A norm over the batch of which a few samples are nearly all: float32's figures are float64's to 1e-5.

Of the same draws: those of compiled passes are 2 ulp apart, and such networks make a hundred times as much of
it.
"""

import numpy as np
import pytest

from sweep import kernel
from sweep.kernel import passes
from tests import plain_inputs
from tests.stacks import Link

NAMES = ("rms", "pre_rms", "delta_rms", "grad_rms")


def apart(act, widths, batch, seeds, inputs):
    """The largest relative difference of float32's figures from float64's."""
    depth = len(widths) - 1
    link, largest = Link("xavier", {}, act, {}, 0.0, depth, (depth,), "bn", {}), 0.0
    narrow, wide = (
        kernel.propagate([link.chain], widths, seeds, batch, dtype, inputs=inputs, kind=passes.NUMPY)[0]
        for dtype in ("float32", "float64")
    )
    for name in NAMES:
        one, other = ((of.forward | of.backward[depth])[name][:, 1:] for of in (narrow, wide))
        there = other != 0
        assert (one[~there] == 0).all()
        largest = max(largest, float(np.nanmax(np.abs(one[there] / other[there] - 1), initial=0)))
    return largest


@pytest.mark.parametrize("act", ["tanh", "relu", "gelu"])
def test_samples_of_very_unequal_sizes(act):
    for seed in range(6):
        for width, batch in ((8, 8), (32, 8), (32, 64)):
            params = {"law": "unequal", "rows": batch + 3, "width": width, "seed": seed}
            inputs = plain_inputs.made("npy", params)
            assert apart(act, (width,) * 5, batch, [seed], inputs) < 1e-5


@pytest.mark.parametrize(("width", "batch"), [(1, 4), (2, 4), (2, 8), (4, 8), (16, 4), (32, 7), (16, 8)])
def test_few_samples_or_few_neurons(width, batch):
    inputs = plain_inputs.made("gaussian", {})
    for act in ("tanh", "gelu"):
        assert apart(act, (width,) * 7, batch, range(30), inputs) < 1e-5
