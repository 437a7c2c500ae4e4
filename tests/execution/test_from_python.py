"""A grid from Python is the command line's: the same request, the same cells, the same numbers."""

import multiprocessing

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.execution.from_python import _arguments
from sweep.store.records import files
from tests import users
from tests.processes import ROOT

AXES = {
    "init": ["xavier", "kaiming"],
    "act": "tanh",
    "depth": [2, 3],
    "width": 8,
    "seed": range(2),
    "batch": 20,
}
SMALL = {"init": "xavier", "act": "tanh", "depth": 2, "width": 8, "seed": 0, "batch": 20}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_grid_from_python_is_that_of_the_command_line(sweep_command, tmp_path, capsys):
    found = sweep.run(**AXES, study="mine", report=False, quiet=True)
    assert capsys.readouterr() == ("", "")
    assert len(found) == 2 * 2 * 2
    assert (found["status"] == "ok").all()
    typed = ("init=xavier,kaiming", "act=tanh", "depth=2,3", "width=8", "seed=range(0,2)", "batch=20")
    done = sweep_command("-m", *typed, "study=mine", "report=false")
    assert "8 cells, all stored already: nothing to compute" in done.stderr, done.stderr
    pd.testing.assert_frame_equal(found, sweep.load("outputs/mine"))
    (run, *_) = sorted((tmp_path / "outputs" / "mine" / "runs").iterdir())
    command = (run / files.COMMAND).read_text(encoding="utf-8")
    assert command.startswith("python -m sweep -m 'init=choice(")
    assert " study=mine " in command


def test_a_quiet_run_of_one_network_prints_nothing(capsys):
    sweep.run(**SMALL, study="one", report=False, quiet=True, jacobian=True)
    sweep.run(
        **SMALL, study="one", report=False, quiet=True, train="sgd",
        train_params={"steps": 2, "data": "mixture"},
    )  # fmt: skip
    assert capsys.readouterr() == ("", "")


def test_it_returns_the_cells_that_were_asked_for_and_no_others(capsys):
    sweep.run(**AXES, study="mine", report=False, quiet=True)
    one = sweep.run(**SMALL, study="mine", report=False)
    assert one[["init", "depth", "seed"]].to_numpy().tolist() == [["xavier", 2, 0]]
    said = capsys.readouterr()
    assert "1 cell, all stored already" in said.err
    assert "layer" in said.out
    planned = sweep.run(**{**SMALL, "depth": 9}, study="mine", dry_run=True, quiet=True)
    assert len(planned) == 0
    assert "std" in planned.columns


def test_keys_are_those_of_the_command_line():
    written = list(_arguments(
        {"init": "normal", "widths": [8, 4], "depth": np.array([1, 2]), "seed": range(0, 9, 3),
         "study": "7_1", "init,act": [["xavier", "tanh"]], "backward": True,
         "bias_std": np.float64(0.5), "grid": None,
         "executor": {"name": "slurm", "sbatch": {"qos": "long"}}, "verdict": {"vanishing": 1e-3}},
        {"init": {"std": [0.1, 1], "kwargs": {"power": 0.5}}, "act": None},
    ))  # fmt: skip
    assert written == [
        "init=normal", "widths=[8,4]", "depth=choice(1,2)", "seed=range(0,9,3)", "study='7_1'",
        "init,act=choice([xavier,tanh])", "backward=true", "bias_std=0.5", "executor=slurm",
        "executor.sbatch={qos:long}", "verdict.vanishing=0.001", "init.std=choice(0.1,1)",
        "init.kwargs.power=0.5",
    ]  # fmt: skip


def test_parameters_pairs_and_functions_are_axes_too():
    found = sweep.run(
        **{**SMALL, "init": "normal"}, init_params={"std": [0.1, 0.2]}, study="a", report=False, quiet=True
    )
    assert found["init_params"].tolist() == ['{"std":0.1}', '{"std":0.2}']
    pairs = {key: value for key, value in SMALL.items() if key not in ("init", "act")}
    pairs["init,act"] = [["xavier", "tanh"], ["kaiming", "relu"]]
    found = sweep.run(**pairs, study="b", report=False, quiet=True)
    assert set(zip(found["init"], found["act"], strict=True)) == {("xavier", "tanh"), ("kaiming", "relu")}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dpeth": 3}, "unknown key 'dpeth': did you mean 'depth'?"),
        ({"init": "xaver"}, "unknown init 'xaver': did you mean 'xavier'?"),
        ({"depth": [1, 0]}, "depth=0: depth must be a whole number, at least 1"),
        ({"depth": []}, "depth=[]: the axis is empty: give it at least one value"),
        ({"study": "a=b"}, "for a column of the table"),
        ({"study": ["a", "b"]}, "a study is a folder name"),
        ({"study": "${init.name}", "init": ["xavier", "kaiming"]}, "study applies to the whole run"),
        ({"act": lambda z: z}, "workers import a function by its name"),
        ({"init": []}, "init=[]: the axis is empty: give it at least one value"),
        ({"act": {"name": "elu"}}, "act is chosen by name; parameters go into act_params"),
        ({"depth": object()}, "give a number, a string, or a list of these"),
    ],
)
def test_a_wrong_request_raises_one_line_and_writes_nothing(tmp_path, keys, message):
    with pytest.raises(sweep.RequestError) as error:
        sweep.run(**keys)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_cell_is_a_row():
    found = sweep.run(
        **{**SMALL, "init": "custom", "width": [8, 13]}, init_params={"function": "tests.users.wrong"},
        study="f", report=False, quiet=True,
    )  # fmt: skip
    assert dict(zip(found["width"], found["status"], strict=True)) == {8: "ok", 13: "failed"}


def test_it_leaves_a_caller_s_own_hydra_alone():
    from hydra import compose, initialize_config_dir  # noqa: PLC0415
    from hydra.core.global_hydra import GlobalHydra  # noqa: PLC0415

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        own = GlobalHydra.instance().hydra
        sweep.run(**SMALL, study="h", report=False, quiet=True)
        assert GlobalHydra.instance().hydra is own
        assert compose("config").depth == 10


def _in_a_pool(function):
    import contextlib  # noqa: PLC0415
    import io  # noqa: PLC0415

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        found = sweep.run(
            **{**SMALL, "init": "custom", "depth": [2, 3]}, init_params={"function": function},
            study="d", report=False, n_jobs=2,
        )  # fmt: skip
    return found["status"].tolist(), said.getvalue()


def test_functions_stand_among_named_options_and_take_their_keywords_as_propagate_does():
    made = sweep.run(
        **SMALL | {"init": [users.deadly, "xavier"]}, init_params={"number": [0, 1]}, study="o", report=False,
        quiet=True,
    )  # fmt: skip
    names = made["init"].value_counts().to_dict()
    assert names["custom"] == 2 * names["xavier"]
    assert set(made["init.kwargs.number"].dropna()) == {0, 1}
    one = made[made["init.kwargs.number"].eq(1)].iloc[0]
    layers = sweep.propagate(
        users.deadly, one["act"], one["depth"], one["width"], seed=one["seed"], batch=one["batch"],
        init_params={"number": 1},
    )  # fmt: skip
    assert layers["std"].iloc[-1] == one["std"]


def test_what_status_shows_of_it_is_a_command(sweep_command, tmp_path):
    sweep.run(**SMALL, study="c", root=str(tmp_path), report=False, quiet=True)
    said = sweep_command(str(tmp_path / "c"), module="sweep.status", COLUMNS="200").stdout
    assert "python -m sweep -m " in said
    assert "'" not in said


def _dask_in_a_pool(folder):
    try:
        sweep.run(**SMALL, study="d", root=folder, executor="dask")
    except sweep.RequestError as error:
        return str(error)


def test_inside_a_daemonic_process_no_dask_cluster_is_started(tmp_path):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        said = pool.apply(_dask_in_a_pool, (str(tmp_path),))
    assert said.startswith("executor=dask: a daemonic process may not start workers: give it")
    assert not [*tmp_path.iterdir()]


def test_inside_a_daemonic_process_it_runs_serially_and_says_so():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        status, said = pool.apply(_in_a_pool, ("tests.users.wrong",))
    assert status == ["ok", "ok"]
    assert "a daemonic process may not start others: this one computes the tasks itself, one by one" in said
