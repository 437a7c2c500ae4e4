"""The passes over a layer's arrays, each entry read as seldom as can be: in NumPy, or compiled by numba.

`plain` is the reference and the fallback, and has every dtype and activation; `compiled` has float32 and the
built-in activations. Both are `Passes`; `named` gives one.
"""

from sweep.kernel.passes.plain import PLAIN, Passes, Sums

__all__ = ["COMPILED", "KINDS", "NUMPY", "PLAIN", "Passes", "Sums", "default", "here", "named"]

NUMPY, COMPILED = KINDS = ("numpy", "compiled")
default = NUMPY  # where a call of the kernel does not say


def named(kind: str | None) -> Passes:
    """The passes of this kind, one of `KINDS`; None: the default."""
    if (kind or default) == NUMPY:
        return PLAIN
    from sweep.kernel.passes.compiled import Compiled  # noqa: PLC0415  numba: only where it computes

    return Compiled.here()


def here() -> str:
    """The kind that a call in this process has: compiled where that is possible, and can be kept."""
    from sweep.kernel.passes import folder  # noqa: PLC0415

    return NUMPY if folder.why_not() or folder.why_not_kept() else COMPILED
