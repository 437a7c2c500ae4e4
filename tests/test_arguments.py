"""Arguments of the Python interface name themselves as those of the command line do; so do Hydra's flags."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep import activations, initializers, plot, theory
from tests.studies import grid, stored

ODD = (
    [1],
    {},
    None,
    b"x",
    1.5,
    True,
    "\0",
    "",
    float("nan"),
    (),
    {"a": 1},
    {1: 2},
    10**30,
    -1,
    "xxx",
    object(),
    10**400,
    "\ud800",
    np.array([1.0, 2.0]),
    np.array(2),
    pd.Series([1.0, 2.0]),
    pd.DataFrame({"a": [1, 2]}),
    pd.NA,
)
OF_A_NETWORK = {"depth": 2, "width": 4, "batch": 4}
CALLS = {
    initializers.get: {"name": "normal", "std": 0.1},
    activations.get: {"name": "leaky_relu", "slope": 0.1},
    sweep.propagate: {**OF_A_NETWORK, "init": "normal", "act": "tanh"},
    sweep.recommend: {"act": "tanh", "depth": 2, "width": 4},
    theory.predict: {"act": "tanh", "sigma_w": 1.0},
    theory.finite_width: {"act": "tanh", "sigma_w": 1.0},
    theory.jacobian: {"act": "tanh", "sigma_w": 1.0},
    theory.precision: {"act": "tanh", "sigma_w": 1.0},
    theory.step_size: {"act": "tanh", "sigma_w": 1.0},
    theory.transform: {"act": "tanh", "depth": 10},
    theory.gain: {"act": "tanh"},
    theory.critical_sigma_w: {"act": "tanh"},
}
SKIPPED = {"progress", "parameters"}


def names(function):
    return [name for name in inspect.signature(function).parameters if name not in SKIPPED]


def only_our_errors(call, what):
    """The call returns, or raises an error of this program's that is one line."""
    said = ""
    try:
        call()
    except sweep.SweepError as error:
        said = str(error)
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    assert "\n" not in said, what


@pytest.mark.parametrize("function", CALLS, ids=lambda function: f"{function.__module__}.{function.__name__}")
def test_an_odd_argument_is_an_error_of_this_program(function):
    usual = CALLS[function]
    for name in dict.fromkeys([*usual, *names(function)]):
        for odd in ODD:
            only_our_errors(lambda given=usual | {name: odd}: function(**given), f"{name}={odd!r}")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd") / "study"
    cells, layers = stored(path, grid(("xavier",), depths=(2,), widths=(8,), seeds=(0, 1)))
    return path, cells, layers


@pytest.mark.parametrize("name", ["path", "table", "thresholds", "versions", "columns"])
def test_load_names_what_is_odd(tables, name):
    for odd in ODD:
        only_our_errors(lambda given={"path": tables[0], name: odd}: sweep.load(**given), f"{name}={odd!r}")


@pytest.mark.parametrize("function", [plot.heatmap, plot.verdicts, plot.curves, plot.gradients, plot.theory])
def test_plots_name_what_is_odd(tables, function):
    usual = dict(zip(("cells", "layers"), tables[1:], strict=True))
    usual = {name: table for name, table in usual.items() if name in names(function)}
    for name in names(function):
        for odd in ODD:
            if name == "label" or (odd is None and name in ("ax", "cells")):
                continue
            only_our_errors(lambda given=usual | {name: odd}: function(**given), f"{name}={odd!r}")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: initializers.get([1]), r"unknown init '\[1\]'"),
        (
            lambda: sweep.recommend("relu", act_params="0"),
            r"act_params=0: act_params must be a dict of names",
        ),
        (lambda: sweep.load("x", columns="std"), "is not a study|columns=std"),
        (lambda: sweep.load("\0"), r"'\\x00': give a study's folder"),
        (lambda: theory.predict("relu", 1.0, depth=b"x", widths=[4, 4, 4]), "widths replaces depth"),
        (lambda: theory.predict("relu", 1.0, widths=[4]), r"widths=\[4\]: widths must list"),
        (lambda: initializers.get("xavier")(np.random.default_rng(0), 2.0, 3), "fan_in=2.0: fan_in must be"),
        (lambda: initializers.get("xavier")(np.random.default_rng(0), 2, -3), "fan_out=-3: fan_out must be"),
        (lambda: initializers.get("xavier")(None, 2, 3), "rng=None: rng must be a generator"),
        (
            lambda: sweep.propagate(width=100_000_000, depth=1, batch=2),
            r"depth=1 width=100000000 batch=2: there is not the memory for it \(Unable to allocate",
        ),
        (
            lambda: sweep.propagate(block="mlp", block_params={"expand": 10**9}),
            r"block\.expand=1000000000: block\.expand, .* must be at most 100,000",
        ),
        (lambda: plot.verdicts("x"), r"cells: pass a DataFrame, rows of sweep\.load"),
    ],
)
def test_the_message_names_the_argument_the_rule_and_the_way_out(call, message):
    with pytest.raises(sweep.SweepError, match=message):
        call()


def test_depth_and_widths_mean_what_they_say():
    assert len(theory.predict("tanh", 1.0)) == 11
    assert len(theory.predict("tanh", 1.0, depth=3)) == 4
    assert len(theory.predict("tanh", 1.0, widths=[4, 5, 6])) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "--shell-completion"], "Hydra: Only one of"),
        (["--run", "-m"], "Hydra: Only one of"),
        (["-m", "+hydra/launcher=[1,2]"], "Hydra's launchers cannot run cells: use executor="),
        (["hydra/launcher=joblib"], "Hydra's launchers cannot run cells: use executor="),
        (["-m", "hydra.sweeper._target_=os.getcwd"], "this program's own sweeper"),
        (["-m", "hydra/sweeper=basic"], "this program's own sweeper"),
        (["-m", "study=a\nb"], r"study=a\\nb: a shell would misread"),
        (["-c", "all", "-p", "nope"], "package 'nope' not found"),
    ],
)
def test_hydras_flags_mixed_wrongly_are_one_line_and_status_2(sweep_command, tmp_path, arguments, message):
    done = sweep_command(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert re.search(message, done.stderr)
    assert list(tmp_path.iterdir()) == []
