import subprocess
import sys

import numpy as np
import pytest

import sweep
from sweep.execution.workers.local import run_task
from sweep.experiment.predictions.prediction import consequences, predicted
from sweep.experiment.predictions.steps import step_of
from sweep.kernel.statistics.table import COPIED, PREDICTED
from sweep.store import tables
from sweep.theory import predict, step_size
from sweep.theory.consequences.step import conditioned
from sweep.theory.maps import layers_of
from tests.make import cell, packed


def half(rng, fan_in, fan_out):
    """A user's own init, whose variance nobody knows beforehand."""
    return np.full((fan_in, fan_out), 0.5)


def rows_of(one):
    (task,) = packed([one], 1)
    cells, layers = tables.tables(run_task(task, False), "run")
    return cells.to_pylist()[0], layers.to_pandas()


def test_the_tables_hold_what_theory_predicts():
    row, layers = rows_of(cell(act={"name": "gelu"}, width=16, depth=4, batch=8, bias_std=0.3))
    expected = predict("gelu", 1.0, 0.3, 4, batch=8)
    for name in PREDICTED:
        if name in COPIED:  # of a format, which it does not have
            assert layers[f"theory_{name}"].isna().all()
            continue
        np.testing.assert_allclose(layers[f"theory_{name}"], expected[name], rtol=1e-13)
        assert row[f"theory_{name}"] == layers[f"theory_{name}"].iloc[-1]


def test_a_tapered_network_is_predicted_by_its_own_fans():
    one = cell(init={"name": "glorot_normal"}, widths=[64, 32, 8])
    found = predicted(one)
    v1 = 64 * 2 / (64 + 32)
    v2 = 32 * 2 / (32 + 8) * found["rms"][1] ** 2
    expected = [predict("tanh", v**0.5, depth=1)["rms"].iloc[-1] for v in (v1, v2)]
    np.testing.assert_allclose(found["rms"][1:], expected, rtol=1e-13)


@pytest.mark.parametrize(
    "init",
    [
        {"name": "zeros"},
        {"name": "constant"},
        {"name": "identity"},
        {"name": "lsuv"},
        {"name": "uniform", "low": 0.0, "high": 1.0},
        {"name": "custom", "function": "tests.experiment.predictions.test_prediction.half"},
    ],
    ids=lambda init: init["name"],
)
def test_theory_is_silent_where_it_does_not_apply(init):
    assert all(np.isnan(values).all() for values in predicted(cell(init=init)).values())


def test_a_spec_is_predicted_once_whatever_the_seed():
    one, other = predicted(cell(seed=1)), predicted(cell(seed=2))
    assert all(one[name] is other[name] for name in PREDICTED)


def test_a_failed_cell_has_no_prediction_beside_its_error():
    row, _ = rows_of(cell(act={"name": "custom", "function": "math.gamma"}, width=4, depth=1, batch=2))
    assert row["status"] == "failed"
    assert row["theory_rms"] is None


DRIVER_DIES = """
import os, numpy as np
def act(z):
    if os.environ.get("SWEEP_TEST_DRIVER") == str(os.getpid()):
        os._exit(9)
    return np.tanh(z)
"""


def test_a_users_activation_is_predicted_and_never_called_in_the_driver(tmp_path):
    (tmp_path / "mine.py").write_text(DRIVER_DIES)
    code = (
        "import os, sys; os.environ['SWEEP_TEST_DRIVER'] = str(os.getpid());"
        "sys.argv[1:] = ['-m', 'init=xavier', 'act=custom', 'act.function=mine.act', 'depth=2', 'width=8',"
        "'seed=0,1', 'batch=10', 'report=false', 'study=s'];"
        "from sweep.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    cells = sweep.load(tmp_path / "outputs" / "s")
    np.testing.assert_allclose(cells["theory_rms"], predict("tanh", 1.0, depth=2)["rms"].iloc[-1], rtol=1e-9)
    assert set(cells["verdict"]) == {"healthy"}


@pytest.mark.parametrize(("act", "bias_std"), [("tanh", 0.3), ("relu", 0.0), ("gelu", 0.1)])
def test_the_table_holds_the_largest_step_and_the_conditioning(act, bias_std):
    row, _ = rows_of(cell(act={"name": act}, width=256, depth=3, batch=8, bias_std=bias_std))
    expected = step_size(act, 1.0, bias_std, 3, 256, inputs=8)
    assert row["theory_lr_max"] == pytest.approx(expected.lr_max, rel=1e-12)
    assert row["theory_kappa"] == pytest.approx(expected.kappa, rel=1e-12)
    assert row["theory_jac_spread"] is None  # its Jacobian was not asked for


def test_biases_that_a_scheme_draws_itself_are_trained():
    row, _ = rows_of(cell(init={"name": "torch/linear_default"}, width=16, depth=4, batch=8, bias_std=None))
    expected = step_size("tanh", (1 / 3) ** 0.5, (1 / 3 / 16) ** 0.5, 4, 16, inputs=8)
    assert row["theory_lr_max"] == pytest.approx(expected.lr_max, rel=1e-9)


def test_a_step_is_of_a_tapered_networks_own_widths():
    one = cell(init={"name": "he_normal"}, act={"name": "relu"}, widths=[240, 120, 60], batch=8)
    widths = (240, 120, 60)
    layers = layers_of([(2 / n) ** 0.5 for n in widths[:-1]], widths)
    expected = conditioned("relu", layers, widths, 0.0, 8)
    assert consequences(one)["theory_lr_max"] == pytest.approx(expected.lr_max, rel=1e-12)


@pytest.mark.parametrize(("bias_std", "width"), [(0.0, 500), (0.0, 30), (0.02, 30)])
def test_there_is_no_step_where_chance_counts_for_more_than_the_mean(bias_std, width):
    one = cell(width=width, depth=5, batch=200, bias_std=bias_std)
    assert np.isnan([consequences(one)[name] for name in ("theory_lr_max", "theory_kappa")]).all()
    assert 0 < step_size("tanh", 1.0, bias_std, 5, width, inputs=200).lr_max < np.inf


@pytest.mark.parametrize("values", [{"init": {"name": "lsuv"}}, {"block": {"name": "pre_ln"}}])
def test_there_is_no_step_where_theory_knows_of_none(values):
    assert all(np.isnan(value) for value in consequences(cell(**values)).values())


def test_what_follows_costs_a_spec_once_whatever_the_seed():
    assert consequences(cell(seed=1)) is consequences(cell(seed=2))


def test_a_training_and_the_table_know_one_step():
    """lr=auto is half of it, of a loss that is a mean over the batch, at the data's cosine."""
    train = {"name": "sgd", "data": "mixture", "lr": "auto", "batch": 20}
    one = cell(width=32, depth=3, batch=20, train=train)
    found = step_size("tanh", 1.0, 0.0, 3, 32, 20, c0=one.training.source.cosine)
    assert step_of(one.spec) == pytest.approx(10 * found.lr_max, rel=1e-9)
