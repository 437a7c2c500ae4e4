"""What a fresh pair of eyes found in forged and odd studies: a line each, and nothing of others touched."""

import gzip
import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import sweep
from sweep.base.errors import RequestError, StoreError, SweepWarning
from sweep.experiment.batches import Cells
from sweep.store import places, upkeep
from sweep.store.records import plans
from sweep.store.study import Study
from tests.make import cell
from tests.studies import CELLS, part, unsealed, write


def changed(study, values, name="a", rows=None):
    """The same part with these values in its rows, all or some, and the digest that belongs to it."""
    cells, layers = study.read("cells"), study.read("layers")
    for key, value in values.items():
        column = [value if rows is None or i in rows else one for i, one in enumerate(cells[key].to_pylist())]
        place = cells.column_names.index(key)
        cells = cells.set_column(place, key, pa.array(column, cells.schema.field(key).type))
    study.write(part(name), cells, layers)
    return cells, layers


@pytest.mark.parametrize("folder", ["cells", "layers"])
def test_a_link_below_quarantine_is_refused_and_its_target_stays(study, tmp_path, folder, sweep_command):
    write(study, "a", CELLS[:2])
    other = tmp_path / "other"
    other.mkdir()
    (other / part("a")).write_text("healthy")
    (study.path / "quarantine").mkdir()
    (study.path / "quarantine" / folder).symlink_to(other)
    damaged = study.path / "cells" / part("a")
    damaged.write_bytes(damaged.read_bytes()[:50])
    done = sweep_command(str(study.path), module="sweep.verify")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"quarantine/{folder} is a link" in done.stderr
    assert [path.read_text() for path in other.iterdir()] == ["healthy"]
    assert damaged.exists()


def test_no_link_among_the_folders_of_a_path_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_text("theirs")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "runs").symlink_to(tmp_path / "real")
    place = places.place(tmp_path / "study")
    (tmp_path / "study" / "own").write_text("ours")
    for attempt in (
        lambda: place.read("runs/x"),
        lambda: place.write("runs/x", b"gone"),
        lambda: place.remove("runs/x"),
        lambda: place.move("own", "runs/x"),
        lambda: place.move("runs/x", "own"),
    ):
        with pytest.raises(OSError, match="it is a link"):
            attempt()
    assert (tmp_path / "real" / "x").read_text() == "theirs"


def test_a_study_without_the_activation_is_named_not_a_key_error(study):
    write(study, "a", [one for one in CELLS if one.act == "tanh"][:2])
    with pytest.raises(RequestError, match=r"holds no relu: it holds tanh$"):
        sweep.recommend("relu", study=study.path, depth=5, width=8)


@pytest.mark.parametrize(
    "url",
    ["s3://key:se/cret@b/x", "s3://k:s/e@b/x", "s3://key:123/se@b/x", "simplecache::s3://key:se/cret@b/x"],
)
def test_a_secret_with_a_slash_is_refused_and_not_repeated(url, sweep_command):
    for arguments, module in (
        ([url], "sweep.status"),
        ([f"root={url}"], "sweep"),
        (["nowhere", "--to", url], "sweep.report"),
    ):
        done = sweep_command(*arguments, module=module)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "a URL must not hold a user" in done.stderr
        assert "cret" not in done.stderr
        assert "k:s" not in done.stderr


@pytest.mark.parametrize(
    "url", ["s3://bucket/a@b", "http://host:8080/a", "http://[::1]:8080/a", "s3://bucket/a:b@c"]
)
def test_signs_of_an_address_are_no_secret(url):
    assert places.check(url) is None


@pytest.mark.parametrize(
    "parameters",
    [
        {"function": 5},
        {"function": "a.b", "kwargs": 5, "derivative": None, "source": "x"},
        {"function": "a.b", "kwargs": {}, "derivative": 7, "source": "x"},
        {"function": "a.b", "kwargs": {}, "other": 7, "source": "x"},
        {"function": "", "kwargs": {}, "derivative": None, "source": "x"},
        {"function": "a.b", "kwargs": None, "derivative": None, "source": "x"},
        {},
    ],
)
def test_a_row_of_a_function_with_odd_parameters_is_left_out(study, parameters):
    write(study, "b", CELLS[2:3])
    write(study, "a", CELLS[:1])
    lone = Study(study.path.with_name("lone"))
    lone.create()
    write(lone, "a", CELLS[:1])
    cells, layers = changed(lone, {"act": "custom", "act_params": json.dumps(parameters)})
    study.write(part("a"), cells, layers)
    with pytest.warns(SweepWarning, match="left out: .*(act_params|no parameter)"):
        assert len(sweep.load(study.path)) == 1


NO_TEXT = pa.Array.from_buffers(
    pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("what", [{b"layers_bytes": b"x"}, {b"revisions": b"\xff"}, NO_TEXT])
def test_a_part_of_which_something_is_no_text_is_a_damaged_one(study, sweep_command, what, alone):
    write(study, "a", CELLS[:1])
    if not alone:
        write(study, "b", CELLS[1:2])
    file = study.path / "cells" / part("a")
    table = pq.read_table(file, partitioning=None)
    if isinstance(what, dict):
        table = table.replace_schema_metadata(unsealed(table) | what)
    else:
        table = table.set_column(table.column_names.index("run_id"), "run_id", what)
    pq.write_table(table, file, compression="zstd", write_page_checksum=True)
    done = sweep_command(str(study.path), module="sweep.status")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"has a part that cannot be read: {part('a')}" in done.stderr
    assert sweep_command(str(study.path), module="sweep.verify").returncode == 1
    assert len(sweep.load(study.path)) == (0 if alone else 1)


def test_a_histogram_of_other_bins_is_damage(study):
    write(study, "a", CELLS[:1], histogram=True)
    cells, layers = study.read("cells"), study.read("layers")
    kind = layers.schema.field("histogram").type
    odd = pa.array([counts and counts[:7] for counts in layers["histogram"].to_pylist()], kind)
    place = layers.column_names.index("histogram")
    study.write(part("b"), cells, layers.set_column(place, "histogram", odd))
    with pytest.raises(sweep.StoreError, match="its histograms do not have 30 bins"):
        sweep.load(study.path, "layers")


@pytest.mark.parametrize(
    "change",
    [
        {"init": "\ud800x"}, {"init": "of_later", "init_params": "{}"}, {"act": "swish2", "act_params": "{}"},
        {"init": "of_later", "init_params": '{"a": "\\ud800"}'}, {"seconds": 10**400}, {"seconds": 1e308},
        {"bias_std": 10**400}, {"seeds": [[2**63 - 1, 3]]}, {"seeds": [[0, 10**12]]}, {"seeds": 3},
    ],
)  # fmt: skip
def test_a_row_of_a_plan_that_cannot_be_leaves_the_plan_out(change):
    (line,) = gzip.decompress(plans.pack([(Cells.of(CELLS[:1]).blocks[0], 1.0)])).splitlines()
    content = json.dumps(json.loads(line) | change).encode()
    with pytest.raises(ValueError, match=r"."):
        list(plans.read(gzip.compress(content)))


def test_seeds_given_twice_are_one_cell():
    (line,) = gzip.decompress(plans.pack([(Cells.of(CELLS[:1]).blocks[0], 1.0)])).splitlines()
    content = json.dumps(json.loads(line) | {"seeds": [[3, 2], [3, 2]]}).encode()
    ((block, _),) = plans.read(gzip.compress(content))
    assert block.seeds == (3, 4)


@pytest.mark.parametrize("huge", ["1" + "0" * 400, "1" + "0" * 5000])
@pytest.mark.parametrize("key", ["bias_std", "init=normal init.std", "verdict.vanishing"])
def test_a_number_of_hundreds_of_digits_is_refused_in_a_line(sweep_command, key, huge):
    done = sweep_command(*f"{key}={huge}".split())
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_row_with_a_number_of_hundreds_of_digits_is_left_out(study):
    write(study, "a", CELLS[:1])
    huge = {"init": "normal", "init_params": f'{{"std":1{"0" * 400}}}'}
    write(study, "b", CELLS[1:2])
    lone = Study(study.path.with_name("lone"))
    lone.create()
    write(lone, "c", CELLS[2:3])
    changed(lone, huge, "c")
    (lone.path / "cells" / part("c")).rename(study.path / "cells" / part("c"))
    (lone.path / "layers" / part("c")).rename(study.path / "layers" / part("c"))
    with pytest.warns(SweepWarning, match="left out: .*std=1000"):
        assert len(sweep.load(study.path)) == 2


def test_a_study_with_and_without_widths_is_drawn(study):
    write(study, "a", [one for one in CELLS if one.widths is None][:2])
    write(study, "b", [one for one in CELLS if one.widths is not None][:1])
    from sweep.report import draw  # noqa: PLC0415

    files = draw(study.path, to=study.path.with_name("figures"))
    assert files
    assert all(path.parent == study.path.with_name("figures") for path in files)


def test_layers_that_do_not_belong_to_the_cells_are_said_by_verify(study, sweep_command):
    write(study, "a", CELLS[:2])
    cells, layers = study.read("cells"), study.read("layers")
    column = pa.nulls(layers.num_rows, layers.schema.field("layer").type)
    layers = layers.set_column(layers.column_names.index("layer"), "layer", column)
    study.write(part("a"), cells, layers)
    done = sweep_command(str(study.path), module="sweep.verify")
    assert (done.returncode, done.stderr) == (1, "")
    assert "0 of 2 recomputed cells match" in done.stdout


def test_verify_shows_control_characters_and_knows_what_does_not_fit(study, sweep_command):
    write(study, "a", CELLS[:2])
    changed(study, {"init": "\x1b[31mred\nx"}, rows=[0])
    done = sweep_command(str(study.path), module="sweep.verify")
    assert done.returncode == 1, done.stderr
    assert "\x1b" not in done.stdout
    assert r"\x1b[31mred\nx" in done.stdout
    changed(study, {"width": 10**9})
    large = sweep_command(str(study.path), module="sweep.verify")
    assert large.returncode == 1, large.stderr
    assert "B of memory at once" in large.stdout


def test_a_huge_record_is_not_read(study, sweep_command):
    write(study, "a", CELLS[:1])
    run = study.path / "runs" / "20260101T000000-00000000"
    run.mkdir(parents=True)
    with (run / "alive").open("wb") as file:
        file.truncate(1 << 36)
    assert sweep_command(str(study.path), module="sweep.status").returncode == 0


def test_figures_go_neither_nowhere_nor_among_the_tables(study, sweep_command):
    write(study, "a", CELLS[:1])
    before = sorted((study.path / "cells").iterdir())
    for to, message in (
        ("", "figures must go to a folder"),
        (study.path / "cells", "not go among a study's tables"),
    ):
        done = sweep_command(str(study.path), "--to", str(to), "--only", "heatmap", module="sweep.report")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr
    assert sorted((study.path / "cells").iterdir()) == before


def test_a_cell_twice_in_one_part_has_its_layers_once(study):
    write(study, "a", CELLS[:1])
    cells, layers = study.read("cells"), study.read("layers")
    study.write(part("b"), pa.concat_tables([cells, cells]), pa.concat_tables([layers, layers]))
    assert len(sweep.load(study.path, "layers", columns=["std"])) == CELLS[0].depth + 1
    upkeep.tidy(study)
    assert len(sweep.load(study.path)) == 1
    assert len(sweep.load(study.path, "layers")) == CELLS[0].depth + 1


def test_a_number_of_the_environment_is_said_to_be_a_text(sweep_command):
    one = ("depth=2", "width=8", "batch=5", "dry_run=true")
    done = sweep_command(*one, "seed=${oc.env:NUMBER}", NUMBER="3")
    assert done.returncode == 2
    assert (
        "seed='3' (a string, not a number; a variable of the environment as a number is \"${oc.decode:"
        in done.stderr
    )
    for more in (
        ['seed="${oc.decode:${oc.env:NUMBER}}"'],
        ["-m", "grid=smoke", 'seed="${oc.decode:${oc.env:NUMBER}}"'],
    ):
        decoded = sweep_command(*more, *one, NUMBER="3")
        assert decoded.returncode == 0, decoded.stderr


def test_a_function_that_no_cell_calls_is_named(study, sweep_command):
    write(study, "a", CELLS[:1])
    done = sweep_command(str(study.path), "--function", "nope.nope", module="sweep.verify")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "--function nope.nope: no cell of this study uses it; they use none" in done.stderr


def test_a_store_error_names_the_link(study, tmp_path):
    (study.path / "quarantine").mkdir()
    (study.path / "quarantine" / "cells").symlink_to(tmp_path)
    with pytest.raises(StoreError, match="quarantine/cells is a link"):
        sweep.load(study.path)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("std", 999.0, "its row says std 999.0"),
        ("delta_std_first", 1e-9, "its row says delta_std_first 1e-09"),
        ("verdict", "exploding", "its row says exploding"),
        ("verdicts", ["healthy", "collapsed"], "its row says healthy, collapsed, its layers healthy"),
        ("theory_std", 999.0, "its row says theory_std 999.0"),
        ("theory_delta_std_first", 999.0, "its row says theory_delta_std_first 999.0"),
        ("theory_grad_std_first", None, "its row says theory_grad_std_first None"),
        ("verdict_thresholds", '{"vanishing": 7}', "its row says verdict.vanishing=7"),
    ],
)
def test_a_row_that_says_otherwise_than_its_layers_is_said(study, sweep_command, column, value, said):
    write(study, "a", CELLS[:1])
    cells, layers = study.read("cells"), study.read("layers")
    place = cells.column_names.index(column)
    forged = pa.array([value], cells.schema.field(column).type)
    study.write(part("a"), cells.set_column(place, column, forged), layers)
    done = sweep_command(str(study.path), module="sweep.verify")
    assert done.returncode == 1, done.stderr
    assert said in done.stdout
    assert "0 of 1 recomputed cells match" in done.stdout


@pytest.mark.parametrize(
    "name", ["theory_rms", "theory_std", "theory_mean", "theory_delta_rms", "theory_flat"]
)
def test_a_forged_prediction_of_a_vanished_signal_is_seen(study, sweep_command, name):
    write(study, "a", [cell(init={"name": "normal", "std": 1e-4}, bias_std=0.0, depth=6, width=9, batch=9)])
    tables = [study.read("cells"), study.read("layers")]
    assert tables[0]["theory_rms"][0].as_py() < 1e-12
    firsts = ["theory_delta_std_first"] if name == "theory_delta_rms" else []  # a row of `cells` has it too
    for number, table in enumerate(tables):
        for column in {name, *firsts} & set(table.column_names):
            forged = pc.add(pc.multiply(table[column], 3.0), 1e-5 if name == "theory_flat" else 1e-15)
            tables[number] = tables[number].set_column(table.column_names.index(column), column, forged)
    study.write(part("a"), *tables)
    done = sweep_command(str(study.path), module="sweep.verify")
    assert (done.returncode, f"{name} of layer" in done.stdout) == (1, True), done.stdout


def test_layers_of_no_cell_are_damage(study, sweep_command):
    write(study, "a", CELLS[:1])
    cells, layers = study.read("cells"), study.read("layers")
    ghosts = layers.set_column(0, "cell_id", pa.array(["f" * 32] * len(layers)))
    study.write(part("a"), cells, pa.concat_tables([layers, ghosts]))
    done = sweep_command(str(study.path), module="sweep.verify")
    assert (done.returncode, "it has layers that belong to no cell" in done.stdout) == (1, True), done.stdout
