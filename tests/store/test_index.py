from sweep.experiment.batches import Cells
from sweep.store import upkeep
from sweep.store.index import StoredIndex, Watch
from sweep.store.parts.digests import among
from tests.studies import CELLS, fail, part, write


def test_what_others_store_is_noticed_part_by_part(study):
    write(study, "a", CELLS[:2])
    stored = StoredIndex(study)
    fail(study, "b", CELLS[2], "MemoryError: now")
    write(study, "c", CELLS[3:4])
    write(study, f"{study.writer}-000001", CELLS[4:5])
    assert stored.look(study.writer) == {bytes.fromhex(CELLS[3].id)}
    assert stored.look(study.writer) == set()


def test_a_watch_counts_what_is_stored_from_now_on_and_old_failures_only_when_they_are_tried_again(study):
    write(study, "a", CELLS[:2])
    fail(study, "b", CELLS[2], "MemoryError: then")
    watch = Watch(study, Cells.of(CELLS[:5]), overwrite=False)
    assert watch.left == 3
    upkeep.replace(study, [part("b")])  # a copy of the same row is no news
    assert (watch.look().sum(), watch.left) == (0, 3)
    write(study, "c", CELLS[3:4], run="later")
    fail(study, "d", CELLS[2], "MemoryError: again", run="later")
    assert (watch.look().sum(), watch.left) == (2, 1)
    assert not watch.look().any()
    assert Watch(study, Cells.of(CELLS[:5]), overwrite=True).left == 5


def test_the_rows_of_some_cells_are_found_among_others(study):
    write(study, "a", CELLS[:4])
    write(study, "b", CELLS[4:])
    ids = study.read("cells", ["cell_id"])["cell_id"]
    wanted = {one.id for one in CELLS[2:6]}
    found = among(ids, Cells.of(CELLS[2:6])).to_pylist()
    assert [cell_id for cell_id, there in zip(ids.to_pylist(), found, strict=True) if there] == [
        cell_id for cell_id in ids.to_pylist() if cell_id in wanted
    ]
    assert len(wanted) == sum(found)
