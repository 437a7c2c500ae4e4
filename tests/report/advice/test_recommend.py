import ast
import math
import re

import numpy as np
import pytest

import sweep
from sweep import theory
from sweep.base.errors import RequestError
from sweep.report.advice.candidates import Candidate, Survival, rank
from sweep.report.advice.derivation import DEEPEST, trusted_depth
from sweep.report.advice.table import paste
from tests.studies import grid, stored

DEPTH, WIDTH = 12, 64
MINE = """
import numpy as np


def rounded(z):
    return np.round(np.tanh(z), 6)


def faint(z):
    return 1e-200 * z


def broken(z):
    raise ValueError("on two\\nlines")
"""


@pytest.fixture(scope="module")
def asked():
    """One quick sweep per activation."""
    return {act: sweep.recommend(act, DEPTH, WIDTH) for act in ("tanh", "relu", "selu", "gelu", "silu")}


@pytest.mark.parametrize(
    ("act", "first"), [("tanh", "xavier"), ("relu", "kaiming"), ("selu", "lecun_normal")]
)
def test_every_activation_wants_the_scheme_made_for_it(asked, act, first):
    assert asked[act].best.schemes[0] == first
    assert asked[act].best.imbalance < 0.1


@pytest.mark.parametrize("act", ["gelu", "silu"])
def test_gelu_and_its_like_want_the_derived_gain_with_a_caution(asked, act):
    found = asked[act]
    assert found.best.sigma_w == theory.gain(act)
    assert found.best.fate == "repels"
    assert found.best.schemes == (
        f"variance_scaling scale={theory.gain(act) ** 2:.6g}",
        f"orthogonal gain={theory.gain(act):.6g}",
        "lsuv",
    )
    assert any(line.startswith("caution:") and "repels" in line for line in found.derivation)


def test_schemes_of_one_sigma_w_share_a_rank_textbook_names_first_then_orthogonal_and_lsuv(asked):
    table = asked["relu"].table
    assert table[table["rank"] == 1]["init"].tolist() == [
        "kaiming", "he_normal", "he_uniform", "orthogonal gain=1.41421", "lsuv",
    ]  # fmt: skip
    assert table.groupby("rank")["sigma_w"].nunique().eq(1).all()


def test_measured_and_predicted_stand_side_by_side(asked):
    table = asked["tanh"].table.dropna(subset="rms")
    assert table[table["init"] == "lsuv"]["theory_rms"].isna().all()  # it looks at the data
    healthy = table[(table["chi1"] > 0.9) & (table["init"] != "lsuv")]
    # 64 neurons and three seeds: within a third, backward too.
    np.testing.assert_allclose(healthy["rms"], healthy["theory_rms"], rtol=0.33)
    np.testing.assert_allclose(healthy["delta_std_first"], healthy["theory_delta_first"], rtol=0.33)
    assert set(table["verdict"]) == {"healthy", "vanishing"}


def test_the_printed_recommendation_holds_the_derivation_the_ranking_and_the_lines(asked):
    text = str(asked["gelu"])
    for piece in ("E[f²] = 0.425221", "1.53353", "kaiming, he_normal", *asked["gelu"].paste.values()):
        assert piece in text


def candidate(chi1, forward=1.0, v=1.0, **measured):
    found = {name: Survival(size, size) for name, size in measured.items()}
    return Candidate(1.0, ("xavier", "lsuv"), "", v, chi1, 0.5, 10, Survival(forward, forward), found)


def test_candidates_are_ranked_by_chi1_and_then_by_what_survives():
    best, lost, weak, off = (
        candidate(1 + 1e-9, forward=1e-9, lsuv=0.9),  # what was measured counts more than what was predicted
        candidate(1.0, v=math.inf),
        candidate(1.0, forward=1e-3),
        candidate(0.5),
    )
    assert rank([off, lost, weak, best]) == [(1, best), (2, weak), (3, off), (4, lost)]


@pytest.mark.parametrize(
    ("act", "sigma_w", "width", "at_least", "below"),
    [
        ("tanh", 1.0, 10_000, DEEPEST, math.inf),
        ("relu", math.sqrt(2), 512, 100, 300),  # by then all inputs look alike
        ("relu", 1.0, 512, 10, 14),  # 2^(-12/2) and the spread of width 512 make 1e-2
        ("gelu", 1.0, 512, 4, 9),
    ],
)
def test_a_depth_can_be_trusted_until_theory_finds_the_network_ill(act, sigma_w, width, at_least, below):
    assert at_least <= trusted_depth(act, sigma_w, width) < below


def test_an_activation_of_ones_own_is_recommended_for_in_python_and_by_name(sweep_command, tmp_path):
    def twice_tanh(z):
        return 2 * np.tanh(z)

    found = sweep.recommend(twice_tanh, DEPTH, WIDTH)
    # Its best weights are half of tanh's.
    assert found.best.sigma_w == pytest.approx(0.5, rel=1e-6)
    (tmp_path / "mine.py").write_text("import numpy as np\ndef act(z, k=1.0):\n    return k * np.tanh(z)\n")
    done = sweep_command(
        "mine.act", "--depth", "3", "--width", "16", "--param", "k=2", module="sweep.recommend", COLUMNS="200"
    )
    assert done.returncode == 0, done.stderr
    assert "variance_scaling scale=0.25 " in done.stdout
    assert done.stderr == ""


def test_where_no_spread_is_predicted_no_depth_is_trusted(sweep_command):
    found = sweep.recommend("relu", 3, 4)
    assert found.table["depth_trusted"].isna().all()
    done = sweep_command("relu", "--depth", "3", "--width", "4", module="sweep.recommend", COLUMNS="120")
    assert re.search(r"kaiming +1\.4142 1\.0000 +2 +stays +· ", done.stdout)


def test_a_depth_to_which_a_network_is_trusted_is_no_less_than_0():
    assert trusted_depth(np.sign, 1.0, 64) == 0  # no gradient at all


def forward(study, **values):
    """Median over the seeds of the rms at the last layer over the input's."""
    cells = sweep.load(study).set_index("cell_id")
    inputs = sweep.load(study, "layers").query("layer == 0").set_index("cell_id")["rms"]
    for name, value in values.items():
        cells = cells[cells[name] == value]
    return (cells["rms"] / inputs.reindex(cells.index)).median()


def test_networks_of_different_settings_are_not_averaged(tmp_path):
    values = {"depths": (3,), "widths": (16,), "acts": ("relu",), "inits": ("kaiming", "xavier")}
    cells = [one for batch in (2, 30, 40) for one in grid(**values, batch=batch)]
    cells += grid(**values, batch=30, seeds=(3,), bias_std=0.5)
    stored(tmp_path / "a", [*cells, *grid(**values, batch=2, dtype="float64")])
    found = sweep.recommend("relu", 3, 16, tmp_path / "a")
    assert found.source.endswith("a, batch 40, dtype float32"), "of as many seeds the greatest batch"
    assert found.best.measured["kaiming"].forward == pytest.approx(
        forward(tmp_path / "a", init="kaiming", batch=40, dtype="float32")
    )
    stored(tmp_path / "b", [*cells, *grid(**values, batch=2, seeds=(3,))])
    found = sweep.recommend("relu", 3, 16, tmp_path / "b")
    assert found.source.endswith("b, batch 2, dtype float32"), "the most seeds"
    assert found.best.measured["kaiming"].forward == pytest.approx(
        forward(tmp_path / "b", init="kaiming", batch=2)
    )


def test_a_stored_study_is_measured_enough(sweep_command, tmp_path):
    arguments = ("init=xavier,kaiming,normal", "init.std=0.3", "act=relu", "depth=6", "width=32", "seed=0,1")
    assert sweep_command("-m", *arguments, "batch=50", "report=false", "study=s").returncode == 0
    study = tmp_path / "outputs" / "s"
    found = sweep.recommend("relu", 6, 32, study)
    measured = found.best.measured["kaiming"]
    assert measured.forward == pytest.approx(forward(study, init="kaiming"))
    assert "normal std=0.3" in set(found.table["init"])
    done = sweep_command(
        "relu", "--depth", "6", "--width", "32", "--study", "outputs/s", module="sweep.recommend"
    )
    assert done.returncode == 0, done.stderr
    with pytest.raises(
        RequestError, match="holds no relu at depth 7 and width 32: it holds depth 6 width 32"
    ):
        sweep.recommend("relu", 7, 32, study)


@pytest.mark.parametrize("sigma_w", [1.0, math.sqrt(2), 1.5335304411955353])
def test_the_line_for_torch_draws_what_it_promises(sigma_w):
    torch = pytest.importorskip("torch", reason="the peers extra is not installed: pip install -e '.[peers]'")
    layer = torch.nn.Linear(400, 300)
    torch.manual_seed(0)
    exec(paste(sigma_w)["torch"], {"torch": torch, "layer": layer})
    # 120,000 weights: their std is known to 1 / sqrt(240,000) = 0.2 %.
    assert float(layer.weight.detach().std()) * math.sqrt(400) == pytest.approx(sigma_w, rel=0.01)


@pytest.mark.parametrize("sigma_w", [0.25, 1.0, math.sqrt(2), 1.5335304411955353])
def test_the_lines_for_keras_and_jax_say_what_our_schemes_of_that_name_draw(sigma_w):
    lines = paste(sigma_w)
    for framework, named in (
        ("keras", {"LecunNormal": 1, "HeNormal": 2}),
        ("jax", {"lecun_normal": 1, "he_normal": 2}),
    ):
        call = ast.parse(lines[framework], mode="eval").body
        name = call.func.attr
        values = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant)]
        scale = named[name] if name in named else values[0]
        assert scale == pytest.approx(sigma_w**2, rel=1e-9)
        if name not in named:
            assert values[1:] in (["fan_in", "normal"], ["fan_in", "untruncated_normal"])


@pytest.mark.parametrize("columns", ["110", "80", "50"])
def test_a_narrow_terminal_cuts_no_number_of_the_ranking(sweep_command, columns):
    arguments = ("tanh", "--depth", "40", "--width", "32")
    done = sweep_command(*arguments, module="sweep.recommend", COLUMNS=columns)
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stdout
    assert "left out, as this terminal is narrow: v" in done.stdout
    assert re.search(r"torch/linear_default +0\.5774 .*vanishing", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["glue"], "unknown act 'glue': did you mean 'gelu'?"),
        (["tanh", "--depth", "0"], "depth=0: depth must be a whole number, at least 1"),
        (["tanh", "--depth", "x"], "invalid int value: 'x'; see python -m sweep.recommend --help"),
        (["tanh", "--study", "nowhere"], "nowhere is no study"),
        (["numpy.reciprocal"], "does not converge"),
        (["mine.rounded"], "the slope of mine.rounded(z) is not known: it has more steps than can be listed"),
        (["mine.faint"], "no weights keep mine.faint(z): that takes sigma_w = 1e+200"),
        (["mine.broken"], "mine.broken raised ValueError: on two lines"),
        (["elu", "--param", "beta=2"], "act 'elu' has no parameter 'beta'"),
        (["elu", "--param", "alpha=x"], "--param alpha=x: give a name and a number"),
        (["tanh", "--depth", "1000", "--width", "1000000"], "would not fit this machine's memory"),
        ([], "the following arguments are required: act"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(sweep_command, tmp_path, arguments, says):
    (tmp_path / "mine.py").write_text(MINE)
    done = sweep_command(*arguments, module="sweep.recommend")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert says in line
