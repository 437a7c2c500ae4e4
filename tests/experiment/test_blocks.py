"""A block as an option of a cell: its identity, its presets, its chain and what is predicted of it."""

import json

import numpy as np
import pytest
import yaml

import sweep
from sweep.base import blocks
from sweep.base.errors import RequestError
from sweep.experiment.cell import Spec
from sweep.experiment.outcomes.verdict import JUDGED, verdict
from sweep.experiment.predictions.prediction import predicted
from sweep.report.frames import labels
from tests.make import cell
from tests.paths import CONF

OPTIONS = {path.stem: path for path in (CONF / "block").glob("*.yaml")}


def of(block, **values):
    return cell(block=block, depth=4, width=16, batch=20, **values)


def test_a_plain_block_is_the_cell_that_it_always_was():
    plain = cell(depth=4, width=16, batch=20)
    assert of({"name": "plain"}).id == plain.id
    assert (plain.block, plain.block_params) == ("plain", "{}")
    others = [of({"name": name}).id for name in blocks.BLOCKS if name != "plain"]
    assert len({plain.id, *others}) == len(blocks.BLOCKS)


def test_parameters_are_stored_with_their_defaults_and_texts_as_they_are_written():
    stored = json.loads(of({"name": "pre_ln", "v_scale": "2*depth**-0.5"}).block_params)
    assert stored == {"skip": 1.0, "alpha": 1.0, "w_scale": 1.0, "v_scale": "2*depth**-0.5", "expand": 1}
    same = of({"name": "pre_ln", "alpha": 1, "v_scale": "2*depth**-0.5"})
    assert same.id == of({"name": "pre_ln", "v_scale": "2*depth**-0.5"}).id
    row = {name: getattr(same.spec, name) for name in Spec.__dataclass_fields__}
    assert Spec.stored(row) == same.spec


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_every_option_of_conf_is_a_block(name):
    chosen = yaml.safe_load(OPTIONS[name].read_text())
    made = of(chosen)
    assert made.block in blocks.BLOCKS
    assert made.block_at_depth.name == made.block


def test_presets_are_what_people_call_by_their_names():
    at = {name: of(yaml.safe_load(path.read_text())).block_at_depth for name, path in OPTIONS.items()}
    assert (at["gpt2"].name, at["gpt2"].v_scale) == ("pre_ln", 4**-0.5)  # 2 L branches: our depth is 2 L
    assert (at["fixup"].w_scale, at["fixup"].v_scale) == (4**-0.5, 0.0)
    assert at["rezero"].alpha == 0.0
    layers = 4 / 2  # a transformer's layer has two branches
    assert at["deepnet"].skip == pytest.approx((2 * layers) ** 0.25)
    assert at["deepnet"].w_scale == at["deepnet"].v_scale == pytest.approx((8 * layers) ** -0.25)
    assert at["stable_resnet"].alpha == 4**-0.5


def test_the_options_of_conf_are_the_blocks_and_the_presets_of_the_table():
    assert OPTIONS.keys() == blocks.BLOCKS.keys() | blocks.PRESETS.keys()
    for name, path in OPTIONS.items():
        chosen = yaml.safe_load(path.read_text())
        option, made = chosen.pop("name"), blocks.resolved(name, {})
        assert option == (blocks.PRESETS[name].block if name in blocks.PRESETS else name)
        assert made == blocks.REGISTRY.made(option, chosen)


@pytest.mark.parametrize("name", blocks.PRESETS)
def test_a_preset_is_the_block_that_it_stands_for_wherever_it_is_named(name):
    block, parameters = blocks.PRESETS[name].block, dict(blocks.PRESETS[name].parameters)
    layers = sweep.propagate("xavier", "tanh", 3, 12, batch=16, block=name)
    same = sweep.propagate("xavier", "tanh", 3, 12, batch=16, block=block, block_params=parameters)
    np.testing.assert_array_equal(layers, same)
    own = sweep.propagate("xavier", "tanh", 3, 12, batch=16, block=name, block_params={"skip": 0.25})
    wanted = {**parameters, "skip": 0.25}
    other = sweep.propagate("xavier", "tanh", 3, 12, batch=16, block=block, block_params=wanted)
    np.testing.assert_array_equal(own, other)
    assert not np.array_equal(own["rms"], layers["rms"]) or name == "deepnet"  # a norm takes sizes off


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("gtp2", {}, "unknown block 'gtp2': did you mean 'gpt2'"),
        ("gpt2", {"v_sclae": 1}, "block 'gpt2' has no parameter 'v_sclae': did you mean 'v_scale'"),
        ("stable_resnet", {"v_scale": 1}, "block 'stable_resnet' has no parameter 'v_scale'"),
        ("gpt2", {"v_scale": -1}, "block.v_scale=-1: v_scale must be a number of at least 0"),
        (None, {}, "unknown block 'None'"),
    ],
)
def test_what_a_preset_cannot_be_is_one_line(name, parameters, says):
    with pytest.raises(RequestError, match=says) as raised:
        sweep.propagate(block=name, block_params=parameters)
    assert "\n" not in str(raised.value)


def test_a_factor_that_depends_on_the_depth_ends_the_prefix_and_others_keep_it():
    def family(block, depth):
        return cell(block=block, depth=depth, width=16).family

    fixed, growing = {"name": "mlp", "alpha": 0.5}, {"name": "mlp", "alpha": "depth**-0.5"}
    assert family(fixed, 4) == family(fixed, 9) != family({"name": "mlp"}, 4)
    assert family(growing, 4) == family(fixed, 4)
    assert family(growing, 9) != family(growing, 4)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"block": {"name": "pre-ln"}}, "unknown block 'pre-ln': did you mean 'pre_ln'"),
        ({"block": {"name": "mlp", "alpha": -1}}, r"block.alpha=-1: alpha must be .*C\*depth\*\*P"),
        (
            {"block": {"name": "mlp", "alpha": "depth"}},
            r"block.alpha=depth: alpha must be .*as in depth\*\*-0.5",
        ),
        (
            {"block": {"name": "mlp", "expand": 0}},
            "block.expand=0: block.expand must be a whole number, at least 1",
        ),
        ({"block": {"name": "ln", "skip": 1}}, "block.*ln.*skip"),
        ({"block": {"name": "bn"}, "batch": 3}, "batch=3: block bn normalises over the batch"),
        ({"block": {"name": "residual"}, "widths": [8, 8, 4]}, "layer 2 goes from 8 to 4 neurons"),
        ({"block": {"name": "pre_ln"}, "width": 1}, "width=1: block pre_ln takes the mean over neurons off"),
    ],
)
def test_what_a_block_cannot_be_is_one_line(values, says):
    with pytest.raises(RequestError, match=says) as raised:
        cell(**{"depth": 2, "width": 8} | values)
    assert "\n" not in str(raised.value)


def test_a_mean_that_a_skip_carries_leaves_gradients_without_a_prediction():
    residual = {
        name: predicted(of({"name": "residual"}, act={"name": name}).spec) for name in ("relu", "tanh")
    }
    assert np.isnan(residual["relu"]["delta_rms"]).all()
    assert np.isnan(residual["relu"]["grad_rms"]).all()
    assert np.isfinite(residual["relu"]["rms"]).all()
    assert np.isfinite(residual["tanh"]["delta_rms"]).all()
    of_two = predicted(of({"name": "mlp"}, act={"name": "relu"}).spec)  # V takes the mean away
    assert np.isfinite(of_two["delta_rms"]).all()
    assert np.isnan(predicted(of({"name": "mlp"}, init={"name": "zeros"}).spec)["rms"]).all()


def test_gradients_of_batches_whose_samples_part_have_no_prediction():
    def delta(act, depth, width=128):
        one = cell(block={"name": "bn"}, act={"name": act}, depth=depth, width=width, batch=32)
        return predicted(one.spec)["delta_rms"]

    for act, known in (("relu", True), ("tanh", True), ("silu", False), ("squared_relu", False)):
        assert np.isfinite(delta(act, 24)).all() == known, act
    assert np.isfinite(delta("silu", 8)).all()
    assert np.isfinite(delta("silu", 24, 4096)).all()  # a wider one
    rms = predicted(cell(block={"name": "bn"}, act={"name": "silu"}, depth=24, width=128, batch=32).spec)[
        "rms"
    ]
    assert np.isfinite(rms).all()


def test_labels_name_a_block_where_it_varies_and_captions_where_it_is_not_plain():
    import pandas as pd  # noqa: PLC0415

    def frame(*made):
        rows = [{name: getattr(one, name) for name in (*Spec.__dataclass_fields__, "seed")} for one in made]
        return pd.DataFrame(rows).assign(kernel_version="1")

    plain, half = of({"name": "plain"}), of({"name": "pre_ln", "alpha": 0.5})
    told = labels.add_labels(frame(plain, half, of({"name": "pre_ln"})))
    assert set(told["setting"]) == {"block=plain", "block=pre_ln(alpha=1)", "block=pre_ln(alpha=0.5)"}
    assert "block" not in labels.common(frame(plain))
    assert "block pre_ln(alpha=0.5)" in labels.common(frame(half))
    assert labels.add_labels(frame(half))["setting"].tolist() == [""]


@pytest.mark.parametrize("name", ["plain", "residual", "preact", "mlp", "pre_rms", "post_ln", "post_rms"])
def test_copies_of_each_other_are_symmetric_whatever_is_added_to_them(name):
    words = {}
    for init in ("constant", "zeros", "xavier"):
        layers = sweep.propagate(init, "tanh", 4, 16, batch=20, block=name)
        words[init], since = verdict({column: layers[column].to_numpy() for column in JUDGED}, 0.01)
        assert since in (1, None)
    assert words == {"constant": "symmetric", "zeros": "symmetric", "xavier": "healthy"}


def test_a_signal_that_grows_by_as_much_at_every_block_is_healthy():
    layers = sweep.propagate("kaiming", "relu", 300, 64, batch=64, block="pre_ln")
    assert layers["rms"].iloc[-1] > 10 * layers["rms"][0]
    assert verdict({column: layers[column].to_numpy() for column in JUDGED}, 0.5)[0] == "healthy"
