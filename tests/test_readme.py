"""The README's lines for other Parquet readers run as they are written."""

import re
from pathlib import Path

import pytest

from tests.studies import grid, stored

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("library", ["duckdb", "polars"])
def test_the_readmes_lines_read_the_same_files(library, tmp_path, monkeypatch):
    pytest.importorskip(library, reason=f"{library} is not installed")
    (block,) = [
        code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if f"import {library}" in code
    ]
    monkeypatch.chdir(tmp_path)
    cells, _ = stored(tmp_path / "outputs" / "standard", grid(("xavier", "kaiming"), widths=(16,)))
    *lines, last = block.strip().splitlines()
    names: dict = {}
    exec("\n".join(lines), names)
    found = eval(last, names)
    rows = found.fetchall() if library == "duckdb" else found.rows()
    medians = cells.groupby(["init", "act", "depth"])["std"].median()
    assert {tuple(row[:3]): pytest.approx(row[3]) for row in rows} == medians.to_dict()
