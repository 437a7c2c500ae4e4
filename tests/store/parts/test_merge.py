"""Which row of a cell counts, where several are stored."""

import pandas as pd
import pyarrow as pa
import pytest

import sweep
from sweep.base.errors import StoreError
from sweep.experiment import cell as cell_module
from sweep.store import tables, upkeep
from sweep.store.index import Status, StoredIndex
from sweep.store.parts import ages
from tests.studies import CELLS, fail, part, result_of, status_of, write


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
    assert status_of(study, CELLS[0]) == Status.FAILED
    write(study, "c", CELLS[:1])
    assert status_of(study, CELLS[0]) == Status.OK
    upkeep.tidy(study)
    assert [path.name for path in sorted((study.path / "cells").iterdir())] == [part("c")]


def test_an_overwriting_run_wins_as_a_whole_and_a_failure_never_hides_a_result(study):
    write(study, "a", CELLS[:2], run="20260101T000000-aaaaaaaa")
    write(study, "b", CELLS[:1], run="20260102T000000-aaaaaaaa")
    fail(study, "c", CELLS[1], "MemoryError: later", run="20260103T000000-aaaaaaaa")
    cells = sweep.load(study.path).set_index("cell_id")
    assert cells.loc[CELLS[0].id, "run_id"] == "20260102T000000-aaaaaaaa"
    assert cells.loc[CELLS[1].id, "status"] == "ok"
    study.outrank("20991231T235959-ffffffff")
    assert study.writer > "20991231T235959-ffffffff"


@pytest.mark.parametrize(
    "forged", ["zzz", "99991231T235959-aaaaaaaa", "20269999T999999-aaaaaaaa", "٢0260101T000000-aaaaaaaa", ""]
)
def test_what_no_run_can_be_called_outranks_no_run(study, forged):
    write(study, "a", CELLS[:1], run=forged)
    study.outrank(StoredIndex(study).newest_run)
    write(study, f"{study.writer}-000000", CELLS[:1], run=study.writer)
    assert sweep.load(study.path)["run_id"].tolist() == [study.writer]
    upkeep.tidy(study)
    assert pd.read_parquet(study.path / "cells")["run_id"].tolist() == [study.writer]


def test_after_the_last_second_that_a_run_can_have_nothing_is_replaced(study):
    with pytest.raises(StoreError, match="99991231T235958-aaaaaaaa, the latest run there can be"):
        study.outrank("99991231T235958-aaaaaaaa")


@pytest.mark.parametrize("forged", ["zzz", "99991231T235959-aaaaaaaa"])
def test_a_forged_run_is_overwritten_as_any_other(study, sweep_command, forged):
    write(study, "a", CELLS[:1], run=forged)
    again = [f"study={study.name}", f"root={study.path.parent}", "overwrite=true"]
    one = ["init=xavier", "act=tanh", "depth=2", "width=8", "batch=20", "seed=0", "report=false"]
    done = sweep_command(*again, *one)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert sweep.load(study.path)["run_id"].tolist() != [forged]


def test_a_newer_kernels_result_hides_the_older_one_unless_all_are_asked_for(study, monkeypatch):
    write(study, "a", CELLS[:3])
    for module in (tables, cell_module):
        monkeypatch.setattr(module, "KERNEL_VERSION", "10")
    newer = [cell_module.Cell(**{name: getattr(one, name) for name in ages.EXPERIMENT}) for one in CELLS[:2]]
    write(study, "b", newer)
    assert {one.id for one in newer}.isdisjoint(one.id for one in CELLS)
    expected = {newer[0].id, newer[1].id, CELLS[2].id}
    assert set(sweep.load(study.path)["cell_id"]) == expected
    assert set(sweep.load(study.path, "layers")["cell_id"]) == expected
    for table in ("cells", "layers"):
        assert len(sweep.load(study.path, table, versions="all")["cell_id"].unique()) == 5


def test_a_cell_twice_in_one_part_is_not_removed_altogether(study):
    cells, layers = tables.tables(result_of(CELLS[:2]), "run")
    study.write(part("a"), pa.concat_tables([cells, cells]), layers)
    upkeep.tidy(study)
    assert sorted(pd.read_parquet(study.path / "cells")["cell_id"]) == sorted(one.id for one in CELLS[:2])
    assert not sweep.load(study.path, "layers").duplicated(["cell_id", "layer"]).any()
