"""Which program runs here: only workers of the same one compute the same numbers.

A worker of another layout cannot load what is sent to it: what it answers, and what it is asked first, are
plain text.
"""

import shlex
import sys

from sweep.base.provenance import provenance
from sweep.kernel import KERNEL_VERSION

OTHER = 78  # EX_CONFIG of sysexits.h
_CHECK = "import sys; from sweep.execution.workers.program import program; sys.exit(program() != sys.argv[1])"


def program() -> str:
    """What runs in this process."""
    return f"sweep {provenance()['version']} (kernel {KERNEL_VERSION})"


def shell_check() -> str:
    """A line of shell that ends a script with the status OTHER where this Python runs another program."""
    said = f"sweep: the job was submitted by {program()}, which is not what this node has at {sys.executable}"
    check = shlex.join([sys.executable, "-c", _CHECK, program()])
    return f"{check} 2>/dev/null || {{ echo {shlex.quote(said)} >&2; exit {OTHER}; }}"
