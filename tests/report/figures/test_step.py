"""The map of the largest step: of networks that have one, over depth and width, asked for or not."""

import pandas as pd
import pytest
from matplotlib.text import Text

import sweep
from sweep.report import draw
from sweep.report.figures import step, style
from sweep.report.frames.text import number
from tests.make import cell
from tests.studies import grid, stored


def texts_of(figure):
    return " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    several = [
        *grid(("xavier", "kaiming"), ("tanh", "relu"), (2, 4), (64, 128), (0, 1), batch=20, bias_std=0.5),
        *grid(("zeros",), ("tanh",), (2,), (64,), (0,), batch=20),
        cell(depth=2, width=64, batch=20, block={"name": "pre_ln"}),
    ]
    return stored(tmp_path_factory.mktemp("step") / "study", several)[0]


def test_it_shows_networks_that_have_a_step_and_says_of_what_loss(cells):
    with style.applied():
        drawn = step.figures(cells, step.arrangement(cells), 100)
        style.rendered("step", drawn["step"])
    assert list(drawn) == ["step"]
    text = texts_of(drawn["step"])
    for said in (
        "for a loss summed over the batch's inputs (for their mean: times the batch)",
        "smooth descent of the network linearised at its start",
        "may leap above it, and settle",
        "batch 20",
    ):
        assert said in text
    assert "pre_ln" not in text
    assert "zeros" not in text
    values = set(cells["theory_lr_max"].dropna())
    assert len(values) == 16
    assert all(number(value, 3) in text for value in values)


def test_a_whole_report_has_the_map_where_depth_and_width_vary(cells):
    one = cells[cells["width"] == 64]
    assert step.told(cells, whole=True)
    assert not step.told(one, whole=True)
    assert step.told(one, whole=False)
    assert not step.told(cells[cells["block"] == "pre_ln"], whole=False)
    assert not step.told(cells.drop(columns="theory_lr_max"), whole=False)


def test_it_is_drawn_of_a_study_on_request_and_in_its_report(tmp_path):
    stored(tmp_path / "study", grid(("kaiming",), ("relu",), (2, 4), (64, 128), (0, 1), batch=20))
    names = {path.name for path in draw(tmp_path / "study")}
    assert {"step.png", "step.svg"} <= names
    assert "isometry.png" not in names
    asked = draw(tmp_path / "study", only=["heatmap", "step"], values=["theory_lr_max", "theory_kappa"])
    assert {path.stem for path in asked} == {"theory_lr_max", "theory_kappa", "step"}
    with pytest.raises(sweep.RequestError, match=r"unknown value 'theory_lr': .*, theory_lr_max, "):
        draw(tmp_path / "study", values=["theory_lr"])


def test_rows_of_an_older_study_have_none(cells):
    frame = cells.assign(theory_lr_max=pd.Series(float("nan"), cells.index))
    assert not step.told(frame, whole=False)
