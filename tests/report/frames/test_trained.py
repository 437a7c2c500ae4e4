"""Maps of trained networks: what is a map of its own, what is averaged, and the factor measured on it."""

import math

import numpy as np
import pandas as pd
import pytest

from sweep import theory
from sweep.report.frames.networks import measured_once
from sweep.report.frames.trained import learned, maps, off_the_map, rules
from tests.report.lessons import SGD, frame

SCALES, DEPTHS = (1.0, 1.25, 3.0), tuple(range(2, 81, 2))


def to_depth_of(times):
    """Accuracies of networks that learn down to so many xi_c."""

    def accuracy(scale, depth, seed):
        reach = times * theory.fixed_point("tanh", scale**0.5, 0.05**0.5).xi_c
        return 0.9 if depth <= reach else 0.1

    return accuracy


def test_the_factor_of_a_map_is_the_one_that_its_networks_were_made_with():
    (one,) = maps(frame(to_depth_of(6.0), SCALES, DEPTHS))
    middle, least, most, count = one.factor
    assert count == 3
    assert 5.3 < least <= middle <= most <= 6.0
    sigma_w2, depths = one.curve
    at = np.interp(1.25, sigma_w2, depths)
    assert at == pytest.approx(middle * theory.fixed_point("tanh", 1.25**0.5, 0.05**0.5).xi_c, rel=0.02)
    assert one.critical == pytest.approx(theory.critical_sigma_w("tanh", 0.05**0.5) ** 2)


def test_a_sigma_w_that_learns_to_the_greatest_depth_or_nowhere_has_no_factor():
    (everywhere,) = maps(frame(lambda *_: 1.0, SCALES, (2, 4)))
    (nowhere,) = maps(frame(lambda *_: 0.1, SCALES, (2, 4)))
    for one in (everywhere, nowhere):
        assert one.factor[-1] == 0
        assert len(one.curve[0]) == 0
        assert not math.isnan(one.critical)


def test_seeds_are_averaged_and_everything_else_is_a_map_of_its_own():
    rows = frame(lambda scale, depth, seed: 0.2 + 0.6 * seed, SCALES, (2, 4), seeds=(0, 1))
    (one,) = maps(rows)
    assert one.points["test_accuracy"].tolist() == pytest.approx([0.5] * 6)
    assert set(one.points["seeds"]) == {2}
    more = [frame(lambda *_: 0.5, (1.0, 2.0), (2,), **values) for values in (
        {}, {"acts": ("relu",)}, {"bias_std": 0.1}, {"train": SGD | {"steps": 10}},
        {"train": SGD | {"lr": "auto"}}, {"block": {"name": "pre_ln"}}, {"dtype": "float64"},
    )]  # fmt: skip
    import pandas as pd  # noqa: PLC0415

    found = maps(pd.concat(more, ignore_index=True))
    assert len(found) == len(more)
    assert len({one.told for one in found}) == len(more)
    assert "block=pre_ln" not in found[0].told
    assert math.isnan(found[5].critical), "of blocks there is no theory of one sigma_w"


def test_schemes_of_one_law_stand_on_one_axis():
    import pandas as pd  # noqa: PLC0415

    rows = frame(lambda *_: 0.5, (1.0, 2.0), (2,))
    named = rows.assign(init="xavier", init_params="{}").iloc[:1]
    (one,) = maps(pd.concat([rows.iloc[1:], named], ignore_index=True))
    assert one.points["sigma_w2"].tolist() == [1.0, 2.0]


def test_networks_that_were_not_trained_make_no_map():
    rows = frame(lambda *_: 0.5, (1.0,), (2,), train={"name": "none"})
    assert maps(rows) == []
    assert maps(rows.drop(columns="train")) == []
    assert learned(rows.iloc[0]) == ""


def test_one_network_is_told_with_the_step_that_auto_was():
    (row,) = frame(lambda *_: 0.75, (1.0,), (2,), train=SGD | {"lr": "auto"}).to_dict("records")
    said = learned(row | {"train_lr": 0.123})
    assert said.startswith(
        "trained 300 steps of 128 inputs of the mixture, step 0.12 (auto): 0.75 of held-out"
    )
    assert "diverged" not in said
    assert "diverged at step 7" in learned(row | {"diverged_at": 7.0})


def test_networks_that_differ_in_their_trainings_alone_were_measured_once():
    trained = pd.concat(
        [frame(lambda *_: 0.5, (1.0, 2.0), (2, 4), (0, 1), train=SGD | {"steps": n}) for n in (1, 2)]
    )
    untrained = frame(lambda *_: np.nan, (1.0,), (2,), (0, 5), train={"name": "none"})
    cells = pd.concat([trained, untrained], ignore_index=True)
    cells.loc[0, "status"] = "failed"  # another training of the same network was computed
    once = measured_once(cells)
    assert len(once) == 2 * 2 * 2 + 1
    assert set(once["status"]) == {"ok"}
    assert set(once["train"]) == {"none"}
    assert sorted(once["seed"].unique()) == [0, 1, 5]
    assert once.index.is_monotonic_increasing
    alike = trained.iloc[:4]
    assert measured_once(alike) is alike


def test_how_networks_were_trained_and_which_are_on_no_map_is_told():
    cells = frame(lambda *_: 0.5, (1.0,), (2,), train=SGD | {"steps": 1})
    assert rules(cells) == ["1 step of 128 inputs of the mixture, step 0.01"]
    assert off_the_map(cells) == []
    without = cells.assign(init="lsuv", sigma_w=np.nan)
    assert off_the_map(pd.concat([cells, without])) == ["lsuv"]
    untrained = frame(lambda *_: 0.5, (1.0,), (2,), train={"name": "none"})
    assert (rules(untrained), off_the_map(untrained)) == ([], [])


def test_copies_in_formats_are_of_one_network():
    cells = pd.concat(
        [
            frame(lambda *_: np.nan, (1.0, 2.0), (2, 4), train={"name": "none"}, format=name)
            for name in ("float16", None, "bfloat16")
        ],
        ignore_index=True,
    )
    assert measured_once(cells) is cells
    exact = measured_once(cells, copies=False)
    assert len(exact) == 4
    assert set(exact["cell_id"]) == set(cells.loc[cells["format"].isna(), "cell_id"])
    copied = cells[cells["format"].notna()]
    assert len(measured_once(copied, copies=False)) == 4
