"""What Slurm says of a job, without accounting: its queue alone, which forgets ended jobs in time."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SECONDS = 30.0  # for one answer of a busy scheduler
_ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
    "REVOKED", "TIMEOUT",
}  # fmt: skip
# What is asked of an element, and how many characters wide the answer is.
_COLUMNS = {"ArrayTaskID": 16, "State": 20, "exit_code": 16, "NodeList": 80, "Reason": 200}
_OTHERS = -1
# Pending for a reason that no time removes: somebody must act.
_STUCK = re.compile(r"held|never|invalid|badconstraints|launch failed", re.IGNORECASE)


@dataclass(frozen=True)
class QueueEntry:
    """One element of a job's array as the queue shows it.

    status, signal: how it ended, 0 while it has not. node: where, empty while that is not decided.
    """

    state: str
    reason: str
    node: str = ""
    status: int = 0
    signal: int = 0

    @property
    def alive(self) -> bool:
        """Whether it may still compute something by itself."""
        return self.state not in _ENDED and not self.stuck

    @property
    def stuck(self) -> bool:
        """Whether it waits for somebody to act."""
        return self.state == "PENDING" and bool(_STUCK.search(self.reason))


def elements(job: str) -> Mapping[int, QueueEntry] | None:
    """The elements of a job, by their number, that the queue still knows; None where it gives no answer.

    Those that were cancelled before they began are one, by a number that no element has.
    """
    columns = ",".join(f"{name}:{width}" for name, width in _COLUMNS.items())
    done = ask("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", f"--Format={columns}")
    if done is None or done.returncode:
        forgotten = done is not None and "Invalid job id" in done.stderr
        return {} if forgotten else None
    found = {}
    for line in done.stdout.splitlines():
        number, state, code, node, reason = _cut(line)
        status, signal = _ending(code)
        found[int(number) if number.isdecimal() else _OTHERS] = QueueEntry(
            state, reason, node, status, signal
        )
    return found


def _cut(line: str) -> Iterator[str]:
    start = 0
    for width in _COLUMNS.values():
        yield line[start : start + width].strip()
        start += width


def _ending(code: str) -> tuple[int, int]:
    """Exit status and signal, from either way in which versions of Slurm write them."""
    numbers = [int(number) for number in re.findall(r"\d+", code)]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    waited = sum(numbers)  # as wait(2) has it
    return waited >> 8 & 0xFF, waited & 0x7F


def summary(elements: Mapping[int, QueueEntry]) -> str:
    """How many elements ended how, as in '6 completed, 1 cancelled'."""
    states = Counter(
        f"waiting ({element.reason})" if element.stuck else element.state.lower().replace("_", " ")
        for element in elements.values()
    )
    ordered = sorted(states.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{count} {state}" for state, count in ordered)


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
