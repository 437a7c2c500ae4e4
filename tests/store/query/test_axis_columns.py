"""`sweep.load` has a column for every axis of a grid in both tables: no groupby pools what differs."""

import json

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sweep
from sweep.experiment import axes
from sweep.store import tables
from sweep.store.query import axis_columns
from tests.make import cell
from tests.studies import write

CELLS = [
    *(cell(init={"name": "normal", "std": std}, depth=2, width=8, batch=9) for std in (0.1, 1.0)),
    cell(act={"name": "leaky_relu", "negative_slope": 0.25}, depth=2, width=8, batch=7, bias_std=0.5),
    cell(widths=[9, 8, 7], batch=9, dtype="float64"),
]
FUNCTION = "def f(rng, n, m, power=1, flag=True):\n    return rng.standard_normal((n, m)) / n**power\n"


@pytest.fixture
def frames(study):
    write(study, "a", CELLS[:3])
    write(study, "b", CELLS[3:])
    return sweep.load(study.path), sweep.load(study.path, "layers")


def test_parameters_are_columns_of_both_tables_and_layers_has_every_axis_of_its_cell(frames, study):
    cells, layers = frames
    ids = [one.id for one in CELLS]
    found = cells.set_index("cell_id").loc[ids]
    assert found["init.std"].tolist()[:2] == [0.1, 1.0]
    assert found["init.std"].isna().tolist() == [False, False, True, True]
    assert found["act.negative_slope"].fillna(0).tolist() == [0, 0, 0.25, 0]
    for axis in axes.ALL:
        assert axis in layers
    of_cells = layers.drop_duplicates("cell_id").set_index("cell_id").loc[ids]
    for name in ("bias_std", "batch", "dtype", "backward", "init.std", "act.negative_slope"):
        pd.testing.assert_series_equal(of_cells[name], found[name])
    assert [w if w is None else list(w) for w in of_cells["widths"]] == [None, None, None, [9, 8, 7]]
    assert len(layers.groupby(["init.std", "layer"])) == 2 * 3
    # What is stored stays as it is.
    for table, schema in (("cells", tables.CELLS), ("layers", tables.LAYERS)):
        assert list(pd.read_parquet(study.path / table).columns) == schema.names


def test_one_may_ask_for_an_axis_by_name(frames, study):
    few = sweep.load(study.path, "layers", columns=["rms", "init.std", "bias_std", "rms"])
    assert list(few.columns) == ["rms", "init.std", "bias_std", "rms"]
    pd.testing.assert_series_equal(few["init.std"], frames[1]["init.std"])
    texts = sweep.load(study.path, "layers", columns=["init_params"])["init_params"]
    assert sorted(set(texts)) == ['{"std":0.1}', '{"std":1.0}', "{}"]
    with pytest.raises(sweep.RequestError, match=r"unknown column of cells 'init.stt'.*init.std"):
        sweep.load(study.path, columns=["init.stt"])


@pytest.mark.parametrize("table", ["cells", "layers"])
@pytest.mark.parametrize(
    ("filters", "query"),
    [
        ([("init", "==", "normal")], "init == 'normal'"),
        ([("init.std", ">", 0.5), ("depth", "in", (2, 3))], "`init.std` > 0.5 and depth in (2, 3)"),
        ([[("batch", "<", 8)], [("dtype", "=", "float64")]], "batch < 8 or dtype == 'float64'"),
        ([("act", "not in", ["tanh"])], "act != 'tanh'"),
        ([("rms", ">=", 0.9)], "rms >= 0.9"),
        ([("seed", "==", 7)], "seed == 7"),
    ],
)
def test_filters_keep_the_rows_that_fit(frames, study, table, filters, query):
    found = sweep.load(study.path, table, filters=filters)
    expected = frames[table == "layers"].query(query).reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    few = sweep.load(study.path, table, columns=["cell_id"], filters=filters)
    assert few["cell_id"].tolist() == expected["cell_id"].tolist()


def test_a_filter_on_the_verdict_goes_by_the_thresholds_asked_for(frames, study):
    strict = {"vanishing": 0.99}
    words = sweep.load(study.path, thresholds=strict)
    kept = sweep.load(study.path, thresholds=strict, filters=[("verdict", "==", "vanishing")])
    assert len(kept) == (words["verdict"] == "vanishing").sum() > (frames[0]["verdict"] == "vanishing").sum()


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("act", "filters are"),
        ({"act": "tanh"}, "filters are"),
        ([], "filters are"),
        ([("act", "tanh")], "filters are"),
        ([[]], "filters are"),
        ([("act", "~", "tanh")], "unknown operator of filters '~'"),
        ([("act", "in", "tanh")], "'in' takes a list"),
        ([("act", "==", ["tanh"])], "'==' takes one value"),
        ([("act", "==", 3)], "act is of type string"),
        ([("widths", "==", 3)], "widths is of type list"),
        ([("init.sdt", "==", 3)], "unknown column of cells 'init.sdt'"),
        ([("std", ">", None)], "rows without a value"),
    ],
)
def test_a_filter_that_is_none_is_refused_in_a_line(frames, study, filters, said):
    with pytest.raises(sweep.RequestError) as told:
        sweep.load(study.path, filters=filters)
    assert said in str(told.value)
    assert "\n" not in str(told.value)


def test_what_a_users_function_is_given_is_a_column_named_as_it_is_typed(sweep_command, tmp_path):
    (tmp_path / "mine.py").write_text("import numpy as np\n\n\n" + FUNCTION)
    asked = (
        "-m",
        "init=custom,xavier",
        "init.function=mine.f",
        "init.kwargs.power=0.5,1",
        "depth=2",
        "width=8",
    )
    more = ("act=tanh", "seed=0", "batch=9", "report=false", "study=s")
    assert sweep_command(*asked, *more).returncode == 0
    (tmp_path / "mine.py").write_text("import numpy as np\n\n\n" + FUNCTION.replace("n**power", "m**power"))
    assert sweep_command(*asked, *more).returncode == 0
    for table in ("cells", "layers"):
        frame = sweep.load(tmp_path / "outputs" / "s", table)
        assert sorted(frame["init.kwargs.power"].dropna().unique()) == [0.5, 1.0]
        assert set(frame["init.function"].dropna()) == {"mine.f"}
        keys = [name for name in frame if name in axis_keys(frame)]
        sizes = frame.drop_duplicates("cell_id").groupby(keys, dropna=False).size()
        assert sizes.tolist() == [1] * 5, "two versions of two, and xavier"


def axis_keys(frame):
    """What a groupby can go by."""
    return {*axes.GROUPS, *axes.ALL, *(name for name in frame if axis_columns.is_parameter(name))} - {
        "widths"
    }


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False),
    st.sampled_from(["1", "true", "a"]), st.lists(st.integers(0, 1), max_size=2),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "std", "a.b", "kwargs.a"]), VALUES), min_size=1, max_size=5
    )
)
def test_two_cells_that_differ_in_a_parameter_differ_in_its_column(several):
    texts = [
        json.dumps({"function": "f", "kwargs": own, "source": "x"}, sort_keys=True, separators=(",", ":"))
        for own in several
    ]
    rows = axis_columns.with_parameters(pa.table({"init_params": texts})).to_pylist()
    for text, row in zip(texts, rows, strict=True):
        for other, values in zip(texts, rows, strict=True):
            own, others = json.loads(text)["kwargs"], json.loads(other)["kwargs"]
            for name in {*own, *others}:
                full = f"init.kwargs.{name}"
                same = json.dumps(own.get(name)) == json.dumps(others.get(name))
                assert (row[full] == values[full]) == same
