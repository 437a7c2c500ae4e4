"""A Ctrl-C while a command still imports what it needs: one line, and the status of one that was interrupted.

This imports next to nothing, for what Python has not come to it cannot catch.
"""

import os
import signal
import sys


def from_the_start() -> None:
    """From now on a Ctrl-C ends the process in a line: nothing has begun that is not to be cut in two."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        try:
            signal.signal(signal.SIGINT, end)
        except ValueError:  # not the main thread
            return


def end(number: int, frame: object) -> None:
    """Handle the signal."""
    try:  # noqa: SIM105  contextlib costs a millisecond
        sys.stdout.flush()
    except Exception:  # it may be flushing just now
        pass
    os.write(2, b"sweep: interrupted\n")
    os._exit(130)
