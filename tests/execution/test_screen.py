import re

from sweep.execution import screen


def test_progress_shows_cells_rate_and_time_left_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(screen, "_PLAIN_SECONDS", 0.0)
    with screen.progress(10, 4.0) as progress:
        progress.advance(5, 2.0)
    assert re.fullmatch(r"5/10 cells, [\d.,]+ cells/s, \d+ s left\n", capsys.readouterr().err)
