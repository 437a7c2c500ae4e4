import json
import os
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import sweep
from sweep import compute, plan, store, tables
from sweep.errors import Failure, StoreError
from sweep.store import Study
from tests.test_cell import cell
from tests.test_plan import grid

CELLS = [*grid(widths=(8,), batch=20), cell(widths=[9, 8, 7], batch=20)]


def result_of(cells, histogram=False):
    (result,) = [compute.run_task(task, histogram) for task in plan.tasks(cells, 1)]
    return result


@pytest.fixture
def study(tmp_path):
    made = Study(tmp_path / "grid")
    made.create()
    return made


def write(study, name, cells, **options):
    study.write(f"{name}.parquet", *tables.tables(result_of(cells, **options), "run"))


def fail(study, name, one, error):
    failed = compute.failed(one, Failure(*error.split(": "), "Traceback"), histogram=False)
    study.write(f"{name}.parquet", *tables.tables(failed, "run"))


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
    metadata = pq.read_metadata(study.path / "cells" / "a.parquet").metadata
    assert metadata[b"schema"] == str(tables.SCHEMA_VERSION).encode()
    assert metadata[b"program"] == b"sweep"
    assert b"numpy" in metadata


def test_a_cell_stored_twice_is_read_once_and_tidied_away(study):
    write(study, "a", CELLS[:3])
    write(study, "b", CELLS[2:5])
    assert len(pd.read_parquet(study.path / "cells")) == 6
    before = sweep.load(study.path, "layers")
    assert len(sweep.load(study.path)) == 5
    study.tidy()
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
    assert study.statuses() == {CELLS[0].id: "failed"}
    write(study, "c", CELLS[:1])
    assert study.statuses() == {CELLS[0].id: "ok"}
    study.tidy()
    assert [path.name for path in sorted((study.path / "cells").iterdir())] == ["c.parquet"]


def test_a_part_without_its_commit_does_not_count_and_is_removed_once_old(study):
    write(study, "a", CELLS[:1])
    write(study, "b", CELLS[1:2])
    (study.path / "cells" / "b.parquet").unlink()  # killed between the two renames
    assert set(sweep.load(study.path, "layers")["cell_id"]) == {CELLS[0].id}
    study.tidy()
    orphan = study.path / "layers" / "b.parquet"
    assert orphan.exists(), "its writer may be about to commit it"
    old = time.time() - 2 * store._ORPHAN_SECONDS
    os.utime(orphan, (old, old))
    study.tidy()
    assert not orphan.exists()


def test_a_write_that_fails_leaves_nothing_behind(study, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
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
