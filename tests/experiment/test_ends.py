"""first.init and last.init: what is asked, what a cell is, what theory says of it."""

import dataclasses
import math

import numpy as np
import pytest

import sweep
from sweep.base.errors import RequestError
from sweep.experiment import revisions
from sweep.experiment.axes import END_COLUMNS
from sweep.experiment.cell import Spec
from sweep.experiment.language.grid import Grid
from sweep.experiment.language.overrides import checked
from sweep.experiment.predictions.prediction import predicted
from tests.experiment.language.test_grid import cells, values  # noqa: F401  a fixture
from tests.make import cell

SMALL = ("grid=smoke", "act=tanh", "depth=3", "width=8", "seed=0")
LOW = {"name": "uniform", "low": -0.1}


def ends(one):
    return tuple(getattr(one, name) for name in END_COLUMNS)


def test_a_cell_without_them_is_the_cell_it_was():
    assert cell().id == "7b69116a17e9a7c6ae041e33ebdefb70"
    assert cell(**{"first.init": None, "last.init": None}).id == cell().id
    assert ends(cell()) == (None,) * 4


@pytest.mark.parametrize("key", ["first.init", "last.init"])
def test_each_of_them_and_its_parameters_are_part_of_what_a_cell_is(key):
    ids = [
        cell(**{key: scheme}).id
        for scheme in (None, {"name": "xavier"}, {"name": "uniform"}, LOW, {"name": "uniform", "low": -0.2})
    ]
    both = [cell(**{"first.init": LOW}).id, cell(**{"last.init": LOW}).id]
    assert len(set(ids)) == 5
    assert both[0] != both[1]
    assert cell(**{key: {"name": "uniform"}}).id == cell(**{key: {"name": "uniform", "low": -0.05}}).id


def test_a_network_of_one_layer_has_the_last_ones():
    both, last = (
        cell(depth=1, **more, **{"last.init": LOW}) for more in ({"first.init": {"name": "zeros"}}, {})
    )
    assert both == last
    assert ends(cell(depth=1, **{"first.init": LOW}))[0] == "uniform"
    assert ends(cell(widths=[8, 7], **{"first.init": LOW, "last.init": LOW}))[:2] == (None, None)
    row = {name: getattr(last, name) for name in Spec.__slots__}
    assert Spec.stored(row) == last.spec
    with pytest.raises(RequestError, match="a network of one layer has one scheme"):
        Spec.stored(row | {"first_init": "zeros", "first_init_params": "{}"})
    with pytest.raises(RequestError, match="parameters without last_init"):
        Spec.stored(row | {"last_init": None})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["first.init=zeros"], [("zeros", None)]),
        (["first.init=null,zeros"], [(None, None), ("zeros", None)]),
        (["first.init=null"], [(None, None)]),
        (["last.init=choice(null,zeros)", "first.init=kaiming"], [("kaiming", None), ("kaiming", "zeros")]),
        (["last.init=glob(torch/z*)"], [(None, "torch/zeros")]),
        (
            ["'first.init,last.init=[zeros,null],[null,normal]'".strip("'")],
            [("zeros", None), (None, "normal")],
        ),
    ],
)
def test_they_are_axes(cells, arguments, expected):  # noqa: F811
    assert [(one.first_init, one.last_init) for one in cells(*SMALL, "init=xavier", *arguments)] == expected


def test_their_parameters_are_axes_of_the_schemes_that_take_them(cells):  # noqa: F811
    found = cells(
        *SMALL, "first.init=null,uniform,normal", "first.init.low=-0.1,-0.2", "init.std=0.1", "init=normal"
    )
    assert [(one.first_init, one.first_init_params) for one in found] == [
        (None, None),
        ("uniform", '{"high":0.05,"low":-0.1}'),
        ("uniform", '{"high":0.05,"low":-0.2}'),
        ("normal", '{"std":0.01}'),
    ]
    assert values(found, "init_params") == ['{"std":0.1}']


def test_they_may_refer_to_other_keys(cells):  # noqa: F811
    found = cells(*SMALL, "init=xavier", "last.init=normal", "last.init.std=${bias_std}", "bias_std=0.5,2")
    assert values(found, "last_init_params") == ['{"std":0.5}', '{"std":2.0}']
    same = cells(*SMALL, "init=normal", "init.std=0.3", "first.init=normal", "first.init.std=${init.std}")
    assert values(same, "first_init_params") == ['{"std":0.3}']


def test_what_belongs_to_the_run_may_refer_to_one_of_them():
    with pytest.raises(RequestError, match=r"study=\$\{first.init.name\}: study applies to the whole run"):
        settings("study=${first.init.name}", "first.init=zeros,normal")
    assert settings("study=${first.init.name}", "first.init=zeros")["study"] == "zeros"


def settings(*arguments):
    from hydra import initialize_config_dir  # noqa: PLC0415
    from hydra.core.global_hydra import GlobalHydra  # noqa: PLC0415
    from hydra.types import RunMode  # noqa: PLC0415

    from tests.paths import CONF  # noqa: PLC0415

    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().hydra.config_loader
        overrides = checked([*SMALL, "init=xavier", *arguments], multirun=True)
        composed = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
        return Grid.read(loader, composed, overrides).settings()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["first.init.low=-0.1"],
            "first.init.low: no scheme is chosen: choose one, as in first.init=normal",
        ),
        (["first.init=zeros,xavier", "first.init.std=1"], "no chosen first.init has a parameter 'std'"),
        (["first.init=zeros", "first.init.std=1"], "first.init 'zeros' has no parameter 'std'"),
        (["last.init=normal", "last.init.std=-1"], "last.init.std=-1: last.init.std must be"),
        (["last.init=unifrm"], "unknown init 'unifrm': did you mean 'uniform'?"),
        (["last.init=3"], "last.init is chosen by name"),
        (["last.init.name=zeros"], "last.init is chosen by name"),
        (["last.int=zeros"], "unknown key 'last': did you mean 'last.init'?"),
        (
            ["first.init.low=1", "first.init=uniform"],
            "first.init.low=1, first.init.high=0.05: low must be below",
        ),
    ],
)
def test_what_is_wrong_is_said_of_the_key_that_was_typed(cells, arguments, message):  # noqa: F811
    with pytest.raises(RequestError) as error:
        list(cells(*SMALL, "init=xavier", *arguments))
    assert message in str(error.value)


def test_theory_takes_every_layers_own_variance_and_biases():
    """Var W and Var b enter layer by layer: v = fan_in Var W q + Var b, and q = v for the identity."""
    one = cell(
        init={"name": "normal", "std": 0.1}, act={"name": "identity"}, widths=[100, 50, 200, 25],
        bias_std=0.5,
        **{"first.init": {"name": "normal", "std": 0.3}, "last.init": {"name": "torch/linear_default"}},
    )  # fmt: skip
    found = predicted(one)
    q = [1.0]
    for fan_in, weights, biases in ((100, 0.3**2, 0.25), (50, 0.1**2, 0.25), (200, 1 / 600, 1 / 600)):
        q.append(fan_in * weights * q[-1] + biases)
    np.testing.assert_allclose(found["rms"], np.sqrt(q), rtol=1e-9)
    delta = [1.0]
    for fan_out, weights in ((25, 1 / 600), (200, 0.1**2), (50, 0.3**2)):
        delta.append(fan_out * weights * delta[-1])
    np.testing.assert_allclose(found["delta_rms"][::-1], np.sqrt(delta), rtol=1e-9)


@pytest.mark.parametrize("scheme", ["zeros", "constant", "lsuv", "identity"])
def test_theory_is_silent_where_one_layer_has_none(scheme):
    for key in ("first.init", "last.init"):
        assert all(np.isnan(values).all() for values in predicted(cell(**{key: {"name": scheme}})).values())
    plain = predicted(
        cell(init={"name": scheme}, depth=2, **{"first.init": LOW, "last.init": {"name": "xavier"}})
    )
    known = predicted(
        cell(init={"name": "normal"}, depth=2, **{"first.init": LOW, "last.init": {"name": "xavier"}})
    )
    assert np.isnan(plain["rms"]).all(), "U(-0.1, 0.05) has a mean"
    assert np.isnan(known["rms"]).all()
    ends_alone = {"first.init": {"name": "xavier"}, "last.init": {"name": "kaiming"}}
    assert np.isfinite(predicted(cell(init={"name": scheme}, depth=2, **ends_alone))["rms"]).all()


def test_a_correction_of_any_scheme_renames_the_cells_that_have_it(monkeypatch):
    one = cell(**{"first.init": {"name": "orthogonal"}, "last.init": {"name": "sparse"}})
    assert one.revisions[2] == 1, "such cells came after all corrections of the kernel's range"
    before = one.revisions, one.spec.digests([0])
    monkeypatch.setattr(type(one.last_scheme), "revision", type(one.last_scheme).revision + 1)
    now = revisions.of(one.spec)
    assert now[0] == before[0][0] + 1
    assert before[0] in revisions.before(now)
    assert one.spec.digests([0], now) != before[1]


def test_propagate_takes_them_by_the_names_of_the_columns():
    network = {"depth": 3, "width": 30, "batch": 40, "act": "sin"}
    plain = sweep.propagate("lecun_uniform", **network)
    siren = sweep.propagate(
        "lecun_uniform", **network, first_init="uniform", first_init_params={"low": -1, "high": 1}
    )
    last = sweep.propagate("lecun_uniform", **network, last_init=lambda rng, n, m: np.zeros((n, m)))
    assert siren["pre_rms"][1] > 3 * plain["pre_rms"][1]
    assert last["rms"].tolist() == [*plain["rms"][:3], 0.0]
    one = sweep.propagate("xavier", **network | {"depth": 1}, first_init="zeros", last_init="normal")
    assert one["rms"][1] > 0
    for wrong, message in (
        ({"first_init": "unifrm"}, "unknown first_init 'unifrm'"),
        ({"last_init": "normal", "last_init_params": {"sd": 1}}, "last_init 'normal' has no parameter 'sd'"),
        ({"last_init_params": {"std": 1}}, "last_init_params: no scheme is chosen"),
    ):
        with pytest.raises(RequestError, match=message):
            sweep.propagate(**network, **wrong)


def test_a_first_layer_of_siren_comes_out_as_theory_predicts():
    """Sitzmann et al. 2020, section 3.2: W ~ U(±√(6/n)), and of the first layer 30 times U(±1/n)."""
    n, omega = 256, 30.0
    first = {"low": -omega / n, "high": omega / n}
    sizes = {"depth": 6, "batch": 500}
    layers = sweep.propagate(
        "he_uniform", "sin", width=n, **sizes, first_init="uniform", first_init_params=first
    )
    one = cell(
        init={"name": "he_uniform"}, act={"name": "sin"}, width=n, **sizes,
        **{"first.init": {"name": "uniform"} | first},
    )  # fmt: skip
    assert layers["rms"].to_numpy() == pytest.approx(predicted(one)["rms"], rel=0.05)
    assert layers["pre_rms"][1] == pytest.approx(omega / math.sqrt(3 * n), rel=0.05)


def test_a_last_layer_of_mup_shrinks_with_the_width():
    """Yang and Hu 2021: output weights of variance 1/n², so that outputs are of order 1/√n."""
    stds = []
    for n in (64, 256, 1024):
        last = {"last_init": "normal", "last_init_params": {"std": 1 / n}}
        stds.append(sweep.propagate("kaiming", "identity", 2, n, batch=50, **last)["std"][2] * math.sqrt(n))
    assert stds == pytest.approx([math.sqrt(2)] * 3, rel=0.25)


def test_a_spec_says_whether_a_users_function_is_in_it():
    one = cell().spec
    assert not one.has_own
    for column in ("init", "act", "first_init", "last_init"):
        assert dataclasses.replace(one, **{column: "custom"}).has_own
