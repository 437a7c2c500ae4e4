from functools import partial

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

import sweep
from sweep import activations
from sweep.base.errors import RequestError
from sweep.execution.workers.local import run_task
from sweep.experiment.outcomes.verdict import DEFAULT, THRESHOLDS, WORDS, Thresholds, meanings, verdict
from sweep.store import tables
from sweep.store.query import results
from tests.make import cell, packed
from tests.paths import CONF

HEALTHY = {
    "rms": np.ones(5),
    "flat": np.full(5, 0.1),
    "sample_cosine": np.full(5, 0.5),
    "neuron_corr": np.full(5, 0.1),
    "delta_std": np.ones(5),
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ("healthy", None)),
        ({"neuron_corr": [0.1, 1, 1, 1, 1]}, ("symmetric", 1)),
        ({"rms": [1, 1e2, 1e4, np.inf, np.inf]}, ("exploding", 2)),
        ({"rms": [1, 1e-1, 1e-3, 1e-4, 1e-5]}, ("vanishing", 2)),
        ({"rms": [1, 1e-3, 1, 1, 1]}, ("healthy", None)),  # it recovered
        ({"flat": [np.nan, 0.5, 0.9, 0.9, 0.9]}, ("saturated", 2)),
        ({"sample_cosine": [0, 0.5, 0.9, 0.9995, 0.9999]}, ("collapsed", 3)),
        ({"delta_std": [1e-3, 5e-3, 0.1, 0.5, 1]}, ("gradient-vanishing", 1)),
        ({"delta_std": [1e4, 1e3, 50, 10, 1]}, ("gradient-exploding", 1)),
        ({"delta_std": [np.nan] * 5}, ("healthy", None)),  # not measured
    ],
)
def test_the_first_rule_that_fits_and_the_layer_where_it_begins(change, expected):
    layers = HEALTHY | {name: np.array(values, dtype=float) for name, values in change.items()}
    word, since = verdict(layers, flat_share=0.0)
    assert (word, since) == expected
    assert word in WORDS


@pytest.mark.parametrize(
    ("init", "act", "depth", "expected"),
    [
        ("zeros", "tanh", 10, "symmetric"),
        ("constant", "tanh", 10, "symmetric"),
        ("small_normal", "tanh", 10, "vanishing"),
        ("big_normal", "tanh", 10, "saturated"),
        ("huge_normal", "tanh", 10, "saturated"),
        ("big_normal", "relu", 10, "exploding"),
        ("xavier", "tanh", 10, "healthy"),
        ("kaiming", "relu", 50, "healthy"),
        ("xavier", "relu", 50, "vanishing"),
        ("xavier", "sigmoid", 50, "collapsed"),
        ("kaiming", "tanh", 50, "healthy"),
    ],
)
def test_the_textbooks_claims_hold_at_their_real_size(init, act, depth, expected):
    """Width 500, batch 1000, gradients included."""
    one = cell(init={"name": init}, act={"name": act}, depth=depth)
    (task,) = packed([one], 1)
    rows, _ = tables.tables(run_task(task, False), "run")
    assert rows["verdict"].to_pylist() == [expected]


def test_every_threshold_moves_its_word():
    layers = HEALTHY | {"rms": np.array([1, 0.5, 0.2, 0.1, 0.05]), "delta_std": np.array([20, 9, 4, 2, 1.0])}
    judged = partial(verdict, layers, 0.0)
    assert judged(Thresholds()) == ("healthy", None)
    assert judged(Thresholds(vanishing=0.15)) == ("vanishing", 3)
    assert judged(Thresholds(saturated=0.05)) == ("saturated", 0)
    assert judged(Thresholds(collapsed=0.4)) == ("collapsed", 0)
    assert judged(Thresholds(gradient_exploding=3.0)) == ("gradient-exploding", 2)
    assert judged(Thresholds(symmetric=0.95)) == ("symmetric", 1)
    shrunk = layers | {"delta_std": 1 / layers["delta_std"]}
    assert verdict(shrunk, 0.0, Thresholds(gradient_vanishing=0.3)) == ("gradient-vanishing", 2)
    grown = layers | {"rms": 1 / layers["rms"]}
    assert verdict(grown, 0.0, Thresholds(exploding=7.0)) == ("exploding", 3)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"vanishing": 0},
            "verdict.vanishing=0: verdict.vanishing must be a finite number above 0 and below 1",
        ),
        ({"vanishing": 1.0}, "verdict.vanishing=1.0"),
        ({"exploding": 0.5}, "verdict.exploding must be a finite number above 1"),
        ({"collapsed": "much"}, "verdict.collapsed=much"),
        ({"symmetric": None}, "verdict.symmetric=null"),
        ({"vanish": 0.1}, "unknown verdict threshold 'vanish': did you mean 'vanishing'?"),
        (0.1, "verdict=0.1: give names and values"),
    ],
)
def test_a_wrong_threshold_is_one_clear_line(values, says):
    with pytest.raises(RequestError) as caught:
        Thresholds.of(values)
    assert says in str(caught.value)


def test_thresholds_are_the_same_on_the_command_line_in_the_config_and_in_python():
    config = OmegaConf.load(CONF / "config.yaml")
    assert Thresholds.of(OmegaConf.to_container(config.verdict)) == DEFAULT
    assert DEFAULT.text is None
    assert Thresholds(vanishing=1e-3).text == '{"vanishing": 0.001}'


def test_every_word_can_be_read_on_a_map_and_begins_at_a_threshold_or_is_none():
    words = WORDS.values()
    for unique in ("letter", "colour"):
        assert len({getattr(word, unique) for word in words}) == len(words), unique
    marks = [word.mark for word in words if word.name != "healthy"]
    assert all(marks), "no dead network is unmarked"
    assert len(set(marks)) == len(marks)
    assert WORDS["healthy"].mark == ""
    assert WORDS["collapsed"].legend == "● collapsed: all inputs look alike"
    assert WORDS["gradient-exploding"].legend == "△ gradient-exploding"
    assert [word.name for word in words if word.rule is None] == ["failed", "healthy"]
    assert {name for name in THRESHOLDS if any(f"{{{name}:g}}" in word.meaning for word in words)} == set(
        THRESHOLDS
    )
    assert set(meanings(DEFAULT)) == set(WORDS)


def test_a_study_is_judged_by_the_thresholds_one_asks_for(sweep_command, tmp_path):
    arguments = ("-m", "init=xavier,zeros", "act=relu", "depth=4,6", "width=64", "seed=0", "batch=50")
    assert sweep_command(*arguments, "report=false", "study=s").returncode == 0
    done = sweep_command(*arguments, "seed=1", "report=false", "study=s", "verdict.vanishing=0.2")
    assert done.returncode == 2, "seed twice"
    arguments = tuple("seed=0,1" if a == "seed=0" else a for a in arguments)
    assert sweep_command(*arguments, "report=false", "study=s", "verdict.vanishing=0.2").returncode == 0
    study = tmp_path / "outputs" / "s"

    def words(**options):
        cells = sweep.load(study, **options)
        cells = cells[cells["init"] == "xavier"].sort_values(["seed", "depth"])
        return cells["verdict"].tolist(), cells["verdict_layer"].fillna(0).tolist()

    # rms falls by sqrt(2) per layer: 1/4 after four layers, 1/8 after six.
    assert words() == (["healthy"] * 4, [0] * 4)
    strict, since = words(thresholds={"vanishing": 0.2})
    assert strict == ["healthy", "vanishing"] * 2
    assert since[1] in (4, 5, 6)
    # Plain pandas sees the words as each run was told to find them.
    plain = pd.read_parquet(study / "cells")
    assert plain[plain["verdict"] == "vanishing"]["seed"].tolist() == [1]
    assert results.thresholds(study) == Thresholds(vanishing=0.2)
    assert set(sweep.load(study)["verdict"]) == {"healthy", "symmetric"}


def test_thresholds_leave_a_cells_identity_alone(sweep_command):
    arguments = ("depth=2", "width=8", "batch=10", "report=false")
    assert sweep_command(*arguments).returncode == 0
    assert "stored already" in sweep_command(*arguments, "verdict.vanishing=0.5").stderr
    wrong = sweep_command(*arguments, "verdict.vanishing=2")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "did you mean 'vanishing'" in sweep_command(*arguments, "verdict.vanish=0.5").stderr


def test_flat_share_is_that_of_unit_variance():
    assert activations.flat_share(activations.get("relu")) == pytest.approx(0.5, abs=1e-3)
    # abs(tanh(z)) > 0.99 beyond abs(z) = 2.6467
    assert activations.flat_share(activations.get("tanh")) == pytest.approx(0.00813, abs=1e-4)
    assert activations.flat_share(activations.get("identity")) == 0
