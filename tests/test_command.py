"""The commands as users type them, each in a process of its own."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

from tests.processes import DEADLINE, ROOT, session, start, until
from tests.studies import part
from tests.torture import DRIVER
from tests.users import Gate

SMALL = ("grid=smoke", "depth=2", "seed=0", "batch=20")


def test_the_main_job_fills_a_table_and_draws_it_and_the_second_run_computes_nothing(sweep_command, tmp_path):
    first = sweep_command("-m", "init=xavier,kaiming", "act=tanh,relu", *SMALL)
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


def test_one_cell_prints_its_layer_table_and_is_stored(sweep_command, tmp_path):
    done = sweep_command("init=xavier", "act=tanh", "depth=3", "width=50")
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


def test_root_and_study_choose_the_place_and_nothing_else_is_written(sweep_command, tmp_path):
    done = sweep_command("depth=1", "width=4", "batch=5", "root=some where/deep", "study=a/b", "report=false")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "some where" / "deep" / "a" / "b" / "cells").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["some where"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init=xaver"], "unknown init 'xaver': did you mean 'xavier'? options:"),
        (["-m", "act=tnah,relu"], "did you mean 'tanh'?"),
        (["depth=0"], "depth=0: depth must be a whole number, at least 1"),
        (["width=1.5"], "width=1.5"),
        (["dtype=float8"], "options: float32, float64"),
        (["-m", "depth="], "depth= is empty"),
        (["dpeth=3"], "did you mean 'depth'?"),
        (["depth=5,10"], "add -m"),
        (["hydra.nothing=3"], "hydra.nothing"),
        (["root=/dev/null/x"], "is a file; choose another root="),
        (["study=../out"], "a study is a folder's name"),
        (["study='*a'"], "study=*a: a shell would take this name for something else"),
        (["study=-1"], "study=-1: a shell would take this name for something else"),
        (["n_jobs=0"], "n_jobs=0"),
        (["-m", "seed=range(0,2,0)"], "seed=range(0,2,0): the step of a range must not be 0"),
        (["-m", "seed=range(0,100000000000)"], "100,000,000,000 values, and an axis takes 10,000,000"),
        (["-m", "depth=range(1,10001)", "width=range(1,1001)"], "80,000,000 networks besides their seeds"),
        (["depth=999999999999", "width=4"], "depth=999999999999: depth must be at most 100000"),
        (["widths=[8,0]"], "widths=[8, 0]: every width must be a whole number, at least 1"),
        (["max_memory=1kB"], "width=500 batch=1000 needs"),
        (["max_memory=4"], "max_memory=4: give a number above 0 and a unit, as in max_memory=4GB"),
        (["report=maybe"], "true or false"),
        (["--resolve"], "--resolve belongs to --cfg"),
        (["-m", "--cfg", "job"], "leave -m away"),
        (["executor=slrm"], "unknown executor 'slrm'"),
        (["depth=${foo}"], "sweep: depth: Interpolation key 'foo' not found"),
        (["-m", "width=8", "study=${foo}"], "sweep: study: Interpolation key 'foo' not found"),
    ],
)
def test_a_wrong_request_is_one_line_and_status_2_and_writes_nothing(
    sweep_command, tmp_path, arguments, message
):
    done = sweep_command(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("group", "text", "arguments", "message"),
    [
        ("grid", "name: bad\naxes: 5", ["-m", "grid=bad"], "must have 'axes:'"),
        ("grid", "name: [1]\naxes: {depth: 2}", ["-m", "grid=bad"], "must have a line 'name: …'"),
        ("grid", "- 1", ["-m", "grid=bad"], "grid"),
        ("init", "std: 3", ["init=bad"], "must have a line 'name: …'"),
        ("init", "std: 3", ["-m", "init=bad,xavier"], "must have a line 'name: …'"),
        ("init", "name: {", ["init=bad"], "while parsing"),
        ("executor", "cores: 1", ["executor=bad"], "must have a line 'name: …'"),
    ],
)
def test_a_conf_file_of_the_wrong_shape_is_one_line(tmp_path, group, text, arguments, message):
    from tests.fuzz import status_of  # noqa: PLC0415

    (tmp_path / "conf" / group).mkdir(parents=True)
    (tmp_path / "conf" / group / "bad.yaml").write_text(text)
    before = sys.argv[:]
    status, said = status_of([f"--config-dir={tmp_path / 'conf'}", *arguments, f"root={tmp_path / 'out'}"])
    sys.argv[:] = before
    assert (status, len(said.splitlines())) == (2, 1), said
    assert message in said
    assert not (tmp_path / "out").exists()


def test_a_study_folder_that_holds_something_else_is_left_alone(sweep_command, tmp_path):
    (tmp_path / "outputs" / "single").mkdir(parents=True)
    (tmp_path / "outputs" / "single" / "thesis.tex").write_text("years of work")
    done = sweep_command("depth=1", "width=4")
    assert done.returncode == 2
    assert "holds something else ('thesis.tex')" in done.stderr
    assert done.stderr.count("\n") == 1
    missing = sweep_command("outputs/none", module="sweep.report")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


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


def test_what_this_machine_cannot_hold_is_refused_before_anything_is_computed(sweep_command, tmp_path):
    grid = ("-m", "grid=smoke", "init=xavier", "act=tanh", "depth=1", "width=8,1000000000000", "seed=0")
    done = sweep_command(*grid, "batch=1000")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert re.search(
        r"depth=1 width=1000000000000 batch=1000 needs \S+ \wB at once, .*B of memory are left", done.stderr
    )
    assert list(tmp_path.iterdir()) == []
    planned = sweep_command(*grid, "batch=1000", "dry_run=true")
    assert planned.returncode == 0, planned.stderr
    assert "a run would be refused: depth=1 width=1000000000000" in planned.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], "does the signal survive"),
        (["--cfg", "job"], "depth: 10"),
        (["--info", "plugins"], "GridSweeper"),
        (["--version"], f"sweep {version('sweep')}, Hydra {version('hydra-core')}\n"),
    ],
)
def test_hydras_own_flags_keep_working(sweep_command, arguments, expected):
    done = sweep_command(*arguments)
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


def at_work(gate, folder, *arguments, **files):
    """A command in two workers, a task for each width from 8 to 11, some of which the gate holds."""
    grid = ("grid=smoke", "act=tanh", *gate.arguments, "width=range(8,12)", *SMALL[1:], "n_jobs=2")
    command = [sys.executable, "-c", DRIVER, "-m", *grid, "report=false", *arguments]
    return start(command, folder, environment=gate.environment, **files)


def interrupted(tmp_path, gate, terminal):
    """Press Ctrl-C once cells are stored and others are at work; the exit status and what was printed."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    try:
        process = at_work(gate, tmp_path, stdout=theirs, stderr=theirs)
    finally:
        os.close(theirs)
    os.set_blocking(ours, False)
    parts, said = tmp_path / "outputs" / "smoke" / "cells", []

    def read():
        """Whatever is there: a terminal that nobody reads makes the command wait."""
        with contextlib.suppress(OSError):  # nothing now, or a pty's end
            while chunk := os.read(ours, 65536):
                said.append(chunk)

    def at_it():
        read()
        return gate.waiting() and list(parts.glob("[!.]*.parquet"))

    try:
        process.until(at_it, "a stored part and work left")
        process.signal(signal.SIGINT)
        until(lambda: read() or not process.running(), "the end")
        read()
    finally:
        os.close(ours)
    return process.wait(), b"".join(said).decode()


@pytest.mark.parametrize("terminal", [True, False])
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path, terminal):
    gate = Gate(tmp_path, 8)
    status, printed = interrupted(tmp_path, gate, terminal)
    assert status == 130, printed
    assert "Traceback" not in printed
    done = re.search(r"interrupted: (\d+) cells are stored, (\d+) are left; run the same command", printed)
    assert done, printed
    stored, left = int(done[1]), int(done[2])
    assert stored + left == 4
    assert len(pd.read_parquet(tmp_path / "outputs" / "smoke" / "cells")) == stored > 0
    gate.open()
    resumed = at_work(gate, tmp_path).ended()
    assert resumed.returncode == 0, resumed.stderr
    assert f"4 cells, {stored} stored already, {left} to compute" in resumed.stderr


def test_progress_shows_cells_rate_and_time_left_where_there_is_no_terminal(capsys, monkeypatch):
    from sweep.execution import screen  # noqa: PLC0415

    monkeypatch.setattr(screen, "_PLAIN_SECONDS", 0.0)
    with screen.progress(10, 4.0) as progress:
        progress.advance(5, 2.0)
    assert re.fullmatch(r"5/10 cells, [\d.,]+ cells/s, \d+ s left\n", capsys.readouterr().err)


def test_ctrl_c_while_workers_start_is_one_line_too(tmp_path):
    """Whatever the moment: the workers never see the interrupt, and the driver says one line."""
    gate = Gate(tmp_path, 8, 9, 10, 11)

    def planned(process):
        return list(tmp_path.glob(f"outputs/{study}/runs/*/plan.jsonl.gz"))

    def first_other(process):
        return session(process.pid)

    def worker(process):
        return len(session(process.pid)) >= 2

    for moment in (planned, first_other, worker):
        study = moment.__name__
        process = at_work(gate, tmp_path, f"study={study}")
        process.until(lambda process=process, moment=moment: moment(process), study)
        process.signal(signal.SIGINT)
        done = process.ended()
        assert done.returncode == 130, done.stderr
        lines = [line for line in done.stderr.splitlines() if not line.startswith("study ")]
        assert len(lines) == 1, done.stderr
        assert "interrupted" in lines[0]


def test_two_runs_at_once_in_one_study_end_well(tmp_path):
    command = [sys.executable, "-m", "sweep", "-m", *SMALL, "init=xavier,kaiming,normal"]
    ended = [process.ended() for process in [start(command, tmp_path) for _ in range(2)]]
    assert [done.returncode for done in ended] == [0, 0], ended
    cells = pd.read_parquet(tmp_path / "outputs" / "smoke" / "cells")
    assert len(cells["cell_id"].unique()) == 12


def test_figures_follow_what_is_stored(sweep_command, tmp_path):
    figure = tmp_path / "outputs" / "smoke" / "report" / "std.svg"
    sweep_command("-m", *SMALL, "init=xavier", "act=tanh")
    own = figure.with_name("my_own_plot.png")
    own.write_text("mine")
    assert "kaiming" not in figure.read_text(encoding="utf-8")
    sweep_command("-m", *SMALL, "init=kaiming", "act=tanh", "report=false")
    assert "kaiming" not in figure.read_text(encoding="utf-8")
    done = sweep_command("-m", *SMALL, "init=kaiming", "act=tanh")
    assert "nothing to compute" in done.stderr
    assert "kaiming" in figure.read_text(encoding="utf-8")
    assert "figures" not in sweep_command("-m", *SMALL, "init=kaiming", "act=tanh").stderr
    assert own.read_text() == "mine"


def test_a_narrow_terminal_keeps_the_names(sweep_command):
    arguments = ("-m", "grid=smoke", "init=small_normal,xavier", "depth=2,3,4,5", "width=8", "report=false")
    for columns in (120, 60, 40):
        done = sweep_command(*arguments, COLUMNS=str(columns))
        table = [line for line in done.stdout.splitlines() if line.startswith("│")]
        assert sum("small_normal" in line for line in table) >= 2
        assert all(len(line) <= columns for line in table)


@pytest.mark.parametrize("limit", [100, 1500, 4096])
def test_a_write_error_is_one_line(tmp_path, limit):
    """No file may be larger than a few bytes: as on a full disk."""
    code = (
        "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); sys.argv[1:] = ['-m', 'grid=smoke'];"
        "runpy.run_module('sweep', run_name='__main__')"
    )
    command = [sys.executable, "-c", code]
    piped = {"capture_output": True, "text": True}  # no file, which would be cut off itself
    done = subprocess.run(command, cwd=tmp_path, **piped, timeout=DEADLINE, check=False)
    assert done.returncode == 2
    assert "cannot write to outputs/smoke: File too large" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_part_is_named(sweep_command, tmp_path):
    sweep_command("-m", *SMALL, "report=false")
    (tmp_path / "outputs" / "smoke" / "cells" / part("zzz")).write_text("junk")
    done = sweep_command("outputs/smoke", module="sweep.report")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert part("zzz") in done.stderr
