"""What users read: the stored tables as pandas frames."""

from pathlib import Path
from typing import TYPE_CHECKING

from sweep import check
from sweep.store import Study

if TYPE_CHECKING:
    import pandas as pd


def load(path: str | Path, table: str = "cells", versions: str = "newest") -> "pd.DataFrame":
    """The results of a study, each cell (or each cell and layer) once.

    path: the study's folder or URL, as in 'outputs/standard'. table: 'cells' (a row per cell, with the
    last layer's statistics) or 'layers' (a row per cell and layer). versions: 'newest' has
    each experiment once, by the newest kernel that computed it; 'all' has the older results too.
    Raises StoreError where there is no study, RequestError for an unknown table.
    """
    check.option("table", table, ("cells", "layers"))
    check.option("versions", versions, ("newest", "all"))
    study = Study(path)
    study.check_readable()
    frame: pd.DataFrame = study.read(table, versions=versions).to_pandas()
    return frame
