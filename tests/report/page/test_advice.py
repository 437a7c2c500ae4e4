"""What the cards recommend: nothing that they show dying, and for which biases."""

import re

import pytest

import sweep
from sweep import theory
from sweep.report.advice.candidates import candidates
from sweep.report.page.advice import advice_by_act
from tests.make import cell
from tests.studies import grid, stored

DEPTH, WIDTH = 50, 64
ONE = {"acts": ("tanh",), "depths": (DEPTH,), "widths": (WIDTH,), "seeds": (0, 1), "batch": 50}


def of(folder, *more, inits=("xavier", "kaiming"), **values):
    cells, _ = stored(folder, [*grid(inits, **ONE, **values), *more])
    return cells, advice_by_act(cells)["tanh"]


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    return of(tmp_path_factory.mktemp("biased") / "s", bias_std=0.3)


def test_a_study_with_biases_is_advised_for_such_biases_and_not_what_dies_in_it(biased):
    cells, advice = biased
    verdicts = cells.groupby("init")["verdict"].unique().map(list).to_dict()
    assert verdicts == {"xavier": ["collapsed"], "kaiming": ["healthy"]}
    assert "xavier" not in advice.text
    assert advice.text.endswith(f"layers of {WIDTH} neurons, with biases of std 0.3.")
    assert advice.paste.startswith("torch.nn.init.normal_(layer.bias, std=0.3); torch.nn.init.")


def test_what_is_recommended_with_biases_survives_with_them(biased):
    scale = float(re.match(r"variance_scaling scale=([\d.]+): ", biased[1].text)[1])
    assert scale**0.5 == pytest.approx(theory.critical_sigma_w("tanh", 0.3), rel=1e-5)
    for seed in (10, 11, 12):
        layers = sweep.propagate(
            init="variance_scaling", init_params={"scale": scale}, act="tanh", bias_std=0.3, depth=DEPTH,
            width=WIDTH, batch=50, seed=seed,
        )  # fmt: skip
        assert layers["sample_cosine"].iloc[-1] < 0.999
        assert 1e-2 < layers["delta_std"].iloc[0] < 1e2


def test_where_a_study_has_networks_without_biases_the_advice_is_for_those_and_says_so(tmp_path):
    _, both = of(tmp_path / "a", *grid(("xavier",), **ONE), bias_std=0.3)
    assert both.text.startswith("xavier or ")
    assert both.text.endswith(", without biases.")
    assert "layer.bias" not in both.paste
    _, none = of(tmp_path / "b")
    assert both.text.replace(", without biases", "") == none.text
    assert both.paste == none.paste


@pytest.mark.parametrize("named", ["xavier", "lecun_normal", "glorot_uniform"])
def test_what_dies_in_the_study_is_not_recommended_though_theory_prefers_it(tmp_path, named):
    cells, before = of(tmp_path / "s", inits=(named, "kaiming"))
    assert before.text.startswith("xavier or lecun_normal")
    dying = cells.assign(verdict=cells["verdict"].mask(cells["init"] == named, "collapsed"))
    after = advice_by_act(dying)["tanh"]
    assert not after.text.startswith("xavier")
    assert "linear" not in after.paste


def test_where_the_study_shows_all_dying_that_theory_would_take_there_is_nothing_to_paste(tmp_path):
    sizes = {one.sigma_w for one in candidates("tanh", DEPTH, WIDTH)}
    inits = [{"name": "lsuv"}, {"name": "torch/linear_default"}]
    inits += [{"name": "orthogonal", "gain": size} for size in sizes]
    inits += [{"name": "variance_scaling", "scale": size**2} for size in sizes]
    all_of = [cell(init=i, act={"name": "tanh"}, depth=DEPTH, width=WIDTH, batch=50) for i in inits]
    cells, _ = stored(tmp_path / "s", all_of)
    advice = advice_by_act(cells.assign(verdict="collapsed"))["tanh"]
    assert advice.text.startswith(f"nothing: theory would take xavier or lecun_normal at depth {DEPTH}")
    assert advice.paste == ""


def test_what_is_sure_at_no_depth_is_not_said_to_last_to_depth_0(tmp_path):
    cells, _ = stored(tmp_path / "s", grid(("kaiming",), ("relu",), (400,), (4,), (0,), 20))
    text = advice_by_act(cells)["relu"].text
    assert (
        "nothing that survives at depth 400 and width 4; kaiming or he_normal comes first, sure at no" in text
    )
    assert "to depth 0" not in text
