"""What Slurm says of a job, without accounting: its queue alone, which forgets ended jobs in time."""

import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

_SECONDS = 30.0  # for one answer of a busy scheduler
_ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "REVOKED", "TIMEOUT",
}  # fmt: skip
# Pending for a reason that no time removes: somebody must act.
_STUCK = re.compile(r"held|never|invalid|badconstraints|launch failed", re.IGNORECASE)


@dataclass(frozen=True)
class Element:
    """One element of a job's array as the queue shows it."""

    state: str
    reason: str

    @property
    def alive(self) -> bool:
        """Whether it may still compute something by itself."""
        return self.state not in _ENDED and not self.stuck

    @property
    def stuck(self) -> bool:
        """Whether it waits for somebody to act."""
        return self.state == "PENDING" and bool(_STUCK.search(self.reason))


def elements(job: str) -> Mapping[int, Element] | None:
    """The elements of a job, by their number, that the queue still knows; None where it gives no answer."""
    done = ask("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%i|%T|%r")
    if done is None or done.returncode:
        forgotten = done is not None and "Invalid job id" in done.stderr
        return {} if forgotten else None
    found = {}
    for line in done.stdout.splitlines():
        name, state, reason = [*line.strip().split("|", 2), "", ""][:3]
        number = re.search(r"_(\d+)$", name)
        found[int(number[1]) if number else 0] = Element(state, reason)
    return found


def described(elements: Mapping[int, Element]) -> str:
    """How many elements ended how, as in '6 completed, 1 cancelled'."""
    states = Counter(
        f"waiting ({element.reason})" if element.stuck else element.state.lower().replace("_", " ")
        for element in elements.values()
    )
    return ", ".join(f"{count} {state}" for state, count in states.most_common())


def largest_array() -> int | None:
    """The site's limit of elements in one array; None where it does not say."""
    done = ask("scontrol", "show", "config")
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", done.stdout) if done else None
    return int(found[1]) if found else None


def ask(*command: str) -> "subprocess.CompletedProcess[str] | None":
    """What a command of Slurm answers; None where it does not, in time."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
