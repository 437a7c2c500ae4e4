import pytest

from sweep import activations, initializers
from sweep.base.errors import RequestError
from sweep.base.meant import _MEANT, suggestion
from sweep.experiment.axes import DTYPES, KEYS
from sweep.theory.consequences.formats import FORMATS

OPTIONS = {
    "act": activations.names(), "init": initializers.names(), "dtype": DTYPES, "key": KEYS, "format": FORMATS
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "typed", "meant"),
    [
        ("act", "swish", "silu"), ("act", "Swish", "silu"), ("act", "ReLU", "relu"), ("act", "RELU", "relu"),
        ("act", "LeakyReLU", "leaky_relu"), ("act", "linear", "identity"), ("act", "hard_swish", "hardswish"),
        ("act", "HardSigmoid", "hardsigmoid"), ("act", "relu2", "squared_relu"), ("act", "ReLU6", "relu6"),
        ("act", "torch.nn.GELU", "gelu"), ("act", "gelu_new", "gelu_tanh"), ("act", "logistic", "sigmoid"),
        ("init", "kaiming_normal", "torch/kaiming_normal"), ("init", "he", "he_normal"),
        ("init", "kaiming_normal_", "torch/kaiming_normal"), ("init", "lecun", "lecun_normal"),
        ("init", "xavier_uniform", "torch/xavier_uniform"), ("init", "Xavier", "xavier"),
        ("init", "torch.nn.init.trunc_normal_", "truncated_normal"), ("init", "eye", "torch/eye"),
        ("init", "random_normal", "keras/random_normal"), ("init", "gaussian", "normal"),
        ("init", "nn.Linear", "torch/linear_default"), ("init", "GlorotUniform", "glorot_uniform"),
        ("dtype", "bfloat16", "float32"), ("dtype", "double", "float64"), ("dtype", "Float64", "float64"),
        ("format", "half", "float16"), ("format", "BF16", "bfloat16"), ("format", "e5m2", "float8_e5m2"),
        ("key", "layers", "depth"), ("key", "batch_size", "batch"), ("key", "activation", "act"),
        ("act", "glue", "gelu"), ("init", "xaver", "xavier"),  # by spelling, where nothing is meant
    ],
)  # fmt: skip
def test_a_name_is_suggested_by_meaning_before_spelling(kind, typed, meant):
    assert suggestion(typed, OPTIONS[kind], kind).startswith(f"did you mean '{meant}'")


def test_every_framework_that_has_the_name_is_named():
    line = suggestion("xavier_uniform", OPTIONS["init"], "init")
    assert line == "did you mean 'torch/xavier_uniform' or 'jax/xavier_uniform' or 'keras/glorot_uniform'? "
    assert suggestion("ones", OPTIONS["init"], "init") == (
        "did you mean 'torch/ones' or 'keras/ones' or 'jax/ones'? "
    )


@pytest.mark.parametrize("typed", ["swiglu", "SwiGLU", "geglu", "reglu", "glu"])
def test_a_gated_unit_is_said_to_be_none(typed):
    with pytest.raises(RequestError) as caught:
        activations.get(typed)
    line = str(caught.value)
    assert line.startswith(f"unknown act '{typed}': a gated unit multiplies two halves of a layer")
    assert "\n" not in line


def test_whatever_is_meant_is_there_and_nothing_there_is_taken_for_something_else():
    for kind, table in _MEANT.items():
        bare = {name.replace("_", "") for name in OPTIONS[kind]}
        for typed, names in table.items():
            if isinstance(names, str):
                names = [names.split("'")[1]]  # noqa: PLW2901
            assert set(names) <= set(OPTIONS[kind]), typed
            assert typed not in bare


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("act=swish", "unknown act 'swish': did you mean 'silu'?"),
        ("act=ReLU", "unknown act 'ReLU': did you mean 'relu'?"),
        ("init=kaiming_normal", "unknown init 'kaiming_normal': did you mean 'torch/kaiming_normal' or"),
        ("dtype=bfloat16", "unknown dtype 'bfloat16': did you mean 'float32'?"),
        ("layers=3", "unknown key 'layers': did you mean 'depth'?"),
    ],
)
def test_the_command_line_refuses_it_with_the_right_name(sweep_command, argument, says):
    done = sweep_command(argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
