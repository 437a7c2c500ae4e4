"""Lines to paste: what to write for recommended weights in torch, Keras and JAX."""

import math
from collections.abc import Mapping

from sweep.activations import Activation
from sweep.report.advice.candidates import LAYER, LSUV, ORTHOGONAL, Candidate, is_equal

_FAN_IN = "torch.nn.init._calculate_fan_in_and_fan_out(layer.weight)[0]"  # Linear's and Conv's
_LSUV = '''\
# lsuv: torch has no function for it. Call this once before training, with a batch: lsuv_(model, batch)
@torch.no_grad()
def lsuv_(model, *inputs):
    """Orthogonal weights, then scaled layer by layer until the outputs' variance is within 0.1 of 1."""
    def fit(layer, given, z):
        for _ in range(10):
            if abs(z.var() - 1) < 0.1 or not 0 < z.std() < float("inf"):
                break
            layer.weight /= z.std()
            z = layer.forward(*given)
        return z
    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    layers = [layer for layer in model.modules() if isinstance(layer, kinds)]
    for layer in layers:
        torch.nn.init.orthogonal_(layer.weight)
    hooks = [layer.register_forward_hook(fit) for layer in layers]
    model(*inputs)
    for hook in hooks:
        hook.remove()'''


def paste(best: Candidate, act: Activation) -> dict[str, str]:
    """By framework, what draws the candidate's weights: in torch for `layer`, a Linear or a Conv.

    The gain stands beside the one that torch calculates for the activation, where it has one. LSUV, which
    looks at the data, is a function of a few lines in torch, and in Keras and JAX nothing.
    """
    gain = float(f"{best.sigma_w:.10g}")
    scale = float(f"{best.sigma_w**2:.10g}")
    if best.kind == LSUV:
        return {"torch": _LSUV}
    if best.kind == LAYER:
        return {
            "torch": "layer.reset_parameters()  # weights and biases, as Linear and Conv draw them by default"
        }
    if best.kind == ORTHOGONAL:
        return {
            "torch": f"torch.nn.init.orthogonal_(layer.weight, gain={gain}){_beside(best.sigma_w, act)}",
            "keras": f"keras.initializers.Orthogonal(gain={gain})",
            "jax": f"jax.nn.initializers.orthogonal(scale={gain})",
        }
    if is_equal(best.sigma_w, 1):
        why = "N(0, 1/fan_in), as xavier here; torch's xavier_normal_ takes the mean of fan_in and fan_out"
        return {
            "torch": 'torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")'
            + _beside(1.0, act, why),
            "keras": "keras.initializers.LecunNormal()",
            "jax": "jax.nn.initializers.lecun_normal()",
        }
    if is_equal(best.sigma_w, math.sqrt(2)):
        return {
            "torch": 'torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")'
            + _beside(best.sigma_w, act),
            "keras": "keras.initializers.HeNormal()",
            "jax": "jax.nn.initializers.he_normal()",
        }
    return {
        "torch": f"torch.nn.init.normal_(layer.weight, std={gain} / {_FAN_IN} ** 0.5)"
        + _beside(best.sigma_w, act),
        "keras": f'keras.initializers.VarianceScaling(scale={scale}, mode="fan_in", '
        'distribution="untruncated_normal")',
        "jax": f'jax.nn.initializers.variance_scaling({scale}, "fan_in", "normal")',
    }


def _beside(gain: float, act: Activation, why: str = "") -> str:
    """A comment: the gain, torch's own where it has one, and why."""
    torch_gain = _torch_gain(act.name, dict(act.parameters))
    says = f"gain {gain:.4g}"
    if torch_gain:
        call, value = torch_gain
        same = "as" if is_equal(gain, value) else "not"
        says += f", {same} torch.nn.init.calculate_gain({call}) = {value:.4g}"
    return f"  # {says}{'; ' if why else ''}{why}"


def _torch_gain(name: str, parameters: Mapping[str, object]) -> tuple[str, float] | None:
    """The arguments of calculate_gain for an activation, and what it returns (torch 2.13)."""
    if name == "leaky_relu":
        slope = float(str(parameters["negative_slope"]))
        return f'"leaky_relu", {slope:g}', math.sqrt(2 / (1 + slope * slope))
    known = {"identity": ("linear", 1.0), "sigmoid": ("sigmoid", 1.0), "tanh": ("tanh", 5 / 3)}
    known |= {"relu": ("relu", math.sqrt(2)), "selu": ("selu", 3 / 4)}
    if name not in known:
        return None
    called, value = known[name]
    return f'"{called}"', value
