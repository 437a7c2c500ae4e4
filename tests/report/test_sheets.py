"""Sheets drawn side by side are those drawn one after another."""

import pytest

import sweep
from sweep.base.process import machine
from sweep.report import sheets
from tests.studies import grid, stored


def test_sheets_drawn_side_by_side_are_those_drawn_one_after_another(tmp_path, monkeypatch):
    stored(tmp_path / "s", grid(), histogram=True)
    only = ("heatmap", "verdict", "layers", "theory")

    def pictures(folder):
        files = sweep.report.draw(tmp_path / "s", only=only, to=tmp_path / folder)
        return {file.name: file.read_bytes() for file in files if file.suffix == ".png"}

    here = pictures("here")
    monkeypatch.setattr(sheets, "MANY", 1)
    monkeypatch.setattr(machine, "cores", lambda: 2)
    assert pictures("processes") == here
    assert set(here) == {"std.png", "verdict.png", "layers.png", "theory.png"}


def test_what_fails_in_a_process_is_said_and_the_rest_is_drawn(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 2)
    asked = [sheets.Sheet(name, int, ("nonsense",)) for name in ("one", "another")]
    found = list(sheets.drawn(asked, sheets.MANY))
    assert [each.failed for each in found] == [
        {name: "ValueError: invalid literal for int() with base 10: 'nonsense'"}
        for name in ("one", "another")
    ]


@pytest.mark.parametrize(("networks", "cores"), [(sheets.MANY - 1, 8), (sheets.MANY, 1)])
def test_no_process_is_started_where_it_would_not_pay(networks, cores, monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: cores)
    monkeypatch.setattr(sheets, "_pool", lambda processes: pytest.fail("a process was started"))
    assert len(list(sheets.drawn([sheets.Sheet("a", dict, ()), sheets.Sheet("b", dict, ())], networks))) == 2
