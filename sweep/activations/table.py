"""The activations by name: what each is made of, and what it takes."""

import math
from collections.abc import Callable

import numpy as np

from sweep.activations import piecewise, smooth
from sweep.activations.activation import Activation, Given
from sweep.base import checks

_STEEP = 2.0**-16  # a smaller slope may turn into 0 what is not


def leaky_relu(negative_slope: float = 0.01) -> Activation:
    """max(z, 0) + negative_slope · min(z, 0): Maas et al. 2013."""
    slope = checks.real("act.negative_slope", negative_slope)
    return Activation(
        "leaky_relu",
        Given(piecewise.leaky_relu, (slope,)),
        Given(piecewise.leaky_relu_slope, (slope,)),
        kinks=(0.0,),
        homogeneous=True,
        piecewise_linear=slope == 0 or abs(slope) > _STEEP,
        formula=f"max(z, 0) + {slope:g} min(z, 0)",
        parameters=(("negative_slope", slope),),
    )


def elu(alpha: float = 1.0) -> Activation:
    """max(z, 0) + alpha · (exp(min(z, 0)) - 1): Clevert et al. 2016."""
    alpha = checks.real("act.alpha", alpha)
    factor = "" if alpha == 1 else f"{alpha:g} "
    return Activation(
        "elu",
        Given(piecewise.elu, (alpha,)),
        Given(piecewise.elu_slope, (alpha,)),
        kinks=(0.0,),  # with alpha = 1 it is f'' that jumps
        formula=f"z if z > 0 else {factor}(exp(z) - 1)",
        parameters=(("alpha", alpha),),
    )


def celu(alpha: float = 1.0) -> Activation:
    """max(z, 0) + alpha · (exp(min(z, 0) / alpha) - 1): Barron 2017."""
    alpha = checks.real("act.alpha", alpha, 0.0, strictly=True)
    factor, scaled = ("", "z") if alpha == 1 else (f"{alpha:g} ", f"z/{alpha:g}")
    return Activation(
        "celu",
        Given(piecewise.celu, (alpha,)),
        Given(piecewise.celu_slope, (alpha,)),
        kinks=(0.0,),  # of f''
        formula=f"z if z > 0 else {factor}(exp({scaled}) - 1)",
        parameters=(("alpha", alpha),),
    )


def softplus(beta: float = 1.0) -> Activation:
    """log(1 + exp(beta z)) / beta."""
    return _scaled(_SOFTPLUS, "log(1 + exp({0:g} z)) / {0:g}", beta)


def silu(beta: float = 1.0) -> Activation:
    """z / (1 + exp(-beta z)): swish; with beta = 1.702 the sigmoid's approximation of gelu."""
    return _scaled(_SILU, "z / (1 + exp(-{0:g} z))", beta)


def sin(omega: float = 1.0) -> Activation:
    """sin(omega z): Sitzmann et al. 2020."""
    omega = checks.real("act.omega", omega, 0.0, strictly=True)
    if omega == 1:
        return _SIN
    return Activation(
        "sin",
        Given(smooth.sine, (omega,)),
        Given(smooth.sine_slope, (omega,)),
        oscillates=True,
        formula=f"sin({omega:g} z)",
        parameters=(("omega", omega),),
        period=2 * math.pi / omega,
        unit=1 / omega,
    )


def _scaled(act: Activation, formula: str, beta: float) -> Activation:
    """act(beta z) / beta; act itself at 1, so that its cells are what they were without the parameter."""
    beta = checks.real("act.beta", beta, 0.0, strictly=True)
    if beta == 1:
        return act
    return Activation(
        act.name,
        Given(smooth.scaled, (act.f, beta)),
        Given(smooth.scaled_slope, (act.derivative, beta)),
        formula=formula.format(beta),
        parameters=(("beta", beta),),
        unit=1 / beta,
    )


_SILU = Activation("silu", smooth.silu, smooth.silu_slope, formula="z / (1 + exp(-z))")
_SOFTPLUS = Activation("softplus", smooth.softplus, smooth.softplus_slope, formula="log(1 + exp(z))")
_SIN = Activation("sin", np.sin, smooth.sin_slope, oscillates=True, formula="sin(z)", period=2 * math.pi)

# A function here makes an activation of the parameters it takes; an Activation has none.
ACTIVATIONS: dict[str, Activation | Callable[..., Activation]] = {
    "identity": Activation(
        "identity", np.positive, smooth.identity_slope, homogeneous=True, piecewise_linear=True, formula="z"
    ),
    "relu": Activation(
        "relu",
        Given(np.maximum, (0.0,)),
        piecewise.relu_slope,
        kinks=(0.0,),
        homogeneous=True,
        piecewise_linear=True,
        formula="max(z, 0)",
    ),
    "leaky_relu": leaky_relu,
    "relu6": Activation(
        "relu6",
        piecewise.relu6,
        piecewise.relu6_slope,
        kinks=(0.0, 6.0),
        piecewise_linear=True,
        formula="min(max(z, 0), 6)",
    ),
    "squared_relu": Activation(
        "squared_relu",
        piecewise.squared_relu,
        piecewise.squared_relu_slope,
        kinks=(0.0,),  # of f''
        formula="max(z, 0)²",
    ),
    "elu": elu,
    "celu": celu,
    "selu": Activation(
        "selu",
        piecewise.selu,
        piecewise.selu_slope,
        kinks=(0.0,),
        formula="1.0507 (z if z > 0 else 1.6733 (exp(z) - 1))",
    ),
    "gelu": Activation("gelu", smooth.gelu, smooth.gelu_slope, formula="z Φ(z)"),
    "gelu_tanh": Activation(
        "gelu_tanh",
        smooth.gelu_tanh,
        smooth.gelu_tanh_slope,
        formula="z/2 (1 + tanh(√(2/π) (z + 0.044715 z³)))",
    ),
    "silu": silu,
    "hardswish": Activation(
        "hardswish",
        piecewise.hardswish,
        piecewise.hardswish_slope,
        kinks=(-3.0, 3.0),
        formula="z min(max(z + 3, 0), 6) / 6",
    ),
    "mish": Activation("mish", smooth.mish, smooth.mish_slope, formula="z tanh(log(1 + exp(z)))"),
    "tanh": Activation("tanh", np.tanh, smooth.tanh_slope, rough_slope=smooth.ROUGH, formula="tanh(z)"),
    "sigmoid": Activation("sigmoid", smooth.sigmoid, smooth.sigmoid_slope, formula="1 / (1 + exp(-z))"),
    "hardsigmoid": Activation(
        "hardsigmoid",
        piecewise.hardsigmoid,
        piecewise.hardsigmoid_slope,
        kinks=(-3.0, 3.0),
        piecewise_linear=True,
        formula="min(max(z + 3, 0), 6) / 6",
    ),
    "erf": Activation("erf", smooth.erf, smooth.erf_slope, formula="erf(z)"),
    "hardtanh": Activation(
        "hardtanh",
        piecewise.hardtanh,
        piecewise.hardtanh_slope,
        kinks=(-1.0, 1.0),
        piecewise_linear=True,
        formula="min(max(z, -1), 1)",
    ),
    "softplus": softplus,
    "softsign": Activation(
        "softsign", piecewise.softsign, piecewise.softsign_slope, kinks=(0.0,), formula="z / (1 + abs(z))"
    ),
    "sin": sin,
}
