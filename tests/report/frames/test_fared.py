"""How recommended weights fared in the trainings of a study."""

import pytest

from sweep import activations
from sweep.report.advice.recommendation import recommend
from sweep.report.frames.fared import fared
from tests.make import cell
from tests.studies import stored

SGD = {"name": "sgd", "data": "mixture", "steps": 30, "lr": 0.1}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fared") / "study"
    cells = [
        cell(init={"name": init}, act={"name": "relu"}, depth=2, width=16, batch=30, seed=seed, train=train)
        for init in ("kaiming", "he_normal", "xavier", "orthogonal")
        for seed in (0, 1)
        for train in ({"name": "none"}, SGD, SGD | {"steps": 2})
    ]
    stored(folder, cells)
    return folder


def test_every_kind_of_training_is_a_line_of_these_weights_alone(study):
    lines = fared(study, activations.get("relu"), 2, 16, "kaiming", 2**0.5)
    assert len(lines) == 2
    assert lines[0].startswith("in training (")
    assert {line.partition(")")[0] for line in lines} == {
        "in training (30 steps of 128 inputs of the mixture, step 0.1",
        "in training (2 steps of 128 inputs of the mixture, step 0.1",
    }
    assert all(" of 2 learned" in line for line in lines)


def test_of_weights_that_were_not_trained_nothing_is_said(study):
    relu = activations.get("relu")
    assert fared(study, relu, 2, 16, "kaiming", 3.0) == []
    assert fared(study, relu, 5, 16, "kaiming", 2**0.5) == []
    assert fared(study, relu, 2, 16, "lsuv", 2**0.5) == []
    assert fared(study, relu, 2, 16, "orthogonal gain=1.41421", 2**0.5) == []
    assert fared(study, activations.get("tanh"), 2, 16, "xavier", 1.0) == []


def test_schemes_that_draw_the_same_weights_are_one_network(study):
    """he_normal is kaiming, and was trained in the same study."""
    relu = activations.get("relu")
    lines = fared(study, relu, 2, 16, "kaiming", 2**0.5)
    assert fared(study, relu, 2, 16, "he_normal", 2**0.5) == lines
    assert all(" of 2 learned" in line for line in lines)


def test_a_network_that_was_trained_in_several_ways_is_one_seed(study):
    found = recommend("relu", depth=2, width=16, study=study)
    measured = [one for one in found.best.measured.values() if one]
    assert [(one.healthy, one.of) for one in measured] == [(2, 2)] * len(measured)
    assert measured


def test_the_command_says_it_beside_the_advice(study, sweep_command):
    done = sweep_command(
        "relu", "--depth", "2", "--width", "16", "--study", str(study), module="sweep.recommend"
    )
    assert done.returncode == 0, done.stderr
    assert "in training (30 steps of 128 inputs of the mixture, step 0.1)" in done.stdout
