"""act=transformed: an axis whose cells share no depth prefix, from the command to what is stored and told."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import sweep
from sweep import RequestError, activations, theory
from sweep.execution.plan.passes import _loops
from sweep.execution.plan.tasks import chains_of
from sweep.execution.workers.calibration import _harmless
from sweep.experiment import revisions
from sweep.experiment.cell import Spec
from sweep.experiment.ingredients import families
from sweep.report.frames.labels import add_labels, description
from sweep.report.frames.parameters import varying
from sweep.theory.consequences import transform as solving
from tests.execution.test_ends import by_cell
from tests.make import cell, packed
from tests.studies import result_of, write

GRID = (
    "-m", "init=xavier", "act=transformed,gelu", "act.of,act.method=[gelu,dks],[gelu,tat],[relu,tat]",
    "depth=3,20", "act.target=null", "width=16", "seed=0,1", "batch=20",
)  # fmt: skip


def asked(of="gelu", depth=10, **values):
    settings = {name: values.pop(name) for name in ("method", "target") if name in values}
    small = {"width": 12, "batch": 20, "act": {"name": "transformed", "of": of} | settings}
    return cell(depth=depth, **small | values)


CELLS = [asked(of, depth, method="tat") for of in ("gelu", "tanh") for depth in (2, 4, 5)]


@pytest.fixture
def unsolved(monkeypatch):
    """Nothing is solved: whatever tries to fails."""

    def refused(*_):
        raise AssertionError("a transform was solved")

    families.at_depth.cache_clear()
    families.plain.cache_clear()
    monkeypatch.setattr(solving, "transform", refused)


def test_a_grid_is_refused_run_resumed_told_and_verified(sweep_command, tmp_path):
    refused = sweep_command(*GRID)
    assert (refused.returncode, list(tmp_path.iterdir())) == (2, [])
    assert refused.stderr.splitlines()[-1].startswith(
        "sweep: act=transformed act.of=relu act.method=tat depth=3: target=0.9: at depth 3 no negative slope"
    )
    deep = [argument.replace("3,20", "20,30") for argument in GRID]
    assert sweep_command(*deep, "shard=1/2", "report=false").returncode == 0
    done = sweep_command(*deep, "report=false")
    assert done.returncode == 0, done.stderr
    assert "8 stored already" in done.stderr
    for label in ("gelu, dks", "gelu, tat", "relu, tat"):
        assert label in done.stdout
    stored = sweep.load(tmp_path / "outputs" / "standard")
    assert len(stored) == 2 * 2 * 4
    assert (stored["status"] == "ok").all()
    verified = sweep_command("outputs/standard", module="sweep.verify")
    assert verified.returncode == 0, verified.stdout


def test_a_grid_from_python_has_of_and_method_and_target_as_axes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = sweep.run(
        act="transformed", act_params={"of": ["gelu", "tanh"], "method": "tat", "target": [0.2, 0.3]},
        init="xavier", depth=[4, 6], width=8, seed=0, batch=20, study="a", report=False, quiet=True,
    )  # fmt: skip
    assert len(found) == 8
    assert set(found["act.of"]) == {"gelu", "tanh"}
    assert set(found["act.target"]) == {0.2, 0.3}
    np.testing.assert_allclose(found["theory_rms"], 1, atol=1e-8)


def test_each_depth_has_its_own_constants_and_shares_no_prefix():
    (stack,) = [stack for task in packed(CELLS) for stack in task.stacks]
    assert sorted(len(chain) for chain in chains_of(stack.block.specs)) == [1] * len(CELLS)
    for one in CELLS:
        found = theory.transform(json.loads(one.act_params)["of"], one.depth, "tat")
        assert one.family.act == one.activation == found.activation
    shallow, deep = (by_cell(result_of([asked(depth=depth)])) for depth in (2, 4))
    (few,), (many,) = shallow.values(), deep.values()
    assert not np.allclose(few["rms"][1:], many["rms"][1 : len(few["rms"])], rtol=1e-6)


def test_grouped_or_alone_or_by_propagate_their_numbers_are_the_same():
    for one, rows in by_cell(result_of(CELLS)).items():
        (alone,) = by_cell(result_of([one])).values()
        for name, values in rows.items():
            np.testing.assert_allclose(values, alone[name], rtol=1e-5, atol=1e-6, err_msg=f"{name} {one}")
    one = CELLS[-1]
    frame = sweep.propagate(
        act="transformed", act_params=json.loads(one.act_params), depth=one.depth, width=12, batch=20
    )
    np.testing.assert_allclose(frame["rms"], alone["rms"], rtol=1e-6)
    made = theory.transform("tanh", one.depth, "tat").activation
    np.testing.assert_array_equal(frame, sweep.propagate(act=made, depth=one.depth, width=12, batch=20))


def test_neither_a_cell_nor_its_identity_nor_a_row_solves_anything(unsolved):
    one = asked()
    assert one.id == asked(method="dks", target=1.5).id == asked(target=None).id
    ids = {
        asked(**other).id for other in ({}, {"of": "tanh"}, {"method": "tat"}, {"target": 2}, {"depth": 9})
    }
    assert len(ids) == 5
    assert json.loads(one.act_params) == {"of": "gelu", "method": "dks", "target": 1.5}
    row = {name: getattr(one, name) for name in Spec.__dataclass_fields__}
    assert Spec.stored(row).cell(0).id == one.id
    for wrong in ({"of": "geluu"}, {"of": "gelu", "target": -1}, {}):
        with pytest.raises(RequestError):
            Spec.stored(row | {"act_params": json.dumps({"method": "dks", "target": 1.5} | wrong)})


def test_a_study_is_read_and_judged_without_solving(study, request):
    write(study, "a", CELLS)
    shares = {one.id: activations.flat_share(one.activation) for one in CELLS}
    request.getfixturevalue("unsolved")
    cells = sweep.load(study.path, thresholds={"vanishing": 0.5})
    assert (cells["histogram_high"] > 0).all()
    np.testing.assert_array_equal(cells["flat_share"], cells["cell_id"].map(shares))
    assert set(sweep.load(study.path, "layers")["act"]) == {"transformed"}
    assert set(add_labels(cells)["act_label"]) == {"gelu, tat", "tanh, tat"}


def test_labels_name_what_was_transformed_and_a_target_that_is_not_the_usual(study):
    write(study, "a", [asked(), asked(method="tat"), asked(target=2), asked("relu", 20, method="tat")])
    cells = sweep.load(study.path)
    labels = add_labels(cells)["act_label"]
    assert set(labels) == {"gelu, dks target=1.5", "gelu, dks target=2", "gelu, tat", "relu, tat"}
    assert varying(cells) == ["act.target"]
    assert varying(cells[cells["act.target"] != 2]) == []
    assert description("transformed", cells["act_params"].iloc[0]).startswith("gelu, ")


def test_the_loops_of_a_run_are_known_before_anything_is_solved(unsolved):
    cells = [asked(), asked("relu", 30, method="tat", backward=False)]

    task = SimpleNamespace(specs=[one.spec for one in cells])
    assert {"gelu-transformed-slope", "leaky_relu-transformed"} <= _loops([task], own=False)
    assert revisions.of(cells[0].spec) == (1, 1, 1)


def test_what_stands_for_a_transform_when_a_machine_is_measured_has_any_depth(unsolved):
    stands = _harmless(replace(asked("relu", 30, method="tat").spec, depth=1))
    assert (stands.act, stands.activation) == ("relu", activations.get("relu"))


def test_a_corrected_activation_renames_what_was_made_of_it(monkeypatch):
    before = asked()
    corrected = replace(activations.get("gelu"), revision=2)
    monkeypatch.setitem(activations.ACTIVATIONS, "gelu", corrected)
    activations.REGISTRY.from_json.cache_clear()
    revisions_of = revisions.of(before.spec)
    monkeypatch.undo()
    activations.REGISTRY.from_json.cache_clear()
    assert revisions_of == (1, 2, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"of": None}, "act.of: no activation is chosen: choose one, as in act.of=gelu"),
        ({"of": "geluu"}, "unknown act.of 'geluu': did you mean 'gelu'"),
        ({"of": "transformed"}, "unknown act.of 'transformed': options: celu"),
        ({"of": "custom"}, "unknown act.of 'custom'"),
        ({"method": "dkss"}, "unknown act.method 'dkss': did you mean 'dks'"),
        ({"target": -1}, "act.target=-1: act.target must be a finite number above 1"),
        ({"method": "tat", "target": 0}, "act.target=0: act.target must be a finite number above 0"),
        ({"of": "relu", "method": "tat", "target": 1.5}, "finite number above 0 and below 1"),
    ],
)
def test_wrong_parameters_are_refused_in_a_line(values, message):
    with pytest.raises(RequestError, match=message):
        asked(**values)


@pytest.mark.parametrize("of", ["identity", "leaky_relu"])
def test_what_has_no_transform_is_refused_with_the_equation_that_fails(of):
    line = rf"act.of={of} act.method=dks depth=10: act .* has no DKS transform: .* cannot both hold"
    with pytest.raises(RequestError, match=line):
        families.check_transforms([asked(of).spec])
    with pytest.raises(RequestError, match=line):
        sweep.propagate(act="transformed", act_params={"of": of}, width=8, batch=8)


def test_before_its_depth_is_known_it_says_where_its_constants_come_from():
    unmade = activations.get("transformed", of="gelu", method="tat")
    with pytest.raises(RequestError, match=r"follow from a network's depth; sweep.theory.transform\('gelu'"):
        unmade(1.0)
    with pytest.raises(RequestError, match="follow from a network's depth"):
        theory.predict(unmade, 1.0, depth=3)
