import numpy as np
import pandas as pd
import pytest

from sweep.report.frames import labels, seeds, text
from tests.make import cell
from tests.studies import grid, stored


def test_over_seeds_is_the_geometric_mean(frames):
    cells, _ = frames
    rows = seeds.over_seeds(cells).set_index([*labels.PANEL, "depth", "width"])
    own = cells.query("init == 'xavier' and act == 'relu' and depth == 8 and width == 16")["std"]
    row = rows.loc[("xavier", "relu", "", 8, 16)]
    assert row["value"] == pytest.approx(np.exp(np.log(own).mean()))
    assert row["factor"] == pytest.approx(np.exp(np.log(own).std(ddof=0)))
    assert row["seeds"] == 3
    assert len(rows) == 5 * 2 * 2 * 2


def test_what_became_of_the_signal_is_marked(frames):
    rows = seeds.over_seeds(frames[0]).set_index([*labels.PANEL, "depth", "width"])["mark"]
    assert rows["small_normal", "tanh", "", 8, 300] == "vanishing"
    assert rows["big_normal", "relu", "", 8, 300] == "exploding"
    assert rows["big_normal", "tanh", "", 8, 300] == "saturated"
    assert rows["kaiming", "relu", "", 8, 300] == ""


def test_nothing_is_averaged_over_an_axis_unseen(tmp_path):
    cells = grid(("xavier",), ("tanh",), (2,), (16,))
    cells += grid(("xavier",), ("tanh",), (2,), (16,), bias_std=0.5)
    cells += [
        cell(init={"name": "normal", "std": std}, depth=2, width=16, batch=64) for std in (0.1, 10.0, 2.0)
    ]
    cells += [cell(widths=[16, 8, 16], batch=64)]
    rows = seeds.over_seeds(stored(tmp_path / "study", cells)[0])
    assert rows["seeds"].tolist() == [1, 1, 1, 3, 3, 1]
    assert rows["init_label"].tolist()[:3] == ["normal std=0.1", "normal std=2", "normal std=10"]
    assert "widths=[16,8,16] bias_std=0" in set(rows["setting"])


def test_the_terminal_table_is_at_the_greatest_width(frames):
    table = seeds.by_depth(frames[0], most_depths=6)
    assert table.depths == (2, 8)
    assert table.keys == ("init", "act")
    assert "width 300 (of 2 widths)" in table.title
    cells = dict(table.rows)
    assert cells["big_normal", "relu"][1].endswith(seeds.MARKS["exploding"])
    assert "±" in cells["xavier", "tanh"][0]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (np.nan, "·"),
        (np.inf, "inf"),
        (0.62742, "0.6274"),
        (12.0, "12.00"),
        (1e-7, "1.0e-07"),
        (54321, "5.4e+04"),
    ],
)
def test_numbers_are_short(value, shown):
    assert text.number(value) == shown


def test_frames_are_not_changed(frames):
    before = frames[0].copy()
    seeds.over_seeds(frames[0])
    pd.testing.assert_frame_equal(frames[0], before)


def test_backward_is_an_axis_and_close_values_are_told_apart(tmp_path):
    cells = grid(("xavier",), ("tanh",), (2,), (16,), seeds=(0, 1))
    cells += grid(("xavier",), ("tanh",), (2,), (16,), seeds=(0, 1), backward=False)
    rows = seeds.over_seeds(stored(tmp_path / "a", cells)[0])
    assert sorted(rows["setting"]) == ["backward=false", "backward=true"]
    assert rows["seeds"].tolist() == [2, 2]
    close = [cell(init={"name": "normal", "std": s}, depth=2, width=8, batch=16) for s in (0.1, 0.1000001)]
    rows = seeds.over_seeds(stored(tmp_path / "b", close)[0])
    assert rows["init_label"].tolist() == ["normal std=0.1", "normal std=0.1000001"]


def test_one_dead_seed_does_not_make_a_geometric_mean_0_and_all_of_them_do(frames):
    cells = frames[0].query("init == 'xavier' and act == 'relu' and depth == 8 and width == 16").copy()
    cells["std"] = [0.25, 1.0, 0.0]
    row = seeds.over_seeds(cells).iloc[0]
    assert (row["value"], row["low"], row["seeds"]) == (0.5, 0.0, 3)
    cells["std"] = 0.0
    assert seeds.over_seeds(cells).iloc[0]["value"] == 0.0


@pytest.mark.parametrize("size", [5e-324, 1e-320, 1e-160, 1.0, 1e160, 1.5e308])
def test_the_spread_of_a_signed_value_is_right_at_any_size(frames, size):
    cells = frames[0].query("init == 'xavier' and act == 'relu' and depth == 8 and width == 16").copy()
    cells["mean"] = np.array([1.0, -1.0, 1.0]) * size
    cells["theory_mean"] = size
    row = seeds.over_seeds(cells, "mean").iloc[0]
    # 5e-324 is the least number that there is: a third of it is 0.
    assert row["factor"] == pytest.approx(size * (8 / 9) ** 0.5, rel=1e-3, abs=5e-324)
    assert row["value"] == pytest.approx(size / 3, rel=1e-3, abs=5e-324)
    assert row["theory"] == size
    cells["mean"] = [np.inf, 1.0, 2.0]
    assert seeds.over_seeds(cells, "mean").iloc[0]["value"] == np.inf
    cells["mean"] = np.nan
    assert np.isnan(seeds.over_seeds(cells, "mean").iloc[0]["factor"])


def test_rows_come_in_the_order_of_their_settings_however_they_were_stored(tmp_path):
    cells = [cell(depth=2, width=8, batch=batch) for batch in (300, 50, 100)]
    rows = seeds.over_seeds(stored(tmp_path / "a", cells)[0])
    assert rows["setting"].tolist() == ["batch=50", "batch=100", "batch=300"]


def test_a_parameter_that_is_not_the_default_is_shown(tmp_path):
    cells = [cell(init={"name": "normal", "std": 0.5}, act={"name": "leaky_relu", "negative_slope": 0.2},
                  depth=2, width=8, batch=16, seed=s) for s in (0, 1)]  # fmt: skip
    (label,) = set(labels.add_labels(stored(tmp_path / "a", cells)[0])["init_label"])
    assert label == "normal std=0.5"
    assert labels.description("torch/normal", '{"mean":0.0,"std":1.0}') == "torch/normal mean=0 std=1"
