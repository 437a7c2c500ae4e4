import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import sweep
from sweep import activations, theory
from sweep.execution.workers.local import run_task
from sweep.report import draw
from sweep.report.figures import phase, style
from sweep.store import tables
from sweep.store.study import Study
from tests.make import cell, packed
from tests.studies import part

SCALES, BIASES = (0.25, 1.0, 2.25, 4.0), (0.0, 0.2, 0.5)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A plane from deep order to deep chaos, and a few cells that belong to none."""
    common = {"depth": 30, "width": 128, "batch": 32}
    cells = [
        cell(init={"name": "variance_scaling", "scale": scale}, bias_std=bias, seed=seed, **common)
        for scale in SCALES
        for bias in BIASES
        for seed in (0, 1)
    ]
    cells += [cell(act={"name": "relu"}, init={"name": name}, **common) for name in ("xavier", "kaiming")]
    study = Study(tmp_path_factory.mktemp("phase") / "study")
    study.create()
    for task in packed(cells, 1):
        study.write(part(str(task.number)), *tables.tables(run_task(task, False), "run"))
    return study.path


@pytest.fixture(scope="module")
def rows(study):
    ((plane, act),) = phase.planes(sweep.load(study))
    assert act == activations.get("tanh")
    assert len(plane) == len(SCALES) * len(BIASES) * 2
    return phase.points(plane, sweep.load(study, "layers"), act)


def test_on_the_side_of_order_inputs_end_up_alike_and_on_that_of_chaos_apart(rows):
    biased = rows[rows["sigma_b"] > 0]
    ordered, chaotic = biased[biased["chi1"] < 0.9], biased[biased["chi1"] > 1.2]
    assert len(ordered)
    assert len(chaotic)
    assert ordered["cosine"].min() > 0.98
    # 128 neurons and 64 samples: the cosine at the fixed point to 0.1.
    for row in chaotic.itertuples():
        point = theory.fixed_point("tanh", row.sigma_w, row.sigma_b)
        q = (point.v - row.sigma_b**2) / row.sigma_w**2
        settled = (point.v * point.c - row.sigma_b**2) / (row.sigma_w**2 * q)
        assert row.cosine == pytest.approx(settled, abs=0.1)


def test_the_nearer_to_the_critical_line_the_deeper_a_difference_is_felt(rows):
    biased = rows[rows["sigma_b"] == 0.5].sort_values("sigma_w")
    assert biased["depth_c"].iloc[0] < biased["depth_c"].iloc[1] < biased["depth_c"].max()
    seen = rows.dropna(subset="depth_c")
    seen = seen[np.isfinite(seen["depth_c"]) & (seen["theory_c"] < 30)]
    # The first layers are no exponential yet: a factor of 3.5 either way.
    assert (np.abs(np.log(seen["depth_c"] / seen["theory_c"])) < math.log(3.5)).all()


def test_a_way_too_short_to_see_has_no_depth_and_one_too_long_has_no_end(rows):
    # Without bias tanh keeps orthogonal inputs orthogonal: there is no way to go.
    assert rows[(rows["sigma_b"] == 0) & (rows["chi1"] > 1)]["depth_c"].isna().all()
    assert phase._arrival(np.array([0.0, 0.5, 0.8]), 1.0) == math.inf
    assert phase._arrival(np.array([0.0, 0.5, 0.95]), 1.0) == 2


def test_the_critical_line_is_where_chi1_is_1_and_stops_where_there_is_none():
    line = phase.critical_line(activations.get("tanh"), np.array([0.0, math.sqrt(0.05)]))
    assert line["sigma_w"].tolist() == pytest.approx([1.0, 1.327], abs=1e-3)
    assert phase.critical_line(activations.get("relu"), np.array([0.0, 0.1]))["sigma_b"].tolist() == [0.0]


def test_order_without_bias_is_not_coloured_as_chaos_and_no_peak_is_cut(study, rows):
    ((plane, act),) = phase.planes(sweep.load(study))
    with style.applied():
        figure = phase._figure(plane, act, rows)
    heatmap, reach, _ = figure.axes[:3]
    cosines = np.ma.masked_invalid(heatmap.collections[0].get_array().reshape(len(BIASES), len(SCALES)))
    # sigma_w 0.5 and 1 without bias: the signal vanishes there; beyond, inputs end up apart.
    assert cosines.mask.tolist() == [[True, True, False, False], [False] * 4, [False] * 4]
    assert cosines[0, 2] < 0.1
    assert "grey: the signal vanishes" in figure._supxlabel.get_text()
    finite = rows["theory_c"][np.isfinite(rows["theory_c"])]
    assert reach.get_ylim()[1] > min(finite.max(), 30 * 30)
    assert reach.get_ylim()[1] > 30, "the depth of the networks"


def test_a_figure_is_drawn_for_every_plane_and_for_nothing_else(study):
    cells, layers = sweep.load(study), sweep.load(study, "layers")
    with style.applied():
        figures = phase.figures(cells, layers)
        assert list(figures) == ["phase"]
        assert isinstance(figures["phase"], Figure)
        heatmap, _, scatter = figures["phase"].axes[:3]
        (line,) = heatmap.get_lines()
        assert line.get_label() == "chi1 = 1 (theory)"
        assert len(heatmap.collections[0].get_array().ravel()) == len(SCALES) * len(BIASES)
        assert scatter.get_xscale() == "log"
        assert phase.figures(cells[cells["act"] == "relu"], layers) == {}
        twice = pd.concat([cells, cells.assign(act_params="{}", init="lecun_normal", init_params="{}")])
        assert list(phase.figures(twice, layers)) == ["phase-1", "phase-2"]


def test_the_report_of_a_study_that_spans_the_plane_holds_its_figure(study):
    assert {path.name for path in draw(study, only=["phase"])} == {"phase.png", "phase.svg"}


def test_the_preset_spans_the_plane(sweep_command, tmp_path):
    small = ("depth=3", "width=16", "seed=0", "batch=20")
    done = sweep_command("-m", "grid=phase", *small, "report=false")
    assert done.returncode == 0, done.stderr
    cells = sweep.load(tmp_path / "outputs" / "phase")
    ((plane, _),) = phase.planes(cells)
    assert len(plane) == len(cells) == 84
