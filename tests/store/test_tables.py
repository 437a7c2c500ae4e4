"""What a study's tables hold, and that it comes out as it went in."""

import math
import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sweep
from sweep.experiment.batches import Cells
from sweep.experiment.outcomes import outcome
from sweep.kernel.statistics.table import STATISTICS
from sweep.store import tables, upkeep
from sweep.store.study import Study
from tests.make import cell
from tests.studies import CELLS, part, write


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


def test_histograms_are_stored_where_asked_for(study):
    write(study, "a", CELLS[:1], histogram=True)
    write(study, "b", CELLS[1:2])
    layers = sweep.load(study.path, "layers")
    kept = layers[layers["cell_id"] == CELLS[0].id]["histogram"]
    assert all(sum(counts) == 8 * 20 for counts in kept)
    assert layers[layers["cell_id"] == CELLS[1].id]["histogram"].isna().all()


def test_an_empty_study_is_an_empty_frame(study):
    assert list(sweep.load(study.path).columns) == tables.CELLS.names
    assert sweep.load(study.path, "layers").empty


REALS = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_subnormal=True),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, 5e-324, -2.2e-308, 1.7976931348623157e308]),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(sorted(STATISTICS)), st.lists(REALS, min_size=3, max_size=3)))
def test_the_store_gives_back_every_value_as_it_was(tmp_path, columns):
    study = Study(tmp_path / str(uuid.uuid4()))
    study.create()
    one = cell(depth=2, width=4)
    values = {name: columns.get(name, [None] * 3) for name in STATISTICS}
    statistics = {k: np.array([math.nan if x is None else x for x in v]) for k, v in values.items()}
    result = outcome.Result(
        Cells.of([one]).blocks, 0.0, {}, np.zeros(1), statistics, None, np.full(1, np.nan)
    )
    assert np.isnan([result.loss_scales, result.jac_spreads]).all()  # neither was measured
    with np.errstate(over="ignore"):  # an input's rms near the largest number is no network's
        made = tables.tables(result, "run")
    study.write(part("a"), *made)
    back = study.read("layers").sort_by("layer")
    for name, expected in values.items():
        found = back[name].to_pylist()
        assert [str(x) for x in found] == [str(x) for x in expected]  # str tells -0.0 from 0.0
    upkeep.replace(study, [part("a")])
    assert study.read("cells").to_pylist() == made[0].to_pylist()
