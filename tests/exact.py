"""Activations in long double, each formula written for accuracy relative to its value, however far out.

Written apart from the program's own formulas, which they judge. `of(name, parameters)` gives the
function, its slope (the left limit at a kink) and its kinks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from scipy import special

from sweep import theory
from sweep.base.registry import TRANSFORMED

LONG = np.longdouble
WIDE = np.finfo(LONG).nmant >= 63  # an x87's: elsewhere it may be a double by another name
PI = 4 * np.arctan(LONG(1))
FLAT_SLOPE = 1 - 0.99**2
FAR = LONG(1e4)  # beyond, a gate of a cubic is 0 or 1 to more than long double holds
SELU_ALPHA = LONG("1.6732632423543772848170429916717")
SELU_SCALE = LONG("1.0507009873554804934193349852946")


@dataclass(frozen=True)
class Exact:
    """f and f' in long double.

    numerical: the program has no derivative to go by, and takes a difference. ripples: f' crosses
    any threshold again and again, abs(f'') ≤ bend. own: a user's, which knows no long double.
    errors: z -> what one rounding of all that f and f' are sums of makes of them, where they are sums.
    offset: what is added to z first, in units of z.
    """

    f: Callable
    slope: Callable
    kinks: tuple[float, ...] = ()
    numerical: bool = False
    ripples: bool = False
    own: bool = False
    errors: Callable | None = None
    offset: float = 0.0
    bend: float = 1.0

    @cached_property
    def edges(self):
        """Where abs(f') crosses FLAT_SLOPE, to a double's accuracy or better."""
        half = np.concatenate([np.arange(64 * 256) / LONG(256), np.geomspace(64, 1e6, 2000).astype(LONG)])
        grid = np.unique(np.concatenate([-half, half]))
        flat = np.abs(self.slope(grid)) < FLAT_SLOPE
        changes = np.flatnonzero(flat[1:] != flat[:-1])
        left, right, first = grid[changes], grid[changes + 1], flat[changes]
        for _ in range(80):
            middle = (left + right) / 2
            stays = (np.abs(self.slope(middle)) < FLAT_SLOPE) == first
            left, right = np.where(stays, middle, left), np.where(stays, right, middle)
        return left


def sigmoid(z):
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, small) / (1 + small)


def bell(z):
    """σ(z) σ(-z)."""
    small = np.exp(-np.abs(z))
    return small / (1 + small) ** 2


def silu_slope(z):
    return sigmoid(z) * (1 + np.maximum(z, -FAR) * sigmoid(-z))


def softplus(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def mish_gate(z):
    """tanh(log(1 + exp z)) and 1 minus it, from (1 + w)² - 1 over (1 + w)² + 1."""
    w, v = np.exp(np.minimum(z, 0)), np.exp(-np.maximum(z, 0))
    below, above = w * (w + 2), 1 + 2 * v
    gate = np.where(z < 0, below / (below + 2), above / (above + 2 * v * v))
    rest = np.where(z < 0, 2 / (below + 2), 2 * v * v / (above + 2 * v * v))
    return gate, rest


def mish(z):
    return z * mish_gate(z)[0]


def mish_slope(z):
    gate, rest = mish_gate(z)
    return gate + np.clip(z, -FAR * FAR, FAR * FAR) * rest * (1 + gate) * sigmoid(z)


def tail(z):
    """Φ(-|z|) / φ(z), Mills' ratio: to a double's accuracy, and of any size."""
    return np.sqrt(PI / 2) * special.erfcx((np.abs(z) / np.sqrt(LONG(2))).astype(np.float64)).astype(LONG)


def density(z):
    return np.exp(-z * z / 2) / np.sqrt(2 * PI)


def gelu(z):
    beyond = tail(z) * density(z)
    return z * np.where(z < 0, beyond, 1 - beyond)


def gelu_slope(z):
    z = np.clip(z, -FAR, FAR)
    below = density(z) * (tail(z) - np.abs(z))
    return np.where(z < 0, below, 1 - below)


def cubic(z):
    """u with gelu_tanh(z) = z σ(u), and u'."""
    z, factor, third = np.clip(z, -FAR, FAR), 2 * np.sqrt(2 / PI), LONG("0.044715")
    return factor * (z + third * z**3), factor * (1 + 3 * third * z**2)


def gelu_tanh(z):
    return z * sigmoid(cubic(z)[0])


def gelu_tanh_slope(z):
    u, rate = cubic(z)
    return sigmoid(u) * (1 + np.clip(z, -FAR, FAR) * sigmoid(-u) * rate)


def tanh_slope(z):
    small = np.exp(-2 * np.abs(z))
    return 4 * small / (1 + small) ** 2


def erf(z):
    near = 2 / np.sqrt(PI) * z * (1 - z * z / 3)
    return np.where(np.abs(z) < 1e-5, near, special.erf(z.astype(np.float64)))


def erf_slope(z):
    return 2 / np.sqrt(PI) * np.exp(-z * z)


def leaky(z, negative_slope=0.01):
    return np.where(z > 0, z, LONG(negative_slope) * z)


def leaky_slope(z, negative_slope=0.01):
    return np.where(z > 0, LONG(1), LONG(negative_slope))


def elu(z, alpha=1.0, scale=1.0):
    return scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def elu_slope(z, alpha=1.0, scale=1.0):
    return scale * np.where(z > 0, LONG(1), alpha * np.exp(np.minimum(z, 0)))


def celu(z, alpha=1.0):
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0) / LONG(alpha)))


def celu_slope(z, alpha=1.0):
    return np.where(z > 0, LONG(1), np.exp(np.minimum(z, 0) / LONG(alpha)))


def root(z):
    return z / np.sqrt(np.hypot(1, z))


def root_slope(z):
    length = np.hypot(1, z)
    return (1 - (z / length) ** 2 / 2) / np.sqrt(length)


RELU = Exact(partial(leaky, negative_slope=0.0), partial(leaky_slope, negative_slope=0.0), (0.0,))
GELU = Exact(gelu, gelu_slope)
BUILT_IN = {
    "identity": Exact(np.positive, np.ones_like),
    "relu": RELU,
    "leaky_relu": Exact(leaky, leaky_slope, (0.0,)),
    "relu6": Exact(lambda z: np.clip(z, 0, 6), lambda z: ((z > 0) & (z < 6)).astype(LONG), (0.0, 6.0)),
    "squared_relu": Exact(lambda z: np.maximum(z, 0) ** 2, lambda z: 2 * np.maximum(z, 0), (0.0,)),
    "hardswish": Exact(
        lambda z: z * np.clip(z + 3, 0, 6) / 6,
        lambda z: np.where(z >= 3, LONG(1), np.where(z <= -3, LONG(0), z / 3 + LONG(1) / 2)),
        (-3.0, 3.0),
    ),
    "hardsigmoid": Exact(
        lambda z: np.clip(z + 3, 0, 6) / 6, lambda z: (np.abs(z) < 3) * (LONG(1) / 6), (-3.0, 3.0)
    ),
    "elu": Exact(elu, elu_slope, (0.0,)),
    "celu": Exact(celu, celu_slope, (0.0,)),
    "selu": Exact(
        partial(elu, alpha=SELU_ALPHA, scale=SELU_SCALE),
        partial(elu_slope, alpha=SELU_ALPHA, scale=SELU_SCALE),
        (0.0,),
    ),
    "gelu": GELU,
    "gelu_tanh": Exact(gelu_tanh, gelu_tanh_slope),
    "silu": Exact(lambda z: z * sigmoid(z), silu_slope),
    "mish": Exact(mish, mish_slope),
    "tanh": Exact(np.tanh, tanh_slope),
    "sigmoid": Exact(sigmoid, bell),
    "erf": Exact(erf, erf_slope),
    "hardtanh": Exact(lambda z: np.clip(z, -1, 1), lambda z: (np.abs(z) < 1).astype(LONG), (-1.0, 1.0)),
    "softplus": Exact(softplus, sigmoid),
    "softsign": Exact(lambda z: z / (1 + np.abs(z)), lambda z: 1 / (1 + np.abs(z)) ** 2, (0.0,)),
    "sin": Exact(np.sin, np.cos, ripples=True),
}


# What users write: for float32 and float64 arrays, with and without the derivative.
def own_relu(z):
    return np.maximum(z, 0)


def own_relu_slope(z):
    return (z > 0).astype(z.dtype)


def own_elu(z):
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def own_elu_slope(z):
    return np.exp(np.minimum(z, 0))


def own_shifted(z):
    return np.maximum(z - 0.25, 0)


def own_shifted_slope(z):
    return (z > 0.25).astype(z.dtype)


def own_gelu(z):
    return z * special.ndtr(z)


def own_gelu_slope(z):
    near = np.clip(z, -40, 40)
    return special.ndtr(near) + near * np.exp(-near * near / 2) / np.sqrt(2 * np.pi)


def own_root(z):
    return z / np.sqrt(np.hypot(1, z))


def own_root_slope(z):
    length = np.hypot(1, z)
    return (1 - (z / length) ** 2 / 2) / np.sqrt(length)


OWN = {
    "relu": (own_relu, own_relu_slope, RELU),
    "elu": (own_elu, own_elu_slope, BUILT_IN["elu"]),
    "shifted": (
        own_shifted,
        own_shifted_slope,
        Exact(lambda z: np.maximum(z - LONG(0.25), 0), lambda z: (z > 0.25).astype(LONG), (0.25,)),
    ),
    "gelu": (own_gelu, own_gelu_slope, GELU),
    "root": (own_root, own_root_slope, Exact(root, root_slope)),
}


def transformed(depth, of, method, target=None):
    """c (f(a z + b) + d) with the constants that theory solves for."""
    found = theory.transform(of, depth, method, target)
    a, b = LONG(found.input_scale), LONG(found.input_shift)
    c, d = LONG(found.output_scale), LONG(found.output_shift)
    leaky = found.negative_slope is not None
    inner = BUILT_IN[of]
    if leaky:
        f, slope = leaky_with(found.negative_slope)
        inner = replace(inner, f=f, slope=slope)

    def errors(z):
        v, terms = a * z + b, np.abs(a * z) + abs(b)
        step = LONG(1e-6) * (1 + np.abs(v))
        curved = np.minimum(np.abs(inner.slope(v + step) - inner.slope(v - step)) / (2 * step), 10)
        steep = np.abs(inner.slope(v))
        return c * (np.abs(inner.f(v)) + abs(d) + steep * terms), c * a * (steep + curved * terms)

    return Exact(
        lambda z: c * (inner.f(a * z + b) + d),
        lambda z: c * a * inner.slope(a * z + b),
        tuple(float((LONG(kink) - b) / a) for kink in inner.kinks),
        ripples=inner.ripples,
        errors=None if leaky else errors,
        offset=float(abs(b) / a),
        bend=float(c * a * a),
    )


def leaky_with(negative_slope):
    return (
        partial(leaky, negative_slope=negative_slope),
        partial(leaky_slope, negative_slope=negative_slope),
    )


def of(name, parameters, depth=0):
    """The exact activation of a name; 'own gelu' and 'own gelu numerical' are a user's.

    depth: that of the network, from which the constants of a transformed one follow.
    """
    if name == TRANSFORMED:
        return transformed(depth, **parameters)
    if name.startswith("own "):
        _, key, *numerical = name.split()
        found = OWN[key][2]
        return replace(found, numerical=bool(numerical), own=True)
    found = BUILT_IN[name]
    if not parameters:
        return found
    return replace(found, f=partial(found.f, **parameters), slope=partial(found.slope, **parameters))
