"""Which candidates survive, and in which order they are told."""

import math

import numpy as np
import pytest

from sweep import activations
from sweep.report.advice.candidates import LSUV, NO, UNSURE, YES, rank
from sweep.report.advice.outlook import outlook
from sweep.report.advice.trial import Seed, summary
from tests.report.advice.make import candidate


def test_candidates_are_ranked_by_survival_then_chi1_then_the_order_of_the_schemes():
    ranked = [
        candidate(1 + 1e-9),
        candidate(1.0, name="kaiming"),
        candidate(1.0, name="orthogonal gain=1"),
        candidate(1.0, name="normal std=0.1"),
        candidate(1.0, kind=LSUV, name="lsuv"),
        candidate(0.5),
        candidate(1.0, UNSURE, xavier=(3, 3, True)),  # theory was not sure, the trial is
        candidate(1.0, UNSURE),
        candidate(1.0, UNSURE, xavier=(3, 3, False)),  # nor is the trial
        candidate(0.5, NO, good_to=8),
        candidate(1.0, NO, good_to=7),
        candidate(1.0, YES, good_to=5, xavier=(2, 3, False)),  # refuted
    ]
    for order in (ranked, ranked[::-1]):
        found = [one for _, one in rank(order)]
        assert [ranked.index(one) for one in found[:7]] == list(range(7))
        assert {ranked.index(one) for one in found[7:9]} == {7, 8}
        assert {ranked.index(one) for one in found[9:]} == {9, 10, 11}
    words = [one.survives for one in ranked]
    assert words == [YES] * 7 + [UNSURE] * 2 + [NO] * 3


def test_seeds_that_differ_so_much_that_the_next_may_die_are_not_clear():
    def of(*sizes):
        return summary([Seed(size, size, "healthy", 0.5) for size in sizes])

    assert of(0.5, 0.6, 0.7).clear
    assert not of(0.5, 5, 50).clear
    refuted = summary([Seed(1, 1, "healthy"), Seed(1e-3, 1, "vanishing"), Seed(1, 1, "healthy")])
    assert (refuted.healthy, refuted.of, refuted.verdict, refuted.clear) == (2, 3, "vanishing", False)


@pytest.mark.parametrize(
    ("act", "sigma_w", "width", "at_least", "below"),
    [
        ("tanh", 1.0, 10_000, 100, math.inf),
        ("relu", math.sqrt(2), 512, 50, 100),  # by then the seeds of a width of 512 have strayed
        ("relu", 1.0, 512, 10, 14),  # 2^(-12/2) and the spread of width 512 make 1e-2
        ("gelu", 1.0, 512, 4, 9),
        ("sigmoid", 1.0, 512, 1, 4),  # c0 = 0.95 after one layer already
    ],
)
def test_theory_is_sure_of_a_network_until_its_spread_reaches_a_threshold(
    act, sigma_w, width, at_least, below
):
    assert at_least <= outlook(activations.get(act), sigma_w, width, 100).good_to < below or at_least == 100
    assert outlook(activations.get(act), sigma_w, width, 100).good_to >= at_least


def test_an_activation_without_a_gradient_survives_at_no_depth():
    sign = activations.resolved(np.sign, {})
    assert outlook(sign, 1.0, 64, 10).good_to == 0


def test_a_vanished_gradient_is_followed_beyond_what_a_float_holds():
    """At depth 1000 delta is 1e-850; the first layers are judged all the same."""
    found = outlook(activations.get("sigmoid"), 1 / math.sqrt(3), 512, 1000)
    assert found.delta[-1] == 0
    assert 1 <= found.good_to < 5
