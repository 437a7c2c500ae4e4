"""The map of trainings is a figure whatever there is: small, of one row, of nothing learned, of many maps."""

import pandas as pd
import pytest
from matplotlib.text import Text

from sweep.report.figures import style, trainability
from sweep.report.page.trained import lessons
from tests.report.frames.test_trained import to_depth_of
from tests.report.lessons import SGD, frame

MAPS = {
    "wide": frame(to_depth_of(6.0), (1.0, 1.25, 1.76, 3.0), range(2, 61, 4)),
    "one square": frame(lambda *_: 0.7, (1.0,), (5,)),
    "one row": frame(lambda scale, *_: 0.2 * scale, (1.0, 2.0, 3.0), (5,)),
    "one column": frame(lambda _, depth, __: 1 / depth, (2.0,), (1, 2, 5)),
    "nothing learns": frame(lambda *_: 0.1, (1.0, 2.0), (3, 6)),
    "far apart": frame(lambda scale, *_: min(scale, 1.0), (0.001, 0.1, 400.0), (3, 6)),
    "no biases": frame(to_depth_of(6.0), (1.0, 2.0), (3, 6), bias_std=0.0),
    "no theory": frame(lambda *_: 0.6, (1.0, 2.0), (3, 6), block={"name": "post_ln"}),
    "no scale": frame(lambda *_: 0.6, (1.0, 2.0), (3, 6), acts=("relu",)),
}


def drawn(cells):
    with style.applied():
        figures = trainability.figures(cells, pd.DataFrame())
        return figures, {name: style.rendered(name, figure) for name, figure in figures.items()}


@pytest.mark.parametrize("name", MAPS)
def test_any_map_is_a_figure(name):
    figures, files = drawn(MAPS[name])
    assert list(figures) == ["trainability"]
    assert all(len(content) > 5000 for content in files["trainability"].values())
    (lesson,) = lessons(MAPS[name])
    assert len(lesson["points"]) == len(MAPS[name])


def test_the_figure_names_its_rule_and_the_factor_measured_on_it():
    figures, _ = drawn(MAPS["wide"])
    texts = [text.get_text() for text in figures["trainability"].findobj(Text)]
    flat = " ".join(" ".join(texts).split())
    assert "300 steps of 128 inputs of the mixture, step 0.01" in flat
    assert "measured on this map (median 5." in flat
    assert "5.6 xi_c" in flat
    assert "chi1 = 1 (theory)" in flat
    (lesson,) = lessons(MAPS["wide"])
    assert len(lesson["factor"]) == 3
    assert lesson["halves"]["test_accuracy"]
    assert lesson["curve"]


def test_acts_steps_and_widths_are_panels_and_many_of_them_pages():
    several = frame(lambda *_: 0.5, (1.0, 2.0), (2, 4), acts=("tanh", "relu"))
    other = frame(lambda *_: 0.5, (1.0, 2.0), (2, 4), train=SGD | {"steps": 10})
    figures, _ = drawn(pd.concat([several, other], ignore_index=True))
    titles = {ax.get_title("left") for ax in figures["trainability"].axes} - {""}
    assert titles == {"tanh, train.steps=300", "relu, train.steps=300", "tanh, train.steps=10"}
    many = pd.concat([frame(lambda *_: 0.5, (1.0,), (2,), train=SGD | {"steps": n}) for n in range(1, 15)])
    figures, _ = drawn(many)
    assert list(figures) == ["trainability-1", "trainability-2"]
    assert len(lessons(many)) == 14


def test_a_study_without_trainings_has_no_such_figure():
    assert drawn(frame(lambda *_: 0.5, (1.0,), (2,), train={"name": "none"}))[0] == {}
