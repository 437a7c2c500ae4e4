"""Every built-in activation of one float32, with its slope, as numba compiles it into a loop of SIMD.

A loop becomes one only where nothing in it calls a library and nothing widens to float64: so exp, log1p,
tanh, sin and cos are polynomials here, every constant is a float32, and what works on bits is an intrinsic.
Products may be contracted with sums, but nothing is reassociated, and NaN and inf are what they are: a
comparison is written so that NaN goes on. Errors are those of `sweep.activations.narrow`, or smaller.

Each function: (z, p, q) -> (f(z), f'(z)); p, q: its parameters, as `sweep.kernel.passes.compiled` hands them.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, register_jitable

from sweep.activations import narrow, piecewise

_f = np.float32
_INT, _FLOAT = ir.IntType(32), ir.FloatType()
ZERO, HALF, ONE, TWO, THREE, FOUR, SIX = map(_f, (0, 0.5, 1, 2, 3, 4, 6))
FAR, MINUS_FAR = _f(narrow.FAR), _f(-narrow.FAR)
LOWEST = _f(-104)  # exp of it is 0
ALL_BUT_1 = _f(-30)  # exp(z) - 1 is -1 to the last bit
MAGIC = _f(1.5 * 2**23)  # added to a number it leaves the nearest whole one in the last bits
MAGIC_BITS = 0x4B400000
LOG2_E = _f(math.log2(math.e))
MINUS_LN2 = _f(-np.log(2))
MINUS_LN2_REST = _f(-np.log(2) - np.float64(_f(-np.log(2))))
TWO_OVER_PI = _f(2 / np.pi)
_half_pi = np.float64(np.pi / 2)
MINUS_HALF_PI = _f(-_half_pi)
MINUS_HALF_PI_2 = _f(-_half_pi - np.float64(MINUS_HALF_PI))
MINUS_HALF_PI_3 = _f(
    -6.123233995736766e-17 + (-_half_pi - np.float64(MINUS_HALF_PI) - np.float64(MINUS_HALF_PI_2))
)
# Minimax, from the highest power: relative errors 1e-8, 5e-9, 4e-9 and 1e-10.
EXPM1 = tuple(
    map(_f, (0.0013882488710805774, 0.008366691879928112, 0.04166720435023308, 0.16666541993618011, 0.5))
)
LOG1P = tuple(
    map(
        _f,
        (
            -0.0032440253999084234,
            0.01985146477818489,
            -0.056959543377161026,
            0.10603656619787216,
            -0.15305593609809875,
            0.1967594027519226,
            -0.24954134225845337,
            0.3332996368408203,
            -0.4999990165233612,
            1.0,
        ),
    )
)
SIN = tuple(map(_f, (-0.00019513623556122184, 0.008332149125635624, -0.16666653752326965)))
COS = tuple(map(_f, (2.4431259589619003e-05, -0.001388730015605688, 0.04166664555668831)))
MILLS, MILLS_SHIFT = tuple(map(_f, narrow.MILLS)), _f(narrow.MILLS_SHIFT)
ERF, ERF_END, MINUS_ERF_END = tuple(map(_f, narrow.ERF)), _f(narrow.ERF_END), _f(-narrow.ERF_END)
GELU_SLOPE, GELU_CUBE = _f(narrow.GELU_SLOPE), _f(narrow.GELU_SLOPE * narrow.GELU_CUBIC)
GELU_CUBE_3 = _f(3 * narrow.GELU_SLOPE * narrow.GELU_CUBIC)
GELU_FLAT, MINUS_GELU_FLAT = _f(16), _f(-16)
TAIL, MINUS_TAIL = _f(20), _f(-20)
PEAK = _f(1 / np.sqrt(2 * np.pi))
ERF_PEAK = _f(2 / np.sqrt(np.pi))
SELU_SCALE, SELU_ALPHA = _f(piecewise.SELU_SCALE), _f(piecewise.SELU_ALPHA)
SIXTH = _f(1 / 6)
LOG = tuple(
    map(
        _f,
        (
            0.06744592636823654,
            -0.11674824357032776,
            0.11888589709997177,
            -0.12405752390623093,
            0.1421952098608017,
            -0.16667985916137695,
            0.2000211924314499,
            -0.25000008940696716,
            0.3333331346511841,
        ),
    )
)
ROOT_HALF_BITS = 0x3F3504F3  # of √½
LN2, LN2_REST = -MINUS_LN2, -MINUS_LN2_REST
HALF_TURN = _f(np.pi / 2**31)
PER_WORD, MINUS_TWO = _f(2.0**-32), _f(-2)
_inlined = register_jitable(fastmath={"contract"}, error_model="numpy", forceinline=True)


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once."""
    return types.float32(*3 * [types.float32]), lambda context, builder, signature, args: builder.fma(*args)


@intrinsic
def power_of_2(typing: Any, p: Any, t: Any) -> Any:
    """p · 2^n, n = t - MAGIC, in two steps: n may be below a float's exponents."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, shifted = args
        n = builder.sub(builder.bitcast(shifted, _INT), _INT(MAGIC_BITS))
        first = builder.ashr(n, _INT(1))
        for part in (first, builder.sub(n, first)):
            bits = builder.shl(builder.add(part, _INT(127)), _INT(23))
            value = builder.fmul(value, builder.bitcast(bits, _FLOAT))
        return value

    return types.float32(types.float32, types.float32), code


@intrinsic
def turned(typing: Any, s: Any, c: Any, t: Any) -> Any:
    """sin(x + n π/2) from sin(x), cos(x) and the quarter turns n, the last bits of t."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sine, cosine, shifted = args
        n = builder.bitcast(shifted, _INT)
        odd = builder.icmp_signed("!=", builder.and_(n, _INT(1)), _INT(0))
        bits = builder.bitcast(builder.select(odd, cosine, sine), _INT)
        sign = builder.shl(builder.and_(n, _INT(2)), _INT(30))
        return builder.bitcast(builder.xor(bits, sign), _FLOAT)

    return types.float32(*3 * [types.float32]), code


@intrinsic
def near_1(typing: Any, x: Any) -> Any:
    """m of x = m 2^k, x > 0 and normal, √½ <= m < √2."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], _INT)
        k = builder.ashr(builder.sub(bits, _INT(ROOT_HALF_BITS)), _INT(23))
        return builder.bitcast(builder.sub(bits, builder.shl(k, _INT(23))), _FLOAT)

    return types.float32(types.float32), code


@intrinsic
def exponent_of(typing: Any, x: Any) -> Any:
    """And its k."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.sub(builder.bitcast(args[0], _INT), _INT(ROOT_HALF_BITS))
        return builder.sitofp(builder.ashr(bits, _INT(23)), _FLOAT)

    return types.float32(types.float32), code


@intrinsic
def lower(typing: Any, word: Any) -> Any:
    """The lower half of a word, as a number that is not negative."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.uitofp(builder.trunc(args[0], _INT), _FLOAT)

    return types.float32(types.uint64), code


@intrinsic
def upper(typing: Any, word: Any) -> Any:
    """The upper half, as a number with a sign."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        half = builder.trunc(builder.lshr(args[0], ir.IntType(64)(32)), _INT)
        return builder.sitofp(half, _FLOAT)

    return types.float32(types.uint64), code


@_inlined
def _exp_parts(x: Any) -> Any:
    """(r, t): exp(x) = (1 + r) 2^n, t = n + MAGIC; -104 <= x < 88."""
    t = fma(x, LOG2_E, MAGIC)
    n = t - MAGIC
    x = fma(n, MINUS_LN2_REST, fma(n, MINUS_LN2, x))
    p = fma(fma(fma(fma(EXPM1[0], x, EXPM1[1]), x, EXPM1[2]), x, EXPM1[3]), x, EXPM1[4])
    return fma(x * x, p, x), t


@_inlined
def _exp(x: Any) -> Any:
    """exp(x), x <= 0."""
    r, t = _exp_parts(LOWEST if x < LOWEST else x)
    return power_of_2(ONE + r, t)


@_inlined
def _expm1(x: Any) -> Any:
    """exp(x) - 1, x <= 0."""
    r, t = _exp_parts(ALL_BUT_1 if x < ALL_BUT_1 else x)
    s = power_of_2(ONE, t)
    return fma(s, r, s - ONE)


@_inlined
def _log1p(e: Any) -> Any:
    """log(1 + e), 0 <= e <= 1."""
    p = fma(fma(fma(LOG1P[0], e, LOG1P[1]), e, LOG1P[2]), e, LOG1P[3])
    p = fma(fma(fma(p, e, LOG1P[4]), e, LOG1P[5]), e, LOG1P[6])
    return fma(fma(fma(p, e, LOG1P[7]), e, LOG1P[8]), e, LOG1P[9]) * e


@_inlined
def _mills(a: Any) -> Any:
    """Φ(-a) exp(a²/2), 0 <= a <= 20."""
    s = a / (a + MILLS_SHIFT)
    p = fma(fma(fma(MILLS[0], s, MILLS[1]), s, MILLS[2]), s, MILLS[3])
    p = fma(fma(fma(p, s, MILLS[4]), s, MILLS[5]), s, MILLS[6])
    p = fma(fma(fma(fma(p, s, MILLS[7]), s, MILLS[8]), s, MILLS[9]), s, MILLS[10])
    return p / (ONE + a)


@_inlined
def _tanh(z: Any) -> Any:
    """tanh(z) and its slope: m / (2 + m) and 4 (1 + m) / (2 + m)², m = exp(-2 abs(z)) - 1."""
    a = -TWO * abs(z)
    r, t = _exp_parts(LOWEST if a < LOWEST else a)
    s = power_of_2(ONE, t)
    m = fma(s, r, s - ONE)
    inverse = ONE / (TWO + m)
    h = m * inverse
    return (h if z < ZERO else -h), FOUR * power_of_2(ONE + r, t) * inverse * inverse


@_inlined
def identity(z: Any, p: Any, q: Any) -> Any:
    """z."""
    return z, ONE


@_inlined
def relu(z: Any, p: Any, q: Any) -> Any:
    """max(z, 0)."""
    return (ZERO if z <= ZERO else z), (ONE if z > ZERO else ZERO)


@_inlined
def leaky_relu(z: Any, p: Any, q: Any) -> Any:
    """z above 0, else p z."""
    return (z if z > ZERO else p * z), (ONE if z > ZERO else p)


@_inlined
def relu6(z: Any, p: Any, q: Any) -> Any:
    """min(max(z, 0), 6)."""
    inside = (z > ZERO) & (z < SIX)
    h = ZERO if z < ZERO else z
    return (SIX if h > SIX else h), (ONE if inside else ZERO)


@_inlined
def squared_relu(z: Any, p: Any, q: Any) -> Any:
    """max(z, 0)²."""
    h = ZERO if z <= ZERO else z
    return h * h, TWO * h


@_inlined
def elu(z: Any, p: Any, q: Any) -> Any:
    """z above 0, else p (exp(z) - 1)."""
    below = ZERO if z > ZERO else z
    m = _expm1(below)
    return (z if z > ZERO else p * m), (ONE if z > ZERO else p * _exp(below))


@_inlined
def celu(z: Any, p: Any, q: Any) -> Any:
    """z above 0, else p (exp(z / p) - 1)."""
    below = (ZERO if z > ZERO else z) / p
    m = _expm1(below)
    return (z if z > ZERO else p * m), (ONE if z > ZERO else _exp(below))


@_inlined
def selu(z: Any, p: Any, q: Any) -> Any:
    """elu with its own constants."""
    h, slope = elu(z, SELU_ALPHA, q)
    return SELU_SCALE * h, SELU_SCALE * slope


@_inlined
def sigmoid(z: Any, p: Any, q: Any) -> Any:
    """1 / (1 + exp(-z))."""
    e = _exp(-abs(z))
    inverse = ONE / (ONE + e)
    return (e if z < ZERO else ONE) * inverse, e * inverse * inverse


@_inlined
def _gated(z: Any, e: Any, t: Any) -> Any:
    """z σ and its slope, from e = exp(-abs(u)) and t = z u', σ = σ(u)."""
    inverse = ONE / (ONE + e)
    gate = (e if z < ZERO else ONE) * inverse
    return (MINUS_FAR if z < MINUS_FAR else z) * gate, fma(t * e * inverse, inverse, gate)


@_inlined
def silu(z: Any, p: Any, q: Any) -> Any:
    """z σ(p z); q = 1 / p."""
    x = p * z
    t = MINUS_FAR if x < MINUS_FAR else x
    h, slope = _gated(x, _exp(-abs(x)), FAR if t > FAR else t)
    return q * h, slope


@_inlined
def gelu_tanh(z: Any, p: Any, q: Any) -> Any:
    """z σ(2 √(2/π) (z + 0.044715 z³))."""
    x = MINUS_GELU_FLAT if z < MINUS_GELU_FLAT else z
    x = GELU_FLAT if x > GELU_FLAT else x
    s = x * x
    return _gated(z, _exp(-abs(x * fma(GELU_CUBE, s, GELU_SLOPE))), x * fma(GELU_CUBE_3, s, GELU_SLOPE))


@_inlined
def gelu(z: Any, p: Any, q: Any) -> Any:
    """max(z, 0) - a Φ(-a), a = abs(z)."""
    a = abs(z)
    a = TAIL if a > TAIL else a
    e = _exp(-HALF * a * a)
    tail = _mills(a) * e  # Φ(-a)
    m = a * tail
    s = fma(-PEAK * a, e, tail)
    return (-m if z < ZERO else z - m), (s if z < ZERO else ONE - s)


@_inlined
def mish(z: Any, p: Any, q: Any) -> Any:
    """z tanh(log(1 + exp(z)))."""
    e = _exp(-abs(z))
    low = z < ZERO
    a = e * (e + TWO) if low else fma(TWO, e, ONE)
    b = TWO if low else TWO * e * e
    inverse = ONE / (a + b)
    t = a * inverse
    x = MINUS_FAR if z < MINUS_FAR else z
    y = FAR if x > FAR else x
    sigma = (e if low else ONE) / (ONE + e)
    return x * t, fma(y * (b * inverse) * (ONE + t), sigma, t)


@_inlined
def tanh(z: Any, p: Any, q: Any) -> Any:
    """tanh(z)."""
    return _tanh(z)


@_inlined
def erf(z: Any, p: Any, q: Any) -> Any:
    """tanh(z p(z²)), as in `narrow`."""
    x = MINUS_ERF_END if z < MINUS_ERF_END else z
    x = ERF_END if x > ERF_END else x
    s = x * x
    u = fma(fma(fma(fma(ERF[0], s, ERF[1]), s, ERF[2]), s, ERF[3]), s, ERF[4])
    u = fma(fma(fma(fma(u, s, ERF[5]), s, ERF[6]), s, ERF[7]), s, ERF[8])
    h, _ = _tanh(u * x)
    y = abs(z)
    y = TAIL if y > TAIL else y
    return h, ERF_PEAK * _exp(-y * y)


@_inlined
def softplus(z: Any, p: Any, q: Any) -> Any:
    """log(1 + exp(p z)) q; q = 1 / p."""
    x = p * z
    e = _exp(-abs(x))
    h = (ZERO if x < ZERO else x) + _log1p(e)
    return q * h, (e if x < ZERO else ONE) / (ONE + e)


@_inlined
def softsign(z: Any, p: Any, q: Any) -> Any:
    """z / (1 + abs(z))."""
    inverse = ONE / (ONE + abs(z))
    return z / (ONE + abs(z)), inverse * inverse


@_inlined
def _log(x: Any) -> Any:
    """log(x) of a normal number above 0."""
    k, f = exponent_of(x), near_1(x) - ONE
    p = fma(fma(fma(LOG[0], f, LOG[1]), f, LOG[2]), f, LOG[3])
    p = fma(fma(fma(fma(fma(p, f, LOG[4]), f, LOG[5]), f, LOG[6]), f, LOG[7]), f, LOG[8])
    s = f * f
    return fma(k, LN2, f - (HALF * s - fma(s * f, p, k * LN2_REST)))


@_inlined
def normal_pair(word: Any) -> Any:
    """Two draws of N(0, 1) from 64 random bits, as `sweep.initializers.normal` has them."""
    r = math.sqrt(MINUS_TWO * _log((lower(word) + HALF) * PER_WORD))
    sine, cosine = _sin_cos(upper(word) * HALF_TURN)
    return r * cosine, r * sine


@_inlined
def sin(z: Any, p: Any, q: Any) -> Any:
    """Of abs(p z) <= 1e4."""
    sine, cosine = _sin_cos(p * z)
    return sine, p * cosine


@_inlined
def _sin_cos(x: Any) -> Any:
    """Of abs(x) <= 1e4: three parts of π/2 leave nothing out that counts."""
    t = fma(x, TWO_OVER_PI, MAGIC)
    n = t - MAGIC
    r = fma(n, MINUS_HALF_PI_3, fma(n, MINUS_HALF_PI_2, fma(n, MINUS_HALF_PI, x)))
    s = r * r
    sine = fma(fma(fma(SIN[0], s, SIN[1]), s, SIN[2]) * s, r, r)
    cosine = fma(fma(fma(COS[0], s, COS[1]), s, COS[2]) * s, s, fma(-HALF, s, ONE))
    return turned(sine, cosine, t), turned(cosine, -sine, t)


@_inlined
def hardtanh(z: Any, p: Any, q: Any) -> Any:
    """min(max(z, -1), 1)."""
    h = -ONE if z < -ONE else z
    return (ONE if h > ONE else h), (ONE if abs(z) < ONE else ZERO)


@_inlined
def hardsigmoid(z: Any, p: Any, q: Any) -> Any:
    """relu6(z + 3) / 6."""
    h, _ = relu6(z + THREE, p, q)
    return h / SIX, (SIXTH if abs(z) < THREE else ZERO)


@_inlined
def hardswish(z: Any, p: Any, q: Any) -> Any:
    """z relu6(z + 3) / 6."""
    h, _ = relu6(z + THREE, p, q)
    x = -THREE if z < -THREE else z
    inside = fma(z, ONE / THREE, HALF)
    slope = ONE if z >= THREE else inside
    return x * (h / SIX) + ZERO, (ZERO if z <= -THREE else slope)


FORMULAS = {
    one.__name__: one
    for one in (
        identity, relu, leaky_relu, relu6, squared_relu, elu, celu, selu, gelu, gelu_tanh, silu, hardswish,
        mish, tanh, sigmoid, hardsigmoid, erf, hardtanh, softplus, softsign, sin,
    )
}  # fmt: skip
