"""The passes over a layer's arrays, each entry read as seldom as can be: in NumPy, or compiled by numba.

`plain` is the reference and the fallback, and has every dtype and activation; `compiled` has float32 and the
built-in activations, and where it is asked for a user's own (`own`). Both are `Passes`; `named` gives one.
"""

from sweep.kernel.passes.plain import PLAIN, Passes, Sums

__all__ = ["COMPILED", "KINDS", "NUMPY", "OWN", "PLAIN", "Passes", "Sums", "default", "named"]

NUMPY, COMPILED, OWN = KINDS = ("numpy", "compiled", "compiled with own functions")
default = NUMPY  # where a call of the kernel does not say


def named(kind: str | None) -> Passes:
    """The passes of this kind, one of `KINDS`; None: the default."""
    asked = kind or default
    if asked == NUMPY:
        return PLAIN
    from sweep.kernel.passes.compiled import Compiled  # noqa: PLC0415  numba: only where it computes

    return Compiled.here(own=asked == OWN)
