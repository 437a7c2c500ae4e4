"""Small studies, computed and stored as a run does it, and read as a user does."""

import json

import pyarrow.parquet as pq

import sweep
from sweep.execution.workers import compute
from sweep.execution.workers.local import run_task
from sweep.experiment.batches import Cells
from sweep.experiment.outcomes.outcome import Failure
from sweep.experiment.outcomes.verdict import DEFAULT
from sweep.store import tables
from sweep.store.index import StoredIndex
from sweep.store.parts import part_file
from sweep.store.study import Study
from tests import make
from tests.make import cell, packed

INITS = ("zeros", "small_normal", "big_normal", "xavier", "kaiming")


def part(text):
    """The name of a part as a run gives it: one for every text, in their order, of its last four letters."""
    if "T" in text:  # a run's already
        return f"{text}.parquet"
    return f"20260101T000000-{text[-4:].encode().hex():0<8}-000000.parquet"


def unsealed(table):
    """What a file's footer says, as a program says it that did not seal it."""
    return {key: value for key, value in table.schema.metadata.items() if key != b"seal"}


def older(study, name, version=2):
    """Make a part what a program of that schema wrote: without what later ones added."""
    path = study.path / "cells" / name
    cells, layers = (
        pq.read_table(study.path / folder / name, partitioning=None) for folder in ("cells", "layers")
    )
    old = cells.select(tables.schema_of("cells", version).names)
    more = unsealed(cells) | {b"schema": str(version).encode(), b"digest": part_file.digest(old, layers)}
    pq.write_table(old.replace_schema_metadata(more), path, compression="zstd", write_page_checksum=True)
    (study.path / "study.json").write_text(json.dumps({"program": "sweep", "schema": version}))


def stored(folder, cells, histogram=False):
    study = Study(folder)
    study.create()
    for task in packed(cells, 1):
        study.write(part(str(task.number)), *tables.tables(run_task(task, histogram), "run"))
    return sweep.load(folder), sweep.load(folder, "layers")


def grid(
    inits=INITS, acts=("tanh", "relu"), depths=(2, 8), widths=(16, 300), seeds=(0, 1, 2), batch=64, **values
):
    return [
        cell(init={"name": i}, act={"name": a}, depth=d, width=w, seed=s, batch=batch, **values)
        for i in inits
        for a in acts
        for d in depths
        for w in widths
        for s in seeds
    ]


CELLS = [*make.grid(widths=(8,), batch=20), cell(widths=[9, 8, 7], batch=20)]


def result_of(cells, histogram=False):
    (result,) = [compute.run_task(task, histogram) for task in packed(cells, 1)]
    return result


def write(study, name, cells, run="run", thresholds=DEFAULT, **options):
    study.write(part(name), *tables.tables(result_of(cells, **options), run, thresholds))


def fail(study, name, one, error, run="run"):
    failed = compute.failed_result(one, Failure(*error.split(": "), "Traceback"), histogram=False)
    study.write(part(name), *tables.tables(failed, run))


def status_of(study, one):
    return StoredIndex(study).of(Cells.of([one]))[0]
