"""Threads that a user's code has started and that never end: Python would wait for them for ever."""

import os
import sys
import threading
import time
from typing import NoReturn

PATIENCE = 3.0  # seconds that a thread has to end, once nothing else is left to do
LINE = "a thread started by your code is still running ({}): exiting without it"


def lasting() -> list[str]:
    """The names of threads that Python would wait for at its end."""
    return [
        thread.name
        for thread in threading.enumerate()
        if not thread.daemon and thread not in (threading.main_thread(), threading.current_thread())
    ]


def leave(status: int) -> NoReturn:
    """End the process with this status, whatever a user's code has left running."""
    watch(status)
    sys.exit(status)


def watch(status: int) -> None:
    """See to it that the process ends with this status soon after its main thread has."""
    if lasting():
        threading.Thread(target=_end, args=(status,), name="watch-threads", daemon=True).start()


def _end(status: int) -> None:
    while threading.main_thread().is_alive():
        time.sleep(0.05)
    if names := outlasted():
        os.write(2, f"sweep: {LINE.format(', '.join(names))}\n".encode(errors="replace"))
        os._exit(status)


def outlasted() -> list[str]:
    """The names of threads that have not ended after all the patience there is."""
    deadline = time.monotonic() + PATIENCE
    while (names := lasting()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return names
