"""What an executor is: the settings of one way to compute tasks, which say what there is and compute."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from sweep.base.process import machine
from sweep.execution.plan.compilers import Compiler
from sweep.execution.plan.tasks import Task
from sweep.experiment.batches import Cells
from sweep.experiment.outcomes.outcome import Result
from sweep.experiment.outcomes.probed import Probed
from sweep.kernel.passes import NUMPY
from sweep.report.frames import text

if TYPE_CHECKING:
    from sweep.execution.options import Options
    from sweep.store.index import StoredIndex
    from sweep.store.records.runs import RunRecord
    from sweep.store.study import Study

Remaining = Callable[[Task], Task | None]  # what of a task is still to be computed; None if nothing is


@dataclass(frozen=True)
class Capacity:
    """What there is to compute with.

    workers: at the same time. memory: bytes that the stacks of all of them together may hold. here:
    whether they are this machine's, so that times measured on it are theirs. most: bytes that one network
    may take, None where nobody knows; refusal: what to say of one that takes more, {} being how much.
    """

    workers: int
    memory: int
    here: bool
    most: int | None = None
    refusal: str = "{}"


@dataclass(frozen=True)
class Work:
    """What a run computes: cells, as tasks, with what there is for them.

    stored: what the study holds of them already. histogram: whether histograms are kept. passes: the kind
    that all its workers use.
    """

    study: "Study"
    stored: "StoredIndex"
    cells: Cells
    tasks: Sequence[Task]
    capacity: Capacity
    histogram: bool
    options: "Options"
    passes: str = NUMPY


class Executor(Protocol):
    """A frozen dataclass: a field for every key of its conf file but `name`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The executor of a config's `executor`; RequestError where a value breaks its rule."""

    def capacity(self, options: "Options", needed: bool) -> Capacity:
        """What it has. needed: whether it is to compute something; then RequestError where it cannot.

        A dry run gets an answer even where it cannot.
        """

    def compiler(self) -> Compiler:
        """Who compiles loops for its workers, and knows which they have."""

    def outcomes(self, work: Work, record: "RunRecord", remaining: Remaining) -> Iterator[Result | Probed]:
        """The results of the tasks, as they end; those that are `stored` need not be stored again.

        record: of this run. remaining: may be asked just before a task is handed to a worker. Raises
        ClusterError where the workers are lost, RequestError where they cannot do it, Leave where the work
        goes on without this command.
        """


class Leave(Exception):
    """The command ends here, with a line about the work that is not done and an exit status."""

    def __init__(self, line: str, status: int) -> None:
        super().__init__(line)
        self.status = status


def this_machine(workers: int) -> Capacity:
    """What this machine has for so many workers: for fewer, where its memory is too little."""
    workers = machine.workers_in_memory(workers)
    left = machine.available_memory()
    refusal = (
        f"{{}}, but only {text.si(left)}B of memory is free here: reduce depth, width or batch, "
        "or use a machine with more"
    )
    return Capacity(workers, machine.stack_memory(workers), True, left - machine.DRIVER_BYTES, refusal)
