"""Advice on blocks: what is tried, what is said, and lines that draw what they promise."""

import math

import numpy as np
import pytest

import sweep
from sweep import activations
from sweep.base.blocks import PRESETS, REGISTRY
from sweep.base.errors import RequestError
from sweep.report.advice.branches import candidates
from sweep.report.advice.branches.candidates import DERIVED, GIVEN, GPT2, branches
from sweep.report.advice.branches.table import BlockRecommendation

DEPTH = 12


def proposed(act, name, **parameters):
    return branches(activations.get(act), REGISTRY.get(name, **parameters), DEPTH)


@pytest.mark.parametrize("name", ["pre_ln", "pre_rms", "mlp", "preact"])
def test_the_derived_scale_doubles_the_second_moment(name):
    doubled = [one for one in proposed("gelu", name) if one.why == DERIVED]
    assert doubled
    for one in doubled:
        assert one.rms**2 == pytest.approx(2, rel=2e-3)  # four digits of the factor


def test_gpt2s_rule_adds_what_one_branch_does_however_deep():
    for act in ("relu", "gelu"):
        (one,) = [one for one in proposed(act, "pre_ln") if one.why == GPT2 and one.init == "kaiming"]
        added = 2 * sweep.theory.gaussian_moments(act, variance=2.0).second
        assert one.rms**2 == pytest.approx(1 + added)
        assert one.told == "v_scale=depth**-0.5"


def test_what_is_asked_for_is_told_by_the_rule_that_it_follows_and_once():
    asked = PRESETS["gpt2"]
    found = proposed("gelu", asked.block, **asked.parameters)
    told = {(one.init, one.told) for one in found}
    assert len(told) == len(found)
    assert {one.why for one in found} == {GPT2, DERIVED}
    assert {one.why for one in proposed("gelu", "mlp", alpha=0.0)} == {GIVEN}  # no branch to scale


def test_a_factor_of_the_branch_is_in_the_derived_scale():
    for one in proposed("gelu", "pre_ln", alpha=0.3):
        assert one.why != DERIVED or one.rms**2 == pytest.approx(2, rel=2e-3)


def test_a_norm_without_a_skip_has_one_candidate_for_its_weights_have_no_size():
    (one,) = proposed("relu", "bn")
    assert one.delta == pytest.approx(
        sweep.theory.predict("relu", 1, depth=DEPTH, block="bn", batch=100)["delta_rms"][0]
    )


def test_a_gradient_that_theory_does_not_know_is_not_told():
    assert all(math.isnan(one.delta) for one in proposed("relu", "residual"))
    assert all(one.delta > 0 for one in proposed("tanh", "residual"))


def test_advice_on_a_block_is_measured_ranked_and_told():
    advice = sweep.recommend("gelu", depth=DEPTH, width=64, block="pre_ln")
    assert isinstance(advice, BlockRecommendation)
    assert advice.best is advice.ranking[0]
    assert advice.says[0].startswith("gelu in 12 blocks pre_ln of width 64: take ")
    assert any("GPT-2's rule" in line for line in (*advice.says, *(one.why for one in advice.ranking)))
    table = advice.table
    assert table["rank"].tolist() == list(range(1, len(table) + 1))
    tried = table[table["seeds"] == 3]
    np.testing.assert_allclose(tried["rms"], tried["theory_rms"], rtol=0.15)
    np.testing.assert_allclose(tried["delta_std_first"], tried["theory_delta_first"], rtol=0.25)
    assert "E[h²] grows linearly" in str(advice)
    assert "<table" in advice._repr_html_()


def test_the_lines_for_torch_draw_the_weights_that_were_measured():
    torch = pytest.importorskip("torch", reason="the peers extra is not installed")
    advice = sweep.recommend("relu", depth=DEPTH, width=64, block="mlp", block_params={"expand": 4})
    w, v = torch.nn.Linear(64, 256), torch.nn.Linear(256, 64, bias=False)
    exec(advice.paste["torch"], {"torch": torch, "w": w, "v": v})
    block = advice.best.block.at(DEPTH)
    for layer, factor, fan_in in ((w, "w_scale", 64), (v, "v_scale", 256)):
        std = advice.best.sigma_w * block.number(factor) / math.sqrt(fan_in)
        assert float(layer.weight.detach().std()) == pytest.approx(std, rel=0.05)  # of 16,384: 0.6 %


def test_a_study_answers_for_its_block_alone(sweep_command, tmp_path):
    done = sweep_command(
        "-m", "block=plain,pre_ln", "block.v_scale=1,depth**-0.5", "init=xavier,kaiming", "act=relu",
        "depth=6", "width=32", "seed=0,1", "batch=50", "report=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    study = tmp_path / "outputs" / "standard"
    advice = sweep.recommend("relu", depth=6, width=32, study=study, block="pre_ln")
    assert {(one.init, one.told) for one in advice.ranking} == {
        (init, told) for init in ("xavier", "kaiming") for told in ("", "v_scale=depth**-0.5")
    }
    assert all(one.found.of == 2 for one in advice.ranking)
    assert len(sweep.recommend("relu", depth=6, width=32, study=study).table) > 0
    with pytest.raises(RequestError, match="holds relu in no block bn: it holds plain, pre_ln"):
        sweep.recommend("relu", depth=6, width=32, study=study, block="bn")


def test_the_command_knows_blocks_and_their_parameters(sweep_command):
    done = sweep_command(
        "relu",
        "--depth",
        "6",
        "--width",
        "32",
        "--block",
        "mlp",
        "--block-param",
        "expand=2",
        module="sweep.recommend",
    )
    assert done.returncode == 0, done.stderr
    assert "6 blocks mlp (expand=2), width 32" in done.stdout
    preset = sweep_command(
        "gelu", "--depth", "6", "--width", "32", "--block", "gpt2", module="sweep.recommend"
    )
    assert preset.returncode == 0, preset.stderr
    assert "v_scale=depth**-0.5: GPT-2's rule" in preset.stdout
    wrong = sweep_command("relu", "--block", "mpl", module="sweep.recommend")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "unknown block 'mpl': did you mean 'mlp'?" in wrong.stderr


def test_a_branch_that_no_factor_lets_double_is_left_out():
    assert (
        candidates._doubling(activations.get("relu"), REGISTRY.get("pre_ln", skip=0.5), 1.0, "v_scale", DEPTH)
        > 0
    )
    assert (
        candidates._doubling(activations.get("relu"), REGISTRY.get("mlp", skip=2), 1.0, "v_scale", DEPTH) == 0
    )
