"""Is a study whole, and do its cells come out again? Some are computed anew and compared with their rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sweep.base.errors import RequestError, SweepError
from sweep.base.process import machine
from sweep.base.process.command import visible
from sweep.execution import comparison
from sweep.execution.comparison import Rows
from sweep.execution.plan import tasks
from sweep.execution.workers import local
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import SPEC, Cell, Spec
from sweep.experiment.ingredients import given
from sweep.initializers import Scheme
from sweep.kernel import KERNEL_VERSION, Chain
from sweep.kernel.precision.rounding import nudge
from sweep.report.frames.text import si
from sweep.store import tables
from sweep.store.index import Older, older
from sweep.store.parts import commits, integrity
from sweep.store.query import excerpts
from sweep.store.query.excerpts import Sample
from sweep.store.study import Study

_TRIES = 2
_MOST_NAMED = 20  # rows that are not what their ids stand for


@dataclass
class Found:
    """What became of the sampled cells.

    compared: how many could be computed. functions: a user's own that cells call and nobody named. wrong,
    unchecked: a line for each cell that differs, and for each that could not be computed.
    """

    sample: Sample
    compared: int = 0
    functions: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def verify(path: str, functions: set[str], count: int, seed: int) -> bool:
    """Read every part, set damaged ones aside, compute some cells again and say so; whether all is well.

    functions: the names of those of a user's own that may be called. count: of cells; seed: which.
    """
    study = Study(path)
    study.check_readable()
    names = commits.names(study.place)
    broken = integrity.damaged(study.place, names)
    for name, why in broken.items():
        print(f"damaged: {name} ({why})")
    if broken:
        study.set_aside(broken)
        print(
            f"moved to {study.path}/quarantine; the command that made this study computes their cells again"
        )
    old = older(study)
    found = recompute(study, old, functions, count, seed)
    for line in (*found.unchecked, *found.wrong):
        print(visible(line))
    same = f"{found.compared - len(found.wrong)} of {found.compared} recomputed cells match"
    print(f"{len(names) - len(broken):,} of {len(names):,} parts intact; {same}")
    odd = [name for name in sorted(names - set(broken)) if not study.scan.possible(name)]
    if odd:
        print(f"{len(odd)} of them hold rows that no run could have written, and were left out")
    if before := len(old.ids):
        rows = _count(before, "row is", "rows are")
        print(f"{rows} of an older revision, left out: the command that made them computes them again")
    for line in commits.describe_strangers(study.place):
        print(line)
    for line in _left_out(found):
        print(visible(line))
    if found.unchecked:
        print(f"{len(found.unchecked)} of the cells could not be recomputed")
    return not (broken or odd or found.wrong or found.unchecked or found.sample.of_other_kernels)


def _left_out(found: Found) -> Iterator[str]:
    """Lines on the rows that were not compared."""
    sample = found.sample
    if sample.foreign:
        cells = _count(sample.foreign, "cell uses", "cells use")
        named = ", ".join(found.functions)
        yield f"{cells} functions of your own, left out: name them with --function ({named})"
    if sample.models:
        cells = _count(sample.models, "cell is of a model", "cells are of models")
        yield f"{cells} of your own, not compared: python -m sweep.probe … --overwrite computes them again"
    if sample.failed:
        rows = _count(sample.failed, "row is of a cell", "rows are of cells")
        yield f"{rows} that failed: not compared"
    if sample.of_other_kernels:
        rows = _count(sample.of_other_kernels, "row is", "rows are")
        yield f"{rows} of another kernel_version than {KERNEL_VERSION}: not compared"
    if sample.forged:
        rows = _count(len(sample.forged), "of them does", "of them do")
        yield f"{rows} not match the id: {', '.join(sample.forged[:_MOST_NAMED])}"


def _count(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"


def recompute(study: Study, old: Older, functions: set[str], count: int, seed: int) -> Found:
    """Compute some stored cells again.

    old: what is left out. functions: the names of those that may be called.
    """
    sample = excerpts.sample(study, old, functions, count, seed)
    named = sample.functions
    if strange := functions - named:
        listed = f"they use {', '.join(sorted(named))}" if named else "they use none"
        raise RequestError(f"--function {sorted(strange)[0]}: no cell of this study uses it; {listed}")
    found = Found(sample, functions=sorted(named - functions))
    again: dict[str, tuple[Cell, dict[str, Any]]] = {}
    for row in sample.rows:
        try:
            one = Spec.of_row(row).cell(row["seed"])
            _ = one.scheme, one.activation, one.first_scheme, one.last_scheme
            given.check_there(one)
        except SweepError as error:  # another program's, a user's function or file that is no longer the same
            found.unchecked.append(f"cell {row['cell_id']}: {error}")
            continue
        if (needs := _bytes(one)) > machine.available_memory():
            found.unchecked.append(f"cell {row['cell_id']}: needs {si(needs)}B of memory at once")
            continue
        found.compared += 1
        if one.id == row["cell_id"]:
            again[one.id] = one, row
        else:
            found.wrong.append(f"cell {row['cell_id']}: its row does not match its id")
    stored = _by_cell(excerpts.layers_of(study, again))
    histogram = any(row["histogram"] is not None for rows in stored.values() for row in rows)
    anew, errors = _compute(Cells.of(one for one, _ in again.values()), histogram)
    nudged = (nudged_cells([one for one, _ in again.values()], turn) for turn in range(_TRIES))
    tries = [_compute(cells, histogram)[0] for cells in nudged]
    for one, row in again.values():
        shaken = [rows[one.id] for rows in tries if one.id in rows]
        said = Rows(row, stored.get(one.id, []))
        if differs := errors.get(one.id) or comparison.difference(one, said, anew[one.id], shaken):
            found.wrong.append(f"cell {one.id} ({one.init} × {one.act}, depth {one.depth}): {differs}")
    return found


@dataclass(frozen=True)
class _NudgedSpec(Spec):
    """A spec whose weights are off by a few roundings; its cells keep their ids."""

    turn: int = 0

    @property
    def scheme(self) -> Scheme:
        return nudge(super().scheme, self.dtype, self.turn)

    @property
    def family(self) -> Chain:
        family = super().family
        ends = (one and nudge(one, self.dtype, self.turn) for one in (family.first, family.last))
        first, last = ends
        return replace(family, scheme=self.scheme, first=first, last=last)


def nudged_cells(cells: Iterable[Cell], turn: int) -> Cells:
    """These cells with weights that are off by a few roundings, other ones at every turn."""
    return Cells.joined(
        Block((_NudgedSpec(**{name: getattr(cell, name) for name in SPEC}, turn=turn),), (cell.seed,))
        for cell in cells
    )


def _bytes(one: Cell) -> int:
    """What computing a cell takes at once."""
    return max(stack.bytes for task in tasks.pack(Cells.of([one]), 1) for stack in task.stacks)


def _compute(cells: Cells, histogram: bool) -> tuple[dict[str, Rows], dict[str, str]]:
    """Compute these cells: their rows by id, and what went wrong with the others."""
    found: dict[str, Rows] = {}
    errors: dict[str, str] = {}
    for result in local.run(tasks.pack(cells, 1), 1, histogram):
        rows, layers = (table.to_pylist() for table in tables.tables(result, ""))
        own = _by_cell(layers)
        found |= {row["cell_id"]: Rows(row, own[row["cell_id"]]) for row in rows if row["cell_id"] in own}
        errors |= {one.id: str(result.errors[i]) for i, one in enumerate(result.cells) if i in result.errors}
    return found, errors


def _by_cell(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: -1 if row["layer"] is None else int(row["layer"])):
        found.setdefault(row["cell_id"], []).append(row)
    return found
