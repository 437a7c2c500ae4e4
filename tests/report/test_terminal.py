"""What a run says in the terminal, and what of it survives a pipe."""

import math
import re

import pytest

from sweep import status
from sweep.activations import __main__ as activations_list
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
    assert "2 of 4 networks keep their signal and their gradient; 2 vanishing." in done.stdout
    one = sweep_command("depth=4", "width=16", "batch=20", "report=false")
    assert re.search(r"rms of h +[▁▂▃▄▅▆▇█]{5}  [\d.]+ → [\d.]+", one.stdout)
    assert re.search(r"rms of dL/dh +[▁▂▃▄▅▆▇█]{5}  [\d.]+ ← [\d.]+", one.stdout)
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
