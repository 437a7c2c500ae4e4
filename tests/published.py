"""Mean, variance and bounds of W as the papers and the frameworks give them, apart from the schemes."""

import math

from sweep import initializers

STD_CUT_AT_2 = 0.87962566103423978  # of N(0, 1): the number in Keras's and JAX's sources


def fans(mode, fan_in, fan_out):
    return {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]


# Var W by the published formulas, written independently of the schemes: name -> (numerator, fan).
VARIANCES = {
    "xavier": (1, "fan_in"),
    "kaiming": (2, "fan_in"),
    "variance_scaling": (1, "fan_in"),
    "torch/xavier_uniform": (1, "fan_avg"),
    "torch/xavier_normal": (1, "fan_avg"),
    "torch/kaiming_uniform": (2, "fan_in"),
    "torch/kaiming_normal": (2, "fan_in"),
    "torch/linear_default": (1 / 3, "fan_in"),
    "keras/variance_scaling": (1, "fan_in"),
    "jax/variance_scaling": (1, "fan_in"),
}
_FAMILIES = {"lecun": (1, "fan_in"), "glorot": (1, "fan_avg"), "he": (2, "fan_in")}
_ALIASES = {"xavier": (1, "fan_avg"), "kaiming": (2, "fan_in")}
for _shape in ("normal", "uniform"):
    for _prefix in ("", "keras/", "jax/"):
        VARIANCES |= {f"{_prefix}{name}_{_shape}": rule for name, rule in _FAMILIES.items()}
    VARIANCES |= {f"jax/{name}_{_shape}": rule for name, rule in _ALIASES.items()}
# (E W, std W) of those that are whatever the fan.
FIXED = {
    "normal": (0, 0.01),
    "small_normal": (0, 0.01),
    "big_normal": (0, 1),
    "huge_normal": (0, 5),
    "uniform": (0, 0.1 / math.sqrt(12)),
    "truncated_normal": (0, 0.01 * STD_CUT_AT_2),
    "torch/uniform": (0.5, 1 / math.sqrt(12)),
    "torch/normal": (0, 1),
    "torch/trunc_normal": (0, STD_CUT_AT_2),
    "keras/random_normal": (0, 0.05),
    "keras/random_uniform": (0, 0.1 / math.sqrt(12)),
    "keras/truncated_normal": (0, 0.05 * STD_CUT_AT_2),
    "jax/normal": (0, 0.01),
    "jax/uniform": (0.005, 0.01 / math.sqrt(12)),
    "jax/truncated_normal": (0, 0.01 * STD_CUT_AT_2),
}
VALUES = {
    "zeros": 0,
    "constant": 0.01,
    "torch/zeros": 0,
    "torch/ones": 1,
    "torch/constant": 0.01,
    "keras/zeros": 0,
    "keras/ones": 1,
    "keras/constant": 0,
    "jax/zeros": 0,
    "jax/ones": 1,
    "jax/constant": 0.01,
}
EYES = ("identity", "torch/eye", "keras/identity")
ORTHOGONAL = ("orthogonal", "torch/orthogonal", "keras/orthogonal", "jax/orthogonal")
SPARSE = ("sparse", "torch/sparse")
NOT_IID = (*VALUES, *EYES, *ORTHOGONAL, *SPARSE, "lsuv")
# Bounds of W by the frameworks' documentation; the others have none.
BOUNDS = {
    "uniform": (-0.05, 0.05),
    "truncated_normal": (-0.02, 0.02),
    "torch/uniform": (0, 1),
    "torch/trunc_normal": (-2, 2),
    "keras/random_uniform": (-0.05, 0.05),
    "keras/truncated_normal": (-0.1, 0.1),
    "jax/uniform": (0, 0.01),
    "jax/truncated_normal": (-0.02, 0.02),
}
UNIFORM = {name for name in VARIANCES if name.endswith("uniform")} | {"torch/linear_default"}
CUT = {name for name in VARIANCES if name.startswith(("keras/", "jax/"))} - UNIFORM


def published(name, fan_in, fan_out):
    """(E W, std W) by the formula, whatever the scheme says of itself; a newcomer is taken at its word."""
    if name in VARIANCES:
        numerator, mode = VARIANCES[name]
        return 0, math.sqrt(numerator / fans(mode, fan_in, fan_out))
    known = FIXED | {value: (VALUES[value], 0) for value in VALUES} | dict.fromkeys(EYES, (0, 1))
    known |= dict.fromkeys(ORTHOGONAL, (0, 1 / math.sqrt(max(fan_in, fan_out))))
    known |= dict.fromkeys(SPARSE, (0, 0.01 * math.sqrt(1 - math.ceil(0.9 * fan_out) / fan_out)))
    scheme = initializers.get(name)
    return known.get(name) or (scheme.weight_mean(fan_in, fan_out), scheme.weight_std(fan_in, fan_out))


def bounds(name, fan_in, fan_out):
    std = published(name, fan_in, fan_out)[1]
    if name in UNIFORM:
        return -math.sqrt(3) * std, math.sqrt(3) * std
    if name in CUT:
        return -2 * std / STD_CUT_AT_2, 2 * std / STD_CUT_AT_2
    return BOUNDS.get(name, (-math.inf, math.inf))
