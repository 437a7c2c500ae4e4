"""What a command refuses, and what it cannot do: one line, status 2, no traceback."""

import re
import subprocess
import sys

import pytest

from tests.processes import DEADLINE
from tests.studies import part


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
        (["study=../out"], "a study is a folder name"),
        (["study='*a'"], "study=*a: a shell would misread this name"),
        (["study=-1"], "study=-1: a shell would misread this name"),
        (["n_jobs=0"], "n_jobs=0"),
        (["-m", "seed=range(0,2,0)"], "seed=range(0,2,0): the step of a range must not be 0"),
        (["-m", "seed=range(0,100000000000)"], "100,000,000,000 values, but an axis takes 10,000,000"),
        (["-m", "depth=range(1,10001)", "width=range(1,1001)"], "80,000,000 networks, seeds aside"),
        (["depth=999999999999", "width=4"], "depth=999999999999: depth must be at most 100000"),
        (["widths=[8,0]"], "widths=[8, 0]: every width must be a whole number, at least 1"),
        (["max_memory=1kB"], "width=500 batch=1000 needs"),
        (["max_memory=4"], "max_memory=4: give a number above 0 and a unit, as in max_memory=4GB"),
        (["report=maybe"], "true, false, page or figures"),
        (["--resolve"], "--resolve goes with --cfg"),
        (["-m", "--cfg", "job"], "drop -m"),
        (["executor=slrm"], "unknown executor 'slrm'"),
        (["depth=${foo}"], "sweep: depth: Interpolation key 'foo' not found"),
        (["train=sgd", "train.lr=1e400"], "train.lr=1e400: 1e400 is beyond the largest number"),
        (["-m", "bias_std=0,1e999"], "bias_std=0,1e999: 1e999 is beyond the largest number"),
        (["block=mlp", "block.expand=1000000000"], "block.expand=1000000000: block.expand, of a width"),
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
        ("grid", "name: [1]\naxes: {depth: 2}", ["-m", "grid=bad"], "needs a line 'name: …'"),
        ("grid", "- 1", ["-m", "grid=bad"], "grid"),
        ("init", "std: 3", ["init=bad"], "needs a line 'name: …'"),
        ("init", "std: 3", ["-m", "init=bad,xavier"], "needs a line 'name: …'"),
        ("init", "name: {", ["init=bad"], "while parsing"),
        ("executor", "cores: 1", ["executor=bad"], "needs a line 'name: …'"),
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


def test_what_this_machine_cannot_hold_is_refused_before_anything_is_computed(sweep_command, tmp_path):
    grid = ("-m", "grid=smoke", "init=xavier", "act=tanh", "depth=1", "width=8,1000000000000", "seed=0")
    done = sweep_command(*grid, "batch=1000")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert re.search(
        r"depth=1 width=1000000000000 batch=1000 needs \S+ \wB at once, but only .*B of memory is free",
        done.stderr,
    )
    assert list(tmp_path.iterdir()) == []
    planned = sweep_command(*grid, "batch=1000", "dry_run=true")
    assert planned.returncode == 0, planned.stderr
    assert "a run would be refused: depth=1 width=1000000000000" in planned.stdout


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
    sweep_command("-m", "grid=smoke", "depth=2", "seed=0", "batch=20", "report=false")
    (tmp_path / "outputs" / "smoke" / "cells" / part("zzz")).write_text("junk")
    done = sweep_command("outputs/smoke", module="sweep.report")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert part("zzz") in done.stderr
