"""Parts are put together, brought to the present schema and tidied away, whoever dies meanwhile."""

import json
import os
import time

import pandas as pd
import pytest

import sweep
from sweep.experiment.outcomes.verdict import Thresholds
from sweep.store import upkeep
from sweep.store.parts import commits, integrity
from sweep.store.study import Study
from sweep.store.tables import FIRST_PREDICTED, SCHEMA_VERSION
from tests.make import cell
from tests.studies import CELLS, fail, older, part, write

DOOMED = [("small_normal", "tanh"), ("huge_normal", "tanh"), ("big_normal", "relu"), ("zeros", "relu")]


def test_a_part_without_its_commit_does_not_count_and_is_removed_once_old(study):
    write(study, "a", CELLS[:1])
    write(study, "b", CELLS[1:2])
    (study.path / "cells" / part("b")).unlink()  # killed between the two renames
    assert set(sweep.load(study.path, "layers")["cell_id"]) == {CELLS[0].id}
    upkeep.tidy(study)
    orphan = study.path / "layers" / part("b")
    assert orphan.exists(), "its writer may be about to commit it"
    old = time.time() - 2 * upkeep._ORPHAN_SECONDS
    os.utime(orphan, (old, old))
    upkeep.tidy(study)
    assert not orphan.exists()


def test_where_there_is_no_commit_no_layers_are_removed(study):
    for number in range(3):
        write(study, str(number), CELLS[number : number + 1])
    folders = {name: study.path / name for name in ("cells", "layers")}
    for path in folders["layers"].iterdir():
        os.utime(path, (1000, 1000))
    before = {path.name: path.read_bytes() for path in folders["layers"].iterdir()}
    away = study.path.with_name("away")
    folders["cells"].rename(away)
    for there in (False, True):
        if there:
            folders["cells"].mkdir()
        for dead in (None, True):
            upkeep.tidy(study, lambda writer, dead=dead: dead)
        upkeep.compact(study, 10**6)
        assert {path.name: path.read_bytes() for path in folders["layers"].iterdir()} == before
    folders["cells"].rmdir()
    away.rename(folders["cells"])
    assert len(sweep.load(study.path, "layers")["cell_id"].unique()) == 3


@pytest.mark.parametrize("folder", ["cells", "layers"])
@pytest.mark.parametrize("module", ["sweep.compact", "sweep.verify", "sweep.status", "sweep"])
def test_a_study_of_which_half_is_away_is_refused_in_a_line(study, sweep_command, folder, module):
    write(study, "a", CELLS[:1])
    away = study.path.with_name("away")
    (study.path / folder).rename(away)
    before = sorted(study.path.rglob("*"))
    arguments = [f"study={study.name}", "root=."] if module == "sweep" else [str(study.path)]
    done = sweep_command(*arguments, module=module)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"{folder} is missing, but" in done.stderr
    assert sorted(study.path.rglob("*")) == before
    away.rename(study.path / folder)
    assert len(sweep.load(study.path)) == 1


def test_rewriting_keeps_every_row_and_any_two_writers_may_do_it_at_once(study, monkeypatch):
    for number in range(4):
        write(study, f"part-{number}", CELLS[2 * number : 2 * number + 3])

    def cells():  # two results of one cell differ in how long they took
        return sweep.load(study.path).sort_values("cell_id", ignore_index=True).drop(columns="seconds")

    before = cells()
    one, other = Study(study.path), Study(study.path)
    names = sorted(commits.names(study.place))
    # The other has read what the first then puts elsewhere: both copies are there, and count once.
    with monkeypatch.context() as patch:
        patch.setattr(commits, "remove", lambda place, name: None)
        name = upkeep.replace(other, names[:2])
    upkeep.replace(one, names)
    assert len(commits.names(study.place)) == 2
    pd.testing.assert_frame_equal(cells(), before)
    upkeep.tidy(other)
    assert sorted(pd.read_parquet(study.path / "cells")["cell_id"]) == sorted(before["cell_id"])
    assert not pd.read_parquet(study.path / "layers")[["cell_id", "layer"]].duplicated().any()
    assert commits.level(commits.name_of_copy("run", 1, [name])) == 2


def test_a_study_of_the_older_schema_is_read_with_nulls_for_what_it_did_not_know(study):
    write(study, "a", CELLS[:1])
    write(study, "b", CELLS[1:2])
    older(study, part("a"))
    assert sweep.load(study.path)["flat_share"].isna().tolist() == [True, False]
    assert integrity.damaged(study.place, commits.names(study.place)) == {}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("thresholds", [Thresholds(), Thresholds(vanishing=0.5)])
def test_what_a_row_of_an_older_schema_lacks_comes_from_its_layers(study, version, thresholds):
    doomed = [cell(init={"name": n}, act={"name": a}, depth=9, width=30, batch=30) for n, a in DOOMED]
    write(study, "a", CELLS[:3])
    write(study, "b", doomed, thresholds=thresholds)
    fail(study, "c", cell(seed=9), "MemoryError: no room")
    columns = ["verdict", "verdicts", "verdict_layer", "verdict_thresholds", *FIRST_PREDICTED]
    before = pd.read_parquet(study.path / "cells").set_index("cell_id")
    assert {"vanishing gradient-vanishing", "saturated gradient-exploding"} <= set(
        before["verdicts"].str.join(" ")
    )
    plain = sweep.load(study.path).set_index("cell_id")
    for name in "abc":
        older(study, part(name), version)
    files = {path: path.read_bytes() for path in study.path.rglob("*.parquet")}
    pd.testing.assert_frame_equal(sweep.load(study.path).set_index("cell_id")[columns], plain[columns])
    assert {path: path.read_bytes() for path in study.path.rglob("*.parquet")} == files, "it was only read"
    again = Study(study.path)
    again.create()
    upkeep.modernise(again)
    after = pd.read_parquet(study.path / "cells").set_index("cell_id").loc[before.index]
    for frame in (before, after):
        frame["verdicts"] = frame["verdicts"].map(list)
    pd.testing.assert_frame_equal(after[columns], before[columns])


@pytest.mark.parametrize(
    ("killed", "size"), [(None, 1 << 24), ("write", 1), ("remove", 1), ("remove", 1 << 24)]
)
def test_whoever_adds_to_a_study_of_the_older_schema_brings_it_to_the_present_one(
    study, monkeypatch, killed, size
):
    monkeypatch.setattr(upkeep, "_TOGETHER", size)  # one by one, or all at once
    for number in range(3):
        write(study, str(number), CELLS[number : number + 1])
        older(study, part(str(number)))
    before = sweep.load(study.path).sort_values("cell_id", ignore_index=True)
    calls = []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    again = Study(study.path)
    again.create()
    if killed:
        original = getattr(commits, killed)
        with monkeypatch.context() as patch:
            patch.setattr(commits, killed, dies)
            with pytest.raises(KeyboardInterrupt):
                upkeep.modernise(again)
        now = sweep.load(study.path).sort_values("cell_id", ignore_index=True)
        pd.testing.assert_frame_equal(now, before)
    last = Study(study.path)
    last.create()
    upkeep.modernise(last)
    upkeep.tidy(last)
    cells = pd.read_parquet(study.path / "cells").sort_values("cell_id", ignore_index=True)
    pd.testing.assert_frame_equal(cells, before, check_dtype=False)
    assert json.loads((study.path / "study.json").read_text()) == {
        "program": "sweep",
        "schema": SCHEMA_VERSION,
    }
    assert set(study.scan.versions(commits.names(study.place)).values()) == {SCHEMA_VERSION}


def test_many_small_parts_are_put_together_by_whoever_tidies(study, monkeypatch):
    monkeypatch.setattr(upkeep, "_MANY", 4)
    for number in range(4):
        write(study, str(number), CELLS[number : number + 1])
    upkeep.tidy(study)
    assert len(commits.names(study.place)) == 4, "a few are left as they are"
    write(study, "4", CELLS[4:5])
    before = {table: sweep.load(study.path, table) for table in ("cells", "layers")}
    upkeep.tidy(study)
    assert len(commits.names(study.place)) == 1
    for table, expected in before.items():
        keys = ["cell_id"] if table == "cells" else ["cell_id", "layer"]
        found = sweep.load(study.path, table)
        pd.testing.assert_frame_equal(*(t.sort_values(keys, ignore_index=True) for t in (found, expected)))
    for name in commits.names(study.place):
        size = (study.path / "layers" / name).stat().st_size
        monkeypatch.setattr(upkeep, "_SMALL", size)  # as large as it is, it is not small
    upkeep.tidy(study)
    assert commits.names(study.place) == {name}
