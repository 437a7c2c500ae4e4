import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.execution.plan import pieces, shards, tasks
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import ID_BYTES
from tests.make import cell

SPECS = [cell(depth=depth, width=8, batch=10).spec for depth in (1, 2, 3, 4)]
some_cells = st.lists(
    st.builds(lambda spec, seed: spec.cell(seed), st.sampled_from(SPECS), st.integers(0, 5))
)


@settings(deadline=None)
@given(some_cells, st.data())
def test_cells_are_a_set_whatever_they_are_made_of(cells, data):
    made = Cells.of(cells)
    assert sorted(one.id for one in made) == sorted({one.id for one in cells})
    assert len(made) == len(set(cells))
    assert all(one in made for one in cells)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(made), max_size=len(made))), bool)
    kept = [one for one, wanted in zip(made, keep, strict=True) if wanted]
    assert sorted(one.id for one in made.where(keep)) == sorted(one.id for one in kept)
    seeds = [seed for block in made.where(keep).blocks for seed in block.seeds]
    assert len(seeds) == len(set(seeds)), "seeds that want different networks are blocks apart"


def test_a_block_names_its_cells_by_the_ids_that_they_have():
    block = Block(tuple(SPECS), (3, 1, 4))
    digests = block.digests()
    found = [digests[start : start + ID_BYTES].hex() for start in range(0, len(digests), ID_BYTES)]
    assert found == [one.id for one in block]
    assert next(iter(block)).spec == SPECS[0]


def test_a_regular_grid_with_a_hole_is_two_blocks():
    grid = Cells((Block(tuple(SPECS), tuple(range(100))),))
    missing = grid.where(np.array([(one.seed, one.depth) != (7, 2) for one in grid]))
    assert len(missing) == 399
    assert sorted((len(block.specs), len(block.seeds)) for block in missing.blocks) == [(3, 1), (4, 99)]


@pytest.mark.parametrize("use", [lambda cells: tasks.pack(cells, 2), lambda cells: shards.shares(cells, 32)])
def test_planning_many_cells_takes_what_their_seeds_take(use):
    cells = Cells((Block(tuple(SPECS), tuple(range(50_000))),))
    use(cells)  # what is imported and cached is not the plan's
    tracemalloc.start()
    kept = use(cells)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept
    assert peak < 20 * len(cells), "bytes a cell; one cell by itself has some 300"


def test_a_task_less_what_others_have_stored():
    (task,) = tasks.pack(Cells((Block(tuple(SPECS), (0, 1, 2)),)), 1)
    gone = [one for one in task.cells if one.seed == 1 or one.depth == 4]
    left = pieces.without(task, {bytes.fromhex(one.id) for one in gone})
    assert set(left.cells) == set(task.cells) - set(gone)
    assert 0 < left.seconds < task.seconds
    assert pieces.without(task, set()) is task
    assert pieces.without(task, {bytes.fromhex(one.id) for one in task.cells}) is None
    parts = pieces.halves(task)
    assert sorted(one.id for part in parts for one in part.cells) == sorted(one.id for one in task.cells)
