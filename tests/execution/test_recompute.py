import sys

import numpy as np
import pyarrow as pa
import pytest

from sweep import verify
from sweep.execution.nudged import nudged
from sweep.execution.plan import tasks
from sweep.execution.workers.compute import run_task
from sweep.experiment.batches import Cells
from sweep.store import tables
from sweep.store.parts import commits
from sweep.store.study import Study
from tests.make import cell, packed
from tests.studies import part

CHAOTIC = {"init": {"name": "big_normal"}, "depth": 30, "width": 64, "batch": 30}


def write(study, cells):
    for task in packed(cells, 1):
        study.write(part(str(task.number)), *tables.tables(run_task(task, histogram=False), "run"))


def altered(study, column, layer, change):
    """The study with one statistic of one layer changed in every cell, and in its row where that has it."""
    cells, layers = study.read("cells"), study.read("layers")
    values = np.array(layers[column].to_numpy(), float)
    chosen = layers["layer"].to_numpy() == layer
    values[chosen] = change(values[chosen])
    place = layers.schema.get_field_index(column)
    layers = layers.set_column(place, column, pa.array(values, from_pandas=True))
    if layer == cells["depth"][0].as_py():
        values = change(np.array(cells[column].to_numpy(), float))
        place = cells.schema.get_field_index(column)
        cells = cells.set_column(place, column, pa.array(values, from_pandas=True))
    for name in commits.names(study.place):
        commits.remove(study.place, name)
    study.write(part("alt"), cells, layers)


def verified(study, monkeypatch, capsys, cells=20):
    monkeypatch.setattr(sys, "argv", ["verify", str(study.path), f"--cells={cells}"])
    status = verify.main()
    return status, capsys.readouterr().out


@pytest.mark.parametrize(
    ("column", "layer", "change", "status"),
    [
        ("rms", 10, lambda x: 1.01 * x, 1),
        ("mean", 9, lambda x: x + 0.01, 1),
        ("sample_cosine", 8, lambda x: x + 0.01, 1),
        ("flat", 10, lambda x: x + 0.01, 1),
        ("neuron_corr", 7, lambda x: x + 0.01, 1),
        ("delta_std", 0, lambda x: 1.01 * x, 1),
        ("grad_rms", 1, lambda x: 0.99 * x, 1),
        ("rms", 10, lambda x: np.nan * x, 1),
        ("delta_rms", 3, lambda x: 0 * x, 1),
        ("rms", 10, lambda x: (1 + 1e-5) * x, 0),
        ("grad_std", 2, lambda x: (1 - 1e-5) * x, 0),
        ("mean", 10, lambda x: x + 1e-6, 0),
    ],
)
def test_a_deep_layer_is_compared_by_value(study, monkeypatch, capsys, column, layer, change, status):
    write(study, [cell(width=64, batch=50), cell(width=64, batch=50, act={"name": "relu"})])
    altered(study, column, layer, change)
    found, said = verified(study, monkeypatch, capsys)
    assert found == status, said
    if status:
        assert f"{column} of layer {layer} is stored as" in said
        assert "0 of 2 cells come out again" in said


def test_float64_is_compared_as_closely_as_it_computes(study, monkeypatch, capsys):
    write(study, [cell(width=64, batch=50, dtype="float64")])
    altered(study, "rms", 10, lambda x: (1 + 1e-6) * x)
    assert verified(study, monkeypatch, capsys)[0] == 1


def test_chaos_excuses_what_chaos_explains(study, monkeypatch, capsys):
    write(study, [cell(**CHAOTIC, seed=seed) for seed in range(4)])
    altered(study, "rms", 30, lambda x: 1.0005 * x)
    assert verified(study, monkeypatch, capsys) == (0, "1 of 1 parts whole; 4 of 4 cells come out again\n")
    for factor in (3, 1 / 3):
        altered(study, "rms", 30, lambda x, factor=factor: factor * x)
        status, said = verified(study, monkeypatch, capsys)
        assert (status, "0 of 4 cells come out again" in said) == (1, True), said
        altered(study, "rms", 30, lambda x, factor=factor: x / factor)


def test_before_chaos_has_grown_its_layers_are_compared_closely(study, monkeypatch, capsys):
    write(study, [cell(**CHAOTIC)])
    altered(study, "rms", 2, lambda x: 1.01 * x)
    assert verified(study, monkeypatch, capsys)[0] == 1


def test_cells_from_another_grouping_and_another_blas_come_out_again(
    sweep_command, monkeypatch, capsys, tmp_path
):
    """200 chaotic cells, computed with the oldest kernels that OpenBLAS has, where it is OpenBLAS."""
    made = sweep_command(
        "-m", "grid=smoke", "init=big_normal,huge_normal", "act=tanh,sin", "depth=6,20", "width=32",
        "batch=40", "seed=range(0,25)", "n_jobs=2", "report=false", OPENBLAS_CORETYPE="Prescott",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    status, said = verified(Study(tmp_path / "outputs" / "smoke"), monkeypatch, capsys, cells=200)
    assert status == 0, said
    assert "200 of 200 cells come out again" in said


def test_a_nudged_cell_differs_by_roundings_where_nothing_is_chaotic_and_altogether_where_it_is():
    calm, wild = cell(width=64, batch=50), cell(**CHAOTIC)

    def cosines(cells):
        (task,) = tasks.pack(cells, 1)
        return run_task(task, histogram=False).statistics["sample_cosine"][1:]

    def apart(one):
        return np.abs(cosines(Cells.of([one])) - cosines(nudged([one], 0)))

    assert 0 < apart(calm).max() < 1e-4
    assert apart(wild)[0] < 1e-5
    assert apart(wild)[-1] > 1e-3
    assert (cosines(nudged([wild], 1)) != cosines(nudged([wild], 0))).any()
    assert [one.id for one in nudged([calm], 0)] == [calm.id]
