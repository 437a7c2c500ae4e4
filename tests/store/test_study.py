import io
import json
import math
import os
import time
import uuid

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sweep
from sweep.base.errors import StoreError, SweepWarning
from sweep.experiment import cell as cell_module
from sweep.experiment import outcome
from sweep.experiment.batches import Cells
from sweep.store import places, tables, upkeep
from sweep.store import study as store
from sweep.store.index import Status, Stored
from sweep.store.index import older as older_rows
from sweep.store.parts import commits
from sweep.store.parts.commits import DamagedError
from sweep.store.places.local import Local
from sweep.store.study import Study
from tests.make import cell
from tests.studies import CELLS, fail, older, part, result_of, write


def status(study, one):
    return Stored(study).of(Cells.of([one]))[0]


def test_plain_pandas_reads_a_study_as_it_is(study):
    write(study, "a", CELLS[:4])
    write(study, "b", CELLS[4:], histogram=True)
    cells = pd.read_parquet(study.path / "cells")
    layers = pd.read_parquet(study.path / "layers")
    assert sorted(cells["cell_id"]) == sorted(c.id for c in CELLS)
    assert list(cells.columns) == tables.CELLS.names
    assert list(layers.columns) == tables.LAYERS.names
    assert len(layers) == sum(c.depth + 1 for c in CELLS)
    assert isinstance(cells.index, pd.RangeIndex)
    tapered = cells[cells["widths"].notna()].iloc[0]
    assert list(tapered["widths"]) == [9, 8, 7]


def test_the_cells_table_holds_the_last_layer_and_the_first_gradients(study):
    write(study, "a", CELLS)
    cells, layers = sweep.load(study.path).set_index("cell_id"), sweep.load(study.path, "layers")
    for one in CELLS:
        own = layers[layers["cell_id"] == one.id].set_index("layer").sort_index()
        row = cells.loc[one.id]
        assert list(own.index) == list(range(one.depth + 1))
        for name in ("mean", "std", "rms", "flat", "neuron_corr", "delta_std", "grad_rms"):
            assert row[name] == own.loc[one.depth, name]
        assert row["delta_std_first"] == own.loc[0, "delta_std"]
        assert row["grad_std_first"] == own.loc[1, "grad_std"]
        assert np.isnan(own.loc[0, "pre_rms"])
        assert np.isnan(own.loc[0, "grad_std"])
        assert row["verdict"] == "healthy"
    assert cells.loc[CELLS[0].id, "sigma_w"] == pytest.approx(1)


def test_parts_carry_where_they_came_from(study):
    write(study, "a", CELLS[:1])
    metadata = pq.read_metadata(study.path / "cells" / part("a")).metadata
    assert metadata[b"schema"] == str(tables.SCHEMA_VERSION).encode()
    assert metadata[b"program"] == b"sweep"
    assert b"numpy" in metadata


def test_a_cell_stored_twice_is_read_once_and_tidied_away(study):
    write(study, "a", CELLS[:3])
    write(study, "b", CELLS[2:5])
    assert len(pd.read_parquet(study.path / "cells")) == 6
    before = sweep.load(study.path, "layers")
    assert len(sweep.load(study.path)) == 5
    upkeep.tidy(study)
    assert sorted(pd.read_parquet(study.path / "cells")["cell_id"]) == sorted(c.id for c in CELLS[:5])
    keys = pd.read_parquet(study.path / "layers")[["cell_id", "layer"]]
    assert not keys.duplicated().any()
    columns = ["cell_id", "layer", "std"]
    order = ["cell_id", "layer"]
    after = sweep.load(study.path, "layers")
    pd.testing.assert_frame_equal(
        before[columns].sort_values(order, ignore_index=True),
        after[columns].sort_values(order, ignore_index=True),
    )


def test_a_result_wins_over_failures_and_the_last_failure_over_the_first(study):
    fail(study, "a", CELLS[0], "MemoryError: first")
    fail(study, "b", CELLS[0], "MemoryError: second")
    assert sweep.load(study.path)["error"].tolist() == ["MemoryError: second"]
    assert status(study, CELLS[0]) == Status.FAILED
    write(study, "c", CELLS[:1])
    assert status(study, CELLS[0]) == Status.OK
    upkeep.tidy(study)
    assert [path.name for path in sorted((study.path / "cells").iterdir())] == [part("c")]


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


def test_a_write_that_fails_leaves_nothing_behind(study, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(places.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; what is stored is safe"):
        write(study, "a", CELLS[:1])
    assert not list((study.path / "layers").iterdir())
    assert sweep.load(study.path).empty


def test_an_empty_study_is_an_empty_frame(study):
    assert list(sweep.load(study.path).columns) == tables.CELLS.names
    assert sweep.load(study.path, "layers").empty


def test_histograms_are_stored_where_asked_for(study):
    write(study, "a", CELLS[:1], histogram=True)
    write(study, "b", CELLS[1:2])
    layers = sweep.load(study.path, "layers")
    kept = layers[layers["cell_id"] == CELLS[0].id]["histogram"]
    assert all(sum(counts) == 8 * 20 for counts in kept)
    assert layers[layers["cell_id"] == CELLS[1].id]["histogram"].isna().all()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.txt": "mine"}, "holds something else ('notes.txt')"),
        ({"study.json": "{"}, "cannot be read"),
        ({"study.json": json.dumps({"program": "other", "schema": 1})}, "a study of 'other'"),
        ({"study.json": json.dumps({"program": "sweep", "schema": 99})}, "schema 99, newer than"),
    ],
)
def test_a_folder_that_is_no_study_of_ours_is_refused_untouched(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(StoreError) as error:
        Study(tmp_path).check()
    assert message in str(error.value)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_a_root_that_is_a_file_or_a_study_that_is_none_is_refused(tmp_path):
    blocking = tmp_path / "file"
    blocking.write_text("")
    with pytest.raises(StoreError, match="is a file"):
        Study(blocking / "grid").check()
    with pytest.raises(StoreError, match="not a study"):
        Study(blocking).check()
    with pytest.raises(StoreError, match="is no study"):
        sweep.load(tmp_path / "nothing")


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(store.os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(StoreError, match="not writable"):
        Study(tmp_path / "grid").check()


def test_a_study_that_another_writer_is_just_making_is_no_stranger(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / ".study.json.123").write_text("{")
    study = Study(tmp_path)
    study.check()
    study.create()
    assert study.exists()


def test_an_unknown_table_is_refused(study):
    with pytest.raises(sweep.RequestError, match="did you mean 'layers'"):
        sweep.load(study.path, "layer")


def test_an_overwriting_run_wins_as_a_whole_and_a_failure_never_hides_a_result(study):
    write(study, "a", CELLS[:2], run="20260101T000000-aaaaaaaa")
    write(study, "b", CELLS[:1], run="20260102T000000-aaaaaaaa")
    fail(study, "c", CELLS[1], "MemoryError: later", run="20260103T000000-aaaaaaaa")
    cells = sweep.load(study.path).set_index("cell_id")
    assert cells.loc[CELLS[0].id, "run_id"] == "20260102T000000-aaaaaaaa"
    assert cells.loc[CELLS[1].id, "status"] == "ok"
    study.outrank("20991231T235959-ffffffff")
    assert study.writer > "20991231T235959-ffffffff"


def test_a_newer_kernels_result_hides_the_older_one_unless_all_are_asked_for(study, monkeypatch):
    write(study, "a", CELLS[:3])
    for module in (tables, cell_module):
        monkeypatch.setattr(module, "KERNEL_VERSION", "10")
    newer = [cell_module.Cell(**{name: getattr(one, name) for name in store.EXPERIMENT}) for one in CELLS[:2]]
    write(study, "b", newer)
    assert {one.id for one in newer}.isdisjoint(one.id for one in CELLS)
    expected = {newer[0].id, newer[1].id, CELLS[2].id}
    assert set(sweep.load(study.path)["cell_id"]) == expected
    assert set(sweep.load(study.path, "layers")["cell_id"]) == expected
    for table in ("cells", "layers"):
        assert len(sweep.load(study.path, table, versions="all")["cell_id"].unique()) == 5


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        content[len(content) // 3] ^= 0xFF
        path.write_bytes(content)
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["truncated", "flipped", "gone"])
@pytest.mark.parametrize("folder", ["cells", "layers"])
def test_a_damaged_part_is_named_and_set_aside_and_its_cells_are_missing(study, folder, how):
    write(study, "good", CELLS[:2])
    write(study, "bad", CELLS[2:6])
    damage(study.path / folder / part("bad"), how)
    if (folder, how) == ("cells", "gone"):  # never committed
        assert len(sweep.load(study.path)) == len(sweep.load(study.path, "layers")["cell_id"].unique()) == 2
        return
    with pytest.raises(DamagedError, match=part("bad")) as error:
        [sweep.load(study.path, table) for table in ("cells", "layers")]
    assert set(error.value.parts) == {part("bad")}
    assert set(study.scan.corrupted(commits.names(study.place))) == {part("bad")}
    study.set_aside(error.value.parts)
    assert [one for one in CELLS if status(study, one) != Status.MISSING] == CELLS[:2]
    kept = list((study.path / "quarantine").rglob(part("bad")))
    assert len(kept) == (1 if how == "gone" else 2)


def test_nothing_of_a_part_is_lost_by_who_dies_while_it_is_set_aside(study, monkeypatch):
    write(study, "bad", CELLS[:2])
    damage(study.path / "cells" / part("bad"), "truncated")
    before = {path.name: path.read_bytes() for path in (study.path / "layers").iterdir()}
    broken, original = study.scan.corrupted(commits.names(study.place)), Local.move

    def dies(place, path, to):
        original(place, path, to)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Local, "move", dies)
        with pytest.raises(KeyboardInterrupt):
            study.set_aside(broken)
    for folder in (study.path / "cells", study.path / "layers"):
        for path in folder.iterdir():
            os.utime(path, (1000, 1000))
    upkeep.compact(Study(study.path), 10**6)
    again = Study(study.path)
    again.set_aside(again.scan.corrupted(commits.names(again.place)))
    kept = {path.name: path.read_bytes() for path in (study.path / "quarantine" / "layers").iterdir()}
    assert kept == before
    assert len(list((study.path / "quarantine" / "cells").iterdir())) == 1


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
    assert commits.level(commits.rewritten("run", 1, [name])) == 2


def test_a_cell_twice_in_one_part_is_not_removed_altogether(study):
    cells, layers = tables.tables(result_of(CELLS[:2]), "run")
    study.write(part("a"), pa.concat_tables([cells, cells]), layers)
    upkeep.tidy(study)
    assert sorted(pd.read_parquet(study.path / "cells")["cell_id"]) == sorted(one.id for one in CELLS[:2])
    assert not sweep.load(study.path, "layers").duplicated(["cell_id", "layer"]).any()


REALS = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_subnormal=True),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, 5e-324, -2.2e-308, 1.7976931348623157e308]),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(outcome.STATISTICS), st.lists(REALS, min_size=3, max_size=3)))
def test_the_store_gives_back_every_value_as_it_was(tmp_path, columns):
    study = Study(tmp_path / str(uuid.uuid4()))
    study.create()
    one = cell(depth=2, width=4)
    values = {name: columns.get(name, [None] * 3) for name in outcome.STATISTICS}
    statistics = {k: np.array([math.nan if x is None else x for x in v]) for k, v in values.items()}
    result = outcome.Result(Cells.of([one]).blocks, 0.0, {}, np.zeros(1), statistics, None)
    with np.errstate(over="ignore"):  # an input's rms near the largest number is no network's
        made = tables.tables(result, "run")
    study.write(part("a"), *made)
    back = study.read("layers").sort_by("layer")
    for name, expected in values.items():
        found = back[name].to_pylist()
        assert [str(x) for x in found] == [str(x) for x in expected]  # str tells -0.0 from 0.0
    upkeep.replace(study, [part("a")])
    assert study.read("cells").to_pylist() == made[0].to_pylist()


def test_a_study_of_the_older_schema_is_read_with_nulls_for_what_it_did_not_know(study):
    write(study, "a", CELLS[:1])
    write(study, "b", CELLS[1:2])
    older(study, part("a"))
    assert sweep.load(study.path)["flat_share"].isna().tolist() == [True, False]
    assert study.scan.corrupted(commits.names(study.place)) == {}


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
    assert json.loads((study.path / "study.json").read_text()) == {"program": "sweep", "schema": 3}
    assert set(study.scan.versions(commits.names(study.place)).values()) == {3}


@pytest.mark.parametrize("folder", ["cells", "layers"])
def test_any_flipped_bit_is_named_by_each_reader_or_changes_nothing(study, folder):
    write(study, "a", CELLS[:3])
    readers = {
        "cells": lambda study: study.read("cells").to_pylist(),
        "layers": lambda study: study.read("layers").to_pylist(),
        "states": lambda study: study.scan.states([part("a")]),
        "versions": lambda study: study.scan.versions([part("a")]),
        "stored": lambda study: Stored(study).of(Cells.of(CELLS[:3])).tolist(),
    }
    before = {name: reader(study) for name, reader in readers.items()}
    assert study.scan.corrupted([part("a")]) == {}
    path = study.path / folder / part("a")
    good = path.read_bytes()
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    rng = np.random.default_rng(0)
    for place in (*rng.integers(8 * footer, size=40), *rng.integers(8 * footer, 8 * len(good), size=60)):
        flipped = bytearray(good)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        whole = not Study(study.path).scan.corrupted([part("a")])
        for name, reader in readers.items():
            try:
                assert reader(Study(study.path)) == before[name], (name, place)
            except StoreError as error:
                said = str(error)
                assert part("a") in said, (name, place)
                assert not whole, (name, place)


@pytest.mark.parametrize("folder", ["cells", "layers"])
def test_a_part_that_says_another_number_of_rows_is_named_or_read_whole(study, folder):
    write(study, "a", CELLS[:3])
    before = study.read(folder)
    path = study.path / folder / part("a")
    good, rows = path.read_bytes(), pq.read_table(path, partitioning=None).num_rows
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    found = 0
    for place in range(footer, len(good)):
        flipped = bytearray(good)
        flipped[place] ^= 2
        try:
            said = pq.read_metadata(io.BytesIO(flipped))
            other = {said.num_rows, said.row_group(0).num_rows} != {rows}
        except (OSError, pa.ArrowException, ValueError, IndexError):
            continue
        if other:
            path.write_bytes(flipped)
            try:
                assert Study(study.path).read(folder).equals(before), place
            except DamagedError:
                found += 1
    assert found


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


def test_of_many_small_parts_each_is_opened_once_for_a_look(study, monkeypatch):
    for number in range(4):
        write(study, str(number), CELLS[number : number + 1])
    opened = []
    original = Local.open
    monkeypatch.setattr(Local, "open", lambda place, path: opened.append(path) or original(place, path))
    fresh = Study(study.path)
    fresh.read("cells", ["status", "init", "act"])
    older_rows(fresh)
    assert (Stored(fresh).of(Cells.of(CELLS[:4])) == Status.OK).all()
    assert sorted(opened) == sorted(f"cells/{name}" for name in commits.names(study.place))


@pytest.mark.parametrize("forged", ["", "x" * 32, "0" * 31, "0" * 32 + "\n"])
def test_a_part_with_an_id_that_is_none_is_left_out(study, forged):
    write(study, "a", CELLS[:1])
    cells, layers = study.read("cells"), study.read("layers")
    ids = pa.array([forged])
    study.write(part("b"), cells.set_column(0, "cell_id", ids), layers.slice(0, 0))
    with pytest.warns(SweepWarning, match="a row with a cell_id that is none"):
        assert len(sweep.load(study.path)) == 1
