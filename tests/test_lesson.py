"""The lesson says what the program measures, and its pictures are there."""

import re
from functools import lru_cache
from pathlib import Path

import pytest

import sweep

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "lesson.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line[:2] == "| "
]
SCHEMES = {row[0]: [float(text) for text in row[2:]] for row in ROWS[1:]}


@lru_cache
def measured(init, act):
    return sweep.propagate(init=init, act=act, depth=10, width=500, batch=1000)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_table_of_the_lesson_is_what_one_network_measures(scheme):
    """One seed against the median of five: deep ReLU networks of width 500 wander by a tenth or two."""
    for act, (std, gradient) in zip(
        ("tanh", "relu"), (SCHEMES[scheme][:2], SCHEMES[scheme][2:]), strict=True
    ):
        layers = measured(scheme, act)
        assert layers["std"].iloc[-1] == pytest.approx(std, rel=0.5, abs=1e-30)
        assert layers["delta_std"].iloc[0] == pytest.approx(gradient, rel=0.5, abs=1e-30)


def test_the_claims_of_the_lesson_hold():
    big = measured("big_normal", "tanh")
    assert big["flat"].iloc[-1] == pytest.approx(0.90, abs=0.01)
    growth = (big["delta_rms"].iloc[0] / big["delta_rms"].iloc[-1]) ** (2 / 10)
    assert growth == pytest.approx(12, rel=0.1)
    assert measured("xavier", "tanh")["std"].iloc[1] == pytest.approx(0.63, abs=0.01)
    assert measured("xavier", "relu")["rms"].iloc[-1] == pytest.approx(1 / 32, rel=0.3)
    assert sweep.propagate(init="constant", act="tanh")["neuron_corr"].iloc[1] == 1


def test_the_pictures_of_the_lesson_are_there():
    pictures = re.findall(r"\]\(([\w-]+\.png)\)", TEXT)
    assert len(pictures) == 4
    for name in pictures:
        assert (DOCS / name).is_file()
