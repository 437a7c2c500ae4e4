"""What users bring: schemes that are slow, that fail and that take their process down."""

import os
import signal
import time
from pathlib import Path


def slow(rng, fan_in, fan_out, number=0, path=None):
    """Sleeps for SLOW seconds a layer, and notes which process it is in; number: makes cells differ."""
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
    time.sleep(float(os.environ.get("SLOW", "0")))
    return rng.standard_normal((fan_in, fan_out))


def poison(rng, fan_in, fan_out):
    """At width 13, kills its process: as a crash in compiled code does, or a memory limit."""
    if fan_in == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return rng.standard_normal((fan_in, fan_out))


def wrong(rng, fan_in, fan_out):
    """At width 13, raises."""
    if fan_in == 13:
        raise ValueError("thirteen")
    return rng.standard_normal((fan_in, fan_out))
