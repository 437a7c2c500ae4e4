"""Formulas for float32 in what NumPy computes in SIMD: exp, log, tanh and plain arithmetic.

Every function writes f(z), or f'(z), to `out` and overwrites its scratch arrays (`chunks.in_float32`). All
are right to 4 units in the last place and what a rounding of z makes: where a tail falls as exp(-z²/2), half
a unit of z is z²/2 units of it. A tail keeps that accuracy until it is subnormal, and its sign where it is 0;
NaN and inf come out as f's limits. np.clip takes half the time of np.maximum.
"""

import math

import numpy as np

from sweep.base.arrays import Array

FAR = 2e4  # beyond it a gate is 0 or 1 to the last bit of long double
_FLAT = 128.0  # beyond it exp(-abs(z)) is 0 in float32
_TAIL = 20.0  # and here exp(-z²/2)
_TINY = 1e-30

# Φ(-a) exp(a²/2) (1 + a) in powers of a / (a + 3), from the highest: minimax over 0 <= a <= 15, 6e-9 relative
# before the coefficients were rounded to float32.
MILLS_SHIFT = 3.0
MILLS = (
    0.0483381412923336,
    -0.23467834293842316,
    0.3921292722225189,
    -0.22520676255226135,
    0.06438775360584259,
    -0.2513301372528076,
    0.058398984372615814,
    0.7809867858886719,
    -1.0372673273086548,
    0.3031723201274872,
    0.5,
)
# atanh(erf(z)) / z in powers of z², from the highest: minimax of erf itself over abs(z) <= 3.93, 6e-8.
ERF_END = 3.93  # where erf is 1 to the last bit
ERF = (
    -6.705646038440705e-10,
    2.3684288308345458e-08,
    -1.6403102165440941e-07,
    -3.8085420328570763e-06,
    8.196844282792881e-05,
    -0.0006113123381510377,
    -0.0001974207698367536,
    0.10277031362056732,
    1.128379225730896,
)
# Hendrycks and Gimpel 2016: Φ(z) ≈ σ(2 √(2/π) (z + 0.044715 z³)).
GELU_SLOPE = 2 * math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715
_GELU_FLAT = 16.0  # beyond it that argument is below -128 or above


def sigmoid(z: Array, out: Array, e: Array) -> None:
    """1 / (1 + exp(-z)) = p / (1 + e), e = exp(-abs(z)), where p is 1 or e."""
    _decayed(z, e)
    _numerator(z, e, out)
    e += 1
    out /= e


def sigmoid_slope(z: Array, h: Array, out: Array, e: Array) -> None:
    """e / (1 + e)²."""
    _decayed(z, out)
    np.add(out, 1, out=e)
    e *= e
    out /= e


def silu(z: Array, out: Array, e: Array, t: Array) -> None:
    """(max(z, 0) + e min(z, 0)) / (1 + e)."""
    _decayed(z, e)
    _gated(z, e, out, t)


def silu_slope(z: Array, h: Array, out: Array, e: Array, t: Array) -> None:
    """(p + z e / (1 + e)) / (1 + e)."""
    _decayed(z, e)
    np.clip(z, -_FLAT, _FLAT, out=t)
    _gate_slope(z, e, t, out)


def gelu_tanh(z: Array, out: Array, e: Array, t: Array) -> None:
    """As silu, with e = exp(-abs(u)), u = 2 √(2/π) (z + 0.044715 z³)."""
    np.clip(z, -_GELU_FLAT, _GELU_FLAT, out=t)
    np.multiply(t, t, out=e)
    e *= GELU_SLOPE * GELU_CUBIC
    e += GELU_SLOPE
    e *= t
    _decayed(e, e)
    _gated(z, e, out, t)


def gelu_tanh_slope(z: Array, h: Array, out: Array, e: Array, t: Array) -> None:
    """As silu's, with z u' for the second z."""
    np.clip(z, -_GELU_FLAT, _GELU_FLAT, out=out)
    np.multiply(out, out, out=t)
    t *= GELU_SLOPE * GELU_CUBIC
    np.add(t, GELU_SLOPE, out=e)
    e *= out
    _decayed(e, e)
    t *= 3
    t += GELU_SLOPE
    t *= out
    _gate_slope(z, e, t, out)


def mish(z: Array, out: Array, p: Array, q: Array) -> None:
    """z (w² + 2w) / (w² + 2w + 2), w = exp(z) = p / q."""
    _odds(z, p, q)
    _mish_gate(p, q, out)
    q += p
    p /= q
    np.clip(z, -FAR, math.inf, out=out)
    out *= p


def mish_slope(z: Array, h: Array, out: Array, p: Array, q: Array, s: Array) -> None:
    """With t = tanh(softplus(z)): t + z (1 - t²) σ(z)."""
    _odds(z, p, q)
    np.add(p, q, out=s)
    np.divide(p, s, out=s)  # σ(z)
    _mish_gate(p, q, out)
    np.add(p, q, out=out)
    p /= out  # t
    q /= out  # 1 - t
    s *= q
    np.add(p, 1, out=q)
    s *= q
    np.clip(z, -FAR, FAR, out=out)
    out *= s
    out += p


def softplus(z: Array, out: Array, u: Array, t: Array) -> None:
    """max(z, 0) + log(1 + e); log(u) - ((u - 1) - e) / u for the rounding of u = 1 + e."""
    _decayed(z, t)
    np.add(t, 1, out=u)
    np.log(u, out=out)
    t += 1 - u
    t /= u
    out += t
    np.clip(z, 0, math.inf, out=t)
    out += t


def softplus_slope(z: Array, h: Array, out: Array, e: Array) -> None:
    """σ(z)."""
    sigmoid(z, out, e)


def gelu(z: Array, out: Array, a: Array, t: Array) -> None:
    """max(z, 0) - a Φ(-a), a = abs(z), with Φ(-a) = exp(-a²/2) r(a) and r rational."""
    np.abs(z, out=a)
    np.clip(a, 0, _TAIL, out=a)
    np.add(a, MILLS_SHIFT, out=t)
    np.divide(a, t, out=t)
    _polynomial(MILLS, t, out)
    np.add(a, 1, out=t)
    out /= t
    out *= a
    _bell(a, a)
    out *= a
    np.clip(z, -0.0, math.inf, out=t)
    np.subtract(t, out, out=out)


def gelu_slope(z: Array, h: Array, out: Array, a: Array, t: Array) -> None:
    """Φ(z) + z φ(z), Φ = h / z."""
    np.clip(z, -_TAIL, _TAIL, out=a)
    _bell(a, t)
    t *= 1 / math.sqrt(2 * math.pi)
    t *= a
    np.clip(z, -FAR, FAR, out=a)
    np.clip(h, -math.inf, FAR, out=out)
    if not np.abs(a).min() >= _TINY:  # Φ(0) = 1/2; a NaN hides what is below it
        zero = np.abs(a) < _TINY
        out[zero], a[zero] = 0.5, 1.0
    out /= a
    out += t


def erf(z: Array, out: Array, x: Array, s: Array) -> None:
    """tanh(z p(z²))."""
    np.clip(z, -ERF_END, ERF_END, out=x)
    np.multiply(x, x, out=s)
    _polynomial(ERF, s, out)
    out *= x
    np.tanh(out, out=out)


def erf_slope(z: Array, h: Array, out: Array) -> None:
    """2 exp(-z²) / √π."""
    np.clip(z, -_TAIL, _TAIL, out=out)
    out *= out
    np.negative(out, out=out)
    np.exp(out, out=out)
    out *= 2 / math.sqrt(math.pi)


def elu(z: Array, alpha: float, out: Array, t: Array) -> None:
    """max(z, 0) + alpha · (exp(min(z, 0)) - 1)."""
    np.clip(z, -_FLAT, 0, out=t)
    _elu(z, t, alpha, out, t)


def celu(z: Array, alpha: float, out: Array, t: Array) -> None:
    """max(z, 0) + alpha · (exp(min(z, 0) / alpha) - 1)."""
    np.clip(z, -math.inf, 0, out=t)
    t /= np.float32(alpha)
    np.clip(t, -_FLAT, 0, out=t)
    _elu(z, t, alpha, out, t)


def selu(z: Array, alpha: float, scale: float, out: Array, t: Array) -> None:
    """Elu of this alpha, times the scale."""
    elu(z, alpha, out, t)
    out *= scale


def below_0(z: Array, above: float, factor: float, divisor: float, out: Array) -> None:
    """`above` where z > 0, else factor · exp(z / divisor)."""
    np.clip(z, -math.inf, 0, out=out)
    if divisor != 1:
        out /= np.float32(divisor)
    np.exp(out, out=out)
    if factor != 1:
        out *= factor
    if above != factor:
        out *= z <= 0
        out += (z > 0) * np.float32(above)


def leaky_relu(z: Array, negative_slope: float, out: Array, t: Array) -> None:
    """max(z, 0) + negative_slope · min(z, 0)."""
    np.clip(z, -math.inf, 0, out=out)
    out *= negative_slope
    np.clip(z, 0, math.inf, out=t)
    out += t


def _decayed(z: Array, e: Array) -> None:
    """e = exp(-abs(z))."""
    np.abs(z, out=e)
    np.negative(e, out=e)
    np.exp(e, out=e)


def _bell(z: Array, e: Array) -> None:
    """e = exp(-z²/2)."""
    np.multiply(z, z, out=e)
    e *= -0.5
    np.exp(e, out=e)


def _numerator(z: Array, e: Array, p: Array) -> None:
    """p = 1 where z >= 0, else e."""
    step, rest = z >= 0, 1 - e
    np.multiply(rest, step, out=p)
    p += e  # 1 exactly: the sum of e and 1 - e rounds to it


def _gated(z: Array, e: Array, out: Array, t: Array) -> None:
    """z / (1 + e) above 0, else z e / (1 + e); overwrites e."""
    np.clip(z, -FAR, 0, out=out)
    out *= e
    np.clip(z, -0.0, math.inf, out=t)
    out += t
    e += 1
    out /= e


def _gate_slope(z: Array, e: Array, t: Array, out: Array) -> None:
    """(p + t e / (1 + e)) / (1 + e); overwrites e and t."""
    _numerator(z, e, out)
    t *= e
    e += 1
    t /= e
    out += t
    out /= e


def _odds(z: Array, p: Array, q: Array) -> None:
    """exp(z) = p / q, neither above 1."""
    np.clip(z, -math.inf, 0, out=p)
    np.exp(p, out=p)
    np.clip(z, 0, math.inf, out=q)
    np.negative(q, out=q)
    np.exp(q, out=q)


def _mish_gate(p: Array, q: Array, t: Array) -> None:
    """From odds to p, q with tanh(log(1 + w)) = p / (p + q)."""
    np.multiply(q, 2, out=t)
    q *= t
    t += p
    p *= t


def _elu(z: Array, below: Array, alpha: float, out: Array, t: Array) -> None:
    """max(z, 0) + alpha · (exp(below) - 1), exp(x) - 1 = 2 u / (1 - u), u = tanh(x / 2)."""
    np.multiply(below, 0.5, out=out)
    np.tanh(out, out=out)
    np.subtract(1, out, out=t)
    out /= t
    out *= 2
    out *= alpha
    np.clip(z, 0, math.inf, out=t)
    out += t


def _polynomial(powers: tuple[float, ...], x: Array, out: Array) -> None:
    """powers: from the highest."""
    np.multiply(x, powers[0], out=out)
    for power in powers[1:-1]:
        out += power
        out *= x
    out += powers[-1]
