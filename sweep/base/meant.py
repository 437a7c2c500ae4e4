"""What people type for what is called otherwise here: the right name by meaning, before any by spelling."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

_GATED = "a gated unit multiplies two halves of a layer, but act(z) sees a single number; its gate alone is "

# By kind and by what is typed, in small letters without '_', '-' and blanks: the names meant, the nearest
# first; or a line that ends in the name. What is typed is refused all the same: one thing, one name, one id.
_MEANT: Mapping[str, Mapping[str, tuple[str, ...] | str]] = {
    "act": {
        **dict.fromkeys(("swish", "swish1"), ("silu",)),
        **dict.fromkeys(("linear", "none", "null", "id"), ("identity",)),
        **dict.fromkeys(("rectifier", "rectified", "rectifiedlinear"), ("relu",)),
        **dict.fromkeys(("prelu", "rrelu", "lrelu", "leaky"), ("leaky_relu",)),
        **dict.fromkeys(("relu2", "relusquared", "sqrelu", "relusq"), ("squared_relu",)),
        **dict.fromkeys(("hswish", "hardsilu", "hsilu"), ("hardswish",)),
        "hsigmoid": ("hardsigmoid",),
        "htanh": ("hardtanh",),
        **dict.fromkeys(("gelunew", "gelufast", "gelupytorchtanh", "gelupython", "approximategelu"),
                        ("gelu_tanh",)),
        **dict.fromkeys(("logistic", "expit", "sigm"), ("sigmoid",)),
        **dict.fromkeys(("sine", "siren"), ("sin",)),
        "quickgelu": "with act.beta=1.702 it is 'silu'",
        **dict.fromkeys(("swiglu", "siglu"), f"{_GATED}'silu'"),
        "geglu": f"{_GATED}'gelu'",
        "reglu": f"{_GATED}'relu'",
        "glu": f"{_GATED}'sigmoid'",
    },
    "init": {
        **dict.fromkeys(("he", "heinit"), ("he_normal", "he_uniform", "kaiming")),
        **dict.fromkeys(("lecun", "lecuninit"), ("lecun_normal", "lecun_uniform")),
        **dict.fromkeys(("glorot", "glorotinit"), ("glorot_normal", "glorot_uniform", "xavier")),
        "xavieruniform": ("torch/xavier_uniform", "jax/xavier_uniform", "keras/glorot_uniform"),
        "xaviernormal": ("torch/xavier_normal", "jax/xavier_normal", "keras/glorot_normal"),
        "kaiminguniform": ("torch/kaiming_uniform", "jax/kaiming_uniform", "keras/he_uniform"),
        "kaimingnormal": ("torch/kaiming_normal", "jax/kaiming_normal", "keras/he_normal"),
        **dict.fromkeys(("gaussian", "randn"), ("normal",)),
        **dict.fromkeys(("ortho", "haar"), ("orthogonal",)),
        **dict.fromkeys(("default", "linear", "pytorch", "torch"), ("torch/linear_default",)),
        **dict.fromkeys(("keras", "dense"), ("keras/glorot_uniform",)),
        **dict.fromkeys(("jax", "flax"), ("jax/lecun_normal",)),
        **dict.fromkeys(("truncnormal", "truncated"), ("truncated_normal", "torch/trunc_normal")),
        "zero": ("zeros",),
        **dict.fromkeys(("msra", "msrafiller", "delvingdeep"), ("kaiming", "he_normal")),
        "siren": "its hidden layers, with act=sin act.omega=30, have init.scale=0.00222 (2/omega²) and "
                 "init.distribution=uniform of 'variance_scaling'",
    },
    "dtype": {
        **dict.fromkeys(
            ("bfloat16", "bf16", "float16", "fp16", "f16", "half", "single", "float", "fp32", "f32", "tf32"),
            ("float32",),
        ),
        **dict.fromkeys(("double", "fp64", "f64", "float128", "longdouble"), ("float64",)),
    },
    "format": {
        **dict.fromkeys(("half", "fp16", "f16"), ("float16",)),
        **dict.fromkeys(("bf16", "brainfloat16"), ("bfloat16",)),
        **dict.fromkeys(("e4m3", "e4m3fn", "fp8e4m3", "float8e4m3"), ("float8_e4m3fn",)),
        **dict.fromkeys(("e5m2", "fp8e5m2"), ("float8_e5m2",)),
        **dict.fromkeys(("fp8", "float8"), ("float8_e4m3fn", "float8_e5m2")),
    },
    "key": {
        **dict.fromkeys(("activation", "activations", "nonlinearity"), ("act",)),
        **dict.fromkeys(("initializer", "initialization", "initialisation", "scheme", "weights"), ("init",)),
        **dict.fromkeys(("layers", "nlayers", "numlayers"), ("depth",)),
        **dict.fromkeys(("units", "neurons", "hidden", "hiddensize", "dim", "features"), ("width",)),
        **dict.fromkeys(("batchsize", "samples", "inputs"), ("batch",)),
        **dict.fromkeys(("bias", "sigmab", "biases"), ("bias_std",)),
        **dict.fromkeys(("jobs", "workers", "numworkers", "njob"), ("n_jobs",)),
        "precision": ("dtype",),
        **dict.fromkeys(("name", "output", "experiment"), ("study",)),
    },
}  # fmt: skip


def suggestion(value: object, options: Iterable[str], kind: str = "") -> str:
    """'did you mean …? ' where some of the options are meant by `value`, or one is close to it, else ''.

    kind: what the options are, as in 'act'.
    """
    names = list(options)
    meant = _by_meaning(kind, str(value), names)
    if isinstance(meant, str):
        return f"{meant}; "
    close = meant or get_close_matches(str(value), names, n=1, cutoff=0.6)
    return f"did you mean {' or '.join(repr(name) for name in close)}? " if close else ""


def _by_meaning(kind: str, value: str, options: list[str]) -> list[str] | str:
    """The options that `value` stands for, or a line to say; empty where nothing is known of it."""
    typed = _bare(value).rpartition(".")[2]  # of 'torch.nn.init.xavier_uniform_' the last name
    same = [name for name in options if _bare(name) == typed]
    known = _MEANT.get(kind, {}).get(typed, ())
    if same:
        return same
    if isinstance(known, str):
        return known
    # A framework's own name without the framework: torch's before all others.
    members = [name for name in options if "/" in name and _bare(name.rpartition("/")[2]) == typed]
    members.sort(key=lambda name: not name.startswith("torch/"))
    return [name for name in known if name in options] or members


def _bare(text: str) -> str:
    return text.casefold().translate(str.maketrans("", "", "_- "))
