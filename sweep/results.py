"""What users read: the stored tables as pandas frames."""

from pathlib import Path
from typing import TYPE_CHECKING

from sweep import check
from sweep.store import Study

if TYPE_CHECKING:
    import pandas as pd


def load(path: str | Path, table: str = "cells") -> "pd.DataFrame":
    """The results of a study, each cell (or each cell and layer) once.

    path: the study's folder, as in 'outputs/standard'. table: 'cells' (a row per cell, with the
    last layer's statistics) or 'layers' (a row per cell and layer).
    Raises StoreError where there is no study, RequestError for an unknown table.
    """
    check.option("table", table, ("cells", "layers"))
    study = Study(Path(path))
    study.check_readable()
    frame: pd.DataFrame = study.read(table).to_pandas()
    return frame
