"""Which passes a run uses: NumPy's or compiled ones, chosen once, before its first task.

Compiled passes are worth half a second of every worker's start, and must be compiled once on every kind of
machine. So a short run has NumPy's; one of some seconds has them the first time as well, while the compiler
works beside it; and a long one waits for the compiler. Workers on other machines have NumPy's: what those
machines have is not known before they come.
"""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from sweep.activations import CUSTOM
from sweep.base.process import interrupts
from sweep.execution.plan.tasks import Task
from sweep.kernel.passes import COMPILED, NUMPY, folder

_WORTH = 3.0  # seconds of a run: below, what is saved is less than to load numba in every worker
_COMPILES = 0.7  # seconds of the compiler a loop
_STARTS = 1.5  # and for the first
_PATIENT = 10.0  # a run so many times as long as the compiler waits for it


@dataclass(frozen=True)
class Choice:
    """kind: of passes. missing: the loops that are yet to be compiled, before the run or beside it.

    line: what to say of it, '' where nothing is worth a line.
    """

    kind: str = NUMPY
    missing: frozenset[str] = frozenset()
    line: str = ""


def choose(tasks: Sequence[Task], here: bool, seconds: float, compiled: bool | None) -> Choice:
    """The passes for these tasks, without compiling anything.

    here: whether the workers are this machine's. seconds: how long the run is expected to take. compiled: as
    asked for; None where nothing is.
    """
    loops = _loops(tasks)
    if compiled is False or not loops or (compiled is None and (not here or seconds < _WORTH)):
        return Choice()
    if (reason := _why_not(here)) is not None:
        quiet = compiled is None and bool(folder.why_not())  # who has not asked for numba misses nothing
        return Choice(line="" if quiet else f"NumPy's passes are used: {reason}")
    missing = frozenset(folder.missing(loops))
    if not missing:
        return Choice(COMPILED)
    takes = _STARTS + _COMPILES * len(missing)
    several = f"{len(missing)} loop{'s' * (len(missing) > 1)} for this machine, about {takes:.0f} s, once"
    if compiled or seconds > _PATIENT * takes:
        return Choice(COMPILED, missing, f"compiling {several}")
    return Choice(NUMPY, missing, f"compiling {several}: beside this run, for the next ones")


def ready(choice: Choice) -> str:
    """Compile what the choice lacks, or have it compiled beside the run; returns the kind of the run."""
    if not choice.missing:
        return choice.kind
    command = [sys.executable, "-m", "sweep.kernel.passes", *sorted(choice.missing)]
    if choice.kind == NUMPY:
        with interrupts.unseen_by_children():
            beside = subprocess.Popen(
                [*command, "--beside"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        beside.returncode = 0  # it ends by itself, some seconds later: nobody waits for it
        return NUMPY
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return NUMPY if folder.missing(choice.missing) else COMPILED


def _why_not(here: bool) -> str | None:
    """Why there are no compiled passes for the workers, in a line."""
    if not here:
        return "what compiled ones need is not known of the workers' machines"
    if reason := folder.why_not():
        return reason
    return f"compiled ones cannot be kept, {kept}" if (kept := folder.why_not_kept()) else None


def _loops(tasks: Sequence[Task]) -> set[str]:
    """The loops that all chains of these tasks need."""
    specs = (spec for task in tasks for spec in task.specs)
    return folder.keys_of(
        {(spec.act, spec.backward) for spec in specs if spec.dtype == "float32" and spec.act != CUSTOM}
    )
