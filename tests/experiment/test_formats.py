"""A format from the axis to the table: identity, columns, theory beside them, words, bad input."""

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.base.errors import RequestError
from sweep.experiment import axes
from sweep.experiment.cell import Cell
from sweep.experiment.outcomes.verdict import Thresholds, codes, verdict, words_of
from sweep.kernel.statistics.table import COPIED
from sweep.theory.consequences.formats import FORMATS

PLAIN = {
    "init": {"name": "xavier"}, "act": {"name": "tanh"}, "depth": 5, "width": 32, "widths": None, "seed": 0,
    "bias_std": 0.0, "batch": 40, "dtype": "float32", "backward": True,
}  # fmt: skip
THEORY = [f"theory_{name}" for name in ("round_cosine", "zeroed", "overflowed")]


def run(root, name="study", **asked):
    return sweep.run(study=name, root=str(root), report=False, **{"width": 32, "batch": 40, **asked})


def test_the_axis_has_the_formats_of_the_theory():
    assert tuple(FORMATS) == axes.FORMATS


def test_a_format_is_part_of_a_cells_identity_only_where_there_is_one():
    assert Cell.of(PLAIN | {"format": None}).id == Cell.of(PLAIN).id
    assert len({Cell.of(PLAIN | {"format": name}).id for name in (None, *FORMATS)}) == 1 + len(FORMATS)


@pytest.mark.parametrize("value", ["float12", "fp16", 16, ["bfloat16"]])
def test_an_unknown_format_is_a_line_that_says_what_there_is(value):
    with pytest.raises(RequestError, match="bfloat16") as refused:
        sweep.propagate(format=value)
    assert "\n" not in str(refused.value)


def test_a_study_holds_copies_beside_plain_cells_with_one_job_as_with_two(tmp_path):
    asked = {"init": ["xavier", "kaiming"], "act": ["tanh", "relu"], "depth": [3, 6], "seed": [0, 1]}
    asked["format"] = [None, "bfloat16", "float8_e4m3fn"]
    one, two = (run(tmp_path, f"jobs{jobs}", n_jobs=jobs, **asked) for jobs in (1, 2))
    key = "cell_id"
    one, two = (
        frame.sort_values(key).reset_index(drop=True).drop(columns=["seconds", "run_id"])
        for frame in (one, two)
    )
    pd.testing.assert_frame_equal(one, two, rtol=1e-5)  # other seeds together: other products
    plain = one[one["format"].isna()]
    assert plain[[*COPIED, *THEORY, "loss_scale"]].isna().all(axis=None)
    copied = one[one["format"].notna()]
    assert copied[["round_cosine", "zeroed", "delta_zeroed", *THEORY, "loss_scale"]].notna().all(axis=None)
    exact = ["init", "act", "depth", "seed", "rms", "mean", "sample_cosine", "delta_std_first", "grad_rms"]
    for name in ("bfloat16", "float8_e4m3fn"):  # the network itself, to the bit
        own = copied[copied["format"] == name][exact].sort_values(exact).reset_index(drop=True)
        pd.testing.assert_frame_equal(
            own, plain[exact].sort_values(exact).reset_index(drop=True), check_exact=True
        )
    layers = sweep.load(tmp_path / "jobs1", table="layers")
    layers = layers[layers["format"].notna()]
    shallow, deep = (
        layers[layers["depth"] == depth].set_index(["init", "act", "seed", "format", "layer"])
        for depth in (3, 6)
    )
    for name in ("round_cosine", "zeroed", "overflowed"):  # a shallow cell begins a deep one
        np.testing.assert_array_equal(deep.loc[shallow.index, name], shallow[name])


def test_a_study_that_is_resumed_in_shards_holds_what_one_run_would(tmp_path):
    asked = {
        "init": ["xavier", "kaiming"],
        "act": "gelu",
        "depth": [2, 4],
        "format": "float8_e5m2",
        "seed": [0, 1],
    }
    whole = run(tmp_path, "whole", n_jobs=1, **asked)
    run(tmp_path, "parts", n_jobs=1, shard="1/2", **asked)
    parts = run(tmp_path, "parts", n_jobs=1, **asked)
    whole, parts = (frame.set_index("cell_id").sort_index() for frame in (whole, parts))
    for name in (*COPIED, "loss_scale"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-6, err_msg=name)


def test_python_has_the_columns_of_the_table(tmp_path):
    cells = run(tmp_path, act="gelu", depth=4, format="float16")
    frame = sweep.propagate(act="gelu", depth=4, width=32, batch=40, format="float16")
    for name in COPIED:
        np.testing.assert_allclose(frame[name].iloc[-1], cells[name].iloc[0], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("act", ["tanh", "relu"])
def test_theory_foretells_how_a_copy_strays(act, name, tmp_path):
    """Mean over seeds at width 256: within 25 %, shares within 1e-3 (all entries of 4 seeds)."""
    asked = {"init": "normal", "init.std": (1.2 if act == "tanh" else 2**0.5) / 16, "act": act, "depth": 12}
    run(tmp_path, n_jobs=1, width=256, batch=64, seed=[0, 1, 2, 3], backward=False, format=name, **asked)
    layers = sweep.load(tmp_path / "study", table="layers").groupby("layer").mean(numeric_only=True)
    ratio = (1 - layers["theory_round_cosine"][1:]) / (1 - layers["round_cosine"][1:])
    assert ((ratio > 0.8) & (ratio < 1.25)).mean() >= 0.9, ratio
    assert (layers["zeroed"] - layers["theory_zeroed"]).abs().max() < 1e-3
    assert (layers["overflowed"] - layers["theory_overflowed"]).abs().max() < 1e-3


def layers_of(**columns):
    usual = {"rms": 1.0, "neuron_corr": 0.1, "flat": 0.0, "sample_cosine": 0.1, "delta_std": 1.0}
    usual |= {"round_cosine": 1.0, "zeroed": 0.0, "overflowed": 0.0, "delta_zeroed": 0.0}
    return {
        name: np.broadcast_to(np.asarray(columns.get(name, value), float), (5,))
        for name, value in usual.items()
    }


@pytest.mark.parametrize(
    ("columns", "word", "layer"),
    [
        ({"overflowed": [0, 0, 1e-6, 0, 0]}, "overflowing", 2),
        ({"zeroed": [0, 0, 0.6, 0.1, 0]}, "underflowing", 2),
        ({"delta_zeroed": [np.nan, 0.9, 0.6, 0.1, 0]}, "underflowing", 2),
        ({"round_cosine": [1, 0.95, 0.8, 0.85, 0.7]}, "imprecise", 2),
        ({"round_cosine": [1, 0.95, 0.8, 0.85, 0.95]}, "healthy", None),
        ({"round_cosine": np.nan, "zeroed": np.nan, "overflowed": np.nan}, "healthy", None),
        ({"overflowed": [0, 0, 1, 1, 1], "sample_cosine": 1.0}, "collapsed", 0),
        ({"overflowed": [0, 0, 1, 1, 1], "delta_std": 0.0}, "overflowing", 2),
    ],
)
def test_words_of_a_format(columns, word, layer):
    assert verdict(layers_of(**columns), 0.0) == (word, layer)


def test_thresholds_of_a_format_are_settable():
    of = layers_of(round_cosine=0.95, zeroed=0.3, overflowed=0.01)
    held, _ = codes({name: values[None] for name, values in of.items()}, 0.0)
    assert words_of(held[0]) == ("overflowing",)
    lax = Thresholds.of({"overflowing": 0.1, "underflowing": 0.2, "imprecise": 0.99})
    held, _ = codes({name: values[None] for name, values in of.items()}, 0.0, lax)
    assert words_of(held[0]) == ("underflowing", "imprecise")


def test_what_is_loaded_is_judged_by_other_thresholds(tmp_path):
    run(tmp_path, act="tanh", init="kaiming", depth=40, format="float8_e4m3fn", seed=0)
    (word,) = sweep.load(tmp_path / "study")["verdict"]
    assert word == "imprecise"
    (word,) = sweep.load(tmp_path / "study", thresholds={"imprecise": 1e-3})["verdict"]
    assert word == "healthy"
