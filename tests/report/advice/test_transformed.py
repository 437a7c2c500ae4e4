"""`recommend` with a transform: the numbers, what goes with them, and lines to paste that compute them."""

import re
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

import sweep
from sweep import RequestError, activations, theory
from sweep.activations.transformed import Affine, affine_of, shifted
from sweep.report.advice.transformed import _CALLS, paste_act

DEPTH, WIDTH = 20, 64
Z = np.linspace(-5, 5, 401)


@pytest.fixture(scope="module")
def advice():
    return sweep.recommend("gelu", DEPTH, WIDTH, transform="tat")


def test_the_weights_that_belong_to_a_transform_come_first_and_are_measured(advice):
    found = theory.transform("gelu", DEPTH, "tat")
    assert advice.activation == found.activation
    assert advice.act == "gelu, tat"
    first, second, *_ = [candidate for _, candidate in advice.ranking]
    assert (first.schemes[0], second.kind) == ("xavier", "orthogonal")
    assert first.sigma_w == second.sigma_w == pytest.approx(1)
    assert first.by == "trial"
    assert first.predicted.forward == pytest.approx(1, abs=1e-8)
    assert first.found.forward == pytest.approx(1, abs=0.4)  # 20 layers of 64 neurons
    assert {
        method: pytest.approx(sweep.recommend("gelu", DEPTH, WIDTH, transform=method).best.chi1)
        for method in ("dks", "tat")
    } == {"dks": 1.5 ** (1 / DEPTH), "tat": 1.0}


def test_it_says_what_the_numbers_meet_and_ends_in_lines_that_define_them(advice):
    begins, meets = advice.derivation[:2]
    assert begins.startswith(
        "transform tat: f̂(x) = 10.2091 (f(0.130103 x + 0.326161) - 0.202327), f(z) = z Φ(z)"
    )
    assert "C''(1) = 0.3/20 = 0.015" in meets
    text = str(advice)
    assert text.index("torch  act = lambda x: 10.209") < text.index("torch  torch.nn.init.kaiming_normal_")
    assert (
        "C'(1) = 1.5^(1/20) = 1.02048" in sweep.recommend("tanh", DEPTH, WIDTH, transform="dks").derivation[1]
    )
    leaky = sweep.recommend("relu", DEPTH, WIDTH, transform="tat", target=0.8)
    assert f"C, applied {DEPTH} times, takes a cosine of 0 to 0.8" in leaky.derivation[1]


def test_without_a_transform_nothing_of_it_is_told():
    plain = sweep.recommend("gelu", 5, WIDTH)
    assert plain.paste_act == {}
    assert plain.derivation[0].startswith("f(z) = ")


def made(name):
    """What a transform of these numbers is, whatever they meet."""
    if name == "leaky_relu":
        affine = Affine(activations.get(name, negative_slope=0.4), 1.0, 0.0, 1.3, 0.0)
    else:
        affine = Affine(activations.get(name), 0.12, 0.3, 8.0, -0.2)
    return shifted(affine, name, "dks", 1.5)


def test_what_is_pasted_computes_the_activation():
    torch = pytest.importorskip("torch", reason="the peers extra is not installed: pip install -e '.[peers]'")
    for name in _CALLS:
        act, scope = made(name), {"torch": torch}
        exec(paste_act(act)["torch"], scope)
        h = scope["act"](torch.tensor(Z, dtype=torch.float32)).numpy()
        np.testing.assert_allclose(h, act.f(Z), atol=2e-5, err_msg=name)


@pytest.mark.parametrize("framework", ["keras", "jax"])
def test_what_is_pasted_for_others_is_the_same_function_of_theirs(framework):
    """With ours in the place of the function that they have."""
    for name in _CALLS:
        act = made(name)
        line = paste_act(act)[framework]
        (called,) = re.findall(rf"{framework}\.([\w.]+)\(", line)
        plain = affine_of(act).of
        theirs = mock.Mock(**{f"{called}.side_effect": lambda x, *_, of=plain, **__: of.f(x)})
        scope = {framework: theirs}
        exec(line, scope)
        np.testing.assert_allclose(scope["act"](Z), act.f(Z), atol=1e-8, err_msg=name)


def test_what_is_ones_own_is_a_function_of_theirs():
    own = theory.transform(np.tanh, DEPTH).activation
    assert paste_act(own)["jax"].endswith("# f: numpy.tanh(z)")
    assert {*_CALLS} <= {*activations.names()}
    left = {*activations.names()} - {*_CALLS}  # without a transform, or with leaky_relu's
    assert left == {"identity", "relu", "relu6", "squared_relu", "hardtanh", "hardsigmoid"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"transform": "dkss"}, "unknown transform 'dkss': did you mean 'dks'"),
        ({"transform": "tat", "target": -1}, "target=-1: target must be a finite number above 0"),
        ({"target": 2}, "target=2: it is a transform's: choose one, as in transform=tat"),
        ({"transform": "tat", "block": "pre_ln"}, "transform=tat: its constants are those of plain layers"),
        ({"act": "relu", "transform": "dks"}, r"has no DKS transform: .* use the method tat"),
        ({"act": "transformed"}, "act.of: no activation is chosen"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(values, message):
    with pytest.raises(RequestError, match=message):
        sweep.recommend(**({"act": "gelu", "depth": DEPTH, "width": WIDTH} | values))


def test_the_command_takes_them_and_a_refusal_ends_with_two():
    command = [sys.executable, "-m", "sweep.recommend", "tanh", "--depth", "8", "--width", "32"]
    done = subprocess.run(
        [*command, "--transform", "dks", "--target", "1.2"], check=True, capture_output=True, encoding="utf-8"
    )
    assert "tanh, dks at depth 8 and width 32: take xavier" in done.stdout
    assert "C'(1) = 1.2^(1/8)" in done.stdout
    assert "jax    act = lambda x: " in done.stdout
    wrong = subprocess.run(
        [*command, "--transform", "tta"], check=False, capture_output=True, encoding="utf-8"
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "unknown transform 'tta': did you mean 'tat'" in wrong.stderr
