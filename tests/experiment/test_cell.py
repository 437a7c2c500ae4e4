import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweep.base.errors import RequestError
from sweep.experiment.cell import SPEC, Cell, Spec
from tests.make import cell


@pytest.mark.parametrize(
    "change",
    [
        {"init": {"name": "kaiming"}},
        {"act": {"name": "relu"}},
        {"depth": 11},
        {"width": 501},
        {"seed": 1},
        {"bias_std": 0.1},
        {"batch": 999},
        {"dtype": "float64"},
        {"backward": False},
        {"widths": [500, 400]},
        {"init": {"name": "normal", "std": 0.5}},
    ],
)
def test_whatever_changes_the_numbers_changes_the_identity(change):
    assert cell(**change).id != cell().id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"init": {"name": "normal"}}, {"init": {"name": "normal", "std": 0.01}}),  # a default
        ({"init": {"name": "normal", "std": 1}}, {"init": {"name": "normal", "std": 1.0}}),
        ({"bias_std": 0}, {"bias_std": -0.0}),
        ({"widths": [500] * 11}, {}),  # not tapered
        (
            {"init": {"name": "variance_scaling", "scale": 2.0, "mode": "fan_out"}},
            {"init": {"mode": "fan_out", "name": "variance_scaling", "scale": 2}},
        ),
    ],
)
def test_the_same_experiment_is_the_same_cell(one, other):
    assert cell(**one) == cell(**other)
    assert cell(**one).id == cell(**other).id


@given(st.integers(0, 2**63 - 1), st.floats(0, 1e10), st.floats(1e-10, 1e10))
def test_identity_is_stable_across_constructions(seed, bias_std, std):
    init = {"name": "normal", "std": std}
    assert (
        cell(seed=seed, bias_std=bias_std, init=init).id == cell(seed=seed, bias_std=bias_std, init=init).id
    )


def test_identity_is_the_same_in_another_process():
    code = "from tests.make import cell; print(cell().id)"
    ids = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert ids == {cell().id}


def test_a_tapered_network_determines_depth_and_width():
    tapered = cell(widths=[784, 512, 256])
    assert (tapered.depth, tapered.width, tapered.profile) == (2, 256, (784, 512, 256))
    assert cell(depth=3, width=7).profile == (7, 7, 7, 7)


def anything(*positional, **keywords):
    """A function that takes whatever it is given."""


def own(group, **keywords):
    return {group: {"name": "custom", "function": "tests.experiment.test_cell.anything", "kwargs": keywords}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()) | st.integers(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text("abc", min_size=1), JSON, max_size=3))
def test_what_a_function_is_given_can_be_read_again_or_is_refused(keywords):
    try:
        made = cell(**own("act", **keywords))
    except RequestError:
        text = json.dumps(keywords)
        assert any(sign in text for sign in ("NaN", "Infinity", "\\ud"))
    else:
        values = {name: getattr(made, name) for name in SPEC}
        assert Spec.stored(values) == made.spec


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"depth": 0}, "depth=0: depth must be a whole number, at least 1"),
        ({"width": -3}, "width=-3"),
        ({"width": 1.5}, "width=1.5"),
        ({"depth": True}, "depth=true"),
        ({"seed": "abc"}, "seed=abc"),
        ({"seed": 2**63}, "at most"),
        ({"batch": 1}, "at least 2"),
        ({"dtype": "float8"}, "options: float32, float64"),
        ({"bias_std": -1}, "bias_std=-1"),
        ({"bias_std": float("nan")}, "finite"),
        ({"backward": 1}, "true or false"),
        ({"widths": [3]}, "widths"),
        ({"widths": [3, 0]}, "widths=[3, 0]: every width must be"),
        ({"init": {"name": "xaver"}}, "did you mean 'xavier'"),
        ({"init": {"name": "xavier", "std": 1.0}}, "it takes none"),
        ({"init": {"name": "normal", "std": -1}}, "above 0"),
        ({"init": {"name": "variance_scaling", "mode": "fan_up"}}, "did you mean 'fan_out'"),
        ({"act": {"name": "tanhh"}}, "did you mean 'tanh'"),
        (own("act", a=float("inf")), "act.kwargs.a=inf: act.kwargs.a must be a finite number"),
        (
            own("init", a=[1, {"b": (float("nan"),)}]),
            "init.kwargs.a[1].b[0]=nan: init.kwargs.a[1].b[0] must be",
        ),
        (own("act", a="\ud800"), "act.kwargs.a='\\ud800': it holds half a character"),
        (own("act", a={"\ud800": 1}), "it holds half a character"),
    ],
)
def test_a_bad_value_gets_one_clear_line(values, message):
    with pytest.raises(RequestError) as error:
        cell(**values)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


SPECS = st.fixed_dictionaries(
    {
        "init": st.one_of(
            st.sampled_from([{"name": name} for name in ("xavier", "torch/eye", "zeros", "lsuv")]),
            st.floats(1e-300, 1e300).map(lambda std: {"name": "normal", "std": std}),
            st.fixed_dictionaries(
                {
                    "name": st.just("variance_scaling"),
                    "scale": st.floats(1e-3, 1e3),
                    "mode": st.sampled_from(["fan_in", "fan_out", "fan_avg"]),
                }
            ),
        ),
        "act": st.floats(0, 0.5).map(lambda slope: {"negative_slope": slope, "name": "leaky_relu"}),
        "depth": st.integers(1, 100_000),
        "width": st.integers(1, 2**63 - 1),
        "widths": st.none() | st.lists(st.integers(1, 9), min_size=2, max_size=5),
        "seed": st.integers(0, 2**63 - 1),
        "bias_std": st.floats(0, 1e300),
        "batch": st.integers(2, 10**6),
        "dtype": st.sampled_from(["float32", "float64"]),
        "backward": st.booleans(),
    }
)
IDS = (
    "import json, sys; from sweep.experiment.cell import Cell;"
    "print(*(Cell.of(s).id for s in json.load(sys.stdin)))"
)


@settings(deadline=None, max_examples=2, suppress_health_check=list(HealthCheck))
@given(st.lists(SPECS, min_size=30, max_size=60))
def test_any_spec_through_json_has_one_identity_in_every_process_and_key_order(specs):
    expected = [Cell.of(spec).id for spec in specs]
    shuffled = [{key: spec[key] for key in sorted(spec, reverse=True)} for spec in specs]
    shuffled = [spec | {"init": dict(reversed(spec["init"].items()))} for spec in shuffled]
    for seed, given_specs in (("1", specs), ("2", shuffled)):
        done = subprocess.run(
            [sys.executable, "-c", IDS],
            input=json.dumps(given_specs),
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == expected
