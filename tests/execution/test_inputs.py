"""Studies of several kinds of inputs: from the command to what is stored, told, verified and refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sweep
from sweep.execution.plan.tasks import pack
from sweep.execution.workers import local
from sweep.execution.workers.compute import run_task
from sweep.experiment.batches import Block, Cells
from sweep.kernel.inputs import files
from sweep.report.frames.agreement import agreement
from sweep.report.frames.labels import add_labels
from sweep.store import tables, upkeep
from sweep.store.records import plans
from sweep.store.study import Study
from tests.make import cell, packed
from tests.studies import older, part, result_of, write

ROWS = np.random.default_rng(4).standard_normal((70, 20)).astype(np.float32)
GRID = (
    "-m", "init=xavier", "act=tanh,relu", "depth=2,3", "width=20", "seed=0,1", "batch=50",
    "input=gaussian,correlated,student,npy", "input.c0=0,0.9", "input.df=3", "input.file=a.npy,b.npy",
    "report=false",
)  # fmt: skip
COUNT = 2 * 2 * 2 * (1 + 2 + 1 + 2)


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "a.npy", ROWS)
    np.save(tmp_path / "b.npy", ROWS + 1)
    return tmp_path


def of(**values):
    return cell(**{"depth": 2, "width": 20, "batch": 50} | values)


def npy(path):
    return {"name": "npy", "file": str(path)}


def test_a_grid_of_them_is_planned_run_resumed_told_and_verified(sweep_command, folder):
    one = sweep_command(*GRID, "shard=2/3")
    assert one.returncode == 0, one.stderr
    done = sweep_command(*GRID)
    assert done.returncode == 0, done.stderr
    stored = sweep.load(folder / "outputs" / "standard")
    assert (len(stored), set(stored["status"])) == (COUNT, {"ok"})
    assert "all stored already: nothing to compute" in sweep_command(*GRID).stderr
    (folder / "elsewhere").mkdir()
    (folder / "a.npy").rename(folder / "elsewhere" / "c.npy")
    moved = [text.replace("a.npy", "elsewhere/c.npy") for text in GRID]
    assert "all stored already: nothing to compute" in sweep_command(*moved).stderr
    names = {json.loads(text)["file"] for text in stored.loc[stored["input"] == "npy", "input_params"]}
    assert names == {str(folder / "a.npy"), str(folder / "b.npy")}
    told = sweep_command("outputs/standard", module="sweep.status")
    for line in ("input ", "input.c0", "student", "correlated"):
        assert line in told.stdout
    verified = sweep_command("outputs/standard", "--cells", str(COUNT), module="sweep.verify")
    assert verified.returncode == 1
    gone = COUNT // 6
    assert verified.stdout.count("a.npy: No such file or directory") == gone
    assert f"{COUNT - gone} of {COUNT - gone} recomputed cells match" in verified.stdout
    assert f"{gone} of the cells could not be recomputed" in verified.stdout


def test_one_job_and_two_jobs_have_the_same_bits_and_any_split_the_same_numbers(folder):
    kinds = ({"name": "gaussian"}, {"name": "correlated"}, {"name": "student"}, npy(folder / "a.npy"))
    cells = Cells.of(
        of(input=kind, seed=seed, act={"name": act})
        for kind in kinds
        for seed in (0, 1, 2)
        for act in ("tanh", "gelu")
    )

    def values_of(results):
        rows = [row for result in results for row in tables.tables(result, "")[0].to_pylist()]
        return {row["cell_id"]: {key: row[key] for key in ("rms", "grad_rms", "theory_rms")} for row in rows}

    one, two = (values_of(local.run(pack(cells, 2), jobs, False)) for jobs in (1, 2))
    assert one == two
    alone = values_of(run_task(task, False) for each in cells for task in packed([each]))
    for cell_id, row in one.items():
        assert alone[cell_id] == pytest.approx(row, rel=1e-5)  # float32, products of other shapes
    assert len({row["rms"] for row in one.values()}) == len(one)


def test_cells_of_one_kind_share_a_stack_and_others_are_apart():
    kinds = [{"name": "gaussian"}, {"name": "correlated"}, {"name": "correlated", "c0": 0.9}]
    cells = [of(input=kind, act={"name": act}) for kind in kinds for act in ("tanh", "gelu")]
    blocks = [stack.block for task in packed(cells) for stack in task.stacks]
    assert sorted(len(block) for block in blocks) == [2, 2, 2]
    assert all(len({spec.inputs for spec in block.specs}) == 1 for block in blocks)


def test_a_file_that_changed_after_it_was_asked_for_fails_its_cells_and_no_others(folder, monkeypatch):
    monkeypatch.setattr(files, "_FRESH", 1 << 62)  # however soon it changes
    cells = [of(input=npy(folder / "a.npy"), seed=seed) for seed in (0, 1)] + [
        of(input=npy(folder / "b.npy"))
    ]
    tasks = packed(cells)
    np.save(folder / "a.npy", ROWS[::-1])
    rows = [row for task in tasks for row in tables.tables(run_task(task, False), "")[0].to_pylist()]
    told = {row["seed"]: row for row in rows if "a.npy" in row["input_params"]}
    assert [told[seed]["status"] for seed in (0, 1)] == ["failed", "failed"]
    assert told[0]["error"].startswith(f"InputError: input.file={folder / 'a.npy'}: it has changed")
    assert [row["status"] for row in rows if "b.npy" in row["input_params"]] == ["ok"]


def test_a_plan_carries_what_a_worker_needs_and_one_of_an_older_program_is_read(folder):
    spec = of(input=npy(folder / "a.npy")).spec
    ((block, _),) = plans.read(plans.pack([(Block((spec,), (0, 1)), 1.0)]))
    assert block == Block((spec,), (0, 1))
    assert Path(block.specs[0].inputs.file).is_absolute()


def test_a_study_is_extended_by_inputs_and_every_row_then_has_the_column(tmp_path):
    plain = [of(seed=seed) for seed in range(3)]
    study = Study(tmp_path / "study")
    study.create()
    write(study, "a", plain)
    older(study, part("a"), version=6)
    assert "input" not in pd.read_parquet(study.path / "cells").columns
    assert set(sweep.load(study.path)["input"]) == {"gaussian"}
    upkeep.modernise(study)
    write(study, "b", [of(input={"name": "student"})])
    found = pd.read_parquet(study.path / "cells")
    assert found["input"].value_counts().to_dict() == {"gaussian": 3, "student": 1}
    assert set(found.loc[found["input"] == "gaussian", "input_params"]) == {"{}"}
    assert {one.id for one in plain} <= set(found["cell_id"])


def test_labels_tell_inputs_apart_and_files_by_name_and_content(folder):
    other = folder / "other"
    other.mkdir()
    np.save(other / "a.npy", ROWS + 1)
    kinds = [
        npy(folder / "a.npy"),
        npy(other / "a.npy"),
        {"name": "correlated", "c0": 0.25},
        {"name": "gaussian"},
    ]
    result = result_of([of(input=kind) for kind in kinds])
    cells = tables.tables(result, "")[0].to_pandas()
    settings = set(add_labels(cells)["setting"])
    digests = [files.content_of(kind["file"]).sha256[:8] for kind in kinds[:2]]
    expected = {f"input=npy(file=a.npy#{digest})" for digest in digests}
    assert settings == {*expected, "input=correlated(c0=0.25)", "input=gaussian"}
    alone = add_labels(cells[cells["input"] == "correlated"], apart=["input.c0"])
    assert alone["input.c0"].tolist() == [0.25]


def test_the_same_rows_under_another_path_are_labelled_as_one(folder):
    copy = folder / "copies"
    copy.mkdir()
    (copy / "a.npy").write_bytes((folder / "a.npy").read_bytes())
    cells = [of(input=npy(path / "a.npy"), seed=seed) for seed, path in enumerate((folder, copy))]
    labelled = add_labels(tables.tables(result_of(cells), "")[0].to_pandas())
    assert labelled["setting"].nunique() == 1


def test_agreement_counts_gaussian_inputs_alone_and_says_so():
    result = result_of([of(input=kind) for kind in ({"name": "gaussian"}, {"name": "student"})])
    found = agreement(tables.tables(result, "")[0].to_pandas())
    assert (found.cells, found.silent) == (1, 1)


def test_trained_networks_are_those_that_were_measured_with_these_inputs():
    """lsuv fits its weights to the measurement's inputs, and so does the training's drawing of them."""
    sgd = {"name": "sgd", "data": "mixture", "steps": 2}
    kinds = ({"name": "gaussian"}, {"name": "correlated", "c0": 0.0}, {"name": "correlated", "c0": 0.9})
    cells = [of(init={"name": "lsuv"}, train=sgd, input=kind) for kind in kinds]
    fitted, same, others = (tables.tables(result_of([one]), "")[0]["train_loss"] for one in cells)
    assert fitted == same != others


def test_python_takes_them_by_name(folder, monkeypatch):
    monkeypatch.chdir(folder)
    common = {
        "init": "xavier",
        "act": "tanh",
        "depth": 2,
        "width": 20,
        "seed": 0,
        "batch": 50,
        "report": False,
    }
    found = sweep.run(**common, study="c", input="correlated", input_params={"c0": [0, 0.5]}, quiet=True)
    assert sorted(found["input.c0"]) == [0, 0.5]
    rows = sweep.run(**common, study="n", input="npy", input_params={"file": ["a.npy", "b.npy"]}, quiet=True)
    assert set(rows["input.file"]) == {str(folder / name) for name in ("a.npy", "b.npy")}


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (
            ("input=correlated", "input.c0=2"),
            "input.c0=2: input.c0, the cosine of two inputs, must be from 0",
        ),
        (("input=student", "input.df=2"), "input.df=2: input.df must be above 2"),
        (("input=npy", "input.file=none.npy"), "input.file=none.npy: there is no such file in "),
    ],
)
def test_wrong_inputs_are_one_line_and_status_2_and_write_nothing(sweep_command, tmp_path, typed, says):
    done = sweep_command(*typed, "depth=2", "width=20", "batch=50")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_arrays_have_one_dimension_for_files_not_one_for_their_hashes_too(folder):
    pytest.importorskip("xarray", reason="the xarray extra is not installed: pip install -e '.[xarray]'")
    study = Study(folder / "study")
    study.create()
    write(
        study,
        "a",
        [of(input=npy(folder / name), seed=seed) for name in ("a.npy", "b.npy") for seed in (0, 1)],
    )
    found = sweep.to_xarray(sweep.load(study.path))
    assert dict(found.sizes) == {"init": 1, "act": 1, "depth": 1, "width": 1, "seed": 2, "input.file": 2}


@pytest.mark.parametrize("asked", [{"input": {"name": "digits"}}, {"train": {"name": "sgd", "steps": 2}}])
def test_a_tapered_network_takes_digits_by_its_first_width(tmp_path, asked):
    pytest.importorskip("sklearn", reason="the train extra is not installed: pip install -e '.[train]'")
    study = Study(tmp_path / "study")
    study.create()
    cells = [cell(widths=widths, batch=30, **asked) for widths in ([64, 32, 16], [128, 64, 32])]
    write(study, "a", [*cells, cell(depth=2, width=12, batch=30)])
    assert {one.id for one in cells} < set(sweep.load(study.path)["cell_id"])
