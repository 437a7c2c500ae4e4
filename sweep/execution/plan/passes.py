"""Which passes a run uses: NumPy's or compiled ones, chosen once, before its first task.

Compiled passes are worth a second of every worker's start, and must be compiled once on every kind of
machine. So a short run has NumPy's; one of some seconds has them the first time as well, while the compiler
works beside it; and a long one waits for the compiler. A run that goes on with another's cells has what that
had.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sweep.activations import CUSTOM, REGISTRY, TRANSFORMED, loop_name
from sweep.execution.plan import compilers
from sweep.execution.plan.compilers import Compiler
from sweep.execution.plan.tasks import Task
from sweep.experiment.batches import Cells
from sweep.experiment.cell import ID_BYTES
from sweep.kernel.passes import COMPILED, NUMPY, OWN, folder
from sweep.store.records import runs
from sweep.store.study import Study

_WORTH = 3.0  # seconds of a run: below, what is saved is less than to load numba in every worker
_COMPILES = 0.7  # seconds of the compiler a loop
_STARTS = 1.5  # and for the first
_LOADS = 1.0  # and every worker to load what is compiled
_PATIENT = 10.0  # a run so many times as long as the compiler waits for it


@dataclass(frozen=True)
class Choice:
    """kind: of passes. missing: the loops that are yet to be compiled, before the run or beside it.

    functions: of a user's own, to be compiled by every worker for itself. lines: what to say of it.
    """

    kind: str = NUMPY
    missing: frozenset[str] = frozenset()
    functions: tuple[str, ...] = ()
    lines: list[str] = field(default_factory=list)

    @property
    def loads(self) -> float:
        """Seconds that every worker takes to load them."""
        return 0.0 if self.kind == NUMPY else _LOADS


def choose(
    tasks: Sequence[Task],
    compiler: Compiler,
    seconds: float,
    compiled: bool | None,
    before: str | None = None,
) -> Choice:
    """The passes for these tasks, without compiling anything.

    compiler: of the workers' machines. seconds: how long the run is expected to take. compiled: as asked for,
    None where nothing is. before: the kind of the run that this one goes on with.
    """
    asked = compiled or (compiled is None and before in (COMPILED, OWN))
    functions = _own(tasks) if asked and (compiled or before == OWN) else ()
    loops = _loops(tasks, bool(functions))
    worth = asked or (before != NUMPY and seconds >= _WORTH)
    if compiled is False or not worth or not (loops or functions):
        return Choice()
    if reason := compiler.why_not():
        return Choice(lines=_instead(reason, compiled, asked))
    kind, missing = OWN if functions else COMPILED, compiler.missing(loops)
    takes = _STARTS + _COMPILES * len(missing)
    several = f"{len(missing)} loop{'s' * (len(missing) > 1)} for this machine, about {takes:.0f} s, once"
    if not missing or asked or seconds > _PATIENT * takes:
        return Choice(kind, missing, functions, [f"compiling {several}"] if missing else [])
    if compiler.beside:
        return Choice(NUMPY, missing, lines=[f"compiling {several}: beside this run, for the next ones"])
    return Choice()


def _instead(reason: str, compiled: bool | None, asked: bool) -> list[str]:
    """What to say where compiled passes would be used, and cannot be."""
    if not asked and folder.why_not():
        return []  # who has not asked for numba misses nothing
    begun = "" if compiled or not asked else "the run that this one continues had compiled passes; "
    return [f"{begun}NumPy's passes are used: {reason}"]


def ready(choice: Choice, compiler: Compiler) -> Choice:
    """Compile what the choice lacks, or have it compiled beside the run; what the run then has, and says."""
    if choice.missing and choice.kind == NUMPY:
        compilers.start_beside(choice.missing)
        return Choice()
    if choice.missing and (reason := compiler.build(choice.missing)):
        return Choice(lines=[f"NumPy's passes are used: {reason}"])
    if not choice.functions:
        return Choice(choice.kind)
    refused = compilers.refused(choice.functions)
    kind = choice.kind if len(refused) < len(choice.functions) else COMPILED
    return Choice(kind, lines=[f"NumPy computes {line}" for line in refused])


def of_unfinished(study: Study, wanted: Cells) -> str | None:
    """The kind of passes of the last run that left some of these cells undone; None where there is none."""
    digests: set[bytes] = set()
    for name in reversed(runs.names(study)):
        said = runs.summary(study, name)
        if said.get("status") == 0 or said.get("passes") not in (NUMPY, COMPILED, OWN):
            continue
        digests = digests or {one for block in wanted.blocks for one in _each(block.digests())}
        if any(not digests.isdisjoint(_each(block.digests())) for block, _ in runs.read_plan(study, name)):
            return str(said["passes"])
    return None


def _each(digests: bytes) -> list[bytes]:
    return [digests[start : start + ID_BYTES] for start in range(0, len(digests), ID_BYTES)]


def _own(tasks: Sequence[Task]) -> tuple[str, ...]:
    """The activations of a user's own, by their parameters."""
    return tuple({spec.act_params: None for task in tasks for spec in task.specs if spec.act == CUSTOM})


def _loops(tasks: Sequence[Task], own: bool) -> set[str]:
    """The loops that all chains of these tasks need; own: with those of a user's own activation."""
    asked = {
        (spec.act, spec.act_params if spec.act == TRANSFORMED else "", spec.backward)
        for task in tasks
        for spec in task.specs
        if spec.dtype == "float32"
    }
    loops = folder.keys_of({(_loop(*act), backward) for *act, backward in asked if act[0] != CUSTOM})
    if own:
        loops |= folder.shared(any(backward for act, _, backward in asked if act == CUSTOM))
    return loops


def _loop(act: str, parameters: str) -> str:
    """The name of the loop that crosses an act; parameters: of a transformed one."""
    return loop_name(REGISTRY.from_json(act, parameters)) if act == TRANSFORMED else act
