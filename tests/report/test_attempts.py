import os
import re

import pandas as pd
import pytest

import sweep.report.drawing
from sweep.base.errors import ReportError
from sweep.report.attempts import attempt, in_a_line
from sweep.report.figures import style
from tests.processes import ROOT
from tests.studies import grid, stored

MAIN = ("-m", "init=xavier,kaiming", "act=tanh", "depth=2", "width=8", "seed=0", "batch=20", "study=s")
# A vl_convert that fails here: as an older one does, as a panic of Rust reaches Python, and worse.
BUNDLES = {
    "raises": "raise RuntimeError('no such version\\n\\nStack backtrace:\\n 0: <unknown>')",
    "panics": "import sys; sys.stderr.write('thread panicked at src/lib.rs\\nnote: RUST_BACKTRACE\\n')\n"
    "    raise type('PanicException', (BaseException,), {})('called unwrap on None')",
    "aborts": "import os; os.abort()",
}


def _instead(folder, module, text):
    """A PYTHONPATH on which a module of ours takes a library's place."""
    own = folder / "own"
    own.mkdir()
    (own / f"{module}.py").write_text(text)
    return f"{own}{os.pathsep}{ROOT}"


@pytest.mark.parametrize("how", BUNDLES)
def test_a_page_that_cannot_be_drawn_is_a_line_and_the_main_job_succeeds(how, sweep_command, tmp_path):
    path = _instead(tmp_path, "vl_convert", f"def javascript_bundle(*_, **__):\n    {BUNDLES[how]}\n")
    done = sweep_command(*MAIN, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert "RUST" not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if "not drawn" in line)
    assert re.match(r"not drawn: the page \(RuntimeError: vl_convert ended with status -?\d+", line)
    assert line.endswith("the tables are complete; try again with: python -m sweep.report outputs/s")
    assert len(pd.read_parquet(tmp_path / "outputs" / "s" / "cells")) == 2
    drawn = {path.name for path in (tmp_path / "outputs" / "s" / "report").iterdir()}
    assert {"std.png", "layers.svg"} <= drawn
    assert "index.html" not in drawn

    again = sweep_command("outputs/s", "--only", "heatmap,page", module="sweep.report", PYTHONPATH=path)
    assert again.returncode == 1
    assert "std.png" in again.stdout
    (line,) = again.stderr.splitlines()
    assert line.startswith("sweep: not drawn: the page")
    assert sweep_command("outputs/s", "--only", "page", module="sweep.report").returncode == 0


@pytest.mark.parametrize(
    ("library", "says"), [("matplotlib", "nothing can be drawn here: "), ("seaborn", "not drawn: std (")]
)
def test_a_drawing_library_that_cannot_be_imported_is_a_line(sweep_command, tmp_path, library, says):
    path = _instead(tmp_path, library, "raise ImportError('numpy.dtype size changed')\n")
    done = sweep_command(*MAIN, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert f"{says}ImportError: numpy.dtype size changed" in done.stderr
    assert "Traceback" not in done.stderr
    assert "table: outputs/s/cells" in done.stderr


def test_one_figure_that_fails_leaves_the_others_and_the_page(tmp_path, monkeypatch):
    stored(tmp_path / "s", grid(), histogram=True)

    def broken(*_):
        raise ValueError("no such colour\nat all")

    drawn = style._drawn
    monkeypatch.setitem(sweep.report.drawing._OF_LAYERS, "layers", broken)
    monkeypatch.setattr(
        style, "_drawn", lambda figure, kind: broken() if figure is bad else drawn(figure, kind)
    )
    bad = None
    theory = sweep.report.drawing._OF_LAYERS["theory"]

    def theory_that_cannot_be_saved(*frames):
        nonlocal bad
        pages = theory(*frames)
        bad = pages["theory"]
        return pages

    monkeypatch.setitem(sweep.report.drawing._OF_LAYERS, "theory", theory_that_cannot_be_saved)
    with pytest.raises(ReportError) as caught:
        sweep.report.draw(tmp_path / "s")
    why = "(ValueError: no such colour)"
    assert str(caught.value) == f"not drawn: layers {why}; theory {why}; the tables are complete"
    names = {path.name for path in caught.value.files}
    assert {"std.png", "gradients.svg", "histograms.png", "index.html"} <= names
    assert not {name for name in names if name.startswith(("layers", "theory"))}
    assert all(path.exists() for path in caught.value.files)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, sweep.StoreError])
def test_interrupts_and_our_own_errors_are_not_taken_for_a_figure_that_fails(error):
    failed = {}
    with pytest.raises(error), attempt("std", failed):
        raise error
    assert not failed


def test_an_error_is_a_line():
    assert in_a_line(ValueError()) == "ValueError"
    assert in_a_line(ValueError("one\ntwo")) == "ValueError: one"
