import contextlib
import errno
import io
import os
import re
import sys
import uuid
from pathlib import Path

import pytest

import sweep
from sweep.base.errors import RequestError, StoreError
from sweep.execution.options import Options
from sweep.report import draw
from sweep.store import places, upkeep
from sweep.store.places import local
from sweep.store.records import runs
from sweep.store.study import Study
from sweep.store.upkeep import compact_study
from tests.studies import CELLS, write


@pytest.fixture(params=["path", "file", "memory"])
def folder(request, tmp_path):
    """An empty folder: of this machine, by path or URL, or of fsspec's object store in memory."""
    if request.param == "memory":
        pytest.importorskip("fsspec", reason="the extra s3 is not installed")
        return f"memory://{uuid.uuid4()}/deep"
    return f"file://{tmp_path}/deep" if request.param == "file" else tmp_path / "deep"


def test_a_file_is_there_as_a_whole_until_it_is_removed(folder):
    place = places.place(folder)
    assert place.files("a") == {}
    assert place.folders("") == []
    place.write("a/b.txt", b"one")
    place.write("a/b.txt", b"three")
    assert place.files("a") == {"b.txt": 5}
    assert place.read("a/b.txt") == b"three"
    assert place.modified("a/b.txt") > 0
    assert place.folders("") == ["a"]
    place.move("a/b.txt", "c/d.txt")
    place.move("a/b.txt", "c/d.txt")
    assert (place.files("a"), place.files("c")) == ({}, {"d.txt": 5})
    place.remove("c/d.txt")
    place.remove("c/d.txt")
    for path in ("c/d.txt", "a/b.txt"):
        with pytest.raises(FileNotFoundError):
            place.read(path)


@pytest.mark.parametrize("fails", ["flush", "fsync", "replace"])
def test_a_disk_that_is_full_leaves_no_hidden_file(tmp_path, monkeypatch, fails):
    place = places.place(tmp_path)
    place.write("report/std.png", b"before")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    if fails == "flush":  # as a disk is full once what a program wrote has to go there
        monkeypatch.setattr(Path, "open", lambda path, mode: io.BufferedWriter(Full(str(path), mode)))
    elif fails == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
        monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        place.write("report/std.png", b"after")
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["std.png"]
    assert place.read("report/std.png") == b"before"
    if fails != "fsync":  # of which a lock has no need
        with pytest.raises(OSError, match="No space left"):
            place.hold("runs/alive", b"here")
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


class Full(io.FileIO):
    """A file on a full disk."""

    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_path_that_is_not_utf_8_is_read_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_SMALL", 0)
    study = Study(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    study.create()
    write(study, "a-0", CELLS[:2])
    assert len(sweep.load(study.path, "layers")["cell_id"].unique()) == 2
    compact_study(str(study.path))
    (run,) = runs.names(study)
    assert runs.command(study, run) == rf"python -m sweep.compact {tmp_path}/\udcff\udcfe"


def test_a_text_that_grows_can_be_read_meanwhile_and_is_whole_once_closed(folder):
    place = places.place(folder)
    text = place.append("runs/log.txt")
    text.write("one ü\n")
    text.flush()
    assert place.read("runs/log.txt").decode() == "one ü\n"
    text.write("two\n")
    text.close()
    text.close()
    assert place.read("runs/log.txt").decode() == "one ü\ntwo\n"


def test_a_file_is_known_to_be_held_where_there_are_locks(folder):
    place = places.place(folder)
    assert place.held("runs/alive", b"here") is None
    with place.hold("runs/alive", b"here") or contextlib.nullcontext():
        assert place.held("runs/alive", b"here") is (True if place.folder else None)
    assert place.held("runs/alive", b"here") is (False if place.folder else None)
    assert place.held("runs/alive", b"elsewhere") is None


def test_a_study_is_the_same_wherever_it_is(folder):
    study = Study(folder)
    study.check()
    study.create()
    write(study, "a-0", CELLS[:3])
    write(study, "b-0", CELLS[2:4])
    upkeep.tidy(study)
    assert sorted(sweep.load(folder)["cell_id"]) == sorted(one.id for one in CELLS[:4])
    assert len(sweep.load(folder, "layers")) == sum(one.depth + 1 for one in CELLS[:4])
    with pytest.raises(StoreError, match="is not a study"):
        sweep.load(f"{folder}er")


def test_a_url_whose_packages_are_missing_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(RequestError, match=r"needs more packages: pip install s3fs"):
        places.place("s3://bucket/prefix")


def test_a_url_of_an_unknown_kind_is_refused():
    pytest.importorskip("fsspec", reason="the extra s3 is not installed")
    with pytest.raises(RequestError, match="nope"):
        places.place("nope://bucket/prefix")
    with pytest.raises(RequestError, match="pip install"):
        places.place("oci://bucket/prefix")


@pytest.mark.parametrize("url", ["dir://x", "reference://x", "generic://x", "async_wrapper://x", "jlab://x"])
@pytest.mark.parametrize("module", ["sweep", "sweep.status"])
def test_a_kind_of_url_that_cannot_be_opened_is_a_line(sweep_command, tmp_path, url, module):
    pytest.importorskip("fsspec", reason="the extra s3 is not installed")
    done = sweep_command(f"root={url}" if module == "sweep" else url, module=module)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"root={url.partition('://')[0]}://…: cannot be opened" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_store_that_fails_in_its_own_words_is_a_line_that_names_the_study():
    pytest.importorskip("fsspec", reason="the extra s3 is not installed")
    study = Study("blockcache::memory://q/single")
    study.create()
    with pytest.raises(StoreError, match=r"^cannot read blockcache::memory://q/single: .* 'blocksize';"):
        study.check_readable()


@pytest.mark.parametrize(
    "root",
    [
        "s3://key:hunter2@bucket/p",
        "ftp://me@host/p",
        "file://me:hunter2@host/p",
        "simplecache::s3://k:hunter2@b",
    ],
)
def test_a_password_in_a_url_is_refused_and_not_repeated(root):
    with pytest.raises(RequestError, match="a URL must not hold a user") as error:
        options(root)
    assert "hunter2" not in str(error.value)
    with pytest.raises(RequestError, match="a URL must not hold a user") as error:
        Study(root)
    assert "hunter2" not in str(error.value)


def options(root):
    """The options of a run with this root."""
    values = {
        "study": None,
        "n_jobs": 1,
        "max_memory": None,
        "histogram": None,
        "executor": {"name": "local"},
        "root": root,
    }
    flags = dict.fromkeys(("dry_run", "retry_failed", "overwrite", "fail_fast", "report"), False)
    return Options.of(values | flags | {"shard": None, "verdict": None}, default_study="x")


URLS = [
    ("s3:/bucket/x", "write a URL as in s3://bucket/folder, and a folder of that name as in ./s3:…"),
    ("s3:/K:SECRET@b", "s3:/…@b: a URL must not hold a user"),
    ("S3:K:SECRET@b", "S3:…: write a URL as in"),
    ("file:/tmp/x", "write a URL as in file:///data/grids"),
    ("s3://", "a URL names its host or bucket, as in s3://bucket/folder"),
    ("s3:///x", "a URL names its host or bucket"),
    ("simplecache::s3://", "a URL names its host or bucket"),
    ("file://", "a folder on this machine takes three slashes, as in file:///data/grids"),
    ("file://tmpx/y", "a folder on this machine takes three slashes"),
]


@pytest.mark.parametrize(("url", "message"), URLS)
def test_a_url_that_would_be_a_local_folder_is_refused_wherever_it_is_given(url, message):
    for take in (options, Study, sweep.load, lambda to: draw("nowhere", to=to)):
        with pytest.raises(RequestError, match=re.escape(message)) as error:
            take(url)
        assert "SECRET" not in str(error.value)


@pytest.mark.parametrize("root", ["memory://", "memory://m", "memory:/m", "simplecache::memory://m"])
def test_a_root_that_vanishes_with_the_process_is_refused(root, sweep_command, tmp_path):
    done = sweep_command(f"root={root}", "depth=1", "width=4", "batch=4")
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, ""), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_variable_is_no_bucket(sweep_command, tmp_path):
    done = sweep_command("root=s3://${oc.env:BUCKET}", "depth=1", BUCKET="")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "s3://: a URL names its host or bucket" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["data:1", "s3:b", "./s3:/b", "mine:/x", "file:///tmp/a:b@c", "a@b", "d:1/x"]
)
def test_a_folder_may_have_a_colon_in_its_name(name):
    assert places.check(name) is None
    if "//" not in name:
        assert Study(name).place.folder == Path(name)
