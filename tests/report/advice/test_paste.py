"""Lines to paste into other frameworks draw what they promise."""

import ast
import math
import re

import pytest

from sweep import activations
from sweep.report.advice.candidates import Candidate
from sweep.report.advice.paste import paste
from tests.report.advice.make import candidate


def of_sigma_w(sigma_w, kind="independent"):
    return Candidate(sigma_w, ("it",), "", 1.0, 1.0, 1.0, 9, candidate(1.0).outlook, kind)


@pytest.mark.parametrize("kind", ["independent", "orthogonal"])
@pytest.mark.parametrize("sigma_w", [1.0, math.sqrt(2), 1.5335304411955353])
def test_the_line_for_torch_draws_what_it_promises_for_linear_and_conv(sigma_w, kind):
    torch = pytest.importorskip("torch", reason="the peers extra is not installed: pip install -e '.[peers]'")
    line = paste(of_sigma_w(sigma_w, kind), activations.get("gelu"))["torch"]
    for layer, fan_in in (
        (torch.nn.Linear(400, 300), 400),
        (torch.nn.Conv2d(64, 300, 3), 576),
        (torch.nn.Conv1d(128, 200, 5, groups=2), 320),
    ):
        torch.manual_seed(0)
        exec(line, {"torch": torch, "layer": layer})
        # 60,000 weights or more: their std is known to 0.3 %.
        assert float(layer.weight.detach().std()) * math.sqrt(fan_in) == pytest.approx(sigma_w, rel=0.015)


@pytest.mark.parametrize("act", ["identity", "sigmoid", "tanh", "relu", "selu", "leaky_relu"])
def test_the_line_names_torchs_own_gain_where_it_has_one(act):
    torch = pytest.importorskip("torch", reason="the peers extra is not installed: pip install -e '.[peers]'")
    line = paste(of_sigma_w(1.25), activations.get(act))["torch"]
    call, value = re.search(r"not (torch\.nn\.init\.calculate_gain\(.*\)) = ([\d.]+)$", line).groups()
    assert float(value) == pytest.approx(eval(call, {"torch": torch}), rel=1e-3)
    same = paste(of_sigma_w(eval(call, {"torch": torch})), activations.get(act))["torch"]
    assert ", as torch.nn.init.calculate_gain(" in same
    assert "calculate_gain" not in paste(of_sigma_w(1.25), activations.get("gelu"))["torch"]


def test_the_line_for_xavier_says_why_it_is_called_kaiming_there():
    line = paste(of_sigma_w(1.0), activations.get("tanh"))["torch"]
    assert "kaiming_normal_" in line
    assert "torch's xavier_normal_ takes the mean of fan_in and fan_out" in line


@pytest.mark.parametrize("sigma_w", [0.25, 1.0, math.sqrt(2), 1.5335304411955353])
def test_the_lines_for_keras_and_jax_say_what_our_schemes_of_that_name_draw(sigma_w):
    lines = paste(of_sigma_w(sigma_w), activations.get("gelu"))
    for framework, named in (
        ("keras", {"LecunNormal": 1, "HeNormal": 2}),
        ("jax", {"lecun_normal": 1, "he_normal": 2}),
    ):
        call = ast.parse(lines[framework], mode="eval").body
        name = call.func.attr
        values = [node.value for node in ast.walk(call) if isinstance(node, ast.Constant)]
        scale = named[name] if name in named else values[0]
        assert scale == pytest.approx(sigma_w**2, rel=1e-9)
        if name not in named:
            assert values[1:] in (["fan_in", "normal"], ["fan_in", "untruncated_normal"])
