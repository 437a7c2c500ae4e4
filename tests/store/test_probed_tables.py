"""Rows of models of one's own: what they hold, what no run could have written, and their plans."""

import json
from dataclasses import replace

import numpy as np
import pytest

import sweep
from sweep.base.errors import SweepWarning
from sweep.experiment.batches import Block
from sweep.experiment.cell import Spec
from sweep.experiment.ingredients.models import Given, Model
from sweep.experiment.outcomes.outcome import Failure
from sweep.experiment.outcomes.probed import Layers, Probed
from sweep.kernel.statistics.table import PREDICTED, STATISTICS
from sweep.store import probed_tables
from sweep.store.records import plans
from sweep.store.tables import CELLS, LAYERS
from tests.store.test_forged import changed
from tests.studies import part

MODEL = Model("nets:make", (Given((8, 3, 4, 4)), Given((8, 5), "int64", 30)), "0123456789abcdef")
SPEC = Spec.of_model({"name": "normal", "std": 0.5}, MODEL)


def probed(seed=0, spec=SPEC, layers=3):
    values = {name: np.linspace(0.5, 1.0, layers) for name in STATISTICS}
    theory = {name: np.full(layers, np.nan) for name in PREDICTED}
    its = Layers(values, theory, ["", *"ab"][:layers], ["input", "Conv2d + ReLU", "Linear"][:layers])
    return Probed(spec.cell(seed), layers - 1, its, ("healthy",))


def written(study, *results):
    for number, one in enumerate(results):
        study.write(part("ab"[number]), *probed_tables.tables(one, "20260101T000000-00000000"))


def test_a_row_is_its_spec_again():
    cells, layers = probed_tables.tables(probed(), "run")
    assert (cells.schema, layers.schema) == (CELLS, LAYERS)
    (row,) = cells.to_pylist()
    assert Spec.of_row(row) == Spec.stored(row) == SPEC
    assert row["cell_id"] == SPEC.digests([0]).hex()
    assert (row["act"], row["width"], row["depth"], row["batch"]) == (None, None, 2, 8)
    assert [one["module"] for one in layers.to_pylist()] == ["", "a", "b"]


def test_what_a_cell_is_tells_its_id():
    others = [
        Spec.of_model(None, MODEL),
        Spec.of_model({"name": "normal", "std": 0.6}, MODEL),
        Spec.of_model({"name": "normal", "std": 0.5}, replace(MODEL, source="0123")),
        Spec.of_model({"name": "normal", "std": 0.5}, replace(MODEL, make="nets:other")),
        Spec.of_model({"name": "normal", "std": 0.5}, replace(MODEL, inputs=MODEL.inputs[:1])),
    ]
    assert len({spec.digests([0]) for spec in (SPEC, *others)}) == 6


def test_a_failed_cell_has_a_row_without_layers(study):
    failed = replace(probed(), layers=None, failure=Failure("ValueError", "no", "tail"))
    written(study, failed)
    (cell,) = sweep.load(study.path).to_dict("records")
    assert (cell["status"], cell["verdict"], cell["error"]) == ("failed", "failed", "ValueError: no")
    assert sweep.load(study.path, "layers").empty


@pytest.mark.parametrize(
    "values",
    [
        {"act": "tanh"},
        {"width": 8},
        {"batch": 9},
        {"dtype": "float64"},
        {"init": "nonsense", "init_params": "[]"},
        {"init": "default"},  # as it is made, with parameters
        {"model_params": "{}"},
        {"model_params": json.dumps({"inputs": [{"shape": [8, -1], "dtype": "float32"}], "source": "x"})},
        {"model_params": json.dumps({"inputs": [{"shape": [8], "dtype": "int64"}], "source": "x"})},
        {"model_params": None},
        {"format": "float16"},
        {"block": "pre_ln"},
        {"backward": False},
        {"widths": [3, 4, 5]},
        {"model": None},
    ],
    ids=str,
)
def test_a_row_that_no_run_could_have_written_is_left_out(study, values):
    written(study, probed())
    changed(study, values)
    with pytest.warns(SweepWarning, match="a row"):
        assert sweep.load(study.path).empty


def test_plans_hold_them():
    ((block, seconds),) = plans.read(plans.pack([(Block((SPEC,), (0, 1)), 0.5)]))
    assert (block.specs, block.seeds, seconds) == ((SPEC,), (0, 1), 0.5)
