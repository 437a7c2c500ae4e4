import os
import pty
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from html import escape

import numpy as np
import pytest

import sweep
from sweep import theory
from sweep.activations import Activation
from sweep.report.advice.derivation import derivation
from sweep.report.advice.table import print_ranking
from tests.paths import CONF

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
    """A recommendation per activation."""
    return {act: sweep.recommend(act, DEPTH, WIDTH) for act in ("tanh", "relu", "selu", "gelu", "silu")}


@pytest.mark.parametrize(
    ("act", "first"), [("tanh", "xavier"), ("relu", "kaiming"), ("selu", "lecun_normal")]
)
def test_every_activation_wants_the_scheme_made_for_it(asked, act, first):
    found = asked[act]
    assert found.best.schemes[0] == first
    assert found.best.imbalance < 0.1
    assert found.table.iloc[0][["init", "survives", "by"]].tolist() == [first, "yes", "trial"]
    assert found.says[0].startswith(f"{act} at depth 12 and width 64: take {first} (sigma_w = ")
    assert "in 3 of 3 seeds" in found.says[0]


@pytest.mark.parametrize("act", ["gelu", "silu"])
def test_gelu_and_its_like_want_the_derived_gain_with_a_caution_where_they_are_shallow(asked, act):
    found = asked[act]
    assert found.best.sigma_w == theory.gain(act)
    assert found.best.fate == "repels"
    assert found.best.schemes == (f"variance_scaling scale={theory.gain(act) ** 2:.6g}",)
    assert any(line.startswith("caution:") and "repels" in line for line in found.derivation)


def test_schemes_of_one_sigma_w_share_a_rank_and_orthogonal_weights_and_lsuv_follow(asked):
    table = asked["relu"].table
    firsts = [table[table["rank"] == rank]["init"].tolist() for rank in (1, 2, 3)]
    assert firsts == [["kaiming", "he_normal", "he_uniform"], ["orthogonal gain=1.41421"], ["lsuv"]]
    assert table.groupby("rank")["sigma_w"].nunique().eq(1).all()


def test_only_what_decides_is_tried_and_the_rest_carries_theorys_word(asked):
    table = asked["tanh"].table
    tried = table[table["by"] == "trial"]
    assert set(tried["init"]) >= {"xavier"}
    assert table[table["by"] == "theory"]["rms"].isna().all()
    assert table[table["by"] == "theory"]["verdict"].str.len().gt(0).all()
    assert "kaiming, he_normal, he_uniform: healthy by theory, sigma_w 1.414" in str(asked["tanh"])


def test_measured_and_predicted_stand_side_by_side(asked):
    table = asked["tanh"].table
    assert table[table["init"] == "lsuv"]["theory_rms"].isna().all()  # it looks at the data
    healthy = table[(table["by"] == "trial") & table["rms"].notna() & (table["init"] != "lsuv")]
    # 64 neurons and three seeds: within a third, backward too.
    np.testing.assert_allclose(healthy["rms"], healthy["theory_rms"], rtol=0.33)
    np.testing.assert_allclose(healthy["delta_std_first"], healthy["theory_delta_first"], rtol=0.33)
    assert set(table["verdict"]) == {"healthy", "collapsed"}


def test_a_trial_that_a_seed_has_ended_is_not_said_to_be_of_three():
    text = str(sweep.recommend("relu", 300, 16))
    assert "by trial 0/1" in text
    assert "median of up to 3 seeds, one that fails ends its trial" in text


@pytest.mark.parametrize(
    ("act", "says"),
    [
        ("tanh", "V'(1) = E[z f f'] / E[f²] = 0.4611 < 1: v = 1 attracts"),
        ("relu", "V'(1) = 1: every variance stays where it is"),
        ("relu6", "V'(1) = E[z f f'] / E[f²] = 1 - 7.1e-08 < 1: v = 1 attracts, e-fold in 1.4e+07 layers"),
    ],
)
def test_the_stability_of_unit_variance_is_said_with_digits_that_show_it(act, says):
    (line,) = (line for line in derivation(act) if line.startswith("stability:"))
    assert says in line


def test_level_is_the_factor_by_which_signal_or_gradient_changes_at_most(asked):
    first = asked["tanh"].table.iloc[0]
    worst = max(max(size, 1 / size) for size in first[["rms", "delta_std_first"]])
    assert first["level"] == pytest.approx(worst)


def test_the_printed_recommendation_begins_with_plain_words_and_holds_all_the_rest(asked):
    text = str(asked["gelu"])
    assert text.index("take variance_scaling") < text.index("f(z) =")
    for piece in ("E[f²] = 0.425221", "1.53353", "kaiming, he_normal", *asked["gelu"].paste.values()):
        assert piece in text


def test_a_notebook_shows_the_plain_words_and_the_table_and_no_arrays(asked):
    found = asked["gelu"]
    assert found.says[0] in repr(found)
    assert ".table" in repr(found)
    assert re.search(
        r"variance_scaling scale=\S+: healthy by trial, sigma_w=1\.534, chi1=1\.072, ", repr(found.best)
    )
    for text in (repr(found), repr(found.best), repr(found.best.outlook)):
        assert "array" not in text
        assert "\n" not in text
        assert len(text) < 400
    shown = found._repr_html_()
    assert shown.startswith(f"<p>{escape(found.says[0])}</p><p>step: ")
    assert "</p><table" in shown
    for name in found.table["init"]:
        assert f"<td>{name}</td>" in shown
    ours = replace(found, activation=replace(found.activation, name="custom", formula="<b>(z)"))
    assert "<p>&lt;b&gt;(z) at depth" in ours._repr_html_()


def test_gelu_deep_down_is_held_by_lsuv_with_code_to_paste():
    found = sweep.recommend("gelu", 50, 64)
    assert found.best.schemes == ("lsuv",)
    assert set(found.paste) == {"torch"}
    gain = found.table.set_index("init").loc[f"variance_scaling scale={theory.gain('gelu') ** 2:.6g}"]
    assert gain["rank"] != 1
    torch = pytest.importorskip("torch", reason="the peers extra is not installed: pip install -e '.[peers]'")
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 16, 3), torch.nn.GELU(), torch.nn.Flatten(), torch.nn.Linear(576, 50)]
    model, batch, seen = torch.nn.Sequential(*layers), torch.randn(64, 3, 8, 8), []
    names = {"torch": torch}
    exec(found.paste["torch"], names)
    names["lsuv_"](model, batch)
    for index in (0, 3):
        layers[index].register_forward_hook(lambda layer, given, z: seen.append(z.detach().var().item()))
    model(batch)
    assert len(seen) == 2
    assert all(abs(variance - 1) < 0.1 for variance in seen)


def test_the_square_of_the_readme_is_ranked_without_a_warning():
    square = Activation("square", np.square, lambda z, h: 2 * z, formula="z²")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = sweep.recommend(square, 20, 64)
        assert "-1" not in str(found.table["depth_trusted"].tolist())
        assert sweep.recommend(square, 3, 64).says
    assert (found.best is None) == (not found.paste)


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
    assert done.stdout.startswith("mine.act(z) at depth 3 and width 16: take ")
    says = "ranked by theory; measuring the networks that decide: "
    assert done.stderr.startswith(says), "the answer alone is on stdout"
    assert says not in done.stdout


def test_where_no_spread_is_predicted_theory_is_sure_of_nothing_and_the_trial_decides(sweep_command):
    found = sweep.recommend("relu", 3, 4)
    gaussian = found.table[found.table["init"] == "kaiming"].iloc[0]
    assert (gaussian["depth_trusted"], gaussian["by"]) == (0, "trial")
    done = sweep_command("relu", "--depth", "3", "--width", "4", module="sweep.recommend", COLUMNS="200")
    assert re.search(r"kaiming +\S+ +trial [0-3]/[1-3] +1\.4142 1\.0000 +stays +0 ", done.stdout)


def test_on_a_terminal_a_bar_says_what_is_tried():
    """The bar is drawn on stderr, and nothing of it is left on stdout."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sweep.recommend", "relu", "--depth", "3", "--width", "16"]
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(CONF.parent)}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True)
    os.close(theirs)
    drawn = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "measuring the networks that decide" in drawn
    assert done.stdout.decode().startswith("relu at depth 3 and width 16: take kaiming")


@pytest.mark.parametrize("act", ["tanh", "gelu"])
def test_no_two_rows_of_the_ranking_are_called_the_same(asked, capsys, monkeypatch, act):
    monkeypatch.setenv("COLUMNS", "200")
    print_ranking(asked[act])
    shown = capsys.readouterr().out
    named = re.findall(r"^\d+ +(.+?) +(?:[a-z-]+\??) +(?:trial|theory) ", shown, re.MULTILINE)
    assert len(set(named)) == len(asked[act].ranking)
    assert [named[rank - 1] for rank, _ in asked[act].ranking] == [
        one.schemes[0] for _, one in asked[act].ranking
    ]


def test_the_ranking_imports_nothing_that_it_does_not_draw():
    heavy = ["pandas", "matplotlib", "seaborn", "pyarrow", "hydra", "omegaconf", "joblib", "scipy.stats"]
    code = (
        f"import sys, sweep; sweep.recommend('tanh', 3, 16); print([m for m in {heavy} if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(CONF.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert done.stdout.strip() == b"[]"


@pytest.mark.parametrize("columns", ["110", "80", "50"])
def test_a_narrow_terminal_cuts_no_number_of_the_ranking(sweep_command, columns):
    arguments = ("tanh", "--depth", "40", "--width", "32")
    done = sweep_command(*arguments, module="sweep.recommend", COLUMNS=columns)
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stdout
    assert "columns left out for lack of room: v" in " ".join(done.stdout.split())
    assert re.search(r"torch/linear_default +collapsed +theory", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["glue"], "unknown act 'glue': did you mean 'gelu'?"),
        (["tanh", "--depth", "0"], "depth=0: depth must be a whole number, at least 1"),
        (["tanh", "--depth", "x"], "invalid int value: 'x'; see python -m sweep.recommend --help"),
        (["tanh", "--study", "nowhere"], "nowhere is not a study"),
        (["numpy.reciprocal"], "does not converge"),
        (["mine.rounded"], "the slope of mine.rounded(z) is not known: it has more steps than can be listed"),
        (["mine.faint"], "no weights keep the signal of mine.faint(z): that would take sigma_w = 1e+200"),
        (["mine.broken"], "mine.broken raised ValueError: on two lines"),
        (["elu", "--param", "beta=2"], "act 'elu' has no parameter 'beta'"),
        (["elu", "--param", "alpha=x"], "--param alpha=x: give a name and a number"),
        (["tanh", "--depth", "1000", "--width", "1000000"], "would not fit into this machine's memory"),
        ([], "the following arguments are required: act"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2(sweep_command, tmp_path, arguments, says):
    (tmp_path / "mine.py").write_text(MINE)
    done = sweep_command(*arguments, module="sweep.recommend")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert says in line
