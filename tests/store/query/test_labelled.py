"""`sweep.to_xarray`: every value of a table at its place among the axes that vary."""

import builtins

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest

import sweep
from tests.make import cell
from tests.studies import fail, write

xarray = pytest.importorskip("xarray", reason="the extra xarray is not installed")
NORMAL = [
    cell(init={"name": "normal", "std": std}, depth=depth, width=8, batch=9, seed=seed)
    for std in (0.1, 1.0)
    for depth in (2, 3)
    for seed in (0, 1)
]


def test_every_value_of_cells_is_at_its_place(study):
    write(study, "a", NORMAL)
    frame = sweep.load(study.path)
    found = sweep.to_xarray(frame)
    assert isinstance(found, xarray.Dataset)
    assert dict(found.sizes) == {"init": 1, "act": 1, "depth": 2, "width": 1, "seed": 2, "init.std": 2}
    for row in frame.to_dict("records"):
        here = found.sel({name: row[name] for name in found.dims})
        assert float(here["std"]) == row["std"]
        assert str(here["verdicts"].values) == ", ".join(row["verdicts"])
    assert (found.coords["batch"].item(), found.coords["width"].values.tolist()) == (9, [8])
    assert float(found["std"].sel({"init.std": 0.1}).mean()) == pytest.approx(
        frame.query("`init.std` == 0.1")["std"].mean()
    )


def test_layers_have_a_dimension_of_their_own_and_nothing_where_a_network_ends(study):
    write(study, "a", NORMAL)
    layers = sweep.load(study.path, "layers")
    found = sweep.to_xarray(layers)
    sizes = {name: size for name, size in found.sizes.items() if size > 1}
    assert sizes == {"depth": 2, "seed": 2, "layer": 4, "init.std": 2}
    assert np.isnan(found["rms"].sel(depth=2, layer=3)).all()
    for row in layers.to_dict("records"):
        assert float(found["rms"].sel({name: row[name] for name in found.dims})) == row["rms"]


def test_of_several_schemes_a_parameter_is_part_of_the_name(study):
    write(study, "a", [*NORMAL[::4], cell(depth=2, width=8, batch=9)])
    write(study, "b", [cell(widths=[9, 8, 8], batch=9)])
    fail(study, "c", cell(depth=2, width=8, batch=9, seed=5), "MemoryError: no room")
    found = sweep.to_xarray(sweep.load(study.path))
    assert set(found["init"].values) == {"normal std=0.1", "normal std=1.0", "xavier"}
    assert set(found["widths"].values) == {"–", "[9,8,8]"}
    failed = found.sel(init="xavier", widths="–", seed=5).squeeze()
    assert (failed["status"].item(), bool(np.isnan(failed["std"]))) == ("failed", True)


def test_one_network_is_an_array_of_one(study):
    write(study, "a", NORMAL[:1])
    assert sweep.to_xarray(sweep.load(study.path))["std"].size == 1


@pytest.mark.parametrize("missing", ["seed", "init.std"])
def test_a_frame_that_lacks_an_axis_is_refused(study, missing):
    write(study, "a", NORMAL)
    with pytest.raises(sweep.RequestError, match="two rows have the same"):
        sweep.to_xarray(sweep.load(study.path).drop(columns=missing))


def test_what_makes_no_arrays_is_refused_in_a_line(study, monkeypatch):
    write(study, "a", NORMAL)
    frame = sweep.load(study.path)
    with pytest.raises(sweep.RequestError, match="no rows"):
        sweep.to_xarray(frame[:0])
    monkeypatch.setattr("sweep.store.query.labelled._MOST_ENTRIES", 7)
    with pytest.raises(sweep.RequestError, match="arrays of 8 entries"):
        sweep.to_xarray(frame)
    imported = builtins.__import__

    def without(name, *arguments):
        if name == "xarray":
            raise ModuleNotFoundError(name)
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(sweep.RequestError, match=r"pip install 'sweep\[xarray\]'"):
        sweep.to_xarray(frame)


def test_frames_of_other_kinds_are_the_same_arrays(study):
    write(study, "a", [*NORMAL, cell(widths=[9, 8, 8], batch=9)])
    frame = sweep.load(study.path)
    expected = sweep.to_xarray(frame)
    backed = pd.read_parquet(study.path / "cells", dtype_backend="pyarrow")
    others = [
        polars.from_pandas(frame),
        pa.Table.from_pandas(frame),
        frame.convert_dtypes(dtype_backend="pyarrow"),
    ]
    for other in others:
        found = sweep.to_xarray(other)
        assert found.sizes == expected.sizes
        np.testing.assert_array_equal(found["std"], expected["std"])
        assert found["verdicts"].values.tolist() == expected["verdicts"].values.tolist()
    assert sweep.to_xarray(backed[backed["sigma_w"] == frame["sigma_w"].iloc[0]])["std"].notnull().any()


@pytest.mark.parametrize("other", [1, "cells", {"a": 1}, None, pd.DataFrame({"a": [1]}), pd.Series([1])])
def test_what_is_no_frame_of_results_is_refused_in_a_line(other):
    with pytest.raises(sweep.RequestError, match=r"to_xarray: pass rows of sweep.load, a DataFrame"):
        sweep.to_xarray(other)
