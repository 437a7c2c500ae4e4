"""Whether two measurements of a network are one."""

import numpy as np

from sweep.kernel import BACKWARD, FORWARD


def assert_same(one, other, tolerance, depth=None):
    """Equal statistics; `mean` in units of the layer's rms, correlations absolutely."""
    for name in FORWARD:
        a, b = one.forward[name], other.forward[name]
        rows = min(len(a), len(b))
        floor = tolerance * np.nan_to_num(one.forward["rms"][:rows])
        if name not in {"mean", "std", "rms", "pre_rms"}:
            floor = np.full(rows, 100 * tolerance)
        np.testing.assert_array_less(
            np.abs(a[:rows] - b[:rows])[~np.isnan(b[:rows])],
            (floor + tolerance * np.abs(a[:rows]) + 1e-300)[~np.isnan(b[:rows])],
            err_msg=name,
        )
    for start in one.backward if depth is None else [depth]:
        for name in BACKWARD:
            np.testing.assert_allclose(
                one.backward[start][name], other.backward[start][name], rtol=3 * tolerance, err_msg=name
            )
