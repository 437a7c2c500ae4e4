import io
import re

import pytest
from rich.console import Console

from sweep.execution import screen


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    return now


def test_progress_shows_cells_rate_and_time_left_where_there_is_no_terminal(capsys, monkeypatch, clock):
    monkeypatch.setattr(screen, "_PLAIN_SECONDS", 0.0)
    with screen.progress(10, 4.0) as progress:
        clock[0] += 30
        progress.advance(5, 2.0)
    assert capsys.readouterr().err == "5/10 cells, 0.2 cells/s, about 30 s left\n"


def test_the_time_left_follows_what_happens_whatever_was_expected(clock):
    pace = screen._Pace(10, 4.0)  # planned: 4 s
    assert pace.left() == ""
    clock[0] += 20
    pace.advance(2, 1.0)  # a quarter took 20 s
    assert pace.left() == "about 60 s left"
    clock[0] += 15
    assert pace.left() == "about 45 s left"
    clock[0] += 5
    pace.advance(2, 1.0)
    assert pace.left() == "about 40 s left"
    clock[0] += 41
    assert pace.left() == "longer than expected"
    pace.advance(6, 2.0)
    assert pace.left() == "less than a second left"


def test_cells_that_failed_tell_nothing_of_the_time_left(clock):
    pace = screen._Pace(10, 4.0)
    clock[0] += 20
    pace.advance(2, 0.0)
    assert pace.left() == ""


def test_a_terminal_shows_what_is_expected_until_it_is_known_better(monkeypatch, clock):
    shown = io.StringIO()
    monkeypatch.setattr(
        screen, "Console", lambda stderr: Console(file=shown, force_terminal=True, width=100, height=20)
    )
    with screen.progress(10, 4.0, "8 to 30 s"):
        pass
    assert re.search("0/10 cells.*8 to 30 s", shown.getvalue())
    with screen.progress(10, 4.0, "8 to 30 s") as progress:
        clock[0] += 20
        progress.advance(2, 1.0)
    assert "2/10 cells, 0.1 cells/s about 60 s left" in shown.getvalue()
