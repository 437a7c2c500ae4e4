"""A study that this user may not write to, or not even read: nothing moves, and it says so in a line."""

import os
import shutil
import sys

import pytest

import sweep
from tests.processes import Process, start

FEW = ("-m", "grid=smoke", "init=xavier,kaiming", "act=tanh", "depth=2", "width=8", "batch=5")
GRID = (*FEW, "seed=0,1")
MORE = (*FEW, "seed=0,1,2")
# Whoever runs the tests as root may read and write everything: these let go of that.
POWERS = "-dac_override,-dac_read_search,-fowner"


@pytest.fixture
def plain(tmp_path):
    """Run `python -m sweep…` as a user who owns the files and has no powers beyond that."""
    without = ("setpriv", f"--bounding-set={POWERS}", "--inh-caps=-all") if os.geteuid() == 0 else ()
    if without and not shutil.which("setpriv"):
        pytest.skip("no setpriv here (util-linux): root may read everything")

    def run(*arguments, module="sweep"):
        return start([*without, sys.executable, "-m", module, *arguments], tmp_path).ended()

    return run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study of four cells in four parts or fewer, as a command leaves it."""
    folder = tmp_path_factory.mktemp("made")
    with Process([sys.executable, "-m", "sweep", *GRID, "report=false"], folder) as process:
        done = process.ended()
    assert done.returncode == 0, done.stderr
    return folder / "outputs" / "smoke"


@pytest.fixture
def study(made, tmp_path):
    """Such a study; what is taken away from its files is given back."""
    path = tmp_path / "outputs" / "smoke"
    shutil.copytree(made, path)
    yield path
    for folder, folders, files in os.walk(path):
        for name in (".", *folders, *files):
            os.chmod(os.path.join(folder, name), 0o755)  # noqa: PTH101, PTH118


def closed(path, mode):
    """The same mode for a folder and all below, the deepest first."""
    for one in sorted(path.rglob("*"), reverse=True):
        one.chmod(mode if one.is_dir() else mode & 0o666)
    path.chmod(mode)


def listing(path):
    return sorted(str(one.relative_to(path)) for one in path.rglob("*"))


def test_the_command_of_a_complete_study_that_is_read_only_says_so_and_ends_well(plain, study, tmp_path):
    before = listing(study)
    closed(study, 0o555)
    done = plain(*GRID)
    assert done.returncode == 0, done.stderr
    assert "4 cells, all stored already: nothing to compute" in done.stderr
    assert "cannot write the figures to outputs/smoke/report: Permission denied" in done.stderr
    assert "elsewhere: python -m sweep.report STUDY --to FOLDER" in done.stderr
    assert done.stdout, "the table is shown"
    for module in ("sweep.status", "sweep.verify"):
        read = plain("outputs/smoke", module=module)
        assert read.returncode == 0, read.stderr
    refused = plain("outputs/smoke", module="sweep.report")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    elsewhere = plain("outputs/smoke", "--to", "figures", module="sweep.report")
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert {"std.png", "index.html"} <= {path.name for path in (tmp_path / "figures").iterdir()}
    assert listing(study) == before


def test_what_a_read_only_study_lacks_is_refused_in_a_line(plain, study):
    closed(study, 0o555)
    done = plain(*MORE)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert (
        "cannot write to outputs/smoke: it is not writable; choose another study=… or root=…" in done.stderr
    )
    planned = plain(*MORE, "dry_run=true")
    assert planned.returncode == 0, planned.stderr


@pytest.mark.parametrize("which", ["a part of a colleague", "all parts"])
def test_what_may_not_be_read_is_named_and_nothing_moves(plain, study, which):
    before = sweep.load(study)
    parts = sorted((study / "cells").iterdir())
    names = listing(study)
    for part in parts if which == "all parts" else parts[:1]:
        part.chmod(0)
    for module, arguments in (
        ("sweep", MORE),
        ("sweep.verify", ("outputs/smoke",)),
        ("sweep.compact", ("outputs/smoke",)),
        ("sweep.status", ("outputs/smoke",)),
        ("sweep.report", ("outputs/smoke",)),
    ):
        done = plain(*arguments, module=module)
        assert done.returncode in (1, 2), done.stderr
        assert "Permission denied; nothing was moved" in done.stderr, module
        assert done.stderr.count("\n") == 1, done.stderr
    added = {name.partition("/")[0] for name in set(listing(study)) - set(names)}
    assert added <= {"runs"}
    assert set(names) <= set(listing(study))
    for part in parts:
        part.chmod(0o644)
    assert sweep.load(study).equals(before)


def test_reports_go_to_a_folder_of_this_machine(plain, study):
    done = plain("outputs/smoke", "--to", "s3://bucket/figures", module="sweep.report")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "--to s3://bucket/figures: figures must go to a folder on this machine" in done.stderr
