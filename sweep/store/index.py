"""What a study already holds, sixteen bytes a cell, so that it is not computed again."""

import contextlib
from collections import defaultdict
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
    """Which cells a study holds, and what others add to it meanwhile.

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
        statuses = [np.empty(0, np.int8)]
        for block in cells.blocks:
            ids = digests.of_block(block)
            of_block = np.full(len(block), Status.MISSING, np.int8)
            for status, stored in known.items():
                of_block[pc.is_in(ids, value_set=stored).to_numpy(zero_copy_only=False)] = status
            statuses.append(of_block)
        return np.concatenate(statuses)

    def look(self, own: str) -> set[bytes]:
        """The ids of results in parts that were not there at the last look, except those of the writer `own`.

        FileNotFoundError where a part is tidied away at this moment.
        """
        new = commits.names(self.study.place) - self._seen
        others = {name for name in new if commits.writer_of(name) != own}
        ids = set(self._read(others)[Status.OK].to_pylist()) if others else set()
        self._seen |= new
        return ids

    def _read_all(self) -> None:
        new = sorted(commits.names(self.study.place) - self._seen)
        for start in range(0, len(new), _PARTS_AT_ONCE):
            parts = new[start : start + _PARTS_AT_ONCE]
            for status, ids in self._read(parts).items():
                self._ids[status].append(ids)
            self._seen.update(parts)

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
        """overwrite: cells that are stored already are waited for as well."""
        self._study = study
        self._ids = digests.join([digests.of_block(block) for block in cells.blocks])
        self._awaited = np.ones(len(self._ids), bool)
        self.failed = np.zeros(len(self._ids), bool)  # of those seen since
        # Index of an awaited cell -> the runs that have stored it.
        self._before: dict[int, set[str]] = defaultdict(set)
        self._seen: set[str] = set()
        for index, run, ok in study.retry(self._new):
            if ok and not overwrite:
                self._awaited[index] = False
            else:
                self._before[index].add(run)

    @property
    def left(self) -> int:
        """How many cells are waited for."""
        return int(self._awaited.sum())

    @property
    def stored(self) -> NDArray[np.bool_]:
        """(cells,): which are no longer waited for."""
        return ~self._awaited

    def look(self) -> NDArray[np.bool_]:
        """(cells,): which have been stored since the last look."""
        before = self._awaited.copy()
        with contextlib.suppress(FileNotFoundError):  # a part is tidied away at this moment: next time
            for index, run, ok in self._new():
                if run not in self._before.get(index, ()):
                    self._awaited[index], self.failed[index] = False, not ok
        return before & ~self._awaited

    def _new(self) -> list[tuple[int, str, bool]]:
        """(index among the cells, run, whether it is a result) of every row in parts not read before."""
        names = commits.names(self._study.place) - self._seen
        rows = self._study.scan.ranks(names)
        self._seen |= names
        indices = pc.index_in(rows["cell_id"], value_set=self._ids)
        rows = rows.append_column("index", indices).filter(pc.is_valid(indices))
        columns = (rows["index"], rows["run_id"], pc.equal(rows["status"], "ok"))
        return list(zip(*(column.to_pylist() for column in columns), strict=True))


@dataclass(frozen=True)
class Older:
    """What a study holds of older revisions, by the present kernel.

    counting: the experiments of which nothing newer is stored, as the cells that they are now.
    superseded: how many others there are. ids: of all of them, as they are stored.
    """

    counting: Cells
    superseded: int
    ids: pa.Array

    def among(self, cells: Cells) -> NDArray[np.bool_]:
        """Which of these cells are stored at an older revision only, in order."""
        seeds: dict[Spec, list[int]] = defaultdict(list)
        for block in self.counting.blocks:
            for spec in block.specs:
                seeds[spec] += block.seeds
        each = [np.isin(block.seeds, seeds.get(spec, ())) for block in cells.blocks for spec in block.specs]
        return np.concatenate([np.empty(0, bool), *each])


def older(study: Study) -> Older:
    """What a study holds of older revisions."""

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
