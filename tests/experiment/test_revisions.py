import contextlib
import itertools
import json

import pandas as pd
import pytest

import sweep
from sweep.activations import ACTIVATIONS
from sweep.execution.options import Options
from sweep.execution.pipeline import run
from sweep.execution.workers.local import Serial
from sweep.experiment import cell as cell_module
from sweep.experiment import revisions
from sweep.experiment.batches import Cells
from sweep.experiment.cell import Spec
from sweep.experiment.outcomes.verdict import DEFAULT
from sweep.initializers import SCHEMES
from sweep.initializers.scheme import Real, Row
from sweep.initializers.schemes import constant
from sweep.store import upkeep
from sweep.store.index import Status, StoredIndex, older
from sweep.store.parts import ages, commits
from sweep.store.query.results import of_cells
from sweep.store.study import Study
from tests.make import VALUES, cell
from tests.studies import fail, write

FIRST = (1, 1, 1)


def named(*names, **values):
    return [cell(**{"init": {"name": init}, "act": {"name": act}} | values) for init, act in names]


def gelus():
    """Cells that a correction can change."""
    return [cell(act={"name": "gelu"}, depth=2, width=8, batch=20, seed=seed) for seed in range(3)]


@contextlib.contextmanager
def before_any_correction():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(revisions, "of", lambda spec: FIRST)
        patch.setattr(revisions, "state", lambda: "")
        cell_module._revisions.cache_clear()
        yield
    cell_module._revisions.cache_clear()


@contextlib.contextmanager
def raised(option, revision):
    """A scheme or an activation as if it had been corrected."""
    before = option.revision

    def set_to(number):
        object.__setattr__(option, "revision", number)
        for cached in (cell_module._revisions, revisions.state):
            cached.cache_clear()

    set_to(revision)
    try:
        yield
    finally:
        set_to(before)


def test_tanh_and_relu_on_the_named_grids_were_always_right():
    standard = itertools.product(("xavier", "kaiming", "small_normal", "big_normal"), ("tanh", "relu"))
    textbook = itertools.product(
        ("zeros", "constant", "small_normal", "big_normal", "huge_normal", "xavier", "kaiming"),
        ("tanh", "relu"),
    )
    cells = [
        *(
            one
            for depth in (5, 10, 20, 50)
            for width in (64, 128, 256, 512)
            for one in named(*standard, depth=depth, width=width)
        ),
        *named(*textbook),
        *(
            cell(
                init={"name": "variance_scaling", "scale": scale}, bias_std=b, depth=100, width=256, batch=100
            )
            for scale in (0.25, 1, 4)
            for b in (0, 0.5)
        ),
    ]
    assert {one.revisions for one in cells} == {FIRST}


@pytest.mark.parametrize(
    "values",
    [
        {"act": {"name": "gelu"}},
        {"act": {"name": "elu"}},
        {"act": {"name": "sigmoid"}, "width": 16},
        {"act": {"name": "relu"}, "depth": 100, "width": 32},
        {"batch": 3},
        {"act": {"name": "relu"}, "batch": 2},
        {"act": {"name": "relu"}, "bias_std": 0.1},
        {"act": {"name": "relu"}, "init": {"name": "uniform", "low": -0.1, "high": 0.2}},
        {"act": {"name": "relu"}, "init": {"name": "lsuv"}},
        {"act": {"name": "relu"}, "init": {"name": "normal", "std": 1e20}, "depth": 20},
        {"init": {"name": "identity"}},
        {"init": {"name": "constant", "value": 1.0}},
        {"init": {"name": "constant"}, "act": {"name": "sin"}},
        {"init": {"name": "normal", "std": 10.0}},
        {"width": 63},
        {"widths": [512, 256, 10]},
        {"bias_std": 11.0},
    ],
)
def test_what_a_correction_can_change_has_another_id(values):
    one = cell(**values)
    assert one.revisions == (1, 1, 2)
    assert one.digests([0]) != one.digests([0], FIRST)
    assert revisions.before(one.revisions) == [FIRST]


def test_what_a_scheme_that_looks_at_z_took_for_variance_was_corrected_later():
    lsuv = {"init": {"name": "lsuv"}}
    corrected = cell(**lsuv, width=8), cell(**lsuv, widths=[500, 80, 1]), cell(**lsuv, bias_std=0.5)
    assert {one.revisions for one in corrected} == {(1, 1, 3)}
    assert revisions.before((1, 1, 3)) == [(1, 1, 2), FIRST]
    assert cell(**lsuv).revisions == (1, 1, 2)
    assert cell(bias_std=0.5, width=1).revisions == (1, 1, 2)


def test_the_cosine_of_inputs_so_large_that_tanh_is_a_step_was_unknown_once():
    huge = {"name": "normal", "std": 1e70}
    cells = cell(init=huge), cell(bias_std=1e70), cell(init=huge, act={"name": "softsign"})
    assert {one.revisions for one in cells} == {(1, 1, 4)}
    for other in (cell(init={"name": "normal", "std": 1e50}), cell(init=huge, act={"name": "gelu"})):
        assert other.revisions == (1, 1, 2)
    assert cell().revisions == FIRST


def test_a_relu_without_bias_is_read_off_a_chain_of_unit_scale_and_stays_unless_that_drifts():
    for init in ("kaiming", "huge_normal", "orthogonal", "lecun_uniform"):
        (shallow,), (deep,) = (named((init, "relu"), width=4, depth=depth) for depth in (12, 100))
        assert shallow.revisions == FIRST != deep.revisions


def test_a_users_function_is_neither_called_nor_imported_to_name_its_revision():
    values = {"function": "no_such_module.f", "derivative": None, "kwargs": {}, "source": "0"}

    def spec(**more):
        plain = Spec.of(VALUES)
        fields = {name: getattr(plain, name) for name in cell_module.SPEC}
        return Spec(**fields | more)

    assert spec(act="custom", act_params=json.dumps(values)).revisions == (1, 2, 2)
    known = json.dumps(values | {"derivative": "no_such_module.slope"})
    assert spec(act="custom", act_params=known).revisions == (1, 1, 2)
    assert spec(init="custom", init_params=json.dumps(values)).revisions == (1, 1, 2)


def test_raising_a_schemes_or_an_acts_revision_renames_its_cells_and_no_others():
    cells = {
        "normal": cell(init={"name": "small_normal"}),
        "tanh": cell(),
        "relu": cell(act={"name": "relu"}),
    }
    state = revisions.state()
    with raised(SCHEMES["small_normal"], 3):
        assert cells["normal"].spec.revisions == (3, 1, 1)
        assert revisions.before((3, 1, 1)) == [(2, 1, 1), FIRST]
        assert cells["tanh"].spec.cell(0).id == cells["tanh"].id
        assert cells["normal"].spec.cell(0).id != cells["normal"].id
        assert revisions.state() != state, "else a study that holds both is not seen to"
    with raised(SCHEMES["small_normal"].core, 2):  # what it amounts to
        assert cells["normal"].spec.revisions == (2, 1, 1)
        assert revisions.state() != state
    with raised(ACTIVATIONS["relu"], 2):
        assert cells["relu"].spec.cell(0).id != cells["relu"].id
        assert cells["tanh"].spec.cell(0).id == cells["tanh"].id
        assert revisions.state() != state
    assert revisions.state() == state


def test_a_row_hands_its_revision_to_every_scheme_that_it_makes():
    row = Row("W = value", constant, revision=2, value=(Real, 0.0))
    assert row().revision == row(value=3.0).revision == 2


def test_a_row_of_an_older_revision_counts_until_the_same_experiment_is_stored_at_the_present_one(study):
    with before_any_correction():
        old = gelus()
        write(study, "a", old)
    new = gelus()
    assert {one.id for one in new}.isdisjoint(one.id for one in old)
    assert set(sweep.load(study.path)["cell_id"]) == {one.id for one in old}
    assert (StoredIndex(study).of(Cells.of(new)) == Status.MISSING).all(), "the command computes them anew"
    assert (set(older(study).counting), older(study).superseded) == (set(new), 0)

    write(study, "b", new[:2])
    fail(study, "c", new[2], "MemoryError: now")
    expected = {new[0].id, new[1].id, old[2].id}  # a failure hides no result
    for table in ("cells", "layers"):
        assert set(sweep.load(study.path, table)["cell_id"]) == expected
    assert len(sweep.load(study.path, versions="all")) == 6
    own = of_cells(study, Cells.of(new), ["cell_id", "status"], DEFAULT).set_index("cell_id")["status"]
    assert own.to_dict() == {new[0].id: "ok", new[1].id: "ok", new[2].id: "failed"}, (
        "what a run says of itself"
    )
    assert (set(older(study).counting), older(study).superseded) == ({new[2]}, 2)

    name = upkeep.replace(study, sorted(commits.names(study.place)))  # both in one part: it is not forgotten
    assert study.scan.states([name]) == {name: ages.VARIOUS}
    assert set(sweep.load(study.path)["cell_id"]) == expected
    write(study, "d", new[2:])
    assert set(sweep.load(study.path)["cell_id"]) == {one.id for one in new}
    assert (len(older(study).counting), older(study).superseded) == (0, 3)
    upkeep.tidy(study)
    for table in ("cells", "layers"):  # a plain reader sees each experiment once
        stored = pd.read_parquet(study.path / table)["cell_id"]
        assert set(stored) == {one.id for one in new}
        assert len(stored) == len(sweep.load(study.path, table))


def test_tidying_removes_no_row_that_counts_and_no_failure(study):
    with before_any_correction():
        old = gelus()
        write(study, "a", old)
    new = gelus()
    fail(study, "b", new[0], "MemoryError: now")
    write(study, "c", new[1:2])
    upkeep.tidy(study)
    stored = pd.read_parquet(study.path / "cells").set_index("cell_id")["status"].to_dict()
    assert stored == {old[0].id: "ok", new[0].id: "failed", new[1].id: "ok", old[2].id: "ok"}


def test_where_all_parts_are_of_one_state_nothing_is_looked_for(study, monkeypatch):
    monkeypatch.setattr(ages, "repeated", None)
    with before_any_correction():
        write(study, "a", gelus())
        write(study, "b", [cell(depth=2, width=8, batch=20)])
    assert len(sweep.load(study.path)) == 4


def test_tapered_networks_and_all_settings_are_told_apart(study):
    cells = [
        cell(widths=widths, batch=20, bias_std=bias_std, dtype=dtype, backward=backward)
        for widths in ([9, 8, 7], [9, 8, 6], None)
        for bias_std in (0.0, 0.5)
        for dtype in ("float32", "float64")
        for backward in (True, False)
        if widths or not bias_std
    ]
    small = [one for one in cells if one.widths] + [cell(width=9, depth=2, batch=20)]
    write(study, "a", small)
    rows = study.scan.read("cells", commits.names(study.place), list(ages.NEEDED), ages.REPEATED)
    assert len(set(ages.numbered(rows, ages.EXPERIMENT).tolist())) == len(small)
    assert not len(ages.repeated(rows))
    assert not ages.ages(rows).any()


def test_status_and_verify_name_rows_of_an_older_revision_and_the_command_replaces_them(
    sweep_command, tmp_path
):
    def command(cells):
        options = Options(study="one", root=str(tmp_path), executor=Serial(), report=(), show=False)
        assert run(Cells.of(cells), options, {}) == 0

    with before_any_correction():
        command([*gelus(), cell(act={"name": "relu"}, depth=2, width=8, batch=20)])
    folder = str(tmp_path / "one")
    status = sweep_command(folder, module="sweep.status", COLUMNS="150").stdout
    assert "3 cells of an older revision: the command that made them computes them again" in status
    assert "left," not in status
    row = next(line for line in status.splitlines() if line.startswith("│ all"))
    assert [word for word in row.split() if word.isdecimal()] == ["4", "4", "0", "0"]
    verified = sweep_command(folder, module="sweep.verify")
    assert verified.returncode == 0, verified.stdout
    assert "1 of 1 recomputed cells match" in verified.stdout
    assert "3 rows are of an older revision, left out" in verified.stdout

    command(gelus())
    assert set(sweep.load(folder).query("act == 'gelu'")["cell_id"]) == {one.id for one in gelus()}
    assert len(pd.read_parquet(Study(folder).path / "cells")) == 4, "the run has tidied"
    assert "older revision" not in sweep_command(folder, module="sweep.status", COLUMNS="150").stdout
    verified = sweep_command(folder, module="sweep.verify")
    assert (verified.returncode, "4 of 4 recomputed cells" in verified.stdout) == (0, True), verified.stdout


NORMED = (1, 1, 6)


@pytest.mark.parametrize(
    "values",
    [
        {"block": {"name": "bn"}, "batch": 7},
        {"block": {"name": "bn"}, "width": 15},
        {"block": {"name": "bn"}, "input": {"name": "student"}},
        {"block": {"name": "post_rms", "alpha": 1e21}, "format": "bfloat16"},
        {"block": {"name": "post_rms", "v_scale": 100}, "format": "bfloat16"},
        {"block": {"name": "ln"}, "init": {"name": "normal", "std": 1e20}, "format": "bfloat16"},
        {"block": {"name": "post_ln"}, "width": 2, "jacobian": True},
        {"block": {"name": "mlp", "skip": 0.0}, "widths": [20, 30, 40], "jacobian": True},
        {"init": {"name": "normal", "std": 1e20}, "jacobian": True},
        {"act": {"name": "celu", "alpha": 1e-3}, "jacobian": True},
        {"train": {"name": "sgd", "data": "mixture"}, "block": {"name": "bn"}, "width": 8},
    ],
)
def test_norms_and_jacobians_that_can_have_been_wrong_are_other_cells(values):
    assert cell(**values).revisions == NORMED


@pytest.mark.parametrize(
    "values",
    [
        {"block": {"name": "bn"}},
        {"block": {"name": "bn"}, "width": 8, "dtype": "float64"},
        {"block": {"name": "ln"}, "width": 8},
        {"block": {"name": "pre_ln", "v_scale": "depth**-0.5"}, "format": "float16"},
        {"format": "float16"},
        {"block": {"name": "post_ln"}, "jacobian": True},
        {"jacobian": True},
        {"init": {"name": "orthogonal", "gain": 1.4}, "jacobian": True, "width": 64},
    ],
)
def test_norms_copies_and_jacobians_of_moderate_networks_stay_what_they_are(values):
    assert cell(**{"width": 64, "batch": 100} | values).revisions == FIRST
