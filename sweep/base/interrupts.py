"""Ctrl-C, SIGTERM and SIGHUP as exceptions that never cut a write in two; a second Ctrl-C ends at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sweep.base import early

_DEFAULTS = (signal.default_int_handler, signal.SIG_DFL)
_EXCEPTIONS: dict[int, type[BaseException]] = {}
_held = 0
_begun = True  # something that is not to be cut in two, since the process is a command of ours
_told = False  # by a first Ctrl-C
_waiting: list[int] = []


class Terminated(BaseException):
    """SIGTERM or SIGHUP: a scheduler, an administrator, a terminal closed. As KeyboardInterrupt no error."""


_EXCEPTIONS |= {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
if hasattr(signal, "SIGHUP"):  # POSIX
    _EXCEPTIONS[signal.SIGHUP] = Terminated


@contextmanager
def raised() -> Iterator[None]:
    """While the block runs, SIGINT raises KeyboardInterrupt, others Terminated, once `held` ends.

    A signal that somebody ignores, or handles already, is left to them; so is everything in a
    thread that is not the main one.
    """
    global _told, _begun  # noqa: PLW0603  signals belong to the process
    before: dict[int, Any] = {}
    for number in _EXCEPTIONS:
        found = signal.getsignal(number)
        if found in _DEFAULTS or found is early.end:
            try:
                signal.signal(number, _on_signal)
            except ValueError:  # not the main thread
                break
            before[number] = found
            _begun = _begun and found is not early.end
    _told = _told and not before
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ending(stopped: BaseException) -> tuple[str, int]:
    """What has happened to a command that one of them ends, in a word, and its exit status."""
    return ("interrupted", 130) if isinstance(stopped, KeyboardInterrupt) else ("terminated", 143)


@contextmanager
def held() -> Iterator[None]:
    """An interrupt waits until the block ends."""
    global _held, _begun  # noqa: PLW0603  signals belong to the process
    _held += 1
    _begun = True
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
    global _told  # noqa: PLW0603
    if number == signal.SIGINT:
        if not _begun:  # an import, or Hydra, that is cut in two raises anything
            early.end(number, frame)
        if _told:  # who asks twice does not want to wait; what is half-written is nobody's part
            os.write(2, b"sweep: interrupted twice: ended at once\n")
            os._exit(130)
        _told = True
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
