"""`python -m sweep.status`: the axes that a study swept, and when a run at work will be done."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from sweep.execution.overview import show_study
from sweep.experiment.batches import Cells
from sweep.store.query import excerpts
from sweep.store.records import runs
from sweep.store.study import Study
from tests.make import cell, packed
from tests.studies import write

NORMAL = [cell(init={"name": "normal", "std": std}, depth=2, width=8, batch=9) for std in (0.1, 1, 10)]
OTHERS = [cell(depth=2, width=8, batch=9, bias_std=0.5), cell(widths=[9, 8, 8], batch=9)]


def rows(capsys, study):
    """The rows of the first table: axis and value -> planned, stored, failed, left; and all that is said."""
    show_study(str(study.path))
    said = capsys.readouterr().out
    lines = (re.findall(r"[^│]+", line) for line in said.partition("runs\n")[0].splitlines() if "│" in line)
    table = [[text.strip() for text in line] for line in lines]
    return {tuple(row[:2]): list(map(int, row[2:])) for row in table if row[2:]}, said


def test_the_axes_are_those_that_the_study_swept(study, capsys):
    write(study, "a", [*NORMAL, OTHERS[0]])
    write(study, "b", OTHERS[1:])
    found, _ = rows(capsys, study)
    assert found == {
        ("all", ""): [5, 5, 0, 0],
        ("init", "normal"): [3, 3, 0, 0],
        ("init", "xavier"): [2, 2, 0, 0],
        ("widths", "–"): [4, 4, 0, 0],
        ("widths", "[9,8,8]"): [1, 1, 0, 0],
        ("bias_std", "0"): [4, 4, 0, 0],
        ("bias_std", "0.5"): [1, 1, 0, 0],
        ("init.std", "0.1"): [1, 1, 0, 0],
        ("init.std", "1"): [1, 1, 0, 0],
        ("init.std", "10"): [1, 1, 0, 0],
    }


def test_what_is_left_is_counted_by_the_same_axes(study):
    write(study, "a", NORMAL[:1])
    counted = excerpts.counts(study, Cells.of([*NORMAL[1:], *(cell(seed=seed) for seed in range(5))]))
    assert counted.total == {"ok": 1, "left": 7}
    assert counted.axes["init.std"] == {(0.1, "ok"): 1, (1.0, "left"): 1, (10.0, "left"): 1}
    assert counted.axes["seed"] == {(0, "ok"): 1, (0, "left"): 3} | {
        (seed, "left"): 1 for seed in range(1, 5)
    }
    assert counted.axes["depth"] == {(2, "ok"): 1, (2, "left"): 2, (10, "left"): 5}
    assert "act" not in counted.axes


@pytest.mark.parametrize(
    ("stored", "passed", "left"),
    [
        (0, 10, "about 90 s"),
        (2, 60, "about 60 s"),
        (3, 60, "about 20 s"),
        (4, 60, None),
        (0, 1000, "less than"),
    ],
)
def test_a_run_at_work_has_the_time_that_it_will_still_take(study, capsys, stored, passed, left):
    cells = [cell(depth=2, width=8, batch=9, seed=seed) for seed in range(4)]
    other = Study(study.path)
    run = runs.RunRecord(other, {})
    began = datetime.now(UTC) - timedelta(seconds=passed)
    started = {"started": began.isoformat(timespec="seconds")}
    run.write_plan(packed(cells, 1), {"expected": {"seconds": 100.0}} | started)
    if stored:
        write(study, "a", cells[:stored])
    _, said = rows(capsys, study)
    (line,) = [line for line in said.splitlines() if line.strip().startswith("running")]
    run.close(0)
    if left is None:
        assert line.split() == ["running:", run.name]
        return
    told = re.search(r"\((.*) left, done at \d\d:\d\d\)", line)
    assert told is not None, said
    number = r"about (\d+) s"
    if found := re.fullmatch(number, left):
        assert abs(int(re.fullmatch(number, told[1])[1]) - int(found[1])) <= 5
    else:
        assert told[1].startswith(left)
