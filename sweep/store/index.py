"""What a study holds already, sixteen bytes a cell: so that it is not computed again."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sweep.experiment import revisions
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Spec
from sweep.kernel import KERNEL_VERSION
from sweep.store.parts import ages, commits, digests
from sweep.store.parts.scan import distinct
from sweep.store.study import Study

_PARTS_AT_ONCE = 16_384


class Status(IntEnum):
    """What a study holds of a cell."""

    MISSING, FAILED, OK = range(3)


class StoredIndex:
    """Which cells a study holds, ID_BYTES each, and a look now and then at what others add to it.

    newest_run: the latest run_id among them, '' if there is none.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.newest_run = ""
        self._seen: set[str] = set()
        self._ids: dict[Status, list[pa.Array]] = {Status.FAILED: [], Status.OK: []}
        if study.exists():
            study.retry(self._read_all)

    def of(self, cells: Cells) -> NDArray[np.int8]:
        """The Status of every cell, in order; a result wins over a failure."""
        known = {status: digests.join(ids) for status, ids in self._ids.items()}
        found = np.full(len(cells), Status.MISSING, np.int8)
        start = 0
        for block in cells.blocks:
            place = slice(start, start + len(block))
            ids = digests.of_block(block)
            for status, stored in known.items():
                found[place][pc.is_in(ids, value_set=stored).to_numpy(zero_copy_only=False)] = status
            start += len(block)
        return found

    def look(self, own: str) -> set[bytes]:
        """The ids of results in parts that were not there at the last look, those of the writer `own` apart.

        FileNotFoundError where a part is tidied away at this moment.
        """
        new = commits.names(self.study.place) - self._seen
        others = {name for name in new if commits.writer_of(name) != own}
        found = self._read(others)[Status.OK].to_pylist() if others else []
        self._seen |= new
        return set(found)

    def _read_all(self) -> None:
        new = sorted(commits.names(self.study.place) - self._seen)
        for start in range(0, len(new), _PARTS_AT_ONCE):
            some = new[start : start + _PARTS_AT_ONCE]
            for status, ids in self._read(some).items():
                self._ids[status].append(ids)
            self._seen.update(some)

    def _read(self, names: Iterable[str]) -> dict[Status, pa.Array]:
        rows = self.study.scan.ranks(names)
        self.newest_run = max([self.newest_run, *distinct(rows, "run_id")], key=commits.rank)
        ok = pc.equal(rows["status"], "ok")
        return {
            status: rows["cell_id"].filter(mask).combine_chunks()
            for status, mask in ((Status.OK, ok), (Status.FAILED, pc.invert(ok)))
        }


class Watch:
    """Which of some cells are stored from now on; no part is read twice."""

    def __init__(self, study: Study, cells: Cells, overwrite: bool) -> None:
        """overwrite: what is stored already is waited for as well."""
        self._study = study
        self._ids = digests.join([digests.of_block(block) for block in cells.blocks])
        self._wanted = np.ones(len(self._ids), bool)
        self.failed = np.zeros(len(self._ids), bool)  # of those seen since
        # place -> the runs that have stored this cell, which is wanted
        self._before: dict[int, set[str]] = {}
        self._seen: set[str] = set()
        for place, run, ok in study.retry(self._new):
            if ok and not overwrite:
                self._wanted[place] = False
            else:
                self._before.setdefault(place, set()).add(run)

    @property
    def left(self) -> int:
        """How many cells are waited for."""
        return int(self._wanted.sum())

    @property
    def stored(self) -> NDArray[np.bool_]:
        """(cells,): which are waited for no longer."""
        return ~self._wanted

    def look(self) -> NDArray[np.bool_]:
        """(cells,): which more are stored since the last look."""
        before = self._wanted.copy()
        with contextlib.suppress(FileNotFoundError):  # a part is tidied away at this moment: next time
            for place, run, ok in self._new():
                if run not in self._before.get(place, ()):
                    self._wanted[place], self.failed[place] = False, not ok
        return before & ~self._wanted

    def _new(self) -> list[tuple[int, str, bool]]:
        """(place among the cells, run, whether it is a result) of every row in parts not read before."""
        names = commits.names(self._study.place) - self._seen
        rows = self._study.scan.ranks(names)
        self._seen |= names
        places = pc.index_in(rows["cell_id"], value_set=self._ids)
        rows = rows.append_column("place", places).filter(pc.is_valid(places))
        columns = (rows["place"], rows["run_id"], pc.equal(rows["status"], "ok"))
        return list(zip(*(column.to_pylist() for column in columns), strict=True))


@dataclass(frozen=True)
class Older:
    """What a study holds of an older revision, by the present kernel.

    counting: the experiments of which there is nothing newer, as the cells that they are now.
    superseded: how many others there are. ids: of all of them, as they are stored.
    """

    counting: Cells
    superseded: int
    ids: pa.Array

    def among(self, cells: Cells) -> NDArray[np.bool_]:
        """Which of these cells are there at an older revision only, in order."""
        seeds: dict[Spec, list[NDArray[np.int64]]] = {}
        for block in self.counting.blocks:
            for spec in block.specs:
                seeds.setdefault(spec, []).append(np.array(block.seeds))
        known = {spec: np.concatenate(own) for spec, own in seeds.items()}
        nothing = np.empty(0, np.int64)
        found = [
            np.isin(block.seeds, known.get(spec, nothing)) for block in cells.blocks for spec in block.specs
        ]
        return np.concatenate([np.empty(0, bool), *found])


def older(study: Study) -> Older:
    """What a study holds of an older revision."""

    def attempt() -> Older:
        present = revisions.state()
        states = study.scan.states(commits.names(study.place))
        suspects = [name for name, state in states.items() if state != present]
        rows = study.scan.read("cells", suspects, list(ages.NEEDED), ages.REPEATED)
        rows = rows.filter(pc.equal(rows["kernel_version"], KERNEL_VERSION))
        rows = rows.filter(pa.array(ages.ages(rows) > 0))
        ids = pc.unique(rows["cell_id"])
        if not len(ids):
            return Older(Cells(()), 0, ids)
        standing = rows
        if ages.apart(states.values()):
            counting = study.read("cells", ["cell_id"])["cell_id"]
            standing = rows.filter(pc.is_in(rows["cell_id"], value_set=counting.combine_chunks()))
        cells = Cells.joined(
            Block((spec,), tuple(dict.fromkeys(standing["seed"].take(pa.array(places)).to_pylist())))
            for places, spec, _ in ages.by_spec(standing)
        )
        return Older(cells, len(ids) - len(cells), ids)

    return study.retry(attempt)
