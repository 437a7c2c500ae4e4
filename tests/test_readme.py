"""The README begins with a command and what comes of it, stays short, and its figures are measured ones."""

import struct

import pytest

import sweep
from tests.documents import README, table
from tests.processes import ROOT

ROWS = table("README.md", "init × act, width 512")
DEPTHS = (5, 10, 20, 50)


def test_the_first_command_comes_first_and_then_its_figure_and_table():
    places = [
        README.index(sign) for sign in ("```\npip install", "![", "| init × act", "make sweep", "make test")
    ]
    assert places == sorted(places)
    lines = README.splitlines()
    assert lines.index("```") < 10
    assert len(lines) < 200


def test_the_first_figure_is_at_most_three_quarters_as_high_as_it_is_wide():
    name, *_ = [line.partition("](")[2].rstrip(")") for line in README.splitlines() if line.startswith("![")]
    width, height = struct.unpack(">II", (ROOT / name).read_bytes()[16:24])
    assert height <= 0.75 * width


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_first_table_is_what_one_network_measures(row):
    """One seed against the geometric mean of five: ReLU, fifty layers deep, strays by a factor of two."""
    network, *figures, said = row
    init, act = network.split(" × ")
    layers = sweep.propagate(init=init, act=act, depth=50, width=512)
    stds = layers["std"].iloc[list(DEPTHS)].tolist()
    measured = [*stds, layers["delta_std"].iloc[0]]
    for text, value in zip(figures, measured, strict=True):
        assert float(text) / 2.1 < value < float(text) * 2.1
    word = said.strip("*").split(":")[0].split(",")[0].strip("*")
    sizes = layers["rms"].iloc[-1], layers["delta_std"].iloc[0]
    assert {
        "survives": all(0.01 < size < 100 for size in sizes),
        "vanishes": sizes[0] < 0.01,
        "explodes": sizes[0] > 1000,
        "saturated": layers["flat"].iloc[-1] > 0.5 and sizes[1] > 1e20,
    }[word]
