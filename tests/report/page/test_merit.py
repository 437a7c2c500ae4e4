"""What comes first on the page, and what it says where gradients were not measured."""

import pytest

from sweep.report.frames.fates import counts, gradients_unmeasured
from sweep.report.page import data, merit
from tests.studies import grid, stored


def test_those_that_survive_come_best_first(tmp_path):
    cells, _ = stored(tmp_path / "s", grid(("kaiming", "xavier"), ("tanh",), (2, 5), (60,), batch=50))
    (card,) = merit.cards(data.networks(cells), cells)
    assert [fate.init for fate in card.survivors] == ["xavier", "kaiming"]  # chi1 1, and above


def test_the_measurements_decide_where_theory_has_no_word(tmp_path):
    cells, _ = stored(tmp_path / "s", grid(("kaiming", "xavier"), ("relu",), (4,), (60,), batch=50))
    cells = cells.assign(sigma_w=None)
    (card,) = merit.cards(data.networks(cells), cells)
    assert [fate.init for fate in card.survivors] == ["kaiming", "xavier"]  # xavier's signal is a quarter


def test_the_sigma_w_of_a_last_layer_of_its_own_is_not_taken_for_that_of_all(tmp_path):
    """tanh with sigma_w = 1 keeps a signal level, which a last layer of 1 does not say of the others."""
    one = {"widths": (60,), "depths": (2, 5), "acts": ("tanh",), "batch": 50}
    wide = [cell for std in (0.9, 1.0) for cell in with_last(one, std / 60**0.5)]
    cells, _ = stored(tmp_path / "s", [*wide, *grid(("glorot_normal",), **one, bias_std=0.1)])
    (card,) = merit.cards(data.networks(cells), cells)
    assert card.survivors[0].init == "glorot_normal bias_std=0.1", "of the others theory knows nothing"


def with_last(one, std):
    return grid(("kaiming",), **one, **{"last.init": {"name": "normal", "std": std}})


def test_cards_and_networks_begin_with_what_lives_and_end_with_the_linear_and_the_dead(tmp_path):
    cells, layers = stored(
        tmp_path / "s", grid(("zeros", "xavier"), ("identity", "tanh"), (3,), (40,), batch=50)
    )
    rows = data.networks(cells)
    assert [card.act for card in merit.cards(rows, cells)] == ["tanh", "identity"]
    first, *_, last = zip(rows["init_label"], rows["act_label"], strict=True)
    assert (first, last) == (("xavier", "tanh"), ("zeros", "identity"))
    content = data.payload(rows, cells, layers)
    assert content["axes"]["init"] == ["xavier", "zeros"]
    assert content["axes"]["act"] == ["tanh", "identity"]


def test_parameters_keep_their_order(study):
    cells = study[1].assign(init="normal")
    cells["init_params"] = ['{"std": %g}' % (10.0 ** -(i % 4)) for i in range(len(cells))]
    rows = data.networks(cells)
    assert list(dict.fromkeys(rows["init_label"])) == [f"normal std={x:g}" for x in (0.001, 0.01, 0.1, 1)]


@pytest.mark.parametrize(
    ("unmeasured", "words"),
    [
        (lambda cells: cells["seed"] < 0, "keep their signal and their gradient"),
        (lambda cells: cells["seed"] >= 0, "keep their signal; gradients were not measured"),
        (lambda cells: cells["depth"] == 2, "keep their signal and their gradient, "),
    ],
)
def test_gradients_that_were_not_measured_are_not_praised(unmeasured, words, study):
    cells = study[1].copy()
    none = unmeasured(cells)
    cells["backward"] = ~none
    cells.loc[none, ["delta_std", "delta_rms", "delta_std_first", "grad_std_first"]] = None
    rows = data.networks(cells)
    assert words in counts(rows)
    assert ("not measured" in gradients_unmeasured(rows)) == none.any()
    shown = data.payload(rows, cells, study[2])["measured"]
    assert shown == [
        not (rows["depth"].iloc[i] == 2 or none.all()) if none.any() else True for i in range(32)
    ]
