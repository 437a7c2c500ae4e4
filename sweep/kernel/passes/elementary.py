"""Elementary functions of one float32 as numba compiles them into loops of SIMD, and a pair of normal draws.

A loop becomes one only where nothing in it calls a library and nothing widens to float64: so exp, log1p,
tanh, sin and cos are polynomials here, every constant is a float32, and what works on bits is an intrinsic.
Products may be contracted with sums, but nothing is reassociated, and NaN and inf are what they are: a
comparison is written so that NaN goes on. Errors are those of `sweep.activations.narrow`, or smaller.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, register_jitable

from sweep.activations import narrow

f32 = np.float32
_INT, _FLOAT = ir.IntType(32), ir.FloatType()
ZERO, HALF, ONE, TWO, THREE, FOUR, SIX = map(f32, (0, 0.5, 1, 2, 3, 4, 6))
LOWEST = f32(-104)  # exp of it is 0
ALL_BUT_1 = f32(-30)  # exp(z) - 1 is -1 to the last bit
MAGIC = f32(1.5 * 2**23)  # added to a number it leaves the nearest whole one in the last bits
MAGIC_BITS = 0x4B400000
LOG2_E = f32(math.log2(math.e))
MINUS_LN2 = f32(-np.log(2))
MINUS_LN2_REST = f32(-np.log(2) - np.float64(f32(-np.log(2))))
TWO_OVER_PI = f32(2 / np.pi)
_half_pi = np.float64(np.pi / 2)
MINUS_HALF_PI = f32(-_half_pi)
MINUS_HALF_PI_2 = f32(-_half_pi - np.float64(MINUS_HALF_PI))
MINUS_HALF_PI_3 = f32(
    -6.123233995736766e-17 + (-_half_pi - np.float64(MINUS_HALF_PI) - np.float64(MINUS_HALF_PI_2))
)
# Minimax, from the highest power: relative errors 1e-8, 5e-9, 4e-9 and 1e-10.
EXPM1 = tuple(
    map(f32, (0.0013882488710805774, 0.008366691879928112, 0.04166720435023308, 0.16666541993618011, 0.5))
)
LOG1P = tuple(
    map(
        f32,
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
SIN = tuple(map(f32, (-0.00019513623556122184, 0.008332149125635624, -0.16666653752326965)))
COS = tuple(map(f32, (2.4431259589619003e-05, -0.001388730015605688, 0.04166664555668831)))
MILLS, MILLS_SHIFT = tuple(map(f32, narrow.MILLS)), f32(narrow.MILLS_SHIFT)
LOG = tuple(
    map(
        f32,
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
HALF_TURN = f32(np.pi / 2**31)
PER_WORD, MINUS_TWO = f32(2.0**-32), f32(-2)
inlined = register_jitable(fastmath={"contract"}, error_model="numpy", forceinline=True)


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


@inlined
def exp_parts(x: Any) -> Any:
    """(r, t): exp(x) = (1 + r) 2^n, t = n + MAGIC; -104 <= x < 88."""
    t = fma(x, LOG2_E, MAGIC)
    n = t - MAGIC
    x = fma(n, MINUS_LN2_REST, fma(n, MINUS_LN2, x))
    p = fma(fma(fma(fma(EXPM1[0], x, EXPM1[1]), x, EXPM1[2]), x, EXPM1[3]), x, EXPM1[4])
    return fma(x * x, p, x), t


@inlined
def exp(x: Any) -> Any:
    """exp(x), x <= 0."""
    r, t = exp_parts(LOWEST if x < LOWEST else x)
    return power_of_2(ONE + r, t)


@inlined
def expm1(x: Any) -> Any:
    """exp(x) - 1, x <= 0."""
    r, t = exp_parts(ALL_BUT_1 if x < ALL_BUT_1 else x)
    s = power_of_2(ONE, t)
    return fma(s, r, s - ONE)


@inlined
def log1p(e: Any) -> Any:
    """log(1 + e), 0 <= e <= 1."""
    p = fma(fma(fma(LOG1P[0], e, LOG1P[1]), e, LOG1P[2]), e, LOG1P[3])
    p = fma(fma(fma(p, e, LOG1P[4]), e, LOG1P[5]), e, LOG1P[6])
    return fma(fma(fma(p, e, LOG1P[7]), e, LOG1P[8]), e, LOG1P[9]) * e


@inlined
def mills(a: Any) -> Any:
    """Φ(-a) exp(a²/2), 0 <= a <= 20."""
    s = a / (a + MILLS_SHIFT)
    p = fma(fma(fma(MILLS[0], s, MILLS[1]), s, MILLS[2]), s, MILLS[3])
    p = fma(fma(fma(p, s, MILLS[4]), s, MILLS[5]), s, MILLS[6])
    p = fma(fma(fma(fma(p, s, MILLS[7]), s, MILLS[8]), s, MILLS[9]), s, MILLS[10])
    return p / (ONE + a)


@inlined
def tanh_of(z: Any) -> Any:
    """tanh(z) and its slope: m / (2 + m) and 4 (1 + m) / (2 + m)², m = exp(-2 abs(z)) - 1."""
    a = -TWO * abs(z)
    r, t = exp_parts(LOWEST if a < LOWEST else a)
    s = power_of_2(ONE, t)
    m = fma(s, r, s - ONE)
    inverse = ONE / (TWO + m)
    h = m * inverse
    return (h if z < ZERO else -h), FOUR * power_of_2(ONE + r, t) * inverse * inverse


@inlined
def log(x: Any) -> Any:
    """log(x) of a normal number above 0."""
    k, f = exponent_of(x), near_1(x) - ONE
    p = fma(fma(fma(LOG[0], f, LOG[1]), f, LOG[2]), f, LOG[3])
    p = fma(fma(fma(fma(fma(p, f, LOG[4]), f, LOG[5]), f, LOG[6]), f, LOG[7]), f, LOG[8])
    s = f * f
    return fma(k, LN2, f - (HALF * s - fma(s * f, p, k * LN2_REST)))


@inlined
def normal_pair(word: Any) -> Any:
    """Two draws of N(0, 1) from 64 random bits, as `sweep.initializers.normal` has them."""
    r = math.sqrt(MINUS_TWO * log((lower(word) + HALF) * PER_WORD))
    sine, cosine = sin_cos(upper(word) * HALF_TURN)
    return r * cosine, r * sine


@inlined
def sin_cos(x: Any) -> Any:
    """Of abs(x) <= 1e4: three parts of π/2 leave nothing out that counts."""
    t = fma(x, TWO_OVER_PI, MAGIC)
    n = t - MAGIC
    r = fma(n, MINUS_HALF_PI_3, fma(n, MINUS_HALF_PI_2, fma(n, MINUS_HALF_PI, x)))
    s = r * r
    sine = fma(fma(fma(SIN[0], s, SIN[1]), s, SIN[2]) * s, r, r)
    cosine = fma(fma(fma(COS[0], s, COS[1]), s, COS[2]) * s, s, fma(-HALF, s, ONE))
    return turned(sine, cosine, t), turned(cosine, -sine, t)
