"""A transformed activation as a recommendation tells it: what its constants meet, and lines to paste."""

from collections.abc import Mapping

from sweep import activations
from sweep.activations import Activation
from sweep.activations.transformed import DKS, Affine

_F = "torch.nn.functional."
# f(x) as torch, Keras and JAX have it, {0} standing for x. JAX's gelu is the tanh's unless told otherwise.
_CALLS: Mapping[str, tuple[str, str, str]] = {
    "leaky_relu": (
        f"{_F}leaky_relu({{0}}, {{1}})",
        "keras.activations.leaky_relu({0}, negative_slope={1})",
        "jax.nn.leaky_relu({0}, {1})",
    ),
    "elu": (f"{_F}elu({{0}})", "keras.activations.elu({0})", "jax.nn.elu({0})"),
    "celu": (f"{_F}celu({{0}})", "keras.activations.celu({0})", "jax.nn.celu({0})"),
    "selu": (f"{_F}selu({{0}})", "keras.activations.selu({0})", "jax.nn.selu({0})"),
    "gelu": (
        f"{_F}gelu({{0}})",
        "keras.activations.gelu({0}, approximate=False)",
        "jax.nn.gelu({0}, approximate=False)",
    ),
    "gelu_tanh": (
        f'{_F}gelu({{0}}, approximate="tanh")',
        "keras.activations.gelu({0}, approximate=True)",
        "jax.nn.gelu({0}, approximate=True)",
    ),
    "silu": (f"{_F}silu({{0}})", "keras.activations.silu({0})", "jax.nn.silu({0})"),
    "hardswish": (f"{_F}hardswish({{0}})", "keras.activations.hard_silu({0})", "jax.nn.hard_swish({0})"),
    "mish": (f"{_F}mish({{0}})", "keras.activations.mish({0})", "jax.nn.mish({0})"),
    "tanh": ("torch.tanh({0})", "keras.activations.tanh({0})", "jax.numpy.tanh({0})"),
    "sigmoid": ("torch.sigmoid({0})", "keras.activations.sigmoid({0})", "jax.nn.sigmoid({0})"),
    "erf": ("torch.erf({0})", "keras.ops.erf({0})", "jax.scipy.special.erf({0})"),
    "softplus": (f"{_F}softplus({{0}})", "keras.activations.softplus({0})", "jax.nn.softplus({0})"),
    "softsign": (f"{_F}softsign({{0}})", "keras.activations.softsign({0})", "jax.nn.soft_sign({0})"),
    "sin": ("torch.sin({0})", "keras.ops.sin({0})", "jax.numpy.sin({0})"),
}
_FRAMEWORKS = ("torch", "keras", "jax")


def derived(act: Activation, depth: int) -> list[str]:
    """What a transform's constants meet in a plain network of this depth, a line each; [] of another act."""
    if not (affine := activations.affine_of(act)):
        return []
    told = dict(act.parameters)
    method, target = told["method"], told["target"]
    begins, goes = f"transform {method}: f̂(x) =", "weights of variance 1/fan_in and no biases go with it"
    if slope := _slope(affine):
        return [
            f"{begins} {affine.output_scale:.6g} f(x), f(z) = {affine.of.formula}; {goes}",
            f"  slope below 0: {slope:.6g}: C, applied {depth} times, takes a cosine of 0 to {target:g}; "
            f"output_scale = √(2/(1 + slope²)) = {affine.output_scale:.6g}: Q(1) = 1",
        ]
    if method == DKS:
        kept = "Q(1) = Q'(1) = 1: signals keep the size 1"
        apart = f"C(0) = 0, C'(1) = {target:g}^(1/{depth}) = {target ** (1 / depth):.6g}"
    else:
        kept = "Q(1) = Q'(1) = C'(1) = 1: signals and gradients keep the size 1"
        apart = f"C''(1) = {target:g}/{depth} = {target / depth:.6g}"
    return [
        f"{begins} {_written(affine, 'f({0})', 6)}, f(z) = {affine.of.formula}; {goes}",
        f"  {kept}; {apart}: inputs stay apart",
    ]


def paste_act(act: Activation) -> dict[str, str]:
    """By framework, a line that defines a transformed activation as `act`; {} of another act.

    One of a user's own, or of parameters of its own, is made of a function f that is theirs.
    """
    if not (affine := activations.affine_of(act)):
        return {}
    name, parameters = affine.of.name, dict(affine.of.parameters)
    known = name == "leaky_relu" or (name in _CALLS and activations.get(name) == affine.of)
    calls = _CALLS[name] if known else ("f({0})",) * 3
    note = "" if known else f"  # f: {affine.of.formula}"
    slope = f"{parameters['negative_slope']:.10g}" if name == "leaky_relu" else ""
    return {
        framework: f"act = lambda x: {_written(affine, call.replace('{1}', slope), 10)}{note}"
        for framework, call in zip(_FRAMEWORKS, calls, strict=True)
    }


def _slope(affine: Affine) -> float | None:
    """That of a leaky ReLU below 0; None of another."""
    return dict(affine.of.parameters).get("negative_slope")


def _written(affine: Affine, call: str, digits: int) -> str:
    """f̂(x) as code, but for the products, which a formula does without; call: f of {0}."""
    times = " * " if digits > 6 else " "
    scale, a = f"{affine.output_scale:.{digits}g}", f"{affine.input_scale:.{digits}g}"
    if affine.input_scale == 1 and affine.input_shift == affine.output_shift == 0:
        return f"{scale}{times}{call.format('x')}"
    inner = f"{a}{times}x{_term(affine.input_shift, digits)}"
    return f"{scale}{times}({call.format(inner)}{_term(affine.output_shift, digits)})"


def _term(value: float, digits: int) -> str:
    return f" {'-' if value < 0 else '+'} {abs(value):.{digits}g}"
