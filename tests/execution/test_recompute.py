import sys

import numpy as np
import pyarrow as pa
import pytest

from sweep import verify
from sweep.execution.plan import tasks
from sweep.execution.recompute import nudged_cells
from sweep.execution.workers.compute import run_task
from sweep.experiment import cell as cell_module
from sweep.experiment.batches import Cells
from sweep.store import tables
from sweep.store.parts import commits
from sweep.store.study import Study
from tests.make import cell, packed
from tests.studies import fail, part

CHAOTIC = {"init": {"name": "big_normal"}, "depth": 30, "width": 64, "batch": 30}


def write(study, cells, histogram=False):
    for task in packed(cells, 1):
        study.write(part(str(task.number)), *tables.tables(run_task(task, histogram), "run"))


def forged(study, table, column, value):
    """The study with this in every row of a table; a function has the row and says what."""
    both = {name: study.read(name, versions="all") for name in ("cells", "layers")}
    rows = both[table].to_pylist()
    said = [value(row) if callable(value) else value for row in rows]
    place = both[table].schema.get_field_index(column)
    both[table] = both[table].set_column(place, column, pa.array(said, both[table].schema.field(column).type))
    for name in commits.names(study.place):
        commits.remove(study.place, name)
    study.write(part("forg"), both["cells"], both["layers"])


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
        assert "0 of 2 recomputed cells match" in said


def test_float64_is_compared_as_closely_as_it_computes(study, monkeypatch, capsys):
    write(study, [cell(width=64, batch=50, dtype="float64")])
    altered(study, "rms", 10, lambda x: (1 + 1e-6) * x)
    assert verified(study, monkeypatch, capsys)[0] == 1


def test_chaos_excuses_what_chaos_explains(study, monkeypatch, capsys):
    write(study, [cell(**CHAOTIC, seed=seed) for seed in range(4)])
    altered(study, "rms", 30, lambda x: 1.0005 * x)
    assert verified(study, monkeypatch, capsys) == (
        0,
        "1 of 1 parts intact; 4 of 4 recomputed cells match\n",
    )
    for factor in (3, 1 / 3):
        altered(study, "rms", 30, lambda x, factor=factor: factor * x)
        status, said = verified(study, monkeypatch, capsys)
        assert (status, "0 of 4 recomputed cells match" in said) == (1, True), said
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
    assert "200 of 200 recomputed cells match" in said


def test_a_nudged_cell_differs_by_roundings_where_nothing_is_chaotic_and_altogether_where_it_is():
    calm, wild = cell(width=64, batch=50), cell(**CHAOTIC)

    def cosines(cells):
        (task,) = tasks.pack(cells, 1)
        return run_task(task, histogram=False).statistics["sample_cosine"][1:]

    def apart(one):
        return np.abs(cosines(Cells.of([one])) - cosines(nudged_cells([one], 0)))

    assert 0 < apart(calm).max() < 1e-4
    assert apart(wild)[0] < 1e-5
    assert apart(wild)[-1] > 1e-3
    assert (cosines(nudged_cells([wild], 1)) != cosines(nudged_cells([wild], 0))).any()
    assert [one.id for one in nudged_cells([calm], 0)] == [calm.id]


HISTOGRAMS = [cell(width=16, batch=30, depth=3, act={"name": name}) for name in ("tanh", "relu")]


def moved(row):
    """The counts of a layer, a few of them in another bin."""
    counts = sorted(row["histogram"])
    counts[0], counts[-1] = counts[0] + 10, counts[-1] - 10
    return counts


@pytest.mark.parametrize(
    ("table", "column", "value", "said"),
    [
        ("cells", "sigma_w", 3.0, "its row says sigma_w 3.0"),
        ("cells", "sigma_w", None, "its row says sigma_w None"),
        ("cells", "first_nonfinite_layer", 2, "its row says first_nonfinite_layer 2, its layers None"),
        ("cells", "leaves_float32_layer", 2, "its row says leaves_float32_layer 2, but it is None"),
        ("cells", "flat_share", 0.9, "its row says flat_share 0.9"),
        ("cells", "flat_share", None, "its row says flat_share None"),
        ("cells", "histogram_low", -7.0, "its row says histogram_low -7.0"),
        ("cells", "histogram_high", np.nan, "its row says histogram_high nan"),
        ("cells", "error", "ValueError: no", "its row says error ValueError: no"),
        ("cells", "error_type", "ValueError", "its row says error_type ValueError"),
        ("cells", "traceback", "Traceback", "its row says traceback Traceback"),
        ("cells", "seconds", -1.0, "its row says that it took -1.0 s"),
        ("cells", "seconds", np.nan, "its row says that it took nan s"),
        ("cells", "seconds", None, "its row says that it took None s"),
        ("layers", "init", "kaiming", "layer 0 says init kaiming"),
        ("layers", "act", "gelu", "layer 0 says act gelu"),
        ("layers", "depth", 7, "layer 0 says depth 7"),
        ("layers", "width", 7, "layer 0 says width 7"),
        ("layers", "seed", None, "layer 0 says seed None"),
        ("layers", "histogram_low", -7.0, "the histogram of layer 0 is said to go from -7.0 to"),
        ("layers", "histogram_high", None, "the histogram of layer 0 is said to go from"),
        ("layers", "histogram", [16] * 30, "the histogram of layer 0 differs from the recomputed one"),
        ("layers", "histogram", [15] * 30, "the histogram of layer 0 does not add up to its 480 entries"),
        ("layers", "histogram", [-10, 490, *[0] * 28], "does not add up to its 480 entries"),
        ("layers", "histogram", [None] * 30, "does not add up to its 480 entries"),
        ("layers", "histogram", lambda row: row["histogram"] if row["layer"] else None, "layer 0 has no"),
        ("layers", "histogram", moved, "the histogram of layer 0 differs from the recomputed one"),
    ],
)  # fmt: skip
def test_whatever_else_a_row_says_is_held_against_what_comes_out(
    study, monkeypatch, capsys, table, column, value, said
):
    write(study, HISTOGRAMS, histogram=True)
    assert verified(study, monkeypatch, capsys)[0] == 0
    forged(study, table, column, value)
    status, out = verified(study, monkeypatch, capsys)
    assert (status, said in out) == (1, True), out
    assert "0 of 2 recomputed cells match" in out


@pytest.mark.parametrize("claim", [None, 0, 3, 30])
def test_where_float32_ends_is_held_against_what_comes_out(study, monkeypatch, capsys, claim):
    exploding = cell(init={"name": "normal", "std": 1e8}, act={"name": "relu"}, width=16, batch=30, depth=30)
    write(study, [exploding])
    assert verified(study, monkeypatch, capsys)[0] == 0
    forged(study, "cells", "leaves_float32_layer", claim)
    status, out = verified(study, monkeypatch, capsys)
    assert (status, f"its row says leaves_float32_layer {claim}, but it is 5" in out) == (1, True), out


def test_a_histogram_may_be_kept_or_not_and_an_older_row_may_not_say_what_later_ones_do(
    study, monkeypatch, capsys
):
    write(study, HISTOGRAMS[:1], histogram=True)
    for column in ("flat_share", "histogram_low", "histogram_high"):
        forged(study, "cells", column, None)
    assert verified(study, monkeypatch, capsys)[0] == 0
    forged(study, "layers", "histogram", None)
    assert "the histogram of layer 0 is said to go from" in verified(study, monkeypatch, capsys)[1]
    for column in ("histogram_low", "histogram_high"):
        forged(study, "layers", column, None)
    assert verified(study, monkeypatch, capsys)[0] == 0


def test_histograms_of_other_groupings_come_out_again_where_inputs_or_neurons_are_alike(
    study, monkeypatch, capsys
):
    """Rounding moves whole rows and columns of such layers from bin to bin."""
    grids = [
        {"init": {"name": init}, "act": {"name": act}, "bias_std": bias}
        for init in ("constant", "zeros", "small_normal", "big_normal")
        for act in ("tanh", "relu", "sin")
        for bias in (0.0, 0.3)
    ]
    write(study, [cell(**one, width=16, batch=30, depth=8, seed=s) for one in grids for s in (0, 1)], True)
    for count in (48, 5, 1):
        status, out = verified(study, monkeypatch, capsys, count)
        assert status == 0, out


@pytest.mark.parametrize(("version", "forge", "said"), [
    ("0", False, "2 rows are of another kernel_version than 1: not compared\n"),
    ("0", True, "2 of them do not match the id: "),
])  # fmt: skip
def test_rows_of_another_kernel_are_counted_and_their_ids_are_what_they_stand_for(
    study, monkeypatch, capsys, version, forge, said
):
    with monkeypatch.context() as patch:
        for module in (tables, cell_module):
            patch.setattr(module, "KERNEL_VERSION", version)
        write(study, [cell(width=8, batch=20, seed=seed) for seed in (0, 1)])
    if forge:
        forged(study, "cells", "seed", 7)
    status, out = verified(study, monkeypatch, capsys)
    assert (status, said in out) == (1, True), out
    assert ("not match the id" in out) == forge


def test_a_row_that_says_that_it_is_of_another_kernel_is_no_way_out(study, monkeypatch, capsys):
    write(study, HISTOGRAMS)
    forged(study, "cells", "kernel_version", "0")
    status, out = verified(study, monkeypatch, capsys)
    assert (status, "2 of them do not match the id" in out) == (1, True), out


def test_failed_rows_are_said_and_alone_are_no_reason_for_doubt(study, monkeypatch, capsys):
    write(study, HISTOGRAMS[:1])
    fail(study, "fail", HISTOGRAMS[1], "ValueError: no")
    status, out = verified(study, monkeypatch, capsys)
    assert (status, "1 row is of a cell that failed: not compared\n" in out) == (0, True), out
