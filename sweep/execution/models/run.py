"""A model of one's own under schemes and seeds: from what is asked to the report, as with any grid."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sweep.base.errors import RequestError
from sweep.execution import driver, screen
from sweep.execution.options import Options
from sweep.execution.plan import missing
from sweep.execution.plan.compilers import Compiler, Here
from sweep.execution.plan.estimate import Counts, Expected
from sweep.execution.plan.tasks import Stack, Task
from sweep.execution.workers.executor import Capacity, Remaining, Work
from sweep.experiment.batches import Block, Cells
from sweep.experiment.cell import Cell, Spec
from sweep.experiment.outcomes.outcome import Failures
from sweep.experiment.outcomes.probed import Probed
from sweep.probing.studies.cell import Prober, result_of
from sweep.report.frames import text
from sweep.store.study import Study

if TYPE_CHECKING:
    from sweep.store.records.runs import RunRecord

_HERE = Capacity(workers=1, memory=0, here=False)  # what it takes teaches nothing about our own networks
_PASSES = "torch"
_SPREAD = 2.0  # how far a network may take longer or shorter than the first


@dataclass(frozen=True)
class Asked:
    """prober: of the model. cells: of it. duplicates: how many of them were named once more."""

    prober: Prober
    cells: Cells
    duplicates: int

    @classmethod
    def of(cls, prober: Prober, inits: Sequence[Mapping[str, Any] | None], seeds: Sequence[int]) -> Self:
        """inits: schemes as {name, parameters …}, None: as it is made; RequestError where one cannot draw."""
        specs = tuple(dict.fromkeys(Spec.of_model(init, prober.model) for init in inits))
        return cls(prober, Cells((Block(specs, tuple(seeds)),)), (len(inits) - len(specs)) * len(seeds))


def run(asked: Asked, options: Options, record: Mapping[str, str]) -> int:
    """Probe what is missing, store it, draw the report; the exit status, as `pipeline.run` has it.

    Raises RequestError, and nothing is written, where the model takes no such inputs.
    """
    cells = asked.cells
    study = Study(options.path)
    study.check(writes=False)
    stored = missing.look_up(study, options.dry_run)
    held = stored.of(cells)
    wanted = cells.where(missing.to_compute(held, options.retry_failed, options.overwrite))
    _, failed, ok = np.bincount(held, minlength=3).tolist()
    counts = Counts(len(cells), asked.duplicates, ok, failed, len(wanted))
    if options.dry_run:
        screen.say(f"{_told(options, counts)}; nothing was written: to run it, drop --dry-run")
        return 0
    failures = Failures()
    if wanted:
        study.check()
        first = _first(asked.prober, next(iter(wanted)))
        expected = _expected(len(wanted), first.seconds)
        tasks = [_task(number, cell, first.seconds) for number, cell in enumerate(wanted)]
        options = replace(options, executor=OneByOne(asked.prober, first))
        screen.say(f"{_told(options, counts)}; {expected.time}")
        work = Work(study, stored, wanted, tasks, _HERE, False, options, _PASSES)
        ended = driver.run(work, record, counts, expected, failures)
        if ended is not None:
            return ended
    else:
        screen.say(screen.summary(options, counts, _expected(0, 0.0)))
    screen.show_failures(failures)
    if len(failures) < len(cells):
        screen.show_models(study, cells, options)
    return 1 if len(failures) else 0


def _first(prober: Prober, cell: Cell) -> Probed:
    """The result of the first cell; RequestError where the model refuses these inputs as it is made, too."""
    found = prober.result(cell, 1, 0.0)
    if found.failure is None or found.failure.type != RequestError.__name__:
        return found
    made = Spec.of_model(None, prober.model).cell(cell.seed)
    return replace(found, depth=result_of(made, prober.probed(made)).depth)


@dataclass(frozen=True)
class OneByOne:
    """One network after another in this process, for torch's own threads take all cores.

    first: the result of the first cell, which there is already.
    """

    prober: Prober
    first: Probed

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        raise RequestError(f"executor={values['name']}: models of your own are probed one by one")

    def capacity(self, options: Options, needed: bool) -> Capacity:
        return _HERE

    def compiler(self) -> Compiler:
        return Here()

    def outcomes(self, work: Work, record: "RunRecord", remaining: Remaining) -> Iterator[Probed]:
        depth = self.first.depth
        for task in work.tasks:
            left = remaining(task)
            for cell in left.cells if left else ():
                if cell == self.first.cell:
                    yield replace(self.first, estimate=task.seconds)
                    continue
                yield self.prober.result(cell, depth, task.seconds)


def _task(number: int, cell: Cell, seconds: float) -> Task:
    return Task(number, (Stack(Block((cell.spec,), (cell.seed,)), (), seconds, 0),))


def _expected(tasks: int, seconds: float) -> Expected:
    total = tasks * seconds
    return Expected(
        tasks, 1, 0, total, 0.0, total, total / _SPREAD, total * _SPREAD, bytes=0, memory=0, here=True
    )


def _told(options: Options, counts: Counts) -> str:
    line = f"study {options.path}: {text.cells(counts.cells)}"
    if counts.missing < counts.cells:
        line += f", {counts.cells - counts.missing} stored already, {counts.missing} to compute"
    return line
