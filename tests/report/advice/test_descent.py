"""What advice says of training: the largest step, and what orthogonal weights can do."""

import math

import pytest

import sweep
from sweep import activations, theory
from sweep.report.advice.candidates import INDEPENDENT, LSUV, ORTHOGONAL, candidates
from sweep.report.advice.descent import descent_of, told
from sweep.report.advice.outlook import BATCH

DEPTH, WIDTH = 12, 64


def first_of(act, kind):
    return next(one for one in candidates(act, DEPTH, WIDTH) if one.kind == kind)


def of(act, kind=INDEPENDENT):
    return descent_of(activations.get(act), first_of(act, kind), DEPTH, WIDTH)


@pytest.mark.parametrize("act", ["tanh", "relu", "gelu"])
def test_step_and_spread_are_theorys(act):
    sigma_w = first_of(act, INDEPENDENT).sigma_w
    found = of(act)
    assert found.step == theory.step_size(act, sigma_w, 0.0, DEPTH, WIDTH, BATCH)
    assert found.spread == theory.jacobian(act, sigma_w, 0.0, DEPTH).spread
    orthogonal = theory.jacobian(act, sigma_w, 0.0, DEPTH, "orthogonal").spread
    assert of(act, ORTHOGONAL).spread == found.orthogonal == orthogonal


def test_orthogonal_weights_help_what_is_nearly_a_line_and_cannot_help_relu():
    step, isometry = told(of("tanh"), "tanh")
    assert f"for a loss summed over {BATCH} inputs of cosine 0" in step
    assert f"for their mean (× {BATCH}); kappa = " in step
    assert "tanh is nearly a line there" in isometry
    assert isometry.endswith("so that they can bring it to 0")
    _, isometry = told(of("relu"), "relu")
    assert isometry.endswith(
        "they take away 1 a layer, and not what the slopes of relu add: mu2/mu1² - 1 = 1.000 a layer, as "
        "half of them are 0"
    )


def test_lsuv_looks_at_the_data_and_nothing_is_told_of_it():
    found = of("tanh", LSUV)
    assert found.step is None
    assert math.isnan(found.spread)
    assert told(found, "tanh") == []


def test_advice_has_them_in_its_table_its_attributes_and_its_words():
    advice = sweep.recommend("relu", DEPTH, WIDTH)
    table = advice.table.set_index("init")
    assert advice.step == advice.descent.step
    assert table["lr_max"].iloc[0] == advice.step.lr_max
    assert table["kappa"].iloc[0] == advice.step.kappa
    assert table.loc["kaiming", "jac_spread"] == pytest.approx(2 * DEPTH)
    assert table.loc["orthogonal gain=1.41421", "jac_spread"] == pytest.approx(DEPTH)
    assert table.loc["lsuv", ["lr_max", "kappa", "jac_spread"]].isna().all()
    assert all(line in str(advice) for line in advice.trains)
    assert len(advice.trains) == 2


def test_a_step_that_chance_makes_far_smaller_is_in_no_table():
    found = of("tanh")
    assert not found.holds
    assert "an upper bound" in told(found, "tanh")[0]
    assert sweep.recommend("tanh", DEPTH, WIDTH).table[["lr_max", "kappa"]].iloc[0].isna().all()
