"""Ctrl-C and SIGTERM as exceptions that never cut a write in two."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_EXCEPTIONS: dict[int, type[BaseException]] = {}
_held = 0
_waiting: list[int] = []


class Terminated(BaseException):
    """SIGTERM: a scheduler's time limit, or an administrator. Like KeyboardInterrupt, no error."""


_EXCEPTIONS |= {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}


@contextmanager
def raised() -> Iterator[None]:
    """While the block runs, SIGINT raises KeyboardInterrupt and SIGTERM Terminated, both once `held` ends.

    A signal that somebody ignores, or handles already, is left to them; so is everything in a
    thread that is not the main one.
    """
    before: dict[int, Any] = {}
    for number in _EXCEPTIONS:
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            try:
                before[number] = signal.signal(number, _on_signal)
            except ValueError:  # not the main thread
                break
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held() -> Iterator[None]:
    """An interrupt waits until the block ends."""
    global _held  # noqa: PLW0603  signals belong to the process
    _held += 1
    try:
        yield
    finally:
        _held -= 1
        if not _held and _waiting:
            number = _waiting[-1]
            _waiting.clear()
            raise _EXCEPTIONS[number]


@contextmanager
def unseen_by_children() -> Iterator[None]:
    """Processes started in the block never see an interrupt, and one that comes waits until it ends.

    Workers are stopped by the driver, which alone knows what is stored; a worker that is told by
    the terminal or the scheduler too dies with a traceback, wherever it just is.
    """
    with held():
        if not hasattr(signal, "pthread_sigmask"):  # not POSIX
            yield
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, set(_EXCEPTIONS))
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _held:
        _waiting.append(number)
    else:
        raise _EXCEPTIONS[number]


def end_with_parent(parent: int) -> None:
    """Leave this process soon after `parent` has ended, however that ended; for a worker."""
    import threading  # noqa: PLC0415
    import time  # noqa: PLC0415

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.3)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
