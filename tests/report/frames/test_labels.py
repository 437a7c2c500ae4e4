"""Two networks that differ never share a name: they would be averaged as if they were seeds of one."""

import json

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.experiment import axes
from sweep.report.frames.fates import answers
from sweep.report.frames.labels import add_labels, description
from sweep.report.frames.layout import Layout, assign_roles, choose, suit
from sweep.report.frames.measures import MEASURES
from sweep.report.frames.parameters import varying
from sweep.report.frames.seeds import average_over_seeds, over_seeds

KEYS = st.sampled_from(
    ["x", "source", "function", "derivative", "kwargs", "x=1 y", "kwargs.x", "kwargs.source", "kwargs.kwargs"]
)
VALUES = st.sampled_from(
    [0.1, "0.1", 1, 1.0, True, "true", "True", None, "null", "None", "–", '"a"', "a", [1], "[1]", "1 x=1"]
)


def frame(keywords, function="my.own", source="0"):
    """A cell of a user's own scheme for each of these keyword arguments, and one of an ordinary scheme."""
    texts = [json.dumps({"function": function, "kwargs": own, "source": source}) for own in keywords]
    rows = pd.DataFrame({"init": ["custom"] * len(texts) + ["xavier"], "init_params": [*texts, "{}"]})
    common = {axis.name: axis.default for axis in axes.ALL.values()} | {
        "act": "tanh", "act_params": "{}", "depth": 2, "width": 8, "kernel_version": 1, "status": "ok",
        "verdict": "healthy", "verdict_layer": 1.0, "std": 1.0,
    }  # fmt: skip
    return rows.assign(**common, cell_id=rows.index.astype(str))


@settings(max_examples=30)
@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=3), min_size=2, max_size=6, unique_by=json.dumps))
def test_whatever_a_users_function_is_given_tells_its_networks_apart(keywords):
    cells = frame(keywords)
    assert add_labels(cells)["init_label"].nunique() == len(cells)
    for axis in varying(cells):
        assert len(over_seeds(cells, apart=[axis])) == len(cells)
        assert axis in over_seeds(cells, apart=[axis])
        layout = choose(cells, x=axis, y="init")
        rows = assign_roles(cells, layout, MEASURES["std"])
        assert len(rows) == len(cells), "none is averaged with another"
        assert not rows[["x", "y"]].duplicated().any()


@pytest.mark.parametrize(
    ("keywords", "labels"),
    [
        ([{"x": 0.1}, {"x": 0.2}], ["my.own x=0.1", "my.own x=0.2"]),
        ([{"x": 0.1}, {"x": "0.1"}], ["my.own x=0.1", 'my.own x="0.1"']),
        (
            [{"x": 1}, {"x": True}, {"x": None}, {}],
            ["my.own x=1", "my.own x=true", "my.own x=null", "my.own"],
        ),
        (
            [{"source": 1}, {"kwargs.source": 1}],
            ["my.own kwargs.source=1", "my.own kwargs.kwargs.source=1"],
        ),
        ([{"source": 1}, {"source": 2}], ["my.own kwargs.source=1", "my.own kwargs.source=2"]),
    ],
)
def test_labels_read_as_what_was_typed(keywords, labels):
    assert set(add_labels(frame(keywords))["init_label"]) == {"xavier", *labels}


def test_a_numeric_parameter_is_a_numeric_axis():
    cells = add_labels(frame([{"x": 0.1}, {"x": 2}]), ["init.x"])
    assert cells["init.x"].dropna().tolist() == [0.1, 2]
    assert description("custom", cells["init_params"].iloc[1]) == "my.own x=0.1"


def test_the_figures_and_the_page_lay_out_alike_what_both_have_room_for():
    sizes = {"init": 4, "act": 3, "depth": 5, "width": 1, "bias_std": 1}
    assert suit(sizes) == suit(sizes, panels=48, columns=6) == Layout(None, "act", "depth", "init")
    wide = sizes | {"width": 2}
    assert suit(wide) == suit(wide, panels=12) == Layout("init", "act", "width", "depth")
    assert suit(wide, panels=11) == Layout(None, "act", "depth", "init")
    assert suit(wide, panels=11, columns=2) == Layout(None, None, "act", "init")
    biases = sizes | {"depth": 1, "bias_std": 3}
    assert suit(biases) == suit(biases, panels=48, columns=6) == Layout(None, "act", "init", "bias_std")
    assert suit(biases | {"bias_std": 2}) == suit(biases, columns=2) == Layout(None, None, "act", "init")
    assert suit(wide | {"bias_std": 3}, panels=11) == Layout(None, "act", "init", "bias_std")
    # A scheme's own parameter is a number to put on an axis.
    assert suit(sizes | {"bias_std": 3}, "init.scale") == Layout(None, "act", "init.scale", "bias_std")


def test_a_parameter_that_is_not_stored_at_its_default_is_an_axis_with_its_default():
    cells = frame([{}, {}]).assign(
        init="xavier", init_params="{}", act="silu", act_params=["{}", '{"beta":2.0}', '{"beta":0.5}']
    )
    assert sorted(add_labels(cells)["act_label"]) == ["silu beta=0.5", "silu beta=1", "silu beta=2"]
    assert varying(cells) == ["act.beta"]
    assert sorted(add_labels(cells, ["act.beta"])["act.beta"]) == [0.5, 1.0, 2.0]
    assert add_labels(cells.iloc[:1])["act_label"].tolist() == ["silu"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([None, (64, 32, 16), (64, 16), (8, 8, 16)]), min_size=1, max_size=6),
    st.sampled_from([0.0, 0.1]),
)
def test_a_network_that_is_not_tapered_has_no_widths_in_its_name(widths, bias_std):
    cells = pd.concat([frame([])] * len(widths), ignore_index=True)
    cells = cells.assign(
        widths=pd.Series([None if one is None else list(one) for one in widths], dtype=object),
        depth=[2 if one is None else len(one) - 1 for one in widths],
        bias_std=[bias_std, *[0.0] * (len(widths) - 1)],
        seed=range(len(widths)),
    )
    labelled = add_labels(cells).sort_values("seed")
    varies = len(set(widths)) > 1
    for one, told in zip(widths, labelled["setting"], strict=True):
        assert "nan" not in told
        assert "null" not in told
        tapered = f"widths=[{','.join(map(str, one))}]" if one else ""
        assert (tapered in told) if varies else ("widths" not in told)
    rows = average_over_seeds(add_labels(cells, ["widths"]), [MEASURES["verdict_layer"]], ["widths"])
    for answer in answers(rows):
        names = " ".join(fate.init for fate in answer.survivors)
        assert "nan" not in names
        assert "null" not in names
