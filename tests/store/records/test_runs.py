import subprocess
import sys

from sweep.base.process import machine
from sweep.store import upkeep
from sweep.store.records import runs
from sweep.store.study import Study
from tests.processes import ROOT
from tests.studies import CELLS, part, write


def test_a_run_is_known_to_live_until_it_ends_however_it_ends(study):
    other = Study(study.path)
    run = runs.RunRecord(study, {"command.txt": "python -m sweep\n"})
    assert runs.living(other) == [study.writer]
    assert runs.has_ended(other)(study.writer) is False
    assert runs.command(other, study.writer) == "python -m sweep"
    run.close(0)
    assert runs.living(other) == []
    assert runs.has_ended(other)(study.writer) is True

    code = (
        "import os, signal, sys; from sweep.store.records import runs; from sweep.store.study import Study;"
        "study = Study(sys.argv[1]); run = runs.RunRecord(study, {}); print(study.writer, flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(study.path)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert runs.has_ended(other)(killed.stdout.strip()) is True


def test_of_a_run_elsewhere_or_without_a_lock_nothing_is_known(study):
    runs.RunRecord(study, {}).close(0)
    (study.path / "runs" / study.writer / "alive").write_text("another-machine")
    assert runs.has_ended(Study(study.path))(study.writer) is None
    assert runs.has_ended(Study(study.path))("20200101T000000-00000000") is None


def test_what_a_dead_run_left_half_done_is_removed_at_once_and_a_living_ones_is_not(study):
    write(study, "a", CELLS[1:2])
    other = Study(study.path)
    run = runs.RunRecord(other, {})
    write(study, f"{other.writer}-000000", CELLS[:1])
    (
        study.path / "cells" / f"{other.writer}-000000.parquet"
    ).unlink()  # its layers are there, not yet its cells
    (study.path / "layers" / f".{other.writer}-000001.parquet.7a").write_text("half")
    upkeep.tidy(study, runs.has_ended(study))
    assert len(list((study.path / "layers").iterdir())) == 3
    run.close(1)
    upkeep.tidy(study, runs.has_ended(study))
    assert [path.name for path in (study.path / "layers").iterdir()] == [part("a")]


def test_what_was_set_aside_is_left_to_compute_although_its_run_ended_well(sweep_command, tmp_path):
    assert sweep_command("-m", "grid=smoke", "batch=20", "report=false").returncode == 0
    made = tmp_path / "outputs" / "smoke"
    for file in (made / "cells").iterdir():
        file.write_bytes(file.read_bytes()[:1000])
    assert sweep_command(str(made), module="sweep.verify").returncode == 1
    said = sweep_command(str(made), module="sweep.status").stdout
    assert "32 cells left" in said
    assert "run the command again" in said


def test_runs_learn_from_those_before_on_this_machine(study):
    assert runs.factors(study) == []
    for factor, where in (
        (2.0, machine.identity()),
        (4.0, machine.identity()),
        (9.0, {"host": "elsewhere"}),
    ):
        one = Study(study.path)
        run = runs.RunRecord(one, {})
        run.add_to_summary({"factor": factor} | where)
        run.close(0)
    assert sorted(runs.factors(study)) == [2.0, 4.0]
