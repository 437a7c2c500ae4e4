"""Frames as users have them, as the frames that figures are made of."""

from typing import Any

import numpy as np
import pandas as pd


def of_numpy(given: object) -> pd.DataFrame | None:
    """A frame of pandas, or of a library that converts to it (polars, Arrow), with NumPy's columns and
    pandas' own texts; null numbers are NaN. None where it is no frame.
    """
    if not isinstance(given, pd.DataFrame):
        convert = getattr(given, "to_pandas", None)
        given = convert() if callable(convert) else None
        if not isinstance(given, pd.DataFrame):
            return None
    foreign = {name: _plain(column) for name, column in given.items() if _is_foreign(column.dtype)}
    return given.assign(**{str(name): column for name, column in foreign.items()}) if foreign else given


def _is_foreign(dtype: Any) -> bool:
    """Whether a column counts what is missing as pd.NA, which no comparison or figure understands."""
    return getattr(dtype, "na_value", None) is pd.NA


def _plain(column: "pd.Series[Any]") -> "pd.Series[Any]":
    if pd.api.types.is_float_dtype(column.dtype) or (
        pd.api.types.is_integer_dtype(column.dtype) and column.isna().any()
    ):
        return pd.Series(column.to_numpy(float, na_value=np.nan), column.index)
    if pd.api.types.is_integer_dtype(column.dtype):
        return pd.Series(column.to_numpy(np.int64), column.index)
    return pd.Series(list(column.astype(object).where(column.notna(), None)), column.index, dtype="object")
