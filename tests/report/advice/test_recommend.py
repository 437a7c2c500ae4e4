import os
import pty
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest

import sweep
from sweep import theory
from sweep.activations import Activation
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


def test_level_is_the_factor_by_which_signal_or_gradient_changes_at_most(asked):
    first = asked["tanh"].table.iloc[0]
    worst = max(max(size, 1 / size) for size in first[["rms", "delta_std_first"]])
    assert first["level"] == pytest.approx(worst)


def test_the_printed_recommendation_begins_with_plain_words_and_holds_all_the_rest(asked):
    text = str(asked["gelu"])
    assert text.index("take variance_scaling") < text.index("f(z) =")
    for piece in ("E[f²] = 0.425221", "1.53353", "kaiming, he_normal", *asked["gelu"].paste.values()):
        assert piece in text


def candidate(chi1, word="yes", kind="independent", name="xavier", good_to=5, **measured):
    sure, possible = word == YES, word != NO
    flags = [np.array([True] * good_to + [held] * (10 - good_to)) for held in (sure, possible)]
    of = Outlook(
        np.ones(10),
        np.ones(10),
        np.array(["healthy"] * 10, object),
        *flags,
        np.full(10, "healthy"),
        *np.full((2, 10), math.nan),
    )
    found = {name: Survival(1, 1, word, *seeds) for name, seeds in measured.items()}
    return Candidate(1.0, (name,), "", 1.0, chi1, 0.5, 9, of, kind, found)


def test_candidates_are_ranked_by_survival_then_chi1_then_the_order_of_the_schemes():
    ranked = [
        candidate(1 + 1e-9),
        candidate(1.0, name="kaiming"),
        candidate(1.0, name="orthogonal gain=1"),
        candidate(1.0, name="normal std=0.1"),
        candidate(1.0, kind=LSUV, name="lsuv"),
        candidate(0.5),
        candidate(1.0, UNSURE, xavier=(3, 3, True)),  # theory was not sure, the trial is
        candidate(1.0, UNSURE),
        candidate(1.0, UNSURE, xavier=(3, 3, False)),  # nor is the trial
        candidate(0.5, NO, good_to=8),
        candidate(1.0, NO, good_to=7),
        candidate(1.0, YES, good_to=5, xavier=(2, 3, False)),  # refuted
    ]
    for order in (ranked, ranked[::-1]):
        found = [one for _, one in rank(order)]
        assert [ranked.index(one) for one in found[:7]] == list(range(7))
        assert {ranked.index(one) for one in found[7:9]} == {7, 8}
        assert {ranked.index(one) for one in found[9:]} == {9, 10, 11}
    words = [one.survives for one in ranked]
    assert words == [YES] * 7 + [UNSURE] * 2 + [NO] * 3


def test_seeds_that_differ_so_much_that_the_next_may_die_are_not_clear():
    def of(*sizes):
        return summary([Seed(size, size, "healthy", 0.5) for size in sizes])

    assert of(0.5, 0.6, 0.7).clear
    assert not of(0.5, 5, 50).clear
    refuted = summary([Seed(1, 1, "healthy"), Seed(1e-3, 1, "vanishing"), Seed(1, 1, "healthy")])
    assert (refuted.healthy, refuted.of, refuted.verdict, refuted.clear) == (2, 3, "vanishing", False)


@pytest.mark.parametrize(
    ("act", "sigma_w", "width", "at_least", "below"),
    [
        ("tanh", 1.0, 10_000, 100, math.inf),
        ("relu", math.sqrt(2), 512, 50, 100),  # by then the seeds of a width of 512 have strayed
        ("relu", 1.0, 512, 10, 14),  # 2^(-12/2) and the spread of width 512 make 1e-2
        ("gelu", 1.0, 512, 4, 9),
        ("sigmoid", 1.0, 512, 1, 4),  # c0 = 0.95 after one layer already
    ],
)
def test_theory_is_sure_of_a_network_until_its_spread_reaches_a_threshold(
    act, sigma_w, width, at_least, below
):
    assert at_least <= outlook(activations.get(act), sigma_w, width, 100).good_to < below or at_least == 100
    assert outlook(activations.get(act), sigma_w, width, 100).good_to >= at_least


def test_an_activation_without_a_gradient_survives_at_no_depth():
    sign = activations.resolved(np.sign, {})
    assert outlook(sign, 1.0, 64, 10).good_to == 0


def test_a_vanished_gradient_is_followed_beyond_what_a_float_holds():
    """At depth 1000 delta is 1e-850; the first layers are judged all the same."""
    found = outlook(activations.get("sigmoid"), 1 / math.sqrt(3), 512, 1000)
    assert found.delta[-1] == 0
    assert 1 <= found.good_to < 5


@pytest.mark.parametrize(
    ("act", "depth", "width"),
    [("sigmoid", 20, 128), ("softplus", 50, 128), ("relu", 300, 64)],
)
def test_where_nothing_survives_it_says_so_and_there_is_nothing_to_paste(act, depth, width):
    found = sweep.recommend(act, depth, width)
    assert found.best is None
    assert found.paste == {}
    assert not found.table["survives"].eq(YES).any()
    text = str(found)
    assert f"{act} at depth {depth} and width {width}: nothing survives" in text
    assert "What would help" in text
    assert "torch.nn.init" not in text
    assert 0 <= found.reach < depth


@pytest.mark.parametrize("act", ["sigmoid", "softplus"])
def test_the_depth_to_which_the_best_survives_is_measured(act):
    found = sweep.recommend(act, 50, 128)
    shallow = sweep.recommend(act, found.reach, 128)
    name = found.table.iloc[0]["init"]
    said = shallow.table.set_index("init")["survives"]
    assert said[name] == YES


def _with_skips(act, sigma_w, depth, width, seed):
    """rms, cosine of two inputs, and delta of h + f(h W) / sqrt(depth), in plain NumPy."""
    rng, h, steps = np.random.default_rng(seed), None, []
    h = rng.standard_normal((50, width))
    for _ in range(depth):
        w = sigma_w / math.sqrt(width) * rng.standard_normal((width, width))
        z = h @ w
        steps.append((w, act.derivative(z, act.f(z))))
        h = h + act.f(z) / math.sqrt(depth)
    delta = rng.standard_normal(h.shape)
    for w, slope in reversed(steps):
        delta = delta + (delta * slope) @ w.T / math.sqrt(depth)
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    cosine = (unit @ unit.T)[np.triu_indices(50, 1)].mean()
    return math.sqrt((h * h).mean()), cosine, delta.std()


def test_a_skip_that_would_mend_it_does():
    found = sweep.recommend("sigmoid", 20, 128)
    (line,) = (line for line in found.mends if "skip" in line)
    said = [float(text) for text in re.findall(r"(?:rms|gradient) ([\d.]+)", line)]
    rms, cosine, delta = _with_skips(activations.get("sigmoid"), found.ranking[0][1].sigma_w, 20, 128, 0)
    np.testing.assert_allclose(said, [rms, delta], rtol=0.15)
    assert cosine < 0.999


def test_other_weights_that_would_mend_it_do():
    found = sweep.recommend("softplus", 20, 128)
    (line,) = (line for line in found.mends if "variance_scaling" in line)
    scale = float(re.search(r"init.scale=([\d.]+)", line)[1])
    bias = float((re.search(r"bias_std=([\d.]+)", line) or ["", "0"])[1])
    for seed in (100, 101):
        layers = sweep.propagate(
            init="variance_scaling", init_params={"scale": scale}, act="softplus", depth=20, width=128,
            bias_std=bias, seed=seed,
        )  # fmt: skip
        last = layers.iloc[-1]
        assert last["sample_cosine"] < 0.999
        assert 1e-2 < layers.iloc[0]["delta_std"] < 1e2
        assert 1e-2 < last["rms"] < 1e3


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
    assert done.stdout.startswith("ranked by theory; measuring the networks that decide: ")
    assert done.stderr == ""


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
    assert "columns left out for lack of room: v" in done.stdout
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
