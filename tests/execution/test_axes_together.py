"""Axes do not disturb one another: what each adds to a row is what it adds by itself."""

import numpy as np
import pytest

from sweep.execution.plan.tasks import pack
from sweep.execution.workers import local, pool
from sweep.experiment.batches import Cells
from sweep.kernel.statistics.table import COPIED, STATISTICS
from sweep.kernel.training.outcomes import OUTCOMES
from sweep.store import tables
from tests.make import cell
from tests.studies import result_of

SIZES = {"depth": 3, "width": 24, "batch": 30, "bias_std": 0.1}
FORMAT = {"format": "float8_e5m2"}
JACOBIAN = {"jacobian": True}
TRAINING = {"train": {"name": "sgd", "data": "mixture", "steps": 3, "batch": 16}}
INPUTS = {
    "correlated": {"input": {"name": "correlated", "c0": 0.6}},
    "student": {"input": {"name": "student", "df": 3}},
}
ACTS = {"gelu": {"name": "gelu"}, "transformed": {"name": "transformed", "of": "tanh", "method": "tat"}}
OF_FORMAT = (*COPIED, "delta_zeroed", "delta_overflowed", "loss_scale")
OF_JACOBIAN = ("jac_spread", "theory_jac_spread")


def row_of(**values):
    (row,) = tables.tables(result_of([cell(**SIZES | values)]), "")[0].to_pylist()
    assert row["status"] == "ok", row["error"]
    return row


@pytest.mark.parametrize("block", ["plain", "pre_ln"])
@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("act", ACTS)
def test_what_an_axis_adds_is_what_it_adds_alone(act, given, block):
    common = {"act": ACTS[act], "block": {"name": block}} | INPUTS[given]
    together = row_of(**common, **FORMAT, **JACOBIAN, **TRAINING)
    plain = row_of(**common)
    for name in STATISTICS:
        if name not in OF_FORMAT:
            assert together[name] == plain[name], name
    for alone, columns in ((FORMAT, OF_FORMAT), (JACOBIAN, OF_JACOBIAN), (TRAINING, OUTCOMES)):
        its = row_of(**common, **alone)
        for name in columns:
            assert together[name] == its[name], name
    assert 0 < together["round_cosine"] < 1
    assert together["jac_spread"] > 0
    assert together["train_loss"] > 0


def test_inputs_and_acts_are_those_of_all_that_is_measured():
    rows = {
        (act, given): row_of(act=one, **its, **FORMAT, **JACOBIAN)
        for act, one in ACTS.items()
        for given, its in INPUTS.items()
    }
    for name in ("rms", "round_cosine", "jac_spread", "delta_std_first"):
        assert len({row[name] for row in rows.values()}) == len(rows), name


def test_a_jacobian_is_that_of_the_inputs_at_hand_as_theory_has_it():
    # Inputs far from unit size: where tanh saturates, singular values are further apart.
    rows = {
        given: row_of(act={"name": "tanh"}, **{"width": 200, "bias_std": 0.0} | its, **JACOBIAN)
        for given, its in INPUTS.items()
    }
    for row in rows.values():
        assert row["jac_spread"] == pytest.approx(row["theory_jac_spread"], rel=0.2)


def test_two_workers_have_the_bits_of_one_of_all_axes_and_any_grouping_the_numbers():
    cells = Cells.of(
        cell(**SIZES | {"act": act, "depth": depth, "seed": seed} | its | more)
        for act in ACTS.values()
        for depth in (2, 3)
        for seed in (0, 1)
        for its in ({}, *INPUTS.values())
        for more in ({}, FORMAT, JACOBIAN, TRAINING, FORMAT | JACOBIAN | TRAINING)
    )

    def numbers(results):
        rows = [row for result in results for row in tables.tables(result, "")[0].to_pylist()]
        floats = {row["cell_id"]: {k: v for k, v in row.items() if isinstance(v, float)} for row in rows}
        return {each: {k: v for k, v in row.items() if k != "seconds"} for each, row in floats.items()}

    tasks = pack(cells, 2)
    one, two = numbers(local.run_here(tasks, False)), numbers(pool.run(tasks, 2, False, lambda task: task))
    assert one == two
    # Other groupings are other products: float32's rounding, and what a copy's makes of it.
    other = numbers(local.run_here(pack(cells, 1), False))
    for each, row in one.items():
        assert other[each] == pytest.approx(row, rel=1e-4, abs=1e-6)
    assert np.isfinite([row["rms"] for row in one.values()]).all()
