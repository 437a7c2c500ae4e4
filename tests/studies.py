"""Small studies, computed and stored as a run does it, and read as a user does."""

import sweep
from sweep import tables
from sweep.execute import run_task
from sweep.store import Study
from tests.test_cell import cell
from tests.test_plan import packed

INITS = ("zeros", "small_normal", "big_normal", "xavier", "kaiming")


def stored(folder, cells, histogram=False):
    study = Study(folder)
    study.create()
    for task in packed(cells, 1):
        study.write(f"{task.number}.parquet", *tables.tables(run_task(task, histogram), "run"))
    return sweep.load(folder), sweep.load(folder, "layers")


def grid(inits=INITS, acts=("tanh", "relu"), depths=(2, 8), widths=(16, 300), seeds=(0, 1, 2), **values):
    return [
        cell(init={"name": i}, act={"name": a}, depth=d, width=w, seed=s, batch=64, **values)
        for i in inits
        for a in acts
        for d in depths
        for w in widths
        for s in seeds
    ]
