"""A Ctrl-C while a command still imports what it needs: one line and the exit status 130.

This imports next to nothing: a Ctrl-C before it is in place cannot be caught.
"""

import os
import signal
import sys


def from_the_start() -> None:
    """Let a Ctrl-C end the process with one line: nothing has begun yet that must not be cut short."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        try:
            signal.signal(signal.SIGINT, end)
        except ValueError:  # not the main thread
            return


def end(number: int, frame: object) -> None:
    """End the process: a signal handler."""
    try:  # noqa: SIM105  contextlib costs a millisecond
        sys.stdout.flush()
    except Exception:  # it may be flushing just now
        pass
    os.write(2, b"sweep: interrupted\n")
    os._exit(130)
