"""Advice from what a study holds."""

import re

import pytest

import sweep
from sweep import activations
from sweep.base.errors import RequestError
from sweep.report.advice.stored import _told
from tests.make import cell
from tests.studies import grid, stored


def forward(study, **values):
    """Median over the seeds of the rms at the last layer over the input's."""
    cells = sweep.load(study).set_index("cell_id")
    inputs = sweep.load(study, "layers").query("layer == 0").set_index("cell_id")["rms"]
    for name, value in values.items():
        cells = cells[cells[name] == value]
    return (cells["rms"] / inputs.reindex(cells.index)).median()


def test_networks_of_different_settings_are_not_averaged(tmp_path):
    values = {"depths": (3,), "widths": (16,), "acts": ("relu",), "inits": ("kaiming", "xavier")}
    cells = [one for batch in (2, 30, 40) for one in grid(**values, batch=batch)]
    cells += grid(**values, batch=30, seeds=(3,), bias_std=0.5)
    stored(tmp_path / "a", [*cells, *grid(**values, batch=2, dtype="float64")])
    found = sweep.recommend("relu", 3, 16, tmp_path / "a")
    assert found.source.endswith("a, batch 40, dtype float32"), "of as many seeds the greatest batch"
    assert found.best.measured["kaiming"].forward == pytest.approx(
        forward(tmp_path / "a", init="kaiming", batch=40, dtype="float32")
    )
    stored(tmp_path / "b", [*cells, *grid(**values, batch=2, seeds=(3,))])
    found = sweep.recommend("relu", 3, 16, tmp_path / "b")
    assert found.source.endswith("b, batch 2, dtype float32"), "the most seeds"
    assert found.best.measured["kaiming"].forward == pytest.approx(
        forward(tmp_path / "b", init="kaiming", batch=2)
    )


def test_a_stored_study_is_measured_enough(sweep_command, tmp_path):
    arguments = ("init=xavier,kaiming,normal", "init.std=0.3", "act=relu", "depth=6", "width=32", "seed=0,1")
    assert sweep_command("-m", *arguments, "batch=50", "report=false", "study=s").returncode == 0
    study = tmp_path / "outputs" / "s"
    found = sweep.recommend("relu", 6, 32, study)
    measured = found.best.measured["kaiming"]
    assert measured.forward == pytest.approx(forward(study, init="kaiming"))
    assert "normal std=0.3" in set(found.table["init"])
    done = sweep_command(
        "relu", "--depth", "6", "--width", "32", "--study", "outputs/s", module="sweep.recommend"
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"kaiming +healthy +study 2/2", done.stdout)
    with pytest.raises(
        RequestError, match="holds no relu at depth 7 and width 32: it holds depth 6 width 32"
    ):
        sweep.recommend("relu", 7, 32, study)


def test_where_gradients_were_not_measured_the_advice_speaks_of_the_signal_alone(tmp_path):
    values = {"depths": (3,), "widths": (16,), "acts": ("relu",), "inits": ("kaiming", "xavier")}
    stored(tmp_path / "a", grid(**values, batch=30, backward=False))
    found = sweep.recommend("relu", 3, 16, tmp_path / "a")
    assert found.best.schemes[0] == "kaiming"
    assert "It keeps the signal, in " in found.says[0]
    assert "gradients were not measured" in found.says[0]
    assert "signal and the gradient" not in str(found)


def test_what_a_study_lacks_is_said_as_it_is(tmp_path):
    one = {"depths": (3,), "widths": (16,), "seeds": (0,), "batch": 8}
    tapered = cell(init={"name": "xavier"}, act={"name": "sin"}, widths=[9, 8, 7], batch=8)
    cells = [
        *grid(("xavier",), ("tanh", "leaky_relu"), **one),
        *(more for std in (0.3, 0.5) for more in grid(("xavier",), ("gelu",), **one, bias_std=std)),
        *grid(("zeros",), ("silu",), **one),
        tapered,
    ]
    stored(tmp_path / "s", cells)
    for act, parameters, says in (
        ("relu", {}, "s holds no relu: it holds "),
        ("relu", {}, "tanh"),
        (
            "leaky_relu",
            {"negative_slope": 0.3},
            "s holds no leaky_relu negative_slope=0.3: it holds leaky_relu",
        ),
        (
            "gelu",
            {},
            "s holds gelu with biases alone (bias_std=0.3, 0.5), and advice is for networks without",
        ),
        ("silu", {}, "s holds silu only with schemes without a sigma_w: zeros"),
        ("sin", {}, "s holds sin only in tapered networks"),
        ("tanh", {}, "s holds no tanh at depth 4 and width 16: it holds depth 3 width 16"),
    ):
        with pytest.raises(RequestError, match=re.escape(says)):
            sweep.recommend(act, 4, 16, tmp_path / "s", act_params=parameters)


def test_a_study_all_of_whose_cells_failed_says_so(tmp_path):
    stored(tmp_path / "s", grid(("xavier",), ("tanh",), (3,), (16,), (0,), 8))
    failed = sweep.load(tmp_path / "s").assign(status="failed")
    assert _told(failed, activations.get("tanh"), "plain")[1] == (
        "holds no tanh that could be computed: all of it failed (1 cell)"
    )
