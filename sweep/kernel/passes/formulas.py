"""Every built-in activation of one float32, with its slope, as numba compiles it into a loop of SIMD.

Each function: (z, p, q) -> (f(z), f'(z)); p, q: its parameters, as `sweep.kernel.passes.compiled` hands them.
It is written of `elementary` alone, and so that NaN goes on.
"""

from typing import Any

import numpy as np

from sweep.activations import narrow, piecewise
from sweep.kernel.passes.elementary import (
    HALF,
    ONE,
    SIX,
    THREE,
    TWO,
    ZERO,
    exp,
    expm1,
    f32,
    fma,
    inlined,
    log1p,
    mills,
    sin_cos,
    tanh_of,
)

FAR, MINUS_FAR = f32(narrow.FAR), f32(-narrow.FAR)
ERF, ERF_END, MINUS_ERF_END = tuple(map(f32, narrow.ERF)), f32(narrow.ERF_END), f32(-narrow.ERF_END)
GELU_SLOPE, GELU_CUBE = f32(narrow.GELU_SLOPE), f32(narrow.GELU_SLOPE * narrow.GELU_CUBIC)
GELU_CUBE_3 = f32(3 * narrow.GELU_SLOPE * narrow.GELU_CUBIC)
GELU_FLAT, MINUS_GELU_FLAT = f32(16), f32(-16)
TAIL, MINUS_TAIL = f32(20), f32(-20)
PEAK = f32(1 / np.sqrt(2 * np.pi))
ERF_PEAK = f32(2 / np.sqrt(np.pi))
SELU_SCALE, SELU_ALPHA = f32(piecewise.SELU_SCALE), f32(piecewise.SELU_ALPHA)
SIXTH = f32(1 / 6)


@inlined
def identity(z: Any, p: Any, q: Any) -> Any:
    """z."""
    return z, ONE


@inlined
def relu(z: Any, p: Any, q: Any) -> Any:
    """max(z, 0)."""
    return (ZERO if z <= ZERO else z), (ONE if z > ZERO else ZERO)


@inlined
def leaky_relu(z: Any, p: Any, q: Any) -> Any:
    """z above 0, else p z."""
    return (z if z > ZERO else p * z), (ONE if z > ZERO else p)


@inlined
def relu6(z: Any, p: Any, q: Any) -> Any:
    """min(max(z, 0), 6)."""
    inside = (z > ZERO) & (z < SIX)
    h = ZERO if z < ZERO else z
    return (SIX if h > SIX else h), (ONE if inside else ZERO)


@inlined
def squared_relu(z: Any, p: Any, q: Any) -> Any:
    """max(z, 0)²."""
    h = ZERO if z <= ZERO else z
    return h * h, TWO * h


@inlined
def elu(z: Any, p: Any, q: Any) -> Any:
    """z above 0, else p (exp(z) - 1)."""
    below = ZERO if z > ZERO else z
    m = expm1(below)
    return (z if z > ZERO else p * m), (ONE if z > ZERO else p * exp(below))


@inlined
def celu(z: Any, p: Any, q: Any) -> Any:
    """z above 0, else p (exp(z / p) - 1)."""
    below = (ZERO if z > ZERO else z) / p
    m = expm1(below)
    return (z if z > ZERO else p * m), (ONE if z > ZERO else exp(below))


@inlined
def selu(z: Any, p: Any, q: Any) -> Any:
    """elu with its own constants."""
    h, slope = elu(z, SELU_ALPHA, q)
    return SELU_SCALE * h, SELU_SCALE * slope


@inlined
def sigmoid(z: Any, p: Any, q: Any) -> Any:
    """1 / (1 + exp(-z))."""
    e = exp(-abs(z))
    inverse = ONE / (ONE + e)
    return (e if z < ZERO else ONE) * inverse, e * inverse * inverse


@inlined
def _gated(z: Any, e: Any, t: Any) -> Any:
    """z σ and its slope, from e = exp(-abs(u)) and t = z u', σ = σ(u)."""
    inverse = ONE / (ONE + e)
    gate = (e if z < ZERO else ONE) * inverse
    return (MINUS_FAR if z < MINUS_FAR else z) * gate, fma(t * e * inverse, inverse, gate)


@inlined
def silu(z: Any, p: Any, q: Any) -> Any:
    """z σ(p z); q = 1 / p."""
    x = p * z
    t = MINUS_FAR if x < MINUS_FAR else x
    h, slope = _gated(x, exp(-abs(x)), FAR if t > FAR else t)
    return q * h, slope


@inlined
def gelu_tanh(z: Any, p: Any, q: Any) -> Any:
    """z σ(2 √(2/π) (z + 0.044715 z³))."""
    x = MINUS_GELU_FLAT if z < MINUS_GELU_FLAT else z
    x = GELU_FLAT if x > GELU_FLAT else x
    s = x * x
    return _gated(z, exp(-abs(x * fma(GELU_CUBE, s, GELU_SLOPE))), x * fma(GELU_CUBE_3, s, GELU_SLOPE))


@inlined
def gelu(z: Any, p: Any, q: Any) -> Any:
    """max(z, 0) - a Φ(-a), a = abs(z)."""
    a = abs(z)
    a = TAIL if a > TAIL else a
    e = exp(-HALF * a * a)
    tail = mills(a) * e  # Φ(-a)
    m = a * tail
    s = fma(-PEAK * a, e, tail)
    return (-m if z < ZERO else z - m), (s if z < ZERO else ONE - s)


@inlined
def mish(z: Any, p: Any, q: Any) -> Any:
    """z tanh(log(1 + exp(z)))."""
    e = exp(-abs(z))
    low = z < ZERO
    a = e * (e + TWO) if low else fma(TWO, e, ONE)
    b = TWO if low else TWO * e * e
    inverse = ONE / (a + b)
    t = a * inverse
    x = MINUS_FAR if z < MINUS_FAR else z
    y = FAR if x > FAR else x
    sigma = (e if low else ONE) / (ONE + e)
    return x * t, fma(y * (b * inverse) * (ONE + t), sigma, t)


@inlined
def tanh(z: Any, p: Any, q: Any) -> Any:
    """tanh(z)."""
    return tanh_of(z)


@inlined
def erf(z: Any, p: Any, q: Any) -> Any:
    """tanh(z p(z²)), as in `narrow`."""
    x = MINUS_ERF_END if z < MINUS_ERF_END else z
    x = ERF_END if x > ERF_END else x
    s = x * x
    u = fma(fma(fma(fma(ERF[0], s, ERF[1]), s, ERF[2]), s, ERF[3]), s, ERF[4])
    u = fma(fma(fma(fma(u, s, ERF[5]), s, ERF[6]), s, ERF[7]), s, ERF[8])
    h, _ = tanh_of(u * x)
    y = abs(z)
    y = TAIL if y > TAIL else y
    return h, ERF_PEAK * exp(-y * y)


@inlined
def softplus(z: Any, p: Any, q: Any) -> Any:
    """log(1 + exp(p z)) q; q = 1 / p."""
    x = p * z
    e = exp(-abs(x))
    h = (ZERO if x < ZERO else x) + log1p(e)
    return q * h, (e if x < ZERO else ONE) / (ONE + e)


@inlined
def softsign(z: Any, p: Any, q: Any) -> Any:
    """z / (1 + abs(z))."""
    inverse = ONE / (ONE + abs(z))
    return z / (ONE + abs(z)), inverse * inverse


@inlined
def sin(z: Any, p: Any, q: Any) -> Any:
    """Of abs(p z) <= 1e4."""
    sine, cosine = sin_cos(p * z)
    return sine, p * cosine


@inlined
def hardtanh(z: Any, p: Any, q: Any) -> Any:
    """min(max(z, -1), 1)."""
    h = -ONE if z < -ONE else z
    return (ONE if h > ONE else h), (ONE if abs(z) < ONE else ZERO)


@inlined
def hardsigmoid(z: Any, p: Any, q: Any) -> Any:
    """relu6(z + 3) / 6."""
    h, _ = relu6(z + THREE, p, q)
    return h / SIX, (SIXTH if abs(z) < THREE else ZERO)


@inlined
def hardswish(z: Any, p: Any, q: Any) -> Any:
    """z relu6(z + 3) / 6."""
    h, _ = relu6(z + THREE, p, q)
    x = -THREE if z < -THREE else z
    inside = fma(z, ONE / THREE, HALF)
    slope = ONE if z >= THREE else inside
    return x * (h / SIX) + ZERO, (ZERO if z <= -THREE else slope)


def transformed(formula: Any) -> Any:
    """The formula q[2] (f(q[0] z + q[1]) + q[3]) of another; p: its parameters. q[4]: q[2] q[0]."""

    @inlined
    def changed(z: Any, p: Any, q: Any) -> Any:
        h, slope = formula(fma(q[0], z, q[1]), p[0], p[1])
        return q[2] * (h + q[3]), q[4] * slope

    return changed


FORMULAS = {
    one.__name__: one
    for one in (
        identity, relu, leaky_relu, relu6, squared_relu, elu, celu, selu, gelu, gelu_tanh, silu, hardswish,
        mish, tanh, sigmoid, hardsigmoid, erf, hardtanh, softplus, softsign, sin,
    )
}  # fmt: skip
