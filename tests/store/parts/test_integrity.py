"""A damaged part is named, whatever is wrong with its bytes, and nothing of it is lost."""

import io
import os
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sweep
from sweep.base.errors import StoreError, SweepWarning
from sweep.experiment.batches import Cells
from sweep.store import upkeep
from sweep.store.index import Status, StoredIndex
from sweep.store.parts import commits, integrity, part_file
from sweep.store.parts.integrity import DamagedError
from sweep.store.parts.part_file import PartFile
from sweep.store.places.local import Local
from sweep.store.study import Study
from tests import processes
from tests.studies import CELLS, part, status_of, write


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        content[len(content) // 3] ^= 0xFF
        path.write_bytes(content)
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["truncated", "flipped", "gone"])
@pytest.mark.parametrize("folder", ["cells", "layers"])
def test_a_damaged_part_is_named_and_set_aside_and_its_cells_are_missing(study, folder, how):
    write(study, "good", CELLS[:2])
    write(study, "bad", CELLS[2:6])
    damage(study.path / folder / part("bad"), how)
    if (folder, how) == ("cells", "gone"):  # never committed
        assert len(sweep.load(study.path)) == len(sweep.load(study.path, "layers")["cell_id"].unique()) == 2
        return
    with pytest.raises(DamagedError, match=part("bad")) as error:
        [sweep.load(study.path, table) for table in ("cells", "layers")]
    assert set(error.value.parts) == {part("bad")}
    assert set(integrity.damaged(study.place, commits.names(study.place))) == {part("bad")}
    study.set_aside(error.value.parts)
    assert [one for one in CELLS if status_of(study, one) != Status.MISSING] == CELLS[:2]
    kept = list((study.path / "quarantine").rglob(part("bad")))
    assert len(kept) == (1 if how == "gone" else 2)


def test_nothing_of_a_part_is_lost_by_who_dies_while_it_is_set_aside(study, monkeypatch):
    write(study, "bad", CELLS[:2])
    damage(study.path / "cells" / part("bad"), "truncated")
    before = {path.name: path.read_bytes() for path in (study.path / "layers").iterdir()}
    broken, original = integrity.damaged(study.place, commits.names(study.place)), Local.move

    def dies(place, path, to):
        original(place, path, to)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Local, "move", dies)
        with pytest.raises(KeyboardInterrupt):
            study.set_aside(broken)
    for folder in (study.path / "cells", study.path / "layers"):
        for path in folder.iterdir():
            os.utime(path, (1000, 1000))
    upkeep.compact(Study(study.path), 10**6)
    again = Study(study.path)
    again.set_aside(integrity.damaged(again.place, commits.names(again.place)))
    kept = {path.name: path.read_bytes() for path in (study.path / "quarantine" / "layers").iterdir()}
    assert kept == before
    assert len(list((study.path / "quarantine" / "cells").iterdir())) == 1


@pytest.mark.parametrize("folder", ["cells", "layers"])
def test_any_flipped_bit_is_named_by_each_reader_or_changes_nothing(study, folder):
    write(study, "a", CELLS[:3])
    readers = {
        "cells": lambda study: study.read("cells").to_pylist(),
        "layers": lambda study: study.read("layers").to_pylist(),
        "states": lambda study: study.scan.states([part("a")]),
        "versions": lambda study: study.scan.versions([part("a")]),
        "stored": lambda study: StoredIndex(study).of(Cells.of(CELLS[:3])).tolist(),
    }
    before = {name: reader(study) for name, reader in readers.items()}
    assert integrity.damaged(study.place, [part("a")]) == {}
    path = study.path / folder / part("a")
    good = path.read_bytes()
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    rng = np.random.default_rng(0)
    for place in (*rng.integers(8 * footer, size=40), *rng.integers(8 * footer, 8 * len(good), size=60)):
        flipped = bytearray(good)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        whole = not integrity.damaged(Study(study.path).place, [part("a")])
        for name, reader in readers.items():
            try:
                assert reader(Study(study.path)) == before[name], (name, place)
            except StoreError as error:
                said = str(error)
                assert part("a") in said, (name, place)
                assert not whole, (name, place)


@pytest.mark.parametrize("folder", ["cells", "layers"])
def test_a_part_that_says_another_number_of_rows_is_named_or_read_whole(study, folder):
    write(study, "a", CELLS[:3])
    before = study.read(folder)
    path = study.path / folder / part("a")
    good, rows = path.read_bytes(), pq.read_table(path, partitioning=None).num_rows
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    found = 0
    for place in range(footer, len(good)):
        flipped = bytearray(good)
        flipped[place] ^= 2
        try:
            said = pq.read_metadata(io.BytesIO(flipped))
            other = {said.num_rows, said.row_group(0).num_rows} != {rows}
        except (OSError, pa.ArrowException, ValueError, IndexError):
            continue
        if other:
            path.write_bytes(flipped)
            try:
                assert Study(study.path).read(folder).equals(before), place
            except DamagedError:
                found += 1
    assert found


@pytest.mark.parametrize("forged", ["", "x" * 32, "0" * 31, "0" * 32 + "\n"])
def test_a_part_with_an_id_that_is_none_is_left_out(study, forged):
    write(study, "a", CELLS[:1])
    cells, layers = study.read("cells"), study.read("layers")
    ids = pa.array([forged])
    study.write(part("b"), cells.set_column(0, "cell_id", ids), layers.slice(0, 0))
    with pytest.warns(SweepWarning, match="a row with a malformed cell_id"):
        assert len(sweep.load(study.path)) == 1


SHORT = """
import resource, sys
from pathlib import Path
from sweep.execution import recompute
from sweep.store.parts import commits, integrity
from sweep.store.study import Study

study = Study(sys.argv[1])
names = commits.names(study.place)
if sys.argv[2] == "short":
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 22), resource.RLIM_INFINITY))
try:
    print("damaged", integrity.damaged(study.place, names))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says how much a process has")
def test_a_healthy_part_for_which_a_process_has_no_memory_is_named_and_not_damaged(study):
    write(study, "a", CELLS[:6], histogram=True)
    cells, layers = study.read("cells"), study.read("layers")
    study.write(part("a"), cells, pa.concat_tables([layers] * 2000))  # 30 MB once unpacked
    for memory, said in (
        ("plenty", "damaged {}\n"),
        ("short", f"UnreadableError cannot read {study.path}/"),
    ):
        command = [sys.executable, "-c", SHORT, str(study.path), memory]
        done = processes.start(command, study.path.parent).ended()
        assert done.stdout.startswith(said), (done.stdout, done.stderr)
    assert "nothing was moved" in done.stdout


def test_a_small_file_that_wants_memory_beyond_all_that_there_is_is_damaged(study, monkeypatch):
    write(study, "a", CELLS[:1])
    file = PartFile(study.place, "cells", part("a"))

    def wants_all(*arguments, **options):
        raise pa.ArrowMemoryError("malloc of size 1152921504606846976 failed")

    monkeypatch.setattr(file, "_file", SimpleNamespace(read=wants_all))
    with pytest.raises(part_file.BadBytesError, match="malloc of size"):
        file.read(["std"])
    monkeypatch.setattr(part_file, "_LEAST_ROOM", 1 << 60)
    monkeypatch.setattr(part_file, "_MOST_ROOM", 1 << 60)
    with pytest.raises(part_file.UnreadableError, match="memory that this process has left"):
        file.read(["std"])
