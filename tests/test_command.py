"""The commands as users type them, each in a process of its own; some from the start of Python."""

import os
import re
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

from tests.processes import ROOT, start
from tests.studies import CELLS, write

SMALL = ("grid=smoke", "depth=2", "seed=0", "batch=20")
FIGURES = "report=figures"  # and no page, whose library takes as long as all of them


def test_the_main_job_fills_a_table_and_draws_it_and_the_second_run_computes_nothing(
    cold_command, sweep_command, tmp_path
):
    first = cold_command("-m", "init=xavier,kaiming", "act=tanh,relu", *SMALL)
    assert first.returncode == 0, first.stderr
    assert re.search(r"study outputs/smoke: 8 cells; 1 task", first.stderr)
    assert "xavier" in first.stdout
    study = tmp_path / "outputs" / "smoke"
    cells = pd.read_parquet(study / "cells")
    assert len(cells) == 8
    assert (cells["status"] == "ok").all()
    assert {path.name for path in (study / "report").iterdir()} >= {"std.png", "std.svg", "layers.png"}
    (run,) = (study / "runs").iterdir()
    assert "init=xavier,kaiming" in (run / "command.txt").read_text(encoding="utf-8")
    assert "8 of 8 cells stored" in (run / "log.txt").read_text(encoding="utf-8")

    second = sweep_command("-m", "init=xavier,kaiming", "act=tanh,relu", *SMALL)
    assert second.returncode == 0
    assert "all stored already: nothing to compute" in second.stderr
    assert second.stdout == first.stdout

    longer = sweep_command("-m", "init=xavier,kaiming", "act=tanh,relu", *SMALL[:1], "depth=2,3", *SMALL[2:])
    assert "16 cells, 8 stored already, 8 to compute" in longer.stderr
    assert len(pd.read_parquet(study / "cells")) == 16


def test_one_cell_prints_its_layer_table_and_is_stored(cold_command, tmp_path):
    done = cold_command("init=xavier", "act=tanh", "depth=3", "width=50")
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines() if re.match(r"│ +\d", line)] == list("0123")
    for name in ("layer", "mean", "std", "rms", "flat", "grad_std"):
        assert name in done.stdout
    assert len(pd.read_parquet(tmp_path / "outputs" / "single" / "cells")) == 1
    assert list((tmp_path / "outputs" / "single" / "report").glob("cell-xavier-tanh-*.png"))


def test_python_and_the_command_line_give_the_same_numbers(sweep_command, tmp_path):
    import sweep  # noqa: PLC0415

    assert sweep_command("init=normal", "init.std=0.2", "depth=3", "width=20").returncode == 0
    stored = sweep.load(tmp_path / "outputs" / "single", "layers").sort_values("layer")
    there = sweep.propagate(init="normal", init_params={"std": 0.2}, depth=3, width=20)
    for name in ("mean", "std", "neuron_corr", "delta_std", "grad_rms"):
        np.testing.assert_array_equal(stored[name], there[name])


def test_a_report_is_drawn_again_from_what_is_stored(sweep_command, tmp_path):
    sweep_command("-m", *SMALL, "report=false")
    assert not (tmp_path / "outputs" / "smoke" / "report").exists()
    done = sweep_command("outputs/smoke", module="sweep.report")
    assert done.returncode == 0, done.stderr
    assert "outputs/smoke/report/std.png" in done.stdout.splitlines()


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("sweep.status", ()), ("sweep.verify", ()), ("sweep.compact", ()),
        ("sweep.report", ("--only", "layers")),
    ],
)  # fmt: skip
def test_a_door_needs_nothing_that_was_imported_before(module, arguments, cold_command, study):
    write(study, "a", CELLS[:2])
    done = cold_command(str(study.path), *arguments, module=module)
    assert (done.returncode, done.stderr) == (0, "")


def test_root_and_study_choose_the_place_and_nothing_else_is_written(sweep_command, tmp_path):
    done = sweep_command("depth=1", "width=4", "batch=5", "root=some where/deep", "study=a/b", "report=false")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "some where" / "deep" / "a" / "b" / "cells").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["some where"]


def test_failed_cells_are_rows_and_status_1(sweep_command, tmp_path):
    arguments = (
        "-m", "grid=smoke", "init=custom", "init.function=tests.users.wrong", "act=tanh", "depth=1",
        "width=8,13", "seed=0",
    )  # fmt: skip
    there = {"PYTHONPATH": str(ROOT)}
    done = sweep_command(*arguments, "batch=20", **there)
    assert done.returncode == 1, done.stderr
    assert re.search(r"1 failed: .*thirteen", done.stderr), done.stderr
    cells = pd.read_parquet(tmp_path / "outputs" / "smoke" / "cells").set_index("width")
    assert cells["status"].to_dict() == {8: "ok", 13: "failed"}
    assert "thirteen" in cells.loc[13, "error"]
    stopped = sweep_command(*arguments, "batch=19", "fail_fast=true", **there)
    assert stopped.returncode == 1
    assert "stopped at the first failure" in stopped.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], "does the signal survive"),
        (["--cfg", "job"], "depth: 10"),
        (["--info", "plugins"], "GridSweeper"),
        (["--version"], f"sweep {version('sweep')}, Hydra {version('hydra-core')}\n"),
    ],
)
def test_hydras_own_flags_keep_working(cold_command, arguments, expected):
    done = cold_command(*arguments)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_help_is_what_hydra_says_when_it_copies_its_store(capsys, monkeypatch):
    from hydra.core.config_store import ConfigStore  # noqa: PLC0415

    from sweep import __main__ as command_line  # noqa: PLC0415

    monkeypatch.setattr(sys, "argv", ["sweep", "--help"])
    for asked in (["--help"], ["--help", "init=torch/normal", "depth=3"], ["--hydra-help"]):
        assert command_line._main(asked) == 0
        ours = capsys.readouterr().out
        with monkeypatch.context() as patch:
            patch.delattr(ConfigStore, "__deepcopy__")
            patch.setattr(command_line, "_share_store", lambda: None)
            assert command_line._main(asked) == 0
        assert capsys.readouterr().out == ours


def test_tab_completion_of_the_console_script(tmp_path):
    script = os.path.join(os.path.dirname(sys.executable), "sweep")  # noqa: PTH118, PTH120
    environment = {"COMP_LINE": "sweep init=xa", "COMP_POINT": "13"}
    done = start([script, "-sc", "query=bash"], tmp_path, environment=environment).ended()
    assert done.stdout.split() == ["init=xavier"], done.stderr


def test_two_runs_at_once_in_one_study_end_well(tmp_path):
    command = [sys.executable, "-m", "sweep", "-m", *SMALL, "init=xavier,kaiming,normal"]
    ended = [process.ended() for process in [start(command, tmp_path) for _ in range(2)]]
    assert [done.returncode for done in ended] == [0, 0], ended
    cells = pd.read_parquet(tmp_path / "outputs" / "smoke" / "cells")
    assert len(cells["cell_id"].unique()) == 12


def test_figures_follow_what_is_stored(sweep_command, tmp_path):
    figure = tmp_path / "outputs" / "smoke" / "report" / "std.svg"
    sweep_command("-m", *SMALL, "init=xavier", "act=tanh", FIGURES)
    own = figure.with_name("my_own_plot.png")
    own.write_text("mine")
    assert "kaiming" not in figure.read_text(encoding="utf-8")
    sweep_command("-m", *SMALL, "init=kaiming", "act=tanh", "report=false")
    assert "kaiming" not in figure.read_text(encoding="utf-8")
    done = sweep_command("-m", *SMALL, "init=kaiming", "act=tanh", FIGURES)
    assert "nothing to compute" in done.stderr
    assert "kaiming" in figure.read_text(encoding="utf-8")
    assert "figures" not in sweep_command("-m", *SMALL, "init=kaiming", "act=tanh", FIGURES).stderr
    assert own.read_text() == "mine"


def test_a_narrow_terminal_keeps_the_names(sweep_command):
    arguments = ("-m", "grid=smoke", "init=small_normal,xavier", "depth=2,3,4,5", "width=8", "report=false")
    for columns in (120, 60, 40):
        done = sweep_command(*arguments, COLUMNS=str(columns))
        table = [line for line in done.stdout.splitlines() if line.startswith("│")]
        assert sum("small_normal" in line for line in table) >= 2
        assert all(len(line) <= columns for line in table)
