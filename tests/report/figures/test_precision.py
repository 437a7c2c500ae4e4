"""The figure of number formats: a column per network, a colour per format, theory and losses beside them."""

import numpy as np
import pytest

import sweep
from sweep.report.figures import precision, style


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    root = tmp_path_factory.mktemp("precision")
    asked = {
        "init": "xavier",
        "act": ["tanh", "relu"],
        "format": [None, "bfloat16", "float8_e4m3fn"],
        "depth": 4,
        "seed": [0, 1],
    }
    cells = sweep.run(study="study", root=str(root), report=False, width=16, batch=16, **asked)
    return cells, sweep.load(root / "study", table="layers")


def test_every_format_has_its_line_theory_and_name(frames):
    with style.applied():
        (figure,) = precision.figures(*frames).values()
    above = [ax for ax in figure.axes if ax.get_title("left")]
    assert [ax.get_title("left") for ax in above] == ["xavier × relu", "xavier × tanh"]
    cells, layers = frames
    for ax, act in zip(above, ("relu", "tanh"), strict=True):
        drawn = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
        for name in ("bfloat16", "float8_e4m3fn"):
            ids = cells[(cells["act"] == act) & (cells["format"] == name)]["cell_id"]
            wanted = layers[layers["cell_id"].isin(ids)].groupby("layer")["round_cosine"].mean()[1:]
            np.testing.assert_allclose(drawn[name], 1 - wanted, rtol=1e-6)
    caption = figure._supxlabel.get_text()
    assert "thin black: theory" in caption
    assert "format" in caption


def test_without_a_format_there_is_no_figure(frames):
    cells, layers = frames
    assert precision.figures(cells[cells["format"].isna()], layers) == {}
