from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from sweep.execution.workers.local import run_task
from sweep.experiment.batches import Cells
from sweep.store import tables
from sweep.store.index import Status, StoredIndex
from sweep.store.index import older as older_rows
from sweep.store.parts import commits
from sweep.store.places.local import Local
from sweep.store.study import Study
from tests.make import packed
from tests.studies import CELLS, grid, part, write


def test_parts_carry_where_they_came_from(study):
    write(study, "a", CELLS[:1])
    metadata = pq.read_metadata(study.path / "cells" / part("a")).metadata
    assert metadata[b"schema"] == str(tables.SCHEMA_VERSION).encode()
    assert metadata[b"program"] == b"sweep"
    assert b"numpy" in metadata


def test_of_many_small_parts_each_is_opened_once_for_a_look(study, monkeypatch):
    for number in range(4):
        write(study, str(number), CELLS[number : number + 1])
    opened = []
    original = Local.open
    monkeypatch.setattr(Local, "open", lambda place, path: opened.append(path) or original(place, path))
    fresh = Study(study.path)
    fresh.read("cells", ["status", "init", "act"])
    older_rows(fresh)
    assert (StoredIndex(fresh).of(Cells.of(CELLS[:4])) == Status.OK).all()
    assert sorted(opened) == sorted(f"cells/{name}" for name in commits.names(study.place))


@pytest.mark.parametrize("where", ["footer", "rows"])
def test_compacting_names_a_part_whose_layers_are_damaged_and_leaves_all_as_it_is(
    where, sweep_command, tmp_path
):
    study = Study(tmp_path / "study")
    study.create()
    for depth in (2, 3):  # two parts, which one compaction would put together
        (task,) = packed(grid(("xavier",), ("tanh",), (depth,), (16,)), 1)
        study.write(part(str(depth)), *tables.tables(run_task(task, False), "run"))
    file = tmp_path / "study" / "layers" / part("2")
    content = bytearray(file.read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    content[content.index(b"grad_rms", footer) if where == "footer" else 60] ^= 0xFF
    file.write_bytes(content)
    before = {path.name for path in (tmp_path / "study").rglob("*.parquet")}
    done = sweep_command("study", module="sweep.compact")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert file.name in done.stderr
    assert "python -m sweep.verify study" in done.stderr
    assert {path.name for path in (tmp_path / "study").rglob("*.parquet")} == before


def test_writers_are_sorted_by_time_within_a_second_and_told_apart_within_a_microsecond():
    moments = [
        datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=n) for n in (0, 1, 37, 999_999, 1_000_000)
    ]
    names = [commits.writer_at(moment) for moment in moments]
    assert names == sorted(names)
    assert len({len(name) for name in names}) == 1
    assert all(commits.after(name) for name in names)
    assert len({commits.writer_at(moments[0]) for _ in range(20)}) > 10
