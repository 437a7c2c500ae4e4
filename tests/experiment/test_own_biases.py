"""A scheme that stands for a framework's layer draws its biases too: torch.nn.Linear's."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep import theory
from sweep.experiment import cell as cell_module
from sweep.experiment import revisions
from sweep.experiment.batches import Cells
from sweep.experiment.cell import Spec
from sweep.kernel import propagate
from sweep.kernel.chains.chain import Chain
from sweep.kernel.layers.kinds import kind_of
from sweep.kernel.precision import careful
from sweep.report.frames.agreement import deviations
from sweep.report.frames.labels import add_labels
from sweep.store.index import Status, StoredIndex, older
from sweep.store.parts import ages, commits
from tests import reference
from tests.make import VALUES, cell, chain
from tests.studies import write

LINEAR = {"init": {"name": "torch/linear_default"}}


def rms(values):
    return math.sqrt(np.square(values).mean())


@pytest.mark.parametrize("act", ["gelu", "relu", "identity", "tanh"])
@pytest.mark.parametrize("widths", [(20, 20, 20, 20), (30, 20, 10, 16)])
def test_the_kernel_adds_them_as_the_plain_loop_does(act, widths):
    one = chain("torch/linear_default", act, 3)
    (measured,) = propagate([one], widths, [4], 30, "float64")
    h, z, delta, gradients = reference.propagate(one.scheme, one.act, widths, 4, 30)
    of_seed = measured.of_seed(0)
    assert of_seed.forward["pre_rms"][1:] == pytest.approx(list(map(rms, z)), rel=1e-12)
    assert of_seed.forward["rms"] == pytest.approx(list(map(rms, h)), rel=1e-12)
    assert of_seed.backward[3]["delta_rms"] == pytest.approx(list(map(rms, delta)), rel=1e-12)
    assert of_seed.backward[3]["grad_rms"][1:] == pytest.approx(list(map(rms, gradients)), rel=1e-12)
    (wide,) = careful.measure([one], widths, [4], 30, np.dtype("float64"), False, None)
    for name in ("mean", "std", "rms", "pre_rms", "sample_cosine"):
        assert wide.forward[name] == pytest.approx(measured.forward[name], rel=1e-9, nan_ok=True, abs=1e-15)
    assert wide.backward[3]["grad_rms"] == pytest.approx(measured.backward[3]["grad_rms"], nan_ok=True)


def test_no_law_of_scale_holds_for_it():
    """Read off the chain of another scheme of its distribution it would have that one's biases, none."""
    alone, beside = (
        propagate(chains, (16,) * 7, [0], 20)[-1].forward["rms"]
        for chains in (
            [chain("torch/linear_default", "relu", 6)],
            [chain("he_uniform", "relu", 6), chain("torch/linear_default", "relu", 6)],
        )
    )
    np.testing.assert_allclose(alone, beside, rtol=1e-6)
    assert kind_of(chain()).homogeneous, "else the test says nothing"


def test_the_biases_are_uniform_and_of_the_cells_own_stream():
    one = chain("torch/linear_default", "identity", 1)
    zeros = Chain(one.scheme, one.act, 0.0, 1)
    seen = {}

    def observe(kind, index, depth, layer, values):
        seen[kind, layer] = values

    propagate([zeros], (400, 5000), [0], 2, observe=observe)
    mean = seen["h", 1].mean(axis=0)  # of two samples: its biases and half of two products
    assert rms(mean) == pytest.approx(math.sqrt(1 / 1200 + 1 / 6), rel=0.05)
    assert one.bias_std_of(1, 400, 5000) == pytest.approx(1 / math.sqrt(1200))


def test_bias_std_is_null_in_its_row_and_refused_where_it_is_given():
    assert cell(**LINEAR).bias_std is None
    assert cell(**LINEAR, bias_std=0).id == cell(**LINEAR, bias_std=None).id == cell(**LINEAR).id
    for refused in (
        lambda: cell(**LINEAR, bias_std=0.1),
        lambda: sweep.propagate("torch/linear_default", "relu", 2, 8, bias_std=0.1),
        lambda: sweep.propagate(sweep.initializers.get("torch/linear_default"), "relu", 2, 8, bias_std=0.1),
    ):
        with pytest.raises(sweep.RequestError) as caught:
            refused()
        assert str(caught.value).startswith("bias_std=0.1: init ")
        assert "draws its layer's biases itself" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(sweep.RequestError, match="bias_std=null"):
        cell(bias_std=None)


def test_on_the_command_line_too(sweep_command, tmp_path):
    done = sweep_command("init=torch/linear_default", "bias_std=0.1", f"root={tmp_path}")
    assert (done.returncode, done.stdout, list(tmp_path.iterdir())) == (2, "", [])
    assert done.stderr.startswith("sweep: bias_std=0.1: init torch/linear_default draws its layer's biases")
    assert done.stderr.count("\n") == 1


def test_theory_takes_the_biases_of_the_scheme_layer_by_layer(study):
    cells = [
        cell(**LINEAR, act={"name": act}, batch=50, **sizes)
        for act in ("gelu", "relu")
        for sizes in ({"depth": 8, "width": 256}, {"widths": [400, 256, 128, 300]})
    ]
    write(study, "a", cells)
    table = sweep.load(study.path)
    assert table["bias_std"].isna().all()
    level = table[table["widths"].isna()]
    for row in level.itertuples():
        predicted = theory.predict(row.act, 1 / math.sqrt(3), 1 / math.sqrt(3 * 256), 8, batch=50)
        assert row.theory_rms == pytest.approx(predicted["rms"].iloc[-1], rel=1e-12)
        assert row.theory_sample_cosine == pytest.approx(predicted["sample_cosine"].iloc[-1], rel=1e-12)
    assert (abs(table["rms"] / table["theory_rms"] - 1) < 0.15).all()
    assert (deviations(table).abs() < 4).all()


def test_a_row_from_before_its_biases_counts_as_older_and_never_as_new(study):
    new = cell(**LINEAR, depth=2, width=8, batch=20)
    state = (1, 1, new.revisions[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(revisions, "of", lambda spec: state)
        patch.setattr(revisions, "state", lambda: "")
        cell_module._revisions.cache_clear()
        plain = {name: getattr(new, name) for name in cell_module.SPEC} | {"bias_std": 0.0}
        old = Spec(**plain).cell(0)
        assert old.id == "713e147972824946861bc730d78beb23", "the id that it always had"
        write(study, "a", [old])
    cell_module._revisions.cache_clear()
    assert new.revisions == (2, 1, state[2])
    assert new.id != old.id
    assert (StoredIndex(study).of(Cells.of([new])) == Status.MISSING).all()
    assert len(sweep.load(study.path)) == 1
    assert (len(older(study).counting), older(study).superseded) == (1, 0)
    write(study, "b", [new])
    assert sweep.load(study.path)["cell_id"].tolist() == [new.id], "one experiment"
    assert (len(older(study).counting), older(study).superseded) == (0, 1)
    rows = study.scan.read("cells", commits.names(study.place), list(ages.NEEDED), ages.REPEATED)
    assert sorted(ages.ages(rows).tolist()) == [0, 1]


def test_no_row_of_another_scheme_has_a_null_bias_std():
    row = {name: getattr(cell(), name) for name in cell_module.SPEC}
    with pytest.raises(sweep.RequestError, match="bias_std=null"):
        Spec.stored(row | {"bias_std": None})
    linear = row | {"init": "torch/linear_default", "init_params": "{}"}
    assert Spec.stored(linear | {"bias_std": None}).bias_std is None
    assert Spec.stored(linear | {"bias_std": 0.0}).bias_std is None
    assert Spec.stored(linear | {"bias_std": 0.1}).bias_std == 0.1, "as a row from before may have"


def test_a_label_names_bias_std_only_where_networks_of_one_scheme_differ_in_it():
    def labels(*settings):
        frame = pd.DataFrame(
            [
                {
                    "init": init, "init_params": json.dumps({}), "act": "tanh", "act_params": "{}",
                    "widths": None, "bias_std": bias_std, "kernel_version": "1",
                    **{name: VALUES[name] for name in ("batch", "dtype", "backward")},
                }
                for init, bias_std in settings
            ]
        )  # fmt: skip
        return sorted(add_labels(frame)["setting"])

    assert labels(("xavier", 0.0), ("torch/linear_default", None)) == ["", ""]
    assert labels(("xavier", 0.0), ("xavier", 0.1), ("torch/linear_default", None)) == [
        "", "bias_std=0", "bias_std=0.1",
    ]  # fmt: skip
