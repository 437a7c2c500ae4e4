"""What a run says in the terminal, and what of it survives a pipe."""

import math
import re

import pandas as pd
import pytest

from sweep import status
from sweep.activations import __main__ as activations_list
from sweep.experiment.outcomes.verdict import DEFAULT, WORDS
from sweep.initializers import __main__ as initializers_list
from sweep.report import terminal
from sweep.report.frames import fates, labels, text
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.seeds import average_over_seeds
from tests.make import cell
from tests.studies import INITS, grid, stored


@pytest.mark.parametrize(
    ("values", "signs"),
    [
        ([1.0, 0.1, 0.01], "█▅▁"),
        ([1.0, 1.0, 1.0], "▅▅▅"),  # level is level: noise is not stretched to the full height
        ([1.0, 0.0, math.inf, math.nan], "▅▁!·"),
        ([10.0**-k for k in range(100)], "█"),
    ],
)
def test_a_profile_is_logarithmic_and_spans_a_decade_at_least(values, signs):
    assert text.profile(values, 40).startswith(signs)
    assert len(text.profile(values, 40)) == min(40, len(values))


def test_the_answer_is_by_act_and_says_who_dies_first(tmp_path):
    cells, _ = stored(tmp_path / "study", grid(("small_normal", "xavier", "kaiming"), widths=(60,)))
    rows = average_over_seeds(labels.add_labels(cells), [MEASURES["verdict_layer"]])
    by_act = {one.act: one for one in fates.answers(rows)}
    assert {fate.init for fate in by_act["tanh"].survivors} == {"xavier", "kaiming"}
    (lost,) = by_act["tanh"].casualties
    assert (lost.init, lost.word) == ("small_normal", "vanishing")
    since = cells.query("init == 'small_normal' and act == 'tanh' and depth == 2")["verdict_layer"].median()
    assert lost.since == since


def test_a_run_ends_with_who_survives_and_a_cell_with_its_profile(sweep_command):
    arguments = ("-m", "grid=smoke", "init=small_normal,xavier", "act=tanh", "depth=4", "seed=0", "batch=20")
    done = sweep_command(*arguments, "report=false")
    assert done.returncode == 0, done.stderr
    assert "What survives, by activation" in done.stdout
    assert re.search(r"small_normal: vanishing from layer \d", done.stdout)
    assert "2 of 4 networks keep their signal and their gradient; 2 are vanishing." in done.stdout
    one = sweep_command("depth=4", "width=16", "batch=20", "report=false")
    assert re.search(r"rms of h +[▁▂▃▄▅▆▇█]{5}  [\d.]+ → [\d.]+", one.stdout)
    assert re.search(r"rms of dL/dh +[▁▂▃▄▅▆▇█]{5}  [\d.]+ ← [\d.]+", one.stdout)
    last = "verdict: healthy: the signal and the gradient get through all 4 layers"
    assert one.stdout.splitlines()[-1] == last
    forward = sweep_command("depth=4", "width=16", "batch=20", "report=false", "backward=false")
    last = "verdict: healthy: the signal gets through all 4 layers; gradients were not measured"
    assert forward.stdout.splitlines()[-1] == last
    assert "\x1b" not in done.stdout + one.stdout  # a pipe gets no colours


@pytest.mark.parametrize("columns", [120, 80, 60, 50, 40, 30])
def test_a_narrow_terminal_goes_without_columns_and_says_so_but_cuts_nothing(
    columns, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", str(columns))
    cells, layers = stored(tmp_path / "study", grid(INITS[:2], depths=(2, 3, 4, 5), widths=(16,)))
    terminal.show_grid(cells)
    first = cells.iloc[0]
    own = layers[layers["cell_id"] == first["cell_id"]]
    terminal.show_layers(cell(**first[["depth", "width", "seed", "batch"]]), own)
    for command, arguments in (
        (status, [str(tmp_path / "study")]),
        (activations_list, []),
        (initializers_list, []),
    ):
        monkeypatch.setattr("sys.argv", ["", *arguments])
        assert command.main() == 0
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= columns
    for value in own["std"]:
        assert text.number(value) in printed
    assert ("left out" in printed) == (columns < 120)
    few = re.search("and [1-3] of 4 depths", " ".join(printed.split()))
    assert (few is not None) == (columns <= 60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--value", "rmss"], "unknown value 'rmss': did you mean 'rms'?"),
        (["--x", "dept"], "unknown axis 'dept': did you mean 'depth'?"),
        (["--x", "depth", "--y", "depth"], "named twice"),
        (["--only", "heatmaps"], "unknown only 'heatmaps': did you mean 'heatmap'?"),
        (["--nonsense"], "see python -m sweep.report --help"),
    ],
)
def test_a_wrong_report_is_one_line_and_draws_nothing(arguments, message, sweep_command, tmp_path):
    stored(tmp_path / "study", grid(("xavier",), ("tanh",), (2,), (16,), (0,)))
    done = sweep_command("study", *arguments, module="sweep.report")
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert message in done.stderr
    assert not (tmp_path / "study" / "report").exists()


def test_only_one_kind_is_drawn_where_one_is_asked_for(sweep_command, tmp_path):
    stored(tmp_path / "study", grid(("xavier", "kaiming"), widths=(16,), seeds=(0,)))
    asked = ("--only", "heatmap", "--value", "rms,flat", "--rows", "depth", "--x", "act", "--y", "init")
    done = sweep_command("study", *asked, module="sweep.report")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "study" / "report").iterdir()} == {
        f"{name}.{kind}" for name in ("rms", "flat") for kind in ("png", "svg")
    }


@pytest.mark.parametrize(
    ("word", "layer", "said"),
    [
        ("vanishing", 4.0, "vanishing from layer 4 on: rms < 0.01 × the input's"),
        (
            "saturated",
            1.0,
            "saturated from layer 1 on: most units pass no gradient (flat > f0 + 0.5 (1 - f0)",
        ),
        ("collapsed", 6.0, "collapsed from layer 6 on: sample_cosine > 0.999: all inputs look alike"),
        (
            "gradient-exploding",
            3.0,
            "gradient-exploding from layer 3 down to the input: delta_std at layer 0",
        ),
        ("failed", math.nan, "failed: could not be computed"),
        ("healthy", math.nan, "healthy: the signal and the gradient get through all 10 layers"),
    ],
)
def test_a_verdict_is_said_with_where_it_begins(word, layer, said):
    assert fates.fate_of(word, layer, DEFAULT, 10, True).startswith(f"verdict: {said}")


def test_the_last_line_tells_networks_whose_gradient_is_known_from_others():
    rows = pd.DataFrame({"verdict": ["healthy"] * 3 + ["vanishing"], "measured": [True, True, False, False]})
    both = (
        "2 of 4 networks keep their signal and their gradient, 1 their signal (gradients were not measured)"
    )
    assert fates.counts(rows) == f"{both}; 1 is vanishing."
    forward = rows.assign(measured=False)
    alone = "3 of 4 networks keep their signal; gradients were not measured"
    assert fates.counts(forward) == f"{alone}; 1 is vanishing."
    assert fates.counts(rows[3:]) == "0 of 1 network keeps its signal and its gradient; 1 is vanishing."
    assert fates.counts(rows[:1]) == "1 of 1 network keeps its signal and its gradient."


def test_a_table_marks_what_died_and_says_what_the_marks_are(tmp_path, capsys):
    inits = ("zeros", "small_normal", "big_normal", "xavier")
    cells, _ = stored(tmp_path / "study", grid(inits, ("tanh",), (30,), (20,), (0,)))
    cells.loc[cells["init"] == "xavier", "verdict"] = "gradient-vanishing"
    terminal.show_grid(cells)
    printed = capsys.readouterr().out
    for name, word in zip(cells["init"], cells["verdict"], strict=True):
        (row,) = [line for line in printed.splitlines() if name in line and "│" in line][:1]
        assert WORDS[word].mark in row
        assert f"{WORDS[word].mark} {word}" in printed


def test_a_run_draws_what_is_asked_for_and_says_that_histograms_are_dropped(sweep_command, tmp_path):
    many = ("-m", "act=tanh", "init=xavier", "depth=1", "width=4", "batch=5", "seed=range(0,101)", "study=s")
    report = tmp_path / "outputs" / "s" / "report"
    done = sweep_command(*many, "report=page")
    assert done.returncode == 0, done.stderr
    assert (
        "histograms are kept in runs of at most 100 cells; histogram=true keeps them, if it is given before"
        in done.stderr
    )
    assert [path.name for path in report.iterdir()] == ["index.html"]
    (report / "index.html").unlink()
    done = sweep_command(*many, "report=figures")
    assert "histograms are kept" not in done.stderr, "nothing is computed"
    names = {path.name for path in report.iterdir()}
    assert {"std.png", "verdict.svg"} <= names
    assert "index.html" not in names
    done = sweep_command(*many, "report=pages")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "report=pages: report must be true, false, page or figures" in done.stderr


def test_a_second_word_is_said_where_the_first_does_not_imply_it(tmp_path, capsys):
    cells, _ = stored(
        tmp_path / "study",
        [
            cell(init={"name": name}, act={"name": "tanh"}, depth=20, width=100, batch=30, seed=seed)
            for name in ("big_normal", "small_normal", "zeros")
            for seed in (0, 1)
        ],
    )
    assert set(cells["verdicts"].str.join(" ")) == {
        "saturated gradient-exploding",
        "vanishing gradient-vanishing",
        "symmetric vanishing gradient-vanishing",
    }
    rows = average_over_seeds(labels.add_labels(cells), [MEASURES["verdict_layer"]])
    (answer,) = fates.answers(rows)
    told = {fate.init: fate.death for fate in answer.casualties}
    assert re.fullmatch(r"saturated from layer \d, gradient-exploding", told["big_normal"])
    assert re.fullmatch(r"vanishing from layer \d", told["small_normal"])
    assert told["zeros"] == "symmetric from layer 1"
    terminal.show_grid(cells[cells["init"] == "big_normal"])
    assert told["big_normal"] in " ".join(capsys.readouterr().out.split())
    # What reads the table without that column says the first word alone.
    rows = average_over_seeds(labels.add_labels(cells.drop(columns="verdicts")), [MEASURES["verdict_layer"]])
    assert "," not in fates.answers(rows)[0].casualties[0].death
