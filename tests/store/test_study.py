"""A study is made, refused and read; nothing that is no study of ours is touched."""

import json

import pytest

import sweep
from sweep.base.errors import StoreError
from sweep.store import places
from sweep.store import study as store
from sweep.store.study import Study
from tests.studies import CELLS, write


def test_a_write_that_fails_leaves_nothing_behind(study, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(places.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; what is stored is safe"):
        write(study, "a", CELLS[:1])
    assert not list((study.path / "layers").iterdir())
    assert sweep.load(study.path).empty


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.txt": "mine"}, "holds something else ('notes.txt')"),
        ({"study.json": "{"}, "cannot be read"),
        ({"study.json": json.dumps({"program": "other", "schema": 1})}, "a study of 'other'"),
        ({"study.json": json.dumps({"program": "sweep", "schema": 99})}, "schema 99, newer than"),
    ],
)
def test_a_folder_that_is_no_study_of_ours_is_refused_untouched(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(StoreError) as error:
        Study(tmp_path).check()
    assert message in str(error.value)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_a_root_that_is_a_file_or_a_study_that_is_none_is_refused(tmp_path):
    blocking = tmp_path / "file"
    blocking.write_text("")
    with pytest.raises(StoreError, match="is a file"):
        Study(blocking / "grid").check()
    with pytest.raises(StoreError, match="not a study"):
        Study(blocking).check()
    with pytest.raises(StoreError, match="is not a study"):
        sweep.load(tmp_path / "nothing")


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(store.os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(StoreError, match="not writable"):
        Study(tmp_path / "grid").check()


def test_a_study_that_another_writer_is_just_making_is_no_stranger(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / ".study.json.123").write_text("{")
    study = Study(tmp_path)
    study.check()
    study.create()
    assert study.exists()


def test_an_unknown_table_is_refused(study):
    with pytest.raises(sweep.RequestError, match="did you mean 'layers'"):
        sweep.load(study.path, "layer")
