"""The loss scale that a format asks for, of a network of the plain loop."""

import math

import numpy as np

from tests.bounds import ANY, NULL, Allowed
from tests.exact import LONG
from tests.plain import COPIES

NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float8_e4m3fn": 2.0**-6, "float8_e5m2": 2.0**-14}
# From here on a number rounds to none: half a spacing beyond the largest.
OVERFLOW = {
    "float16": 65520.0, "bfloat16": (2 - 2.0**-8) * 2.0**127, "float8_e4m3fn": 464.0, "float8_e5m2": 61440.0,
}  # fmt: skip
HELD = (LONG(0), LONG(2) ** -1000, *(LONG(2) ** -power for power in range(80, 151, 5)))


def loss_scale(network, name, entered):
    """The power of two that brings the smallest 1 % of what enters products back to a normal number.

    entered: dL/dy of every product, (copies, batch, width) each.
    """
    if min(network.adrift_at, network.lost_at) < len(network.widths) or not entered:
        return ANY
    found, null = [], False
    for copy in range(COPIES + 1):
        sizes = np.sort(np.abs(np.concatenate([one[copy, :64].ravel() for one in entered])))
        largest = max(float(np.abs(one[copy]).max()) for one in entered)
        for least in HELD:  # what an array cannot hold beside the largest is 0 there
            some = sizes[sizes > least * largest]
            null |= not some.size
            for size in _near(some):
                power = math.frexp(NORMAL[name])[1] - int(np.frexp(size)[1])
                reaches = np.ldexp(LONG(largest), power)
                null |= bool(reaches > OVERFLOW[name] * 0.999) or power >= 1024
                if reaches < OVERFLOW[name] * 1.001 and power < 1024:
                    found.append(math.ldexp(1.0, power))
    if not found:
        return NULL
    return Allowed(found[0], min(found), max(found), null)


def _near(sizes):
    """The size that one in a hundred is below, sorted, and those that rounding may take for it."""
    place, reach = math.ceil(0.01 * len(sizes)) - 1, 1 + math.ceil(0.005 * len(sizes))
    if not len(sizes):
        return
    for at in (place, place - reach, place + reach):
        size = sizes[min(max(at, 0), len(sizes) - 1)]
        yield from (size, size * LONG(1 - 1e-4), size * LONG(1 + 1e-4))
