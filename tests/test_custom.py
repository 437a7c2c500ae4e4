"""Users' own functions, by dotted name and as callables."""

import importlib
import json
import re
import shutil
import textwrap

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep import activations, initializers
from sweep.base.errors import RequestError, UserCodeError
from sweep.kernel.draws import streams
from tests.documents import blocks, commands
from tests.make import cell
from tests.paths import CONF

ROOT = CONF.parent
PAGE = "docs/your-own.md"
MINE = """
import numpy as np
from tests.make import cell

def good(rng, fan_in, fan_out, alpha=1.0):
    return alpha * rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)

def transposed(rng, fan_in, fan_out):
    return np.zeros((fan_out, fan_in))

def nan(rng, fan_in, fan_out):
    return np.full((fan_in, fan_out), np.nan)

def faint(rng, fan_in, fan_out):
    return np.full((fan_in, fan_out), 1e-300)

def banded(rng, fan_in, fan_out):
    i, j = np.ogrid[:fan_in, :fan_out]
    return np.exp(-((i - j) ** 2.0))

def sparse(rng, fan_in, fan_out, least=-1.1e-38):
    weights = np.zeros((fan_in, fan_out))
    weights[:, 0] = least
    return weights

def text(rng, fan_in, fan_out):
    return np.full((fan_in, fan_out), "w")

def raising(rng, fan_in, fan_out):
    raise KeyError("alpha")

def swish(z, beta=1.0):
    return z / (1 + np.exp(-beta * z))

def swish_slope(z, beta=1.0):
    s = 1 / (1 + np.exp(-beta * z))
    return s + beta * z * s * (1 - s)

def bounded(z):
    return np.where(np.abs(z) < 7, z, np.nan)

def noise(z):
    return np.round(z * 1e6) / 1e6

def wavy(z):
    return z + np.sin(3 * z) ** 2 / 3

number = 3
"""


@pytest.fixture(scope="module", autouse=True)
def mine(tmp_path_factory):
    """A module of the user's, importable as from the working directory."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "mine.py").write_text(MINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield folder


def test_a_function_draws_what_it_returns_from_its_own_stream():
    scheme = initializers.get("custom", function="mine.good", kwargs={"alpha": 2.0})
    drawn = streams.weights([0], scheme.base, 1, 300, 200)[0]
    assert drawn.dtype == np.float32
    assert drawn.std() == pytest.approx(2 / np.sqrt(300), rel=0.02)  # 60,000 draws: 0.3 % per sigma
    other = initializers.get("custom", function="mine.good", kwargs={"alpha": 1.0})
    assert other.base != scheme.base
    assert other.base.key != scheme.base.key
    assert not scheme.known_std


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("transposed", r"returned shape (200, 300), not (fan_in, fan_out) = (300, 200): transpose it?"),
        ("nan", "returned 60000 of 60000 weights that are not finite"),
        ("text", "not real numbers"),
        (
            "faint",
            "returned a neuron whose weights are all below 1.18e-38, where float32 loses digits",
        ),
        ("sparse", "returned a neuron whose weights are all below 1.18e-38"),
        ("raising", "mine.raising raised KeyError: 'alpha'"),
    ],
)
def test_a_wrong_return_says_what_is_wrong(function, message):
    scheme = initializers.get("custom", function=f"mine.{function}")
    with pytest.raises(UserCodeError, match=re.escape(message)):
        scheme.base.draw(np.random.default_rng(0), 300, 200)


def test_the_least_weights_that_float32_holds_are_taken_as_they_are():
    assert initializers.get("custom", function="mine.banded")(np.random.default_rng(0), 50, 50).max() == 1
    scheme = initializers.get("custom", function="mine.sparse", kwargs={"least": 1.18e-38})
    drawn = scheme.base.draw(np.random.default_rng(0), 300, 200)
    np.testing.assert_allclose(drawn[:, 0], 1.18e-38, rtol=1e-7)
    assert not drawn[:, 1:].any()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, "init.function=null: name a function with its module"),
        ("good", "name a function with its module"),
        ("mine.god", "mine has no 'god'; did you mean 'good'?"),
        ("nowhere.f", "cannot import nowhere (ModuleNotFoundError"),
        ("mine.number", "number is a int, not a function"),
        ("mine.swish", "cannot be called here"),
    ],
)
def test_a_function_that_cannot_be_called_is_known_before_anything_runs(path, message):
    with pytest.raises(RequestError, match=re.escape(message)):
        cell(init={"name": "custom", "function": path})
    with pytest.raises(RequestError, match="unexpected keyword argument 'alfa'"):
        cell(init={"name": "custom", "function": "mine.good", "kwargs": {"alfa": 1}})


def test_an_edited_function_is_a_new_cell(mine, sweep_command, tmp_path):
    (tmp_path / "ideas.py").write_text(
        "import numpy as np\ndef f(rng, a, b):\n    return np.ones((a, b)) / a\n"
    )
    command = ("init=custom", "init.function=ideas.f", "depth=1", "width=4", "report=false")
    assert sweep_command(*command).returncode == 0
    assert "nothing to compute" in sweep_command(*command).stderr
    (tmp_path / "ideas.py").write_text(
        "import numpy as np\ndef f(rng, a, b):\n    return np.ones((a, b)) / b\n\n"
    )
    assert "nothing to compute" not in sweep_command(*command).stderr
    assert len(sweep.load(tmp_path / "outputs" / "single")) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_derivative_not_given_is_found(dtype):
    z = np.linspace(-6, 6, 200).astype(dtype)
    plain = activations.get("custom", function="mine.swish", kwargs={"beta": 2.0})
    given = activations.get(
        "custom", function="mine.swish", derivative="mine.swish_slope", kwargs={"beta": 2.0}
    )
    h = plain.f(z)
    assert h.dtype == plain.derivative(z, h).dtype == dtype
    # What is found is good to 1e-11; float32 rounds the result.
    np.testing.assert_allclose(
        plain.derivative(z, h), given.derivative(z, h), atol=1e-6 if dtype == np.float32 else 1e-10
    )
    silu = activations.get("silu")
    own = activations.get("custom", function="mine.swish")
    np.testing.assert_allclose(own.f(z), silu.f(z), rtol=1e-5)


def test_only_numbers_that_were_corrected_have_a_revision():
    given = {"function": "mine.swish", "derivative": "mine.swish_slope"}
    assert activations.get("custom", function="mine.swish").revision == 2
    assert activations.get("custom", **given).revision == 1
    assert {activations.get(name).revision for name in activations.ACTIVATIONS} == {1}


def test_an_activation_must_return_numbers_of_zs_shape():
    z = np.array([[1.0, -1.0]])
    for function, message in (
        (lambda z: z[0], "returned shape"),
        (np.log, "NaN, for example at z = -1"),
        (lambda z: z.astype(str), "dtype"),
    ):
        with np.errstate(invalid="ignore"), pytest.raises(UserCodeError, match=message):
            activations.resolved(function, {}).f(z)


def test_plain_callables_work_in_python():
    def gentle(rng, fan_in, fan_out, gain=1.0):
        return gain * rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)

    layers = sweep.propagate(init=gentle, act=np.tanh, depth=3, width=60, init_params={"gain": 1.0})
    known = sweep.propagate(init="xavier", act="tanh", depth=3, width=60)
    assert list(layers["layer"]) == [0, 1, 2, 3]
    np.testing.assert_allclose(layers["std"], known["std"], rtol=0.1)  # other draws of the same law
    as_objects = sweep.propagate(
        init=initializers.get("xavier"), act=activations.get("tanh"), depth=3, width=60
    )
    pd.testing.assert_frame_equal(as_objects, known)


def test_a_function_in_python_draws_what_a_run_stores_for_it(sweep_command, mine, tmp_path):
    asked = ("init=custom", "init.function=mine.good", "+init.kwargs.alpha=2", "act=custom")
    asked += ("act.function=mine.swish", "depth=3", "width=20", "batch=50", "report=false")
    assert sweep_command(*asked, PYTHONPATH=str(mine)).returncode == 0
    stored = sweep.load(tmp_path / "outputs" / "single", "layers")
    own = importlib.import_module("mine")
    layers = sweep.propagate(own.good, own.swish, 3, 20, batch=50, init_params={"alpha": 2})
    for name in ("rms", "flat", "grad_std"):
        assert layers[name].equals(stored[name]), name


@pytest.mark.parametrize(
    ("function", "std", "reason"),
    [
        ("noise", "0.1", "the slope of mine.noise(z) is not known: it has more steps than can be listed"),
        ("wavy", "1e4", "the slope of mine.wavy(z) is not known for every z that came up"),
        ("wavy", "0.1", None),
    ],
)
def test_a_run_says_why_gradients_are_null(function, std, reason, sweep_command, mine, tmp_path):
    asked = (f"act.function=mine.{function}", f"init.std={std}", "init=normal", "act=custom", "depth=3")
    done = sweep_command(*asked, "width=20", "batch=50", "report=false", PYTHONPATH=str(mine))
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "gradients are null" in line]
    assert said == ([f"gradients are null: {reason}; give act.derivative"] if reason else [])
    (cell,) = sweep.load(tmp_path / "outputs" / "single").itertuples()
    assert np.isnan(cell.delta_std_first) == (reason is not None)
    assert np.isfinite(cell.rms)


def test_a_users_failing_cells_are_rows_beside_those_that_work(sweep_command, mine, tmp_path):
    command = ["-m", "grid=smoke", "init=custom,xavier", "init.function=mine.raising", "act=tanh", "depth=2"]
    done = sweep_command(*command, "width=8", "seed=0", "n_jobs=2", PYTHONPATH=str(mine))
    assert done.returncode == 1
    assert "1 failed: UserCodeError: mine.raising raised KeyError" in done.stderr
    cells = sweep.load(tmp_path / "outputs" / "smoke").set_index("init")
    assert cells["status"].to_dict() == {"custom": "failed", "xavier": "ok"}


def test_an_activation_that_is_not_defined_everywhere_is_measured_where_it_is(sweep_command, mine, tmp_path):
    command = (
        "init=small_normal",
        "act=custom",
        "act.function=mine.bounded",
        "depth=2",
        "width=8",
        "report=false",
    )
    done = sweep_command(*command, PYTHONPATH=str(mine))
    assert done.returncode == 0, done.stderr
    assert sweep.load(tmp_path / "outputs" / "single")["verdict"].tolist() == ["vanishing"]


def test_the_pages_own_scheme_and_activation_work_as_written(sweep_command, tmp_path):
    (module,) = [block for block in blocks(PAGE, "python") if block.startswith("# my_ideas.py")]
    (tmp_path / "my_ideas.py").write_text(module)
    lines = [line.split() for line in commands(PAGE) if line.startswith("python -m sweep ")]
    assert len(lines) == 2
    for line in lines:
        small = ["depth=2", "width=8", "seed=0"] if "-m" in line[3:] else ["depth=2", "width=8"]
        done = sweep_command(*line[3:], *small)
        assert done.returncode == 0, done.stderr
    mine = sweep.load(tmp_path / "outputs" / "mine")
    assert len(mine) == 4  # three powers, and xavier once
    assert mine.loc[mine["init"] == "custom", "sigma_w"].isna().all()


def test_the_pages_recipe_adds_a_scheme_and_an_activation(sweep_command, tmp_path):
    for folder in ("sweep", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (scheme,) = [block for block in blocks(PAGE, "python") if "VarianceScaling" in block]
    (act,) = [block for block in blocks(PAGE, "python") if "Activation(" in block]
    for path, registry, entry in (
        ("initializers/schemes.py", "SCHEMES: Entries = {\n", scheme),
        (
            "activations/table.py",
            "ACTIVATIONS: dict[str, Activation | Callable[..., Activation]] = {\n",
            act,
        ),
    ):
        text = (tmp_path / "sweep" / path).read_text(encoding="utf-8")
        assert text.count(registry) == 1
        indented = textwrap.indent(textwrap.dedent(entry), "    ")
        (tmp_path / "sweep" / path).write_text(text.replace(registry, registry + indented), encoding="utf-8")
    for conf in blocks(PAGE, "yaml"):
        group, name = re.search(r"(init|act)=(\w+)", conf).groups()
        (tmp_path / "conf" / group / f"{name}.yaml").write_text(conf)
    done = sweep_command("init=half_kaiming", "act=square", "depth=1", "width=300")
    assert done.returncode == 0, done.stderr
    (row,) = sweep.load(tmp_path / "outputs" / "single").itertuples()
    assert (row.init, row.act) == ("half_kaiming", "square")
    # z ~ N(0, 1.5): E h = 1.5, and sigma_w² = 1.5; 300,000 entries of 300 neurons
    assert row.mean == pytest.approx(1.5, rel=0.05)
    assert row.sigma_w == pytest.approx(np.sqrt(1.5))


def test_what_the_environment_says_is_the_same_value_with_and_without_a_grid(sweep_command, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n\n\ndef act(z, k=1.0, word=''):\n    return float(k) * np.tanh(z)\n"
    )
    small = ("depth=2", "width=8", "batch=5", "report=false", "act=custom", "act.function=mine.act")
    typed = ("act.kwargs.k=${oc.env:K}", "act.kwargs.word=${oc.env:WORD}")
    there = {"PYTHONPATH": str(tmp_path), "K": "0.5", "WORD": "swordfish"}
    one = sweep_command(*small, *typed, "study=one", **there)
    assert one.returncode == 0, one.stderr
    many = sweep_command("-m", "grid=smoke", "init=xavier", "seed=0", *small, *typed, "study=many", **there)
    assert many.returncode == 0, many.stderr
    (first,), (second,) = (
        sweep.load(tmp_path / "outputs" / name)[["cell_id", "act_params"]].to_dict("records")
        for name in ("one", "many")
    )
    assert first == second
    assert json.loads(first["act_params"])["kwargs"] == {"k": "0.5", "word": "swordfish"}
    records = [path for path in (tmp_path / "outputs").glob("*/runs/*/*") if path.suffix in (".txt", ".yaml")]
    texts = "".join(path.read_text(encoding="utf-8") for path in records)
    assert "swordfish" not in texts
    assert texts.count("${oc.env:WORD}") == 4, "twice as a command, and as it was handed on"
    axis = sweep_command("-m", "grid=smoke", "init=normal", "init.std=${oc.env:NOPE}", "study=none")
    assert (axis.returncode, axis.stderr.count("\n")) == (2, 1), axis.stderr
    assert "Environment variable 'NOPE' not found" in axis.stderr
