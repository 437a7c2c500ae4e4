"""The notebook runs, as it is, from start to end."""

import json
import os
from pathlib import Path

import pytest

from tests.processes import DEADLINE

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "tour.ipynb"


def test_the_tour_runs_in_an_empty_folder(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    client = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    patience = {"timeout": DEADLINE, "startup_timeout": DEADLINE}
    client.NotebookClient(notebook, **patience, resources=resources).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 4
    assert (tmp_path / "outputs" / "tour" / "cells").is_dir()


def test_what_is_committed_is_small_and_has_no_errors():
    assert NOTEBOOK.stat().st_size < 250_000
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert os.sep + "tmp" + os.sep not in text
    cells = json.loads(text)["cells"]
    kinds = {output["output_type"] for cell in cells for output in cell.get("outputs", [])}
    assert kinds <= {"execute_result", "display_data"}
